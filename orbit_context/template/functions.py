"""The generated values: `{{ uuid() }}`, `{{ now("date", "+1d") }}`, … made from the scope's clock and random source."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from orbit_context.template.conversion import describe
from orbit_context.template.failure import ExpressionFailure

if TYPE_CHECKING:
    from datetime import tzinfo

    from orbit_context.template.scope import Scope

__all__ = ["FUNCTIONS", "Function"]

Function = Callable[..., Any]

_MAX_RANDOM_STRING = 100_000
_ALPHABETS = {
    "alphanumeric": "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    "letters": "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "lower": "abcdefghijklmnopqrstuvwxyz",
    "upper": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "digits": "0123456789",
    "hex": "0123456789abcdef",
}
# Only directives without flags or widths: a width is handed on to the C library, which would fill memory.
_STRFTIME = re.compile(r"(?:[^%\x00\ud800-\udfff]|%[aAbBcdfGHIjmMpSuUVwWxXyYzZ%])*")
_OFFSET_PART = re.compile(r"([0-9]{1,9})(w|d|h|m|s)")
_SECONDS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_FIXED_ZONE = re.compile(r"([+-])([01][0-9]|2[0-3]):?([0-5][0-9])")


def _uuid(scope: Scope) -> str:
    """A version 4 UUID. Spelt by hand: three times faster than by the class, and from the scope's random source."""
    digits = f"{scope.random.getrandbits(128):032x}"
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def _now(scope: Scope, format: Any = "iso", offset: Any = "", tz: Any = "UTC") -> str | int:  # noqa: A002
    """The time, moved by `offset` (`+1d`, `-2h30m`; units w d h m s), in the zone `tz` (`Europe/Berlin`, `+02:00`).

    `format`: `iso` (RFC 3339, milliseconds), `unix` and `unix_ms` (whole numbers), `date` (2026-01-31), or strftime.
    """
    if not (isinstance(format, str) and isinstance(offset, str) and isinstance(tz, str)):
        raise ExpressionFailure("now wants text: a format, an offset such as +1d and a time zone")
    moment = scope.clock() + _seconds(offset)
    if format == "unix":
        return int(moment)
    if format == "unix_ms":
        return int(moment * 1000)
    if "%" not in format and format not in ("iso", "date"):
        raise ExpressionFailure(
            f"now knows no format {format[:40]!r}",
            hint="Use iso, unix, unix_ms, date, or strftime such as %Y-%m-%d %H:%M.",
        )
    if not _STRFTIME.fullmatch(format):
        raise ExpressionFailure("the format holds a directive that strftime does not have everywhere")
    from datetime import datetime

    try:
        local = datetime.fromtimestamp(moment, _zone(tz))
        if format == "date":
            return local.date().isoformat()
        if format == "iso":
            return local.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return local.strftime(format)
    except (OverflowError, ValueError, OSError):
        raise ExpressionFailure("the moment lies outside the years 1 to 9999") from None


def _seconds(offset: str) -> float:
    text = offset.strip()
    if not text:
        return 0
    sign = -1 if text[0] == "-" else 1
    rest = text.lstrip("+-") if text[0] in "+-" and text[1:2] not in ("+", "-") else text
    total = position = 0
    while part := _OFFSET_PART.match(rest, position):
        total += int(part[1]) * _SECONDS[part[2]]
        position = part.end()
    if position != len(rest) or not rest:
        raise ExpressionFailure("the offset does not parse", hint="Write +1d, -2h30m, +90s: units w, d, h, m, s.")
    return sign * total


def _zone(name: str) -> tzinfo:
    from datetime import UTC, timedelta, timezone

    if name in ("UTC", "Z"):
        return UTC
    if fixed := _FIXED_ZONE.fullmatch(name):
        sign = -1 if fixed[1] == "-" else 1
        return timezone(sign * timedelta(hours=int(fixed[2]), minutes=int(fixed[3])))
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ExpressionFailure(
            "there is no such time zone here",
            hint="Use a name such as Europe/Berlin, an offset such as +02:00, or UTC.",
        ) from None


def _random_int(scope: Scope, a: Any, b: Any) -> int:
    """A whole number from `a` to `b`, both included."""
    low, high = _whole(a), _whole(b)
    if low > high:
        raise ExpressionFailure("random_int wants the smaller number first")
    return scope.random.randint(low, high)


def _random_string(scope: Scope, n: Any = 16, alphabet: Any = "alphanumeric") -> str:
    """`n` characters of `alphabet`: alphanumeric, letters, lower, upper, digits, hex, or the characters themselves."""
    count = _whole(n)
    if not 0 <= count <= _MAX_RANDOM_STRING:
        raise ExpressionFailure(f"random_string makes 0 to {_MAX_RANDOM_STRING:,} characters")
    if not isinstance(alphabet, str) or not alphabet:
        raise ExpressionFailure("the alphabet wants to be text with at least one character")
    return "".join(scope.random.choices(_ALPHABETS.get(alphabet, alphabet), k=count))


def _random_choice(scope: Scope, *choices: Any) -> Any:
    """One of the arguments; one item of the list if a list is the only argument."""
    items = choices[0] if len(choices) == 1 and isinstance(choices[0], (list, tuple)) else choices
    if not items:
        raise ExpressionFailure("random_choice has nothing to choose from")
    return scope.random.choice(items)


def _random_email(scope: Scope, domain: Any = "example.com") -> str:
    """An address in a domain that no mail ever leaves (RFC 2606), unless `domain` says another."""
    if not isinstance(domain, str):
        raise ExpressionFailure("the domain wants to be text")
    return f"user-{scope.random.getrandbits(48):012x}@{domain}"


def _sequence(scope: Scope, name: Any = "") -> int:
    """1, 2, 3, … within one attempt of a test; every `name` counts for itself. For what is unique in a run: uuid()."""
    if not isinstance(name, str):
        raise ExpressionFailure("the name of a sequence wants to be text")
    scope.sequences[name] = number = scope.sequences.get(name, 0) + 1
    return number


def _whole(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise ExpressionFailure(f"a whole number is wanted, not {describe(value)}")


FUNCTIONS: Mapping[str, tuple[Function, tuple[str, ...], int]] = {
    "now": (_now, ("format", "offset", "tz"), 0),
    "random_choice": (_random_choice, (), 1),
    "random_email": (_random_email, ("domain",), 0),
    "random_int": (_random_int, ("a", "b"), 2),
    "random_string": (_random_string, ("n", "alphabet"), 0),
    "sequence": (_sequence, ("name",), 0),
    "uuid": (_uuid, (), 0),
}
"""Name → the function, the names of its arguments (none of `random_choice`: any number), and how many it must have."""
