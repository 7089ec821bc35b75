"""`orbit compare`: two runs of a suite, test by test."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from orbit_runner.cli.answers import moment, print_answer
from orbit_runner.cli.asking import asking
from orbit_runner.cli.exits import Exit
from orbit_runner.report.terminal import is_plain, open_console, segments, write_plain
from orbit_runner.report.wording import format_duration, plural, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orbit_context.client import Orbit
    from orbit_context.models.comparison import ComparedRun, ComparedTest, Comparison
    from orbit_runner.report.statuses import Tone
    from orbit_runner.report.terminal import Line

__all__ = ["compare_runs", "comparison_lines"]

_LOOKS: dict[str, tuple[str, Tone]] = {
    "new_failure": ("new failure", "bad"),
    "still_failing": ("still failing", "bad"),
    "missing": ("missing", "warning"),
    "changed": ("changed", "warning"),
    "slower": ("slower", "warning"),
    "fixed": ("fixed", "good"),
    "faster": ("faster", "good"),
    "added": ("added", "accent"),
    "left_out": ("left out", "quiet"),
    "same": ("same", "quiet"),
}
_GATES: dict[str, tuple[str, ...]] = {
    "new-failures": ("new_failure",),
    "failures": ("new_failure", "still_failing"),
    "missing": ("missing",),
    "slower": ("slower",),
    "changed": ("changed",),
}
"""What --fail-on names, as changes."""


def compare_runs(
    run_id: str,
    base: str | None,
    *,
    failings: Sequence[str],
    ratio: float | None,
    floor: float | None,
    as_json: bool,
) -> Exit:
    """0 whatever has become of the tests, unless it is what the gate is to fail on: 6."""

    async def ask(orbit: Orbit) -> Exit:
        comparison = await orbit.runs.compare(run_id, base, ratio=ratio, floor=floor)
        if as_json:
            print_answer(comparison)
        else:
            _print(comparison_lines(comparison))
        gate = sorted({change for failing in failings for change in _GATES[failing]})
        found = [f"{getattr(comparison.totals, change):,} {_LOOKS[change][0]}" for change in gate
                 if getattr(comparison.totals, change)]  # fmt: skip
        if found:
            sys.stderr.write(f"gate failed: {', '.join(found)}\n")
        return Exit.GATE if found else Exit.PASSED

    return asking(ask)


def comparison_lines(comparison: Comparison) -> list[Line]:
    """A table for people: what differs, the worst first, and how many of each there are."""
    lines: list[Line] = [
        [("run   ", "quiet"), *_side(comparison.run)],
        [("base  ", "quiet"), *_side(comparison.base)],
        [],
    ]
    width = max((len(visible(test.key)) for test in comparison.tests), default=0)
    for test in comparison.tests:
        word, tone = _LOOKS[test.change]
        line: Line = [
            (f"{word:<13}  ", tone),
            (visible(test.key).ljust(width), ""),
            (f"  {_difference(test)}", "quiet"),
        ]
        if test.reason and test.status not in ("passed", "passed_on_retry"):
            line.append((f"  {visible(test.reason)}", ""))
        lines.append(line)
    if comparison.tests:
        lines.append([])
    totals = [(word, tone, getattr(comparison.totals, change)) for change, (word, tone) in _LOOKS.items()]
    counted = [(f"{count:,} {word}", tone) for word, tone, count in totals if count]
    lines.append([piece for place, one in enumerate(counted) for piece in ([(", ", "quiet")] if place else []) + [one]])  # type: ignore[misc]
    return lines


def _side(run: ComparedRun) -> Line:
    tone: Tone = "good" if run.status == "passed" else "bad"
    parts = [
        visible(run.suite),
        f"version {run.version}",
        *([visible(run.environment)] if run.environment else []),
        moment(run.created_at),
        plural(run.counts.total, "test"),
        *([format_duration(run.duration)] if run.duration is not None else []),
    ]
    return [(str(run.id)[:8], "strong"), (f"  {run.status}", tone), (f"  {', '.join(parts)}", "quiet")]


def _difference(test: ComparedTest) -> str:
    if test.change in ("slower", "faster") and test.base_duration is not None and test.duration is not None:
        return f"{format_duration(test.base_duration)} → {format_duration(test.duration)}"
    return f"{test.base_status or '—'} → {test.status or '—'}"


def _print(lines: list[Line]) -> None:
    if is_plain(sys.stdout):
        write_plain(sys.stdout, lines)
        return
    from rich.segment import Segments

    open_console(sys.stdout).print(Segments(segments(lines)), end="")
