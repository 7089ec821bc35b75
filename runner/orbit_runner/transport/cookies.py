"""A cookie jar with RFC 6265's rules, isolated per session."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Cookie:
    """One cookie and its attributes; `expires` is a Unix time, None for a session cookie."""

    name: str
    value: str
    domain: str
    path: str
    expires: float | None = None
    secure: bool = False
    http_only: bool = False
    same_site: str | None = None
    host_only: bool = True


class CookieJar:
    """Cookies of one session."""

    def __iter__(self) -> object:
        raise NotImplementedError
