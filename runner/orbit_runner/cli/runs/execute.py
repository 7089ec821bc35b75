"""Executing a run in this process and showing how it goes, to its summary and exit code."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Any

from orbit_context.errors import DatabaseUnavailableError
from orbit_context.gateway.patience import patiently
from orbit_runner.cli.exits import Exit, of_run
from orbit_runner.live import LiveView
from orbit_runner.report.write import write_report
from orbit_runner.worker.http import HttpRuns
from orbit_runner.worker.loop import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orbit_context.client import Orbit
    from orbit_context.models.runs import Run
    from orbit_context.suite.load import LoadedSuite
    from orbit_runner.connection import DatabaseTarget
    from orbit_runner.worker.run_state import RunState

__all__ = ["conclude", "execute", "show_progress"]


async def execute(
    orbit: Orbit,
    run: Run,
    state: RunState | None,
    compiled: list[Any] | None,
    sealer: Any,
    target: DatabaseTarget,
    slots: int,
    *,
    deadline: float | None = None,
    quiet: bool = False,
) -> None:
    """Runs the tests in this process and shows how they go. A first interrupt cancels the run, a second one leaves at once."""
    from orbit_runner.sandbox import Sandbox
    from orbit_runner.transport.curl import CurlTransport

    transport, sandbox = CurlTransport(), Sandbox()
    executors = HttpRuns(transport, sandbox)
    worker = Worker(
        target.dsn,
        slots=slots,
        prefetch=slots,
        executors=executors,
        sealer=sealer,
        lane=run.lane,
        until=run.queue_no,
        deadline=deadline,
    )
    if state is not None:
        executors.preload(run.queue_no, compiled or [])
        worker.preload(state)
    nudge = asyncio.Event()
    work = asyncio.create_task(worker.run())
    work.add_done_callback(lambda _: nudge.set())
    shown = asyncio.create_task(show_progress(orbit, run, nudge, quiet=quiet))
    handlers = _cancel_on_interrupt(orbit, run, worker, work)
    try:
        await asyncio.wait({work, shown}, return_when=asyncio.FIRST_COMPLETED)
        if shown.done():
            worker.drain()  # whoever finished the run, there is nothing more to do
        await work
        await shown
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    except DatabaseUnavailableError as error:
        error.hint = f"what was recorded is kept; when the database is back: orbit resume {run.id}"
        raise
    finally:
        asked = handlers()
        for task in (work, shown, *asked):
            task.cancel()
        await asyncio.gather(work, shown, *asked, return_exceptions=True)
        await transport.close()
        await sandbox.close()


async def show_progress(orbit: Orbit, run: Run, nudge: asyncio.Event | None, *, quiet: bool) -> None:
    """How a run goes, to its end."""
    each = False if quiet else None
    with LiveView(sys.stderr, total=run.counts.total, expected_duration=run.expected_duration, each=each) as view:
        async for event in orbit.runs.watch(run.id, nudge=nudge):
            view.event(event)


def _cancel_on_interrupt(
    orbit: Orbit, run: Run, worker: Worker, work: asyncio.Task[None]
) -> Callable[[], Sequence[asyncio.Task[Any]]]:
    """Returns how to undo it, which tells the cancellation that is under way."""
    loop = asyncio.get_running_loop()
    asked: list[asyncio.Task[Any]] = []

    async def cancel() -> None:
        await patiently(lambda: orbit.runs.cancel(run.id, reason="interrupted"))
        worker.stop_run(run.queue_no)

    def interrupt() -> None:
        if asked:
            work.cancel()
            return
        sys.stderr.write("\ncancelling the run; interrupt again to leave at once\n")
        asked.append(loop.create_task(cancel()))

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)

    def undo() -> Sequence[asyncio.Task[Any]]:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        return asked

    return undo


async def conclude(
    orbit: Orbit,
    run: Run,
    reports: Sequence[str],
    as_json: bool,
    database: str | None,
    suite: LoadedSuite | None,
) -> Exit:
    """Results, summary, reports, exit code. `database`: where its history is, as people are told."""
    run_id = run.id
    run = await patiently(lambda: orbit.runs.get(run_id))
    results = await patiently(lambda: orbit.runs.results(run_id, details=True))
    places = _places(suite)
    written = [(spec.split("=", 1)[0], write_report(spec, run, results, places=places)) for spec in reports]
    from orbit_runner.report.summary import print_summary

    artifacts = [(f"{kind} report", str(path)) for kind, path in written]
    if database is not None:
        artifacts.append(("history", database))
    print_summary(sys.stderr, run, results, places=places, artifacts=artifacts)
    if as_json:
        from orbit_runner.report.json import render

        sys.stdout.buffer.write(render(run, results, places))
        sys.stdout.buffer.flush()
    return of_run(run)


def _places(suite: LoadedSuite | None) -> dict[str, str]:
    if suite is None or suite.file is None:
        return {}
    found = {key: suite.locate(("tests", key)) for key in suite.document.tests}
    return {key: f"{suite.file}:{place[0]}" for key, place in found.items() if place}
