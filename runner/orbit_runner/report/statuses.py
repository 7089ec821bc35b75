"""How each status of a test looks and is called, the same in the terminal and in every report."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from orbit_context.models.runs import Result, Run

__all__ = ["FAILING", "LOOKS", "Look", "Tone", "count_by_status", "run_word", "tone_of_run"]

Tone = Literal["", "good", "warning", "bad", "quiet", "strong", "accent"]
"""What a text is to its reader; a terminal and a page have a colour for each."""

FAILING = frozenset({"failed", "errored", "timed_out"})
"""The statuses of a test that was sent, or tried, and did not pass."""


class Look(NamedTuple):
    """`ascii_symbol` is for streams that cannot carry the other."""

    symbol: str
    ascii_symbol: str
    word: str
    tone: Tone


LOOKS: Mapping[str, Look] = MappingProxyType(
    {
        "failed": Look("✗", "x", "failed", "bad"),
        "errored": Look("!", "!", "errored", "bad"),
        "timed_out": Look("!", "!", "timed out", "bad"),
        "skipped": Look("⊘", "-", "skipped", "quiet"),
        "cancelled": Look("⊘", "-", "cancelled", "quiet"),
        "passed_on_retry": Look("✓", "+", "passed on a retry", "warning"),
        "passed": Look("✓", "+", "passed", "good"),
    }
)
"""In the order in which a reader wants them: the worst first."""


def count_by_status(results: Iterable[Result]) -> dict[str, int]:
    """How many results have each status, worst first, without zeros."""
    counted = dict.fromkeys(LOOKS, 0)
    for result in results:
        counted[result.status] += 1
    return {status: number for status, number in counted.items() if number}


def run_word(run: Run) -> str:
    """The run's status as people say it: `timed out`, not `timed_out`."""
    return run.status.replace("_", " ")


def tone_of_run(run: Run) -> Tone:
    """`good` when it passed, `warning` when something passed only on a retry or the run goes on, else `bad`."""
    if run.status == "passed":
        return "warning" if run.counts.passed_on_retry else "good"
    return "warning" if run.status in ("queued", "running") else "bad"
