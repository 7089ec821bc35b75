"""URLs as they are sent: checked, but otherwise left as written."""

from __future__ import annotations

import re
from dataclasses import dataclass

from orbit_runner.transport.port import TransportError, without_secrets

_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://"
    r"(?:(?P<userinfo>[^/?#@\\]*)@)?"
    r"(?P<host>\[[0-9a-f:.]+(?:%25[0-9a-z._~-]+)?\]|[^/?#:@\[\]\\%]+)"
    r"(?::(?P<port>[0-9]{0,5}))?"
    r"(?P<rest>[/?#].*)?",
    re.IGNORECASE | re.DOTALL,
)
_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_HOST = re.compile(r"[a-z0-9._~!$&'()*+,;=-]+", re.IGNORECASE)
_TO_ENCODE = re.compile(r"[^\x21-\x7e]+")

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(slots=True, frozen=True)
class Target:
    """Where a URL leads: `url` in ASCII without its fragment, `host` in lower case (IPv6 without brackets)."""

    url: str
    scheme: str
    host: str
    port: int
    userinfo: str | None

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: what secret headers are bound to."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """`host:port`, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def path(self) -> str:
        """Path and query as they stand in a request line."""
        rest = self.url.split("://", 1)[1]
        starts = [at for at in (rest.find("/"), rest.find("?")) if at >= 0]
        path = rest[min(starts) :] if starts else "/"
        return path if path[0] == "/" else f"/{path}"


def parse_url(url: str) -> Target:
    """The target of an absolute http or https URL.

    Blanks and characters outside ASCII are percent-encoded as UTF-8, an international host name becomes its ASCII
    form; everything else stays as written.

    :raises TransportError: category `invalid_url`, naming what is wrong but not the URL's query or credentials
    """
    if _UNSENDABLE.search(url):
        raise TransportError(
            "invalid_url", "The URL holds a control character (a line break, say) or half a character."
        )
    match = _URL.fullmatch(url)
    if match is None:
        raise TransportError(
            "invalid_url",
            f"Not an absolute URL: {without_secrets(url)!r}.",
            hint="Write it as http://host[:port]/path or https://host[:port]/path.",
        )
    scheme, userinfo, host, port_text, rest = match.group("scheme", "userinfo", "host", "port", "rest")
    scheme = scheme.lower()
    default_port = _DEFAULT_PORTS.get(scheme)
    if default_port is None:
        raise TransportError(
            "invalid_url",
            f"The scheme {scheme}: is not supported ({without_secrets(url)!r}).",
            hint="Only http: and https: are.",
        )
    port = int(port_text) if port_text else default_port
    if port > 65535:
        raise TransportError("invalid_url", f"Port {port} is beyond 65535.")
    rest = (rest or "").partition("#")[0]
    if not (host[0] == "[" or _HOST.fullmatch(host)):
        host = _ascii_host(host)
    bare = host[1:-1] if host[0] == "[" else host
    if not url.isascii() or " " in rest or (userinfo and " " in userinfo):
        rest = _TO_ENCODE.sub(_percent_encode, rest)
        userinfo = _TO_ENCODE.sub(_percent_encode, userinfo) if userinfo else userinfo
    written_port = f":{port_text}" if port_text else ""
    credentials = f"{userinfo}@" if userinfo else ""
    return Target(f"{scheme}://{credentials}{host}{written_port}{rest}", scheme, bare.lower(), port, userinfo or None)


def _percent_encode(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match.group().encode())


def _ascii_host(host: str) -> str:
    import idna

    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise TransportError("invalid_url", f"Not a host name: {host!r}.", detail=str(error)) from None
