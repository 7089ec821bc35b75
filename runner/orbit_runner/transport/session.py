"""What lies between a test and the transport: redirects, cookies, and one deadline across all hops."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from orbit_runner.transport.cookies import CookieJar
    from orbit_runner.transport.port import HttpRequest, HttpResponse, Transport


@dataclass(slots=True)
class Hop:
    """A redirect that was followed: the request as sent, the answer that redirected, and what changed after it."""

    request: HttpRequest
    response: HttpResponse
    location: str
    dropped_headers: tuple[str, ...] = ()
    """Secret headers that were left behind because the origin changed."""
    downgraded: bool = False
    """From https to http."""


@dataclass(slots=True)
class Exchange:
    """A request with everything that followed from it; `request` is the last one sent, `elapsed` covers all hops."""

    request: HttpRequest
    response: HttpResponse
    hops: list[Hop] = field(default_factory=list)
    elapsed: float = 0.0


class Session:
    """Sends requests over a transport, with redirects and a cookie jar of its own.

    One session is one isolation scope: whoever shares a session shares its cookies. It owns no connection and need
    not be closed.
    """

    def __init__(self, transport: Transport, *, cookies: CookieJar | None = None) -> None:
        self.transport = transport

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

        `cookies` go with the request to its own origin, besides those of the jar. `secret_headers` are names that,
        like Authorization, Cookie, Proxy-Authorization and X-Api-Key, never cross an origin. `use_jar=False` neither
        sends nor stores cookies of the jar. `request.timeout` bounds all hops together.

        :raises TransportError: category `too_many_redirects` with the hops in `detail`, or what the transport raises
        """
        raise NotImplementedError
