"""A failure in the parts that a reader looks for: what did not hold, what was expected, what was there instead."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orbit_runner.report.difference import Change, compare
from orbit_runner.report.wording import clip, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orbit_runner.report.statuses import Tone

__all__ = ["Explanation", "explain"]

_LONGEST = 1000
_LISTED = 8
# `expected less than 5, got 7`: an assertion says itself how its operator reads, which the bare values do not. Commas
# inside of quoted values are none of the sentence's.
_SENTENCE = re.compile(r'expected ((?:[^"]|"(?:[^"\\]|\\.)*")*?), got (.+)', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Explanation:
    """`expected` and `got` are one line each, None where there is nothing to compare.

    The types stand only beside plain values of different type. `changes` are the places where two documents or long
    texts differ, or what else there is to list; `more` counts those left out.
    """

    title: str
    expected: str | None = None
    got: str | None = None
    expected_type: str | None = None
    got_type: str | None = None
    changes: list[Change] = field(default_factory=list)
    more: int = 0
    hint: str | None = None

    def sides(self) -> Iterator[tuple[str, str, str | None, Tone]]:
        """Label, text, type and tone of what was expected and what was there."""
        if self.expected is not None and self.got is not None:
            yield "expected", self.expected, self.expected_type, "good"
            yield "got", self.got, self.got_type, "bad"


def explain(failure: dict[str, Any], *, limit: int = 200) -> Explanation:
    """Takes a failure apart; values are cut to `limit` characters.

    :param failure: see :class:`orbit_context.models.outcome.Failure`
    """
    where = str(failure.get("where") or "")
    message = clip(str(failure.get("message") or ""), _LONGEST)
    said = message[len(where) + 2 :] if where and message.startswith(f"{where}: ") else message
    title = visible(
        message if not where or where.lower() in message.lower() else f"{where}: {message}" if message else where
    )
    hint = visible(clip(str(failure["hint"]), _LONGEST)) if failure.get("hint") else None
    expected, actual = failure.get("expected"), failure.get("actual")

    if failure.get("category") == "schema" and isinstance(actual, list):
        listed = [Change(visible(str(violation)), None, None) for violation in actual[:_LISTED]]
        return Explanation(
            title, changes=listed if len(actual) > 1 else [], more=max(len(actual) - _LISTED, 0), hint=hint
        )

    sides = _SENTENCE.fullmatch(said)
    difference = compare(expected, actual, limit=limit)
    if sides is None and (expected is None or actual is None):  # an absence, told by the message: null was not there
        return Explanation(title, hint=hint)
    if difference.changes or sides is None:
        if difference.changes and (sides is not None or said.startswith("differs")):
            title = visible(where)
        return Explanation(
            title, difference.expected, difference.actual, difference.expected_type, difference.actual_type,
            difference.changes, difference.more_changes, hint,
        )  # fmt: skip
    wanted, got = (visible(clip(side, limit)) for side in sides.groups())
    # The sentence may name the types already: 1 (integer).
    types = (None, None) if "(" in wanted + got else (difference.expected_type, difference.actual_type)
    if expected is None and actual is None:
        types = (None, None)
    return Explanation(visible(where) or title, wanted, got, *types, hint=hint)
