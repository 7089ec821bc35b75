"""A cookie jar with RFC 6265's rules, isolated per session.

The standard library's jar stores and matches. It follows Netscape's draft, so that a few headers are put right before
it sees them, and it sends a cookie without Domain only to the very host that set it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orbit_runner.transport.url import Target, parse_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from http.cookiejar import Cookie as StoredCookie
    from http.cookiejar import CookieJar as StandardJar


_FLAGS = {"secure": "Secure", "httponly": "HttpOnly"}
_SET_BY = "Set-By"  # our own attribute: the standard jar calls "localhost" "localhost.local"


@dataclass(slots=True, frozen=True)
class Cookie:
    """One cookie and its attributes.

    `expires` is a Unix time, None for a session cookie. `domain` is a host name without a leading dot; `host_only`
    cookies go to that host alone, others to its subdomains too.
    """

    name: str
    value: str = field(repr=False)
    domain: str
    path: str
    expires: float | None = None
    secure: bool = False
    http_only: bool = False
    same_site: str | None = None
    host_only: bool = True


class CookieJar:
    """The cookies of one session, in memory."""

    def __init__(self) -> None:
        self._jar: StandardJar | None = None  # made with the first cookie: most tests see none

    def __len__(self) -> int:
        return 0 if self._jar is None else len(self._jar)

    def __iter__(self) -> Iterator[Cookie]:
        """The cookies that have not expired, in the order in which they were set."""
        if self._jar is not None:
            self._jar.clear_expired_cookies()
            for stored in self._jar:
                yield _read(stored)

    def store(self, url: str | Target, set_cookie: Sequence[str]) -> None:
        """Takes the `Set-Cookie` headers of an answer from `url`; what the rules forbid is left out."""
        if not set_cookie:
            return
        target = url if isinstance(url, Target) else parse_url(url)
        headers = [straight for header in set_cookie if (straight := _straighten(header, target.host)) is not None]
        self._standard().extract_cookies(_Answer(headers), _Asking(target))  # type: ignore[arg-type]

    def header_for(self, url: str | Target) -> str | None:
        """The value of the `Cookie` header for a request to `url`; None where no cookie belongs there."""
        if not self:
            return None
        target = url if isinstance(url, Target) else parse_url(url)
        asking = _Asking(target)
        self._standard().add_cookie_header(asking)  # type: ignore[arg-type]
        return asking.cookie

    def set(self, name: str, value: str, *, url: str, path: str = "/") -> None:
        """Puts a session cookie for the host of `url` into the jar."""
        target = parse_url(url)
        self.store(target, [f"{name}={value}; Path={path}"])

    def clear(self) -> None:
        """Forgets all cookies."""
        self._jar = None

    def copy(self) -> CookieJar:
        """A jar that begins with the same cookies and goes its own way."""
        other = CookieJar()
        if self._jar is not None:
            for stored in self._jar:
                other._standard().set_cookie(stored)
        return other

    def _standard(self) -> StandardJar:
        if self._jar is None:
            from http.cookiejar import CookieJar as StandardJar
            from http.cookiejar import DefaultCookiePolicy

            self._jar = StandardJar(
                DefaultCookiePolicy(
                    rfc2965=False,
                    strict_ns_domain=DefaultCookiePolicy.DomainStrictNonDomain,
                    secure_protocols=("https",),
                )
            )
        return self._jar


class _Asking:
    """What the standard jar wants to know of a request."""

    unverifiable = False

    def __init__(self, target: Target) -> None:
        self.type = target.scheme
        self.host = f"[{target.host}]" if ":" in target.host else target.host
        self.origin_req_host = self.host
        self._url = f"{target.scheme}://{self.host}:{target.port}{target.path}"
        self.cookie: str | None = None

    def get_full_url(self) -> str:
        return self._url

    def has_header(self, _name: str) -> bool:
        return False

    def get_header(self, _name: str, default: str | None = None) -> str | None:
        return default

    def add_unredirected_header(self, _name: str, value: str) -> None:
        self.cookie = value


class _Answer:
    """What the standard jar wants to know of an answer."""

    def __init__(self, set_cookie: list[str]) -> None:
        self._set_cookie = set_cookie

    def info(self) -> _Answer:
        return self

    def get_all(self, name: str, default: Any = None) -> Any:
        return self._set_cookie if name.lower() == "set-cookie" else default


def _straighten(header: str, host: str) -> str | None:
    """A `Set-Cookie` header in which nothing is left that RFC 6265 reads otherwise than the standard jar; None: no cookie

    An address or a name without a dot has no domain but itself, which the standard jar refuses or misjudges; a Max-Age
    that is no number and a Path that does not begin with a slash are ignored (sections 5.2.2 and 5.2.4).
    """
    pair, *attributes = header.split(";")
    name, equals, _ = pair.partition("=")
    if not equals or not name.strip():
        return None
    kept = [pair]
    for attribute in attributes:
        name, _, value = attribute.partition("=")
        key, value = name.strip().lower(), value.strip()
        if key == "domain":
            keep = bool(value) and not _has_no_domain(host)
            if value and not keep and value.lstrip(".").lower() != host:
                return None
        elif key == "max-age":
            keep = re.fullmatch(r"-?[0-9]+", value) is not None
        elif key == "path":
            keep = value.startswith("/")
        elif key in {"secure", "httponly"}:
            kept.append(_FLAGS[key])
            continue
        elif key == "samesite":
            kept.append(f"SameSite={value}")
            continue
        else:
            keep = key == "expires"
        if keep:
            kept.append(attribute)
    kept.append(f"{_SET_BY}={host}")
    return ";".join(kept)


def _has_no_domain(host: str) -> bool:
    return "." not in host or ":" in host or re.fullmatch(r"[0-9.]+", host) is not None


def _read(stored: StoredCookie) -> Cookie:
    return Cookie(
        name=stored.name,
        value=stored.value or "",
        domain=stored.domain.lstrip(".") if stored.domain_specified else (stored.get_nonstandard_attr(_SET_BY) or ""),
        path=stored.path,
        expires=stored.expires,
        secure=bool(stored.secure),
        http_only=stored.has_nonstandard_attr("HttpOnly"),
        same_site=stored.get_nonstandard_attr("SameSite"),
        host_only=not stored.domain_specified,
    )
