"""What lies between a test and the transport: redirects, cookies, and one deadline across all hops."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from orbit_runner.transport.cookies import CookieJar
from orbit_runner.transport.port import TransportError, without_secrets
from orbit_runner.transport.url import Target, parse_url

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from orbit_runner.transport.port import HttpRequest, HttpResponse, Transport

SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})
"""Headers that never cross an origin, in lower case; a caller adds its own."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# What describes a body, and goes when the body goes.
_BODY_HEADERS = frozenset(
    {
        "content-type",
        "content-length",
        "content-encoding",
        "content-language",
        "content-location",
        "transfer-encoding",
        "digest",
        "last-modified",
    }
)


@dataclass(slots=True)
class Hop:
    """A redirect that was followed: the request as sent, the answer that redirected, and what changed after it."""

    request: HttpRequest
    response: HttpResponse
    location: str = field(repr=False)
    dropped_headers: tuple[str, ...] = ()
    """Secret headers that were left behind because the origin changed."""
    downgraded: bool = False
    """From https to http."""


@dataclass(slots=True)
class Exchange:
    """A request with everything that followed from it.

    `request` is the last one as it was sent, with the Cookie header; `elapsed` covers all hops, in seconds.
    """

    request: HttpRequest
    response: HttpResponse
    hops: list[Hop] = field(default_factory=list)
    elapsed: float = 0.0


class Session:
    """Sends requests over a transport, with redirects and a cookie jar of its own.

    One session is one isolation scope: whoever shares a session shares its cookies. It owns no connection and need
    not be closed. `cookies` is the jar, readable as an iterable of cookies.
    """

    def __init__(self, transport: Transport, *, cookies: CookieJar | None = None) -> None:
        self.transport = transport
        self.cookies = CookieJar() if cookies is None else cookies

    async def send(
        self,
        request: HttpRequest,
        *,
        max_redirects: int = 0,
        cookies: Mapping[str, str] | None = None,
        secret_headers: Collection[str] = (),
        use_jar: bool = True,
    ) -> Exchange:
        """The final answer to `request`, following at most `max_redirects` redirects (0: none is followed).

        `cookies` go with the request to its own origin, besides those of the jar and before them by name.
        `secret_headers` are names that, like Authorization, Cookie, Proxy-Authorization and X-Api-Key, never cross an
        origin; once left behind, they do not come back. `use_jar=False` neither sends nor stores cookies of the jar.
        `request.timeout` bounds all hops together.

        :raises TransportError: category `too_many_redirects` with the hops in `detail`, `invalid_redirect`, or what
            the transport raises
        """
        began = time.monotonic()
        target = parse_url(request.url)
        secrets = SECRET_HEADERS.union(name.lower() for name in secret_headers) if secret_headers else SECRET_HEADERS
        jar = self.cookies if use_jar else None
        given = dict(cookies) if cookies else {}
        hops: list[Hop] = []
        seen: set[tuple[str, str, tuple[tuple[str, str | None], ...]]] = set()
        current = request  # what the next hop starts from: without the cookies of jar and caller
        while True:
            sent = _with_cookies(current, target, jar, given)
            if hops:
                left = request.timeout - (time.monotonic() - began)
                sent = replace(sent, timeout=max(left, 0.001))
            try:
                response = await self.transport.send(sent)
            except TransportError as error:
                if not hops:
                    raise
                raise _after_hops(error, request, target, hops, began) from None
            if jar is not None or given:
                set_cookie = [value for name, value in response.headers if name.lower() == "set-cookie"]
                if set_cookie:
                    if jar is not None:
                        jar.store(target, set_cookie)
                    for header in set_cookie:  # what the server sets anew replaces what the caller gave
                        given.pop(header.partition("=")[0].strip(), None)
            location = response.header("location") if max_redirects and response.status in _REDIRECTS else None
            if location is None:
                return Exchange(sent, response, hops, time.monotonic() - began)
            seen.add((sent.method, sent.url, tuple(sent.headers)))
            hop = Hop(sent, response, location)
            hops.append(hop)
            if len(hops) > max_redirects:
                raise _too_many(request, target, hops, f"more than {max_redirects} redirects", began)
            following = _follow(current, target, hop, secrets)
            new_target = parse_url(following.url)
            if new_target.origin != target.origin:
                given.clear()
            target, current = new_target, following
            again = _with_cookies(current, target, jar, given)
            if (again.method, again.url, tuple(again.headers)) in seen:
                raise _too_many(request, target, hops, "the redirects go in a circle", began)


def _with_cookies(request: HttpRequest, target: Target, jar: CookieJar | None, given: Mapping[str, str]) -> HttpRequest:
    """`request` with one Cookie header: the caller's own header first, then the given cookies, then the jar's."""
    stored = jar.header_for(target) if jar is not None else None
    if stored is None and not given:
        return request
    pairs = [f"{name}={value}" for name, value in given.items()]
    if stored is not None:
        pairs += [pair for pair in stored.split("; ") if pair.partition("=")[0] not in given]
    written = [value for name, value in request.headers if name.lower() == "cookie" and value]
    headers = [(name, value) for name, value in request.headers if name.lower() != "cookie"]
    headers.append(("Cookie", "; ".join([*written, *pairs])))
    return replace(request, headers=headers)


def _follow(request: HttpRequest, target: Target, hop: Hop, secrets: Collection[str]) -> HttpRequest:
    """The request that a redirect asks for (RFC 9110, section 15.4); notes in `hop` what it had to leave behind."""
    try:
        url = urljoin(request.url, hop.location.strip())
        following = parse_url(url)
    except (TransportError, ValueError) as error:
        raise TransportError(
            "invalid_redirect",
            f"{target.authority}: redirected to {without_secrets(hop.location)!r}, which cannot be followed.",
            phase="transfer",
            url=without_secrets(request.url),
            detail=str(error),
        ) from None
    method, body = request.method, request.body
    headers: Sequence[tuple[str, str | None]] = request.headers
    status = hop.response.status
    if (status == 303 and method not in {"GET", "HEAD"}) or (status in {301, 302} and method == "POST"):
        method, body = "GET", None
        headers = [(name, value) for name, value in headers if name.lower() not in _BODY_HEADERS]
    if following.origin != target.origin:
        hop.dropped_headers = tuple(name for name, _ in headers if name.lower() in secrets)
        # Host was written for the old origin.
        headers = [(name, value) for name, value in headers if name.lower() not in secrets and name.lower() != "host"]
        hop.downgraded = target.scheme == "https" and following.scheme == "http"
    elif target.userinfo and not following.userinfo:
        url = url.replace("://", f"://{target.userinfo}@", 1)
    return replace(request, method=method, url=url, headers=headers, body=body)


def _after_hops(
    error: TransportError, request: HttpRequest, target: Target, hops: list[Hop], began: float
) -> TransportError:
    """`error` of a later hop, with the way there and the time since the first."""
    elapsed = time.monotonic() - began
    message = error.message
    if error.category == "timeout":
        message = f"{target.authority}: no final answer within {request.timeout:g} s, after {len(hops)} redirects."
    return TransportError(
        error.category,
        message,
        phase=error.phase,
        elapsed=elapsed,
        url=error.url,
        detail="; ".join(part for part in (_path_of(hops), error.detail) if part),
        hint=error.hint,
    )


def _too_many(request: HttpRequest, target: Target, hops: list[Hop], why: str, began: float) -> TransportError:
    return TransportError(
        "too_many_redirects",
        f"{target.authority}: {why}, begun at {without_secrets(request.url)}.",
        phase="transfer",
        elapsed=time.monotonic() - began,
        url=without_secrets(request.url),
        detail=_path_of(hops),
        hint="Follow fewer redirects and look at the answers, or check the cookies the server expects.",
    )


def _path_of(hops: list[Hop]) -> str:
    """The hops in one line, without queries and credentials."""
    steps = [f"{hop.request.method} {without_secrets(hop.request.url)} {hop.response.status}" for hop in hops]
    return " → ".join([*steps, without_secrets(hops[-1].location)])
