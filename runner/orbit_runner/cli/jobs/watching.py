"""`orbit watch`: a run that somebody, or nobody yet, executes, followed to its end."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from orbit_context.gateway.patience import patiently
from orbit_runner.cli.asking import asking
from orbit_runner.cli.exits import Exit, of_run
from orbit_runner.live import LiveView

if TYPE_CHECKING:
    from orbit_context.client import Orbit
    from orbit_context.models.runs import Run

__all__ = ["follow", "watch"]

_EXPLAIN_SECONDS = 2.0
_WORTH_SAYING = {
    "no_worker",
    "capability",
    "own_worker",
    "run_cap",
    "organization_cap",
    "environment_cap",
    "host_cap",
    "rate",
    "group",
}
"""Reasons for which a run may wait while nothing is to be seen."""


def watch(run_id: str, *, as_json: bool) -> Exit:
    async def ask(orbit: Orbit) -> Exit:
        run = await follow(orbit, await orbit.runs.get(run_id))
        results = await patiently(lambda: orbit.runs.results(run.id, details=True))
        from orbit_runner.report.summary import print_summary

        print_summary(sys.stderr if as_json else sys.stdout, run, results)
        if as_json:
            from orbit_runner.report.json import render

            sys.stdout.buffer.write(render(run, results))
        return of_run(run)

    return asking(ask)


async def follow(orbit: Orbit, run: Run) -> Run:
    """Shows a run on standard error until it is finished, and answers it then. Says what it waits for while nothing happens."""
    with LiveView(sys.stderr, total=run.counts.total, expected_duration=run.expected_duration) as view:
        told = asyncio.create_task(_tell_why(orbit, run, view))
        try:
            async for event in orbit.runs.watch(run.id):
                view.event(event)
        finally:
            told.cancel()
            with suppress(asyncio.CancelledError):
                await told
    return await patiently(lambda: orbit.runs.get(run.id))


async def _tell_why(orbit: Orbit, run: Run, view: LiveView) -> None:
    said: set[str] = set()
    while True:
        waiting = await patiently(lambda: orbit.queue.explain(run.id, limit=1))
        now = {
            f"{reason.tests:,} of its tests: {reason.sentence}"
            for reason in waiting.reasons
            if reason.reason in _WORTH_SAYING
        }
        for sentence in sorted(now - said):
            view.note(sentence)
        said = now
        await asyncio.sleep(_EXPLAIN_SECONDS)
