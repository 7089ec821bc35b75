"""What a suite may expect of a status: `200`, `2xx`, `200-204`, or a list of these."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["StatusRule"]

_CLASS = re.compile(r"([1-5])xx", re.IGNORECASE)
_RANGE = re.compile(r"([1-9][0-9]{2})\s*-\s*([1-9][0-9]{2})")


class StatusRule:
    """The statuses that are expected.

    Raises:
        ValueError: it is none of the forms above.
    """

    __slots__ = ("_ranges", "_single", "expected", "phrase")

    def __init__(self, expected: Any) -> None:
        self.expected = expected
        items = expected if isinstance(expected, list) else [expected]
        if not items:
            raise ValueError("a list of expected statuses is not empty")
        self._ranges = [_range(item) for item in items]
        first, last = self._ranges[0]
        self._single = first if len(items) == 1 and first == last else None
        self.phrase = " or ".join(str(item) for item in items)

    def holds(self, status: int) -> bool:
        if self._single is not None:
            return status == self._single
        return any(first <= status <= last for first, last in self._ranges)


def _range(item: Any) -> tuple[int, int]:
    if isinstance(item, int) and not isinstance(item, bool) and 100 <= item <= 599:
        return item, item
    if isinstance(item, str):
        text = item.strip()
        if match := _CLASS.fullmatch(text):
            return int(match[1]) * 100, int(match[1]) * 100 + 99
        if match := _RANGE.fullmatch(text):
            return int(match[1]), int(match[2])
        if text.isdecimal() and 100 <= int(text) <= 599:
            return int(text), int(text)
    raise ValueError(f"{item!r} is no status; write 200, 2xx, 200-204 or a list of these")
