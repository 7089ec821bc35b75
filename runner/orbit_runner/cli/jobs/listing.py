"""`orbit list`: runs, the newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_runner.cli.answers import print_answer, say
from orbit_runner.cli.asking import asking
from orbit_runner.cli.jobs.screen import keep_showing, print_lines, table
from orbit_runner.cli.moments import ago
from orbit_runner.report.wording import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orbit_context.client import Orbit
    from orbit_context.models.runs import Run
    from orbit_runner.cli.exits import Exit
    from orbit_runner.report.terminal import Line

__all__ = ["list_runs", "run_table"]

COLUMNS = (
    "id",
    "created_at",
    "status",
    "passed",
    "failed",
    "left",
    "duration",
    "project",
    "suite",
    "environment",
    "batch",
)


_NONE = "no run yet, or none that is like that; start one: orbit run SUITE, or orbit submit SUITE"


def list_runs(
    *,
    as_json: bool,
    statuses: Sequence[str] = (),
    since: str | None = None,
    limit: int = 20,
    watching: bool = False,
    mine: bool = False,
    **given: Any,
) -> Exit:
    asked: dict[str, Any] = {**given, "limit": limit, "mine": mine or None, "status": tuple(statuses) or None}

    async def ask(orbit: Orbit) -> Exit:
        async def look() -> list[Run]:
            started = ago(since, option="--since") if since else None
            return await orbit.runs.latest(since=started, **asked)

        if as_json:
            return print_answer(await look())
        if watching:

            async def lines() -> list[Line]:
                return run_table(await look())

            return await keep_showing(lines)
        runs = await look()
        return print_lines(run_table(runs)) if runs else say(_NONE)

    if since:
        ago(since, option="--since")
    return asking(ask)


def run_table(runs: Sequence[Run]) -> list[Line]:
    """A line each."""
    return table([_shown(run) for run in runs], COLUMNS)


def _shown(run: Run) -> dict[str, Any]:
    counts = run.counts
    failed = counts.failed + counts.errored + counts.timed_out
    return run.model_dump() | {
        "id": str(run.id)[:8],
        "passed": f"{counts.passed + counts.passed_on_retry}/{counts.total}",
        "failed": failed or None,
        "left": (counts.waiting + counts.running) or None,
        "duration": format_duration(run.duration) if run.duration is not None else None,
        "batch": str(run.batch_id)[:8] if run.batch_id else None,
    }
