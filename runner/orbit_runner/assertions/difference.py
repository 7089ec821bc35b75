"""JSON values compared as JSON has them: 1 equals 1.0, and true is no number."""

from __future__ import annotations

from typing import Any

from orbit_context.extract.wording import below, json_type, shorten

__all__ = ["MAX_DIFFERENCES", "bounded", "differences", "equal", "hashable", "show"]

MAX_DIFFERENCES = 5
"""Differences that are told one by one."""
_ABSENT: Any = object()
_MAX_SHOWN = 200
_MAX_KEPT = 4000


def equal(left: Any, right: Any) -> bool:
    """Whether two JSON values are the same, at any depth."""
    kind = type(left)
    if kind is str or left is None:
        return bool(left == right)
    if kind is not dict and kind is not list:
        return bool(left == right) and (kind is bool) == (type(right) is bool)
    stack = [(left, right)]
    while stack:
        a, b = stack.pop()
        kind = type(a)
        if kind is dict:
            if type(b) is not dict or len(a) != len(b):
                return False
            for key, value in a.items():
                if key not in b:
                    return False
                stack.append((value, b[key]))
        elif kind is list:
            if type(b) is not list or len(a) != len(b):
                return False
            stack += zip(a, b, strict=True)
        elif a != b or (kind is bool) != (type(b) is bool):
            return False
    return True


def hashable(value: Any) -> Any:
    """Something that hashes and compares as `equal` does: for looking up a value among many.

    Raises:
        RecursionError: nested deeper than about 900 levels.
    """
    kind = type(value)
    if kind is dict:
        return frozenset((key, hashable(item)) for key, item in value.items())
    if kind is list:
        return tuple([hashable(item) for item in value])
    return (bool, value) if kind is bool else value


def differences(expected: Any, actual: Any, path: str = "$") -> list[str]:
    """Where two values differ, in document order: `$.items[0].qty: expected 2, got 1`.

    At most one more than `MAX_DIFFERENCES`, so that a reader knows that there are more.
    """
    found: list[str] = []
    stack: list[tuple[str, Any, Any]] = [] if equal(expected, actual) else [(path, expected, actual)]
    while stack and len(found) <= MAX_DIFFERENCES:
        place, wanted, got = stack.pop()
        if wanted is _ABSENT:
            found.append(f"{place}: not expected, got {show(got, 60)}")
        elif got is _ABSENT:
            found.append(f"{place}: missing, expected {show(wanted, 60)}")
        elif isinstance(wanted, dict) and isinstance(got, dict):
            keys = [*wanted, *(key for key in got if key not in wanted)]
            members = [(below(place, key), wanted.get(key, _ABSENT), got.get(key, _ABSENT)) for key in keys]
            stack += reversed([item for item in members if not _same(item[1], item[2])])
        elif isinstance(wanted, list) and isinstance(got, list):
            if len(wanted) != len(got):
                found.append(f"{place}: expected {_items(wanted)}, got {_items(got)}")
            pairs = enumerate(zip(wanted, got, strict=False))
            stack += reversed([(below(place, index), a, b) for index, (a, b) in pairs if not equal(a, b)])
        else:
            found.append(f"{place}: expected {show(wanted, 60, got)}, got {show(got, 60, wanted)}")
    return found


def _same(wanted: Any, got: Any) -> bool:
    return wanted is not _ABSENT and got is not _ABSENT and equal(wanted, got)


def _items(value: list[Any]) -> str:
    return "1 item" if len(value) == 1 else f"{len(value)} items"


def show(value: Any, limit: int = _MAX_SHOWN, other: Any = ...) -> str:
    """`value` as JSON on one line, cut to `limit` characters; with its type if that is what sets it apart from `other`."""
    text = _json(value, limit)
    if other is not ... and json_type(value) != json_type(other) and not _speaks_for_itself(value, other):
        return f"{text} ({json_type(value)})"
    return text


def _speaks_for_itself(value: Any, other: Any) -> bool:
    """Types need no telling where both are numbers, and where the value tells its own."""
    numbers = all(json_type(item) in ("integer", "number") for item in (value, other))
    return numbers or value is None or isinstance(value, dict | list)


def _json(value: Any, limit: int) -> str:
    import json

    if isinstance(value, str):
        # Cut first: a body of megabytes is not quoted to show its beginning.
        shown = json.dumps(value[: limit + 1], ensure_ascii=False)
        return shown if len(value) <= limit else f"{shown[:limit]}…"
    text = ""
    try:
        for piece in json.JSONEncoder(ensure_ascii=False, separators=(", ", ": "), default=str).iterencode(value):
            text += piece
            if len(text) > limit:
                return f"{text[:limit]}…"
    except RecursionError:
        return f"{text[:limit]}…"
    return text


def bounded(value: Any) -> Any:
    """`value` as a failure keeps it: as it is if small, else the beginning of its text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return shorten(value, _MAX_KEPT)
    text = _json(value, _MAX_KEPT)
    return text if text.endswith("…") else value
