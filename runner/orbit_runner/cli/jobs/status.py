"""`orbit status`: where a run or a batch stands, why it waits, and who changed it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orbit_context.errors import NotFoundError
from orbit_runner.cli.answers import print_answer, say
from orbit_runner.cli.asking import asking
from orbit_runner.cli.jobs.listing import run_table
from orbit_runner.cli.jobs.screen import TONES, print_lines
from orbit_runner.report.wording import format_duration, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orbit_context.client import Orbit
    from orbit_context.models.runs import Run
    from orbit_context.models.status import Transition, Waiting
    from orbit_runner.cli.exits import Exit
    from orbit_runner.report.terminal import Line

__all__ = ["status"]

_LIVE = ("queued", "running", "cancelling")


def status(run_id: str, *, organization: str | None, as_json: bool) -> Exit:
    async def ask(orbit: Orbit) -> Exit:
        if not run_id:
            runs = await orbit.runs.latest(status=_LIVE, organization=organization, limit=200)
            if as_json:
                return print_answer({"runs": runs})
            return (
                print_lines(run_table(runs)) if runs else say("nothing waits or runs; see what there was: orbit list")
            )
        try:
            run = await orbit.runs.get(run_id)
        except NotFoundError:
            runs = await _batch(orbit, run_id)
            if not runs:
                raise
            return print_answer({"batch_id": run_id, "runs": runs}) if as_json else print_lines(run_table(runs))
        waiting = await orbit.queue.explain(run.id)
        changes = await orbit.queue.transitions(run.id)
        left = _left(run)
        if as_json:
            return print_answer({"run": run, "left": left, "waiting": waiting, "transitions": changes})
        return print_lines([*_head(run, left), *_why(waiting), *_history(changes)])

    return asking(ask)


async def _batch(orbit: Orbit, batch_id: str) -> list[Run]:
    from uuid import UUID

    try:
        UUID(batch_id)
    except ValueError:
        return []
    return await orbit.runs.latest(batch_id=batch_id, limit=200)


def _left(run: Run) -> float | None:
    """Seconds to go, by what the suite's last runs took; None: not known, or finished."""
    if run.is_final or run.expected_duration is None:
        return None
    gone = (datetime.now(UTC) - run.started_at).total_seconds() if run.started_at else 0.0
    return round(max(run.expected_duration - gone, 0.0), 1)


def _head(run: Run, left: float | None) -> list[Line]:
    where = f"project {run.project}" + (f", environment {run.environment}" if run.environment else "")
    counts = run.counts
    done = counts.total - counts.waiting - counts.running
    parts: Line = [(f"{done:,} of {counts.total:,} tests are final", "")]
    for number, word, tone in (
        (counts.passed + counts.passed_on_retry, "passed", "good"),
        (counts.failed + counts.errored + counts.timed_out, "failed", "bad"),
        (counts.skipped + counts.cancelled, "skipped or cancelled", "quiet"),
        (counts.running, "running", "accent"),
        (counts.waiting, "waiting", "warning"),
    ):
        if number:
            parts.append((f", {number:,} {word}", tone))  # type: ignore[arg-type]
    time = f"took {format_duration(run.duration)}" if run.duration is not None else ""
    if left:
        time = f"about {format_duration(left)} left"
    reason = f" ({visible(run.reason)})" if run.reason else ""
    head: Line = [
        (f"{run.id}  ", "strong"),
        (run.status.replace("_", " "), TONES.get(run.status, "")),
        (f"{reason}  {visible(run.suite)}  ", ""),
        (f"({visible(where)})", "quiet"),
    ]
    return [head, [("  ", ""), *parts, (f"; {time}" if time else "", "quiet")]]


def _why(waiting: Waiting) -> list[Line]:
    return [
        [(f"  {reason.tests:,} wait{'s' if reason.tests == 1 else ''}: ", "warning"), (visible(reason.sentence), "")]
        for reason in waiting.reasons
    ]


def _history(changes: Sequence[Transition]) -> list[Line]:
    lines: list[Line] = []
    for change in changes:
        when = change.at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        who = " ".join(part for part in (change.by if change.by != "caller" else "", change.actor or "") if part)
        line: Line = [
            (f"  {when}  ", "quiet"),
            (change.to_state.replace("_", " ").ljust(11), TONES.get(change.to_state, "")),
            (f"by {visible(who)}", ""),
        ]
        if change.reason:
            line.append((f"  ({visible(change.reason)})", "quiet"))
        lines.append(line)
    return lines
