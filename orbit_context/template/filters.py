"""The filters: `{{ value | filter }}`. Each takes a JSON value and gives one; none ever sees a Python attribute."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from orbit_context.template.conversion import MAX_OUTPUT, describe, to_json, to_text
from orbit_context.template.failure import ExpressionFailure, NoValue

__all__ = ["FILTERS", "Filter"]

Filter = Callable[..., Any]

_INTEGER = re.compile(r"[+-]?[0-9]{1,400}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,400}(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def _cannot(value: Any, wanted: str) -> ExpressionFailure:
    return ExpressionFailure(f"{describe(value)} cannot be made {wanted}")


def _int(value: Any) -> int:
    """A whole number; of a number with a fraction, the part before the point."""
    if isinstance(value, str) and _INTEGER.fullmatch(text := value.strip()):
        return int(text)
    if isinstance(value, (int, float)) and value == value and value not in (float("inf"), float("-inf")):
        return int(value)
    raise _cannot(value, "a whole number")


def _float(value: Any) -> float:
    number = None
    if isinstance(value, (int, float)):
        try:
            number = float(value)
        except OverflowError:
            raise _cannot(value, "a number with a fraction") from None
    elif isinstance(value, str) and _NUMBER.fullmatch(text := value.strip()):
        number = float(text)
    if number is None or number != number or number in (float("inf"), float("-inf")):
        raise _cannot(value, "a number with a fraction")
    return number


def _bool(value: Any) -> bool:
    """true and false, 1 and 0, and the words true, false, yes, no, on, off."""
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)) and value in (0, 1):
        return value == 1
    if isinstance(value, str) and (known := _BOOLEANS.get(value.strip().lower())) is not None:
        return known
    raise _cannot(value, "true or false")


def _urlencode(value: Any) -> str:
    """Percent-encoded, everything but letters, digits and `-._~`: safe as one part of a path or query."""
    from urllib.parse import quote

    return quote(to_text(value), safe="")


def _utf8(value: Any) -> bytes:
    try:
        return to_text(value).encode()
    except UnicodeEncodeError:
        raise ExpressionFailure("the text holds half a character (a lone surrogate)") from None


def _base64(value: Any) -> str:
    import base64

    return base64.b64encode(_utf8(value)).decode()


def _base64_decode(value: Any) -> str:
    """Text from base64 of UTF-8, in either alphabet, padded or not."""
    import base64
    import binascii

    data = b"".join(_utf8(value).split()).rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
    try:
        return base64.b64decode(data + b"=" * (-len(data) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ExpressionFailure("the text is not base64 of UTF-8 text") from None


def _md5(value: Any) -> str:
    import hashlib

    return hashlib.md5(_utf8(value), usedforsecurity=False).hexdigest()


def _sha256(value: Any) -> str:
    import hashlib

    return hashlib.sha256(_utf8(value)).hexdigest()


def _length(value: Any) -> int:
    if isinstance(value, (str, list, tuple, Mapping)):
        return len(value)
    raise ExpressionFailure(f"{describe(value)} has no length")


def _first(value: Any) -> Any:
    return _item(value, 0)


def _last(value: Any) -> Any:
    return _item(value, -1)


def _item(value: Any, position: int) -> Any:
    if not isinstance(value, (list, tuple)):
        raise ExpressionFailure(f"{describe(value)} is not a list")
    if not value:
        raise NoValue("the list is empty")
    return value[position]


def _join(value: Any, separator: Any = ",") -> str:
    if not isinstance(value, (list, tuple)):
        raise ExpressionFailure(f"{describe(value)} is not a list")
    if not isinstance(separator, str):
        raise ExpressionFailure("join wants text between the items")
    pieces: list[str] = []
    size = 0
    for item in value:
        piece = to_text(item)
        size += len(piece) + len(separator)
        if size > MAX_OUTPUT:
            raise ExpressionFailure(f"the text would be larger than {MAX_OUTPUT // 1024**2} MiB")
        pieces.append(piece)
    return separator.join(pieces)


FILTERS: Mapping[str, tuple[Filter, int]] = {
    "base64": (_base64, 0),
    "base64_decode": (_base64_decode, 0),
    "bool": (_bool, 0),
    "first": (_first, 0),
    "float": (_float, 0),
    "int": (_int, 0),
    "join": (_join, 1),
    "json": (to_json, 0),
    "last": (_last, 0),
    "length": (_length, 0),
    "lower": (lambda value: to_text(value).lower(), 0),
    "md5": (_md5, 0),
    "sha256": (_sha256, 0),
    "string": (to_text, 0),
    "trim": (lambda value: to_text(value).strip(), 0),
    "upper": (lambda value: to_text(value).upper(), 0),
    "urlencode": (_urlencode, 0),
}
"""Name → the filter and how many arguments it takes at most. `default` is syntax: it must see what is missing."""
