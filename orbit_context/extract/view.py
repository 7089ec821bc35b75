"""A response as extractors and assertions look at it: everything is parsed at most once, and only when asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orbit_context.errors import OrbitError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import orjson

__all__ = ["BodyError", "ResponseCookie", "ResponseView", "excerpt", "parse_json"]

_MISSING: Any = object()
# Every digit becomes a 9, anything else a blank: nineteen of them in a row are an integer that may not fit 64 bits.
_NINES = bytes(0x39 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
_LONG_INTEGER = b"9" * 19
# Python's own ways of writing text; some of them cannot replace what is invalid.
_NO_CHARSETS = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})
_BOM = b"\xef\xbb\xbf"
_EXCERPT = 40
"""Characters on either side of a place that is shown."""


class BodyError(OrbitError):
    """The body is not what it is asked to be; `position` counts bytes from 0, where it is known."""

    def __init__(
        self, message: str, *, position: int | None = None, detail: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.position = position


@dataclass(slots=True, frozen=True)
class ResponseCookie:
    """A cookie that the response sets. `attributes` have lower-case names; a flag such as `httponly` is True."""

    name: str
    value: str
    attributes: Mapping[str, str | bool] = field(default_factory=dict)


class ResponseView:
    """One response: the last one, if redirects were followed.

    Args:
        headers: in the order and case they came in, repeats included.
        body: after decompression.
        url: the one that answered.
        elapsed: seconds of the whole exchange, redirects included.
        redirects: how many were followed.
        cookies: those set on the way; read from the Set-Cookie headers unless given.
    """

    __slots__ = (
        "_by_name", "_cookies", "_json", "_text", "body", "elapsed", "headers", "http_version", "reason",
        "redirects", "status", "url",
    )  # fmt: skip

    def __init__(
        self,
        status: int,
        *,
        reason: str = "",
        http_version: str = "",
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        url: str = "",
        elapsed: float = 0.0,
        redirects: int = 0,
        cookies: Sequence[ResponseCookie] | None = None,
    ) -> None:
        self.status = status
        self.reason = reason
        self.http_version = http_version
        self.headers = headers
        self.body = body
        self.url = url
        self.elapsed = elapsed
        self.redirects = redirects
        self._cookies = cookies
        self._by_name: dict[str, list[str]] | None = None
        self._text: str | None = None
        self._json: Any = _MISSING

    def header_values(self, name: str) -> list[str]:
        """All values of a header in order, whatever the case of its name; an empty list where there is none."""
        by_name = self._by_name
        if by_name is None:
            by_name = self._by_name = {}
            for key, value in self.headers:
                by_name.setdefault(key.lower(), []).append(value)
        return by_name.get(name.lower(), [])

    def header(self, name: str) -> str | None:
        """The first value of a header; None where there is none."""
        values = self.header_values(name)
        return values[0] if values else None

    @property
    def header_names(self) -> list[str]:
        """The names as they came, each once."""
        names: dict[str, str] = {}
        for key, _ in self.headers:
            names.setdefault(key.lower(), key)
        return list(names.values())

    @property
    def cookies(self) -> Sequence[ResponseCookie]:
        """The cookies that the response sets, in order; a later one of the same name counts."""
        if self._cookies is None:
            self._cookies = [
                cookie for value in self.header_values("set-cookie") if (cookie := _parse_cookie(value)) is not None
            ]
        return self._cookies

    def cookie(self, name: str) -> ResponseCookie | None:
        """The last cookie of that name (names of cookies are case-sensitive); None where there is none."""
        found = None
        for cookie in self.cookies:
            if cookie.name == name:
                found = cookie
        return found

    @property
    def media_type(self) -> str:
        """`application/json`: the Content-Type without its parameters, in lower case; empty where there is none."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()

    @property
    def charset(self) -> str | None:
        """The charset that the Content-Type names, if Python knows it."""
        content_type = self.header("content-type")
        if content_type is None or "charset" not in content_type.lower():
            return None
        import codecs

        for parameter in content_type.split(";")[1:]:
            key, _, value = parameter.partition("=")
            if key.strip().lower() == "charset":
                try:
                    codec = codecs.lookup(value.strip().strip("\"'"))
                except (LookupError, ValueError):
                    return None
                # Transforms such as `hex` or `zip` are codecs too, but no charsets.
                is_charset = (
                    getattr(codec, "_is_text_encoding", True) and codec.name.replace("_", "-") not in _NO_CHARSETS
                )
                return codec.name if is_charset else None
        return None

    @property
    def is_html(self) -> bool:
        """Whether markup in the body is HTML: by its Content-Type, or by how it begins where there is none."""
        media_type = self.media_type
        if media_type in ("", "text/plain", "application/octet-stream"):
            start = self.body[:256].lstrip().lower()
            return start.startswith((b"<!doctype html", b"<html"))
        return media_type == "text/html"

    @property
    def text(self) -> str:
        """The body as text: in the charset of its Content-Type, else UTF-8; what is invalid becomes U+FFFD."""
        if self._text is None:
            self._text = self.body.decode(self.charset or "utf-8", errors="replace")
        return self._text

    @property
    def json(self) -> Any:
        """The body as JSON, which is UTF-8 whatever the Content-Type says; integers of any size keep their digits.

        Raises:
            BodyError: it is empty, not UTF-8 or not JSON; says where and what stands there.
        """
        found = self._json
        if found is _MISSING:
            try:
                found = parse_json(self.body)
            except BodyError as error:
                if self.media_type and "json" not in self.media_type:
                    error.hint = f"The response says it is {self.media_type}."
                found = error
            self._json = found
        if isinstance(found, BodyError):
            raise found.with_traceback(None)
        return found


def parse_json(body: bytes) -> Any:
    """JSON from bytes; a byte order mark is passed over, and integers of any size keep their digits.

    Raises:
        BodyError: not JSON; says where and what stands there.
    """
    import orjson

    if body.startswith(_BOM):
        body = body[3:]
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if "infinity" not in error.msg:
            raise _not_json(body, error.msg, error.pos) from None
        return _parse_long_numbers(body, error)
    # orjson reads integers beyond 64 bits as floats. Looking for one costs less than a tenth of parsing.
    return _parse_long_numbers(body) if _LONG_INTEGER in body.translate(_NINES) else value


def _parse_long_numbers(body: bytes, refusal: orjson.JSONDecodeError | None = None) -> Any:
    """JSON with integers of any size; `refusal` is what orjson said of a number too large for a float."""
    import json

    def finite(text: str) -> float:
        number = float(text)
        if refusal is not None and number in (float("inf"), float("-inf")):
            raise _not_json(body, refusal.msg, refusal.pos)
        return number

    try:
        return json.loads(body, parse_float=finite)
    except json.JSONDecodeError as error:
        raise _not_json(body, error.msg, error.pos) from None
    except RecursionError:
        raise BodyError("the body is JSON nested too deeply") from None
    except ValueError:
        raise BodyError("the body is JSON with a number of more than 4,300 digits") from None


def _not_json(body: bytes, message: str, position: int) -> BodyError:
    if not body.strip():
        return BodyError("the body is empty, not JSON", position=0)
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        shown = _around(body, error.start)
        return BodyError(f"the body is not UTF-8 at byte {error.start}, so not JSON: {shown}", position=error.start)
    # The parser counts characters; people and tools look for bytes.
    place = len(text[:position].encode())
    shown = _around(text, position)
    return BodyError(f"the body is not JSON: {message} at byte {place}, near {shown}", position=place)


def _around(content: str | bytes, position: int) -> str:
    """What stands around a place, with a mark on each side where it goes on."""
    begin, end = max(0, position - _EXCERPT), position + _EXCERPT
    part = content[begin:end]
    shown = repr(part.decode(errors="replace") if isinstance(part, bytes) else part)
    return f"{'…' if begin else ''}{shown}{'…' if end < len(content) else ''}"


def excerpt(text: str, limit: int) -> str:
    """At most `limit` characters of `text`, quoted, on one line."""
    shown = repr(text[:limit])
    return f"{shown}…" if len(text) > limit else shown


def _parse_cookie(header: str) -> ResponseCookie | None:
    pair, *attributes = header.split(";")
    name, equals, value = pair.partition("=")
    if not equals or not name.strip():
        return None
    value = value.strip()
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1]
    parsed: dict[str, str | bool] = {}
    for attribute in attributes:
        key, equals, content = attribute.partition("=")
        if key.strip():
            parsed[key.strip().lower()] = content.strip() if equals else True
    return ResponseCookie(name.strip(), value, parsed)
