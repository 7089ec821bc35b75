"""What both transports do alike to the parts of a message: check, name, read."""

from __future__ import annotations

import re

from orbit_runner.transport.port import FilePart, HttpRequest, Multipart, TransportError

USER_AGENT = "orbit/0.1.0"  # a test compares it with the package; importing that would bring the gateway along

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
_PROXY = re.compile(
    r"(https?|socks[45]|socks4a|socks5h)://([^\s/@]*@)?(\[[0-9a-fA-F:.]+\]|[^\s/@:]+)(:[0-9]{1,5})?/?"
).fullmatch
_FORBIDDEN_IN_VALUE = re.compile(r"[\x00\r\n\ud800-\udfff]").search


def check_request(request: HttpRequest) -> None:
    """Refuses what would change the structure of the message or cannot be sent.

    :raises TransportError: category `invalid_request`; a header's value is never shown
    """
    if not _TOKEN(request.method):
        raise TransportError("invalid_request", f"Not an HTTP method: {request.method!r}.")
    if request.proxy is not None and request.proxy != "env":
        check_proxy(request.proxy)
    for name, value in request.headers:
        if not _TOKEN(name):
            raise TransportError("invalid_request", f"Not a header name: {name!r}.")
        if value is not None and _FORBIDDEN_IN_VALUE(value):
            raise TransportError(
                "invalid_request",
                f"The value of the header {name} holds a line break, NUL or half a character.",
                hint="If it comes from a variable, trim or encode it first.",
            )
    if isinstance(request.body, Multipart):
        for part in request.body.parts:
            texts = (part.name, part.content_type or "", part.filename or "" if isinstance(part, FilePart) else "")
            if any(_FORBIDDEN_IN_VALUE(text) for text in texts):
                raise TransportError(
                    "invalid_request",
                    f"Name, file name or type of the part {part.name!r} holds a line break, NUL or half a character.",
                )


def check_proxy(proxy: str) -> None:
    """Refuses a proxy URL that no transport can use, without showing it: it may hold a password.

    :raises TransportError: category `proxy`
    """
    if _PROXY(proxy) is None:
        raise TransportError(
            "proxy",
            "The proxy's URL cannot be used.",
            hint="Write it as http://[user:password@]host:port; https, socks5 and socks5h are possible too.",
        )


def needs_length(method: str) -> bool:
    """Whether a request of this method says `Content-Length: 0` when it has no body (RFC 9110, section 8.6)."""
    return method in {"POST", "PUT", "PATCH"}


def decode_header(raw: bytes) -> str:
    """Header text: UTF-8 where it is, else Latin-1, which every byte sequence is."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def file_name(part: FilePart) -> str:
    """The file name to send with `part`."""
    if part.filename is not None:
        return part.filename
    return part.name if isinstance(part.content, bytes) else part.content.name


def file_type(part: FilePart) -> str:
    """The content type to send with `part`."""
    if part.content_type is not None:
        return part.content_type
    import mimetypes

    return mimetypes.guess_type(file_name(part))[0] or "application/octet-stream"
