"""What was expected against what was there: both sides as text, and for objects and long texts only where they differ."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orbit_context.extract.wording import below, json_type
from orbit_runner.report.wording import render_value, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Change", "Difference", "compare"]

_SHOWN_CHANGES = 8
_COUNTED_CHANGES = 200
_LONG = 120


@dataclass(frozen=True, slots=True)
class Change:
    """One place where two documents differ; a side that is not there is None, both for a plain remark."""

    path: str
    expected: str | None
    actual: str | None

    def describe(self) -> str:
        if self.actual is None and self.expected is None:
            return ""
        if self.actual is None:
            return f"missing, expected {self.expected}"
        if self.expected is None:
            return f"not expected: {self.actual}"
        return f"expected {self.expected}, got {self.actual}"


@dataclass(frozen=True, slots=True)
class Difference:
    """Both sides as one line of text each.

    `expected_type` and `actual_type` are there only where two plain values differ in type, which text alone does not
    show well. `changes` are the places where two objects, arrays or long texts differ; `more_changes` counts those left
    out.
    """

    expected: str
    actual: str
    expected_type: str | None = None
    actual_type: str | None = None
    changes: list[Change] = field(default_factory=list)
    more_changes: int = 0


def compare(expected: Any, actual: Any, *, limit: int = 200) -> Difference:
    """Sets `expected` beside `actual`; each side is cut to `limit` characters."""
    left, right = render_value(expected, limit), render_value(actual, limit)
    kinds = json_type(expected), json_type(actual)
    containers = ("object", "array")
    if kinds[0] in containers and kinds[0] == kinds[1]:
        found = []
        for change in _walk(expected, actual, "$"):
            found.append(change)
            if len(found) == _COUNTED_CHANGES:
                break
        # Short ones are read faster whole.
        if len(left) + len(right) <= _LONG and len(found) > 1:
            found = []
        return Difference(left, right, changes=found[:_SHOWN_CHANGES], more_changes=max(len(found) - _SHOWN_CHANGES, 0))
    if kinds == ("string", "string"):
        return Difference(left, right, changes=_text_change(expected, actual))
    plain = not set(kinds) & set(containers)
    if plain and kinds[0] != kinds[1] and set(kinds) != {"integer", "number"}:
        return Difference(left, right, *kinds)
    return Difference(left, right)


def _walk(expected: Any, actual: Any, path: str) -> Iterator[Change]:
    """Where two documents differ, depth first, without recursion: a response may be nested as deep as it likes."""
    waiting: list[tuple[Any, Any, str]] = [(expected, actual, path)]
    while waiting:
        left, right, place = waiting.pop()
        if isinstance(left, dict) and isinstance(right, dict):
            members = []
            for key in left:
                if key in right:
                    members.append((left[key], right[key], _place(place, key)))
                else:
                    yield Change(_place(place, key), render_value(left[key], 80), None)
            for key in right:
                if key not in left:
                    yield Change(_place(place, key), None, render_value(right[key], 80))
            waiting.extend(reversed(members))
        elif isinstance(left, list) and isinstance(right, list):
            shared = min(len(left), len(right))
            for index in range(shared, len(left)):
                yield Change(_place(place, index), render_value(left[index], 80), None)
            for index in range(shared, len(right)):
                yield Change(_place(place, index), None, render_value(right[index], 80))
            waiting.extend((left[index], right[index], _place(place, index)) for index in reversed(range(shared)))
        elif left != right or (json_type(left) != json_type(right) and not _are_numbers(left, right)):
            yield Change(place, render_value(left, 80), render_value(right, 80))


def _place(path: str, step: str | int) -> str:
    return visible(below(path, step))


def _are_numbers(*values: Any) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _text_change(expected: str, actual: str) -> list[Change]:
    """Where two long texts begin to differ, with a little of what is around."""
    if len(expected) <= _LONG and len(actual) <= _LONG:
        return []
    at = next((i for i, (a, b) in enumerate(zip(expected, actual, strict=False)) if a != b), None)
    if at is None:
        at = min(len(expected), len(actual))
    if at < 20:  # different from the start: nothing to point at
        return []
    begin = at - 20
    return [
        Change(
            f"from character {at + 1}", render_value(expected[begin : at + 40]), render_value(actual[begin : at + 40])
        )
    ]
