"""Workers in the test's own process, with an executor that does what a function says."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from orbit_runner.worker import Worker

from orbit_context.client import Orbit
from orbit_context.models.outcome import Outcome
from orbit_context.suite.load import load_suite

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orbit_runner.worker import RunState
    from support.command import OrbitCommand
    from support.postgres import Database

    from orbit_context.models.runs import Run


async def until(condition: Callable[[], object], within: float = 20) -> None:
    """Waits until `condition` holds."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 (what is waited for changes in many places)
            await asyncio.sleep(0.002)


class Scripted:
    """An executor that does what a function says: `behave(key, attempt)`. `calls` is what it was asked for."""

    def __init__(self, behave: Callable[[str, int], Awaitable[Outcome]] | None = None) -> None:
        self._behave = behave
        self.calls: list[tuple[str, int]] = []
        self.states: list[RunState] = []

    def __call__(self, state: RunState) -> _ScriptedRun:
        self.states.append(state)
        return _ScriptedRun(self, state)

    async def answer(self, key: str, attempt: int) -> Outcome:
        self.calls.append((key, attempt))
        if self._behave is None:
            return Outcome("passed", 0.001)
        return await self._behave(key, attempt)


class _ScriptedRun:
    def __init__(self, script: Scripted, state: RunState) -> None:
        self._script = script
        self._state = state

    async def run(self, position: int, attempt: int) -> Outcome:
        return await self._script.answer(self._state.tests[position][0], attempt)


class Bench:
    """A database with a client, and workers that end with the test."""

    def __init__(self, database: Database, command: OrbitCommand) -> None:
        self.database = database
        self.command = command
        self.orbit = Orbit.connect(database.dsn)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, tests: dict[str, Any], *, base_url: str = "http://127.0.0.1:9", **options: Any) -> Run:
        """A run of these tests on the shared lane."""
        declared = options.pop("suite_variables", {})
        suite = load_suite(self.command.suite(tests, base_url=base_url, variables=declared))
        saved = await self.orbit.suites.save(suite)
        variables = {"base_url": base_url, **options.pop("variables", {})}
        return await self.orbit.runs.start(suite_id=saved.suite_id, variables=variables, **options)

    def work(self, script: Any, *, dsn: str | None = None, **options: Any) -> Worker:
        """A worker in this process, serving until the end of the test."""
        worker = Worker(dsn or self.database.dsn, executors=script, **{"slots": 10, **options})
        self._tasks.append(asyncio.create_task(worker.run()))
        return worker

    async def ended(self) -> None:
        """Waits for the first worker to end, and raises what it ended with."""
        async with asyncio.timeout(20):
            await self._tasks.pop(0)

    async def finished(self, run: Run, within: float = 30) -> Run:
        """The run when it is over."""
        return await self.orbit.runs.wait(run.id, timeout=within)

    async def check_whole(self, run: Run) -> None:
        """Every test of the run has exactly one result, and the queue holds nothing of it."""
        async with self.database.connect() as connection:
            rows = await connection.fetch("select position from orbit.test_results where run_id = $1", run.id)
            assert sorted(row["position"] for row in rows) == list(range(run.counts.total))
            base = run.queue_no << 20
            query = "select id from orbit_private.job where id between $1 and $1 + 1048575"
            assert await connection.fetch(query, base) == []
            assert await connection.fetch("select 1 from orbit_private.run_progress where run_id = $1", run.id) == []

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        await self.orbit.close()
