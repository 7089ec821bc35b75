"""The transport port: what an executor asks of HTTP, and what it gets back.

A :class:`Transport` sends exactly one request and follows nothing; redirects, cookies and the deadline across hops are
:class:`orbit_runner.transport.session.Session`'s. All times are seconds, all sizes bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from orbit_context.errors import OrbitError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HttpVersion = Literal["auto", "1.1", "2"]
Phase = Literal["prepare", "queue", "dns", "connect", "tls", "request", "first_byte", "transfer"]
Category = Literal[
    "invalid_request",  # method, header or body that must not be sent (a line break in a header, an unreadable file)
    "invalid_url",  # not http or https, no host, a character no URL may hold
    "unsupported",  # this transport cannot do what the request asks for
    "dns",
    "connect",
    "tls",
    "proxy",
    "timeout",
    "reset",  # the server closed or reset the connection before it answered
    "incomplete",  # the answer began and broke off
    "protocol",  # what came is not HTTP, or breaks a limit on headers
    "body_too_large",
    "address_refused",  # the address filter did not let the connection through
    "too_many_redirects",
    "invalid_redirect",
    "closed",  # the transport was closed meanwhile
]

MIB = 1024 * 1024


@dataclass(slots=True, frozen=True)
class TlsOptions:
    """How a server's certificate is checked, and which one is shown to it.

    Files are PEM. `verify=False` checks neither chain nor name. Without `ca_file` the system's bundle is used.
    """

    verify: bool = True
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    key_password: str | None = field(default=None, repr=False)


@dataclass(slots=True, frozen=True)
class FieldPart:
    """A plain field of a multipart body."""

    name: str
    value: str | bytes
    content_type: str | None = None


@dataclass(slots=True, frozen=True)
class FilePart:
    """A file of a multipart body: its bytes, or a path that is streamed from disk.

    `filename` defaults to the path's last part; `content_type` to what the file name's ending suggests, else
    `application/octet-stream`.
    """

    name: str
    content: bytes | Path
    filename: str | None = None
    content_type: str | None = None


@dataclass(slots=True, frozen=True)
class Multipart:
    """A `multipart/form-data` body, parts in this order; the transport writes the Content-Type with its boundary."""

    parts: Sequence[FieldPart | FilePart]


@dataclass(slots=True, repr=False)
class HttpRequest:
    """One request, as it is to be sent.

    `url` is sent as written: dot segments, percent escapes and empty query parts stay; only blanks and characters
    outside ASCII are percent-encoded. `headers` keep order, case and repeats; a value of None leaves out a header that
    the transport would otherwise add (User-Agent, Accept, Host, Content-Type of a multipart body). `timeout` is the
    deadline of the whole exchange in seconds, whatever the server does. `max_body_bytes` caps the decompressed body.
    `proxy` is a URL (http, https, socks5, socks5h), "env" for the usual environment variables, or None for none at all.
    `http_version` "2" insists on HTTP/2 (also without TLS); "auto" lets TLS negotiate it.
    """

    method: str
    url: str
    headers: Sequence[tuple[str, str | None]] = ()
    body: bytes | Multipart | None = None
    timeout: float = 30.0
    connect_timeout: float | None = None
    max_body_bytes: int = 10 * MIB
    tls: TlsOptions = TlsOptions()
    proxy: str | None = None
    http_version: HttpVersion = "auto"
    decompress: bool = True

    def __repr__(self) -> str:
        """Method and place; everything else may hold a secret."""
        return f"<HttpRequest {self.method} {without_secrets(self.url)}>"


@dataclass(slots=True)
class Timings:
    """How long each phase took, in seconds; None is what the transport cannot tell, 0.0 is what did not take place.

    They follow one another: waiting for a free connection, resolving the name, connecting, TLS (a proxy's tunnel
    included), sending the request and waiting for the first byte of the answer, reading the rest. `total` is their sum.
    """

    queue: float | None
    dns: float | None
    connect: float | None
    tls: float | None
    first_byte: float | None
    transfer: float | None
    total: float
    reused: bool | None
    """Whether a connection that was open already carried the request."""


@dataclass(slots=True, repr=False)
class HttpResponse:
    """One answer.

    `headers` keep order, case and repeats; a value that is not UTF-8 is read as Latin-1. `body` is decompressed unless
    the request said otherwise. `wire_bytes` are the body's bytes as they came, before decompression. `url` is the
    request's. `http_version` is "1.0", "1.1", "2" or "3". What a transport cannot tell is None.
    """

    status: int
    reason: str
    http_version: str
    headers: list[tuple[str, str]]
    body: bytes
    url: str
    timings: Timings
    wire_bytes: int
    remote_ip: str | None = None
    remote_port: int | None = None
    trailers: list[tuple[str, str]] = field(default_factory=list)

    def __repr__(self) -> str:
        """Status, size and place; everything else may hold a secret."""
        return f"<HttpResponse {self.status} {len(self.body)} bytes from {without_secrets(self.url)}>"

    def header(self, name: str) -> str | None:
        """The first value of the header `name`, whatever its case; None where there is none."""
        wanted = name.lower()
        for key, value in self.headers:
            if key.lower() == wanted:
                return value
        return None

    def header_values(self, name: str) -> list[str]:
        """All values of the header `name`, in order."""
        wanted = name.lower()
        return [value for key, value in self.headers if key.lower() == wanted]


class TransportError(OrbitError):
    """A request got no complete answer.

    `message` names the host, the port and the cause, and never holds a query, credentials or a header's value.
    `category` is stable and meant for machines; `phase` says how far the request came; `elapsed` is in seconds.
    `url` is the request's, without query and credentials.
    """

    def __init__(
        self,
        category: Category,
        message: str,
        *,
        phase: Phase = "prepare",
        elapsed: float = 0.0,
        url: str | None = None,
        detail: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.category: Category = category
        self.phase: Phase = phase
        self.elapsed = elapsed
        self.url = url


class Transport(Protocol):
    """Sends requests side by side on the running event loop."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """The answer to `request`, whatever its status; redirects are not followed.

        Cancelling the awaiting task drops the exchange and its connection at once.

        :raises TransportError: no complete answer came within `request.timeout`
        """
        ...

    async def close(self) -> None:
        """Closes all connections; requests still under way end with category "closed"."""
        ...


def without_secrets(url: str) -> str:
    """Scheme, host and path of `url`, without credentials, query and fragment."""
    before_query = url.partition("#")[0].partition("?")[0]
    scheme, separator, rest = before_query.partition("://")
    if not separator:
        scheme, rest = "", before_query
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"
