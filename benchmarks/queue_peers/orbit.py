"""Orbit. A job is a test of a saved suite: an id without a payload. Each start_run is a run with its context and events."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import asyncpg
from orbit_runner import migrate
from orbit_runner.worker import Worker

from benchmarks.queue_peers.serve import Handled, Started, latencies, serve
from orbit_context.gateway.runner import Report, RunnerGateway
from orbit_context.models.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from orbit_runner.worker import RunState

_LEFT = "select count(*) from orbit_private.job"
_PASSED = "select count(*) from orbit.test_results where status = 'passed'"
_EPOCH = float("-inf")


class _Noop:
    """An executor of tests that do nothing. `began(position)` is the start of the handler."""

    def __init__(self, began: Callable[[int], object]) -> None:
        self._began = began

    def __call__(self, state: RunState) -> _Noop:
        return self

    async def run(self, position: int, attempt: int) -> Outcome:
        del attempt
        self._began(position)
        return Outcome("passed", 0.001)


class Orbit:
    """See the module."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._handled = Handled()
        self._saved: set[int] = set()
        self._workers = 0

    async def setup(self) -> None:
        self._connection = await asyncpg.connect(self._dsn)
        await migrate.push(self._connection)

    async def _call(self, function: str, request: dict[str, Any]) -> None:
        await self._connection.fetchval(f"select orbit.{function}($1::text::jsonb)::text", json.dumps(request))

    async def _save(self, jobs: int) -> None:
        if jobs in self._saved:
            return
        request = {"method": "GET", "url": "http://127.0.0.1:9/item"}
        tests = [{"key": f"t{n:06}", "request": request} for n in range(jobs)]
        key = f"suite-{jobs}"
        document = {"version": 1, "suite": key, "tests": tests}
        await self._call("save_suite", {"key": key, "name": key, "document": document, "dependencies": []})
        await self._connection.execute("analyze orbit.test_cases")
        self._saved.add(jobs)

    async def enqueue(self, jobs: int) -> float:
        await self._save(jobs)
        began = time.perf_counter()
        await self._call("start_run", {"suite": f"suite-{jobs}"})
        return time.perf_counter() - began

    async def _left(self) -> int:
        return int(await self._connection.fetchval(_LEFT))

    async def drain(self, jobs: int, how: str) -> tuple[float, float]:
        await self._connection.execute("vacuum analyze orbit_private.job, orbit_private.ready")
        before = await self._connection.fetchval(_PASSED)
        self._handled.reset(jobs)
        if how.startswith("worker"):
            took = await self._by_worker()
        else:
            took = await self._by_gateway(int(how.removeprefix("batch ")))
        results = await self._connection.fetchval(_PASSED) - before
        if results != jobs or self._handled.calls != jobs:
            raise RuntimeError(f"{results} results and {self._handled.calls} calls of the handler for {jobs} jobs")
        return took

    async def _by_gateway(self, batch: int) -> tuple[float, float]:
        gateway = RunnerGateway(self._dsn)
        register = "select orbit_runner.register_worker($1, $2)"
        self._workers += 1
        worker = await (await gateway.connection()).fetchval(register, f"bench-{self._workers}", batch)
        await gateway.advance(worker, 0, 0, [], _EPOCH, {})
        reports: list[Report] = []
        low, since = _EPOCH, time.perf_counter()
        began = since
        while True:
            now = time.perf_counter()
            if now - since > 0.25:  # as the worker does: from the beginning again, four times a second
                low, since = _EPOCH, now
            answer = await gateway.advance(worker, 0, batch, reports, low, {})
            for job in answer.jobs:
                self._handled.one(job.position)
            reports = [Report(job.id, job.attempt, "passed", 0.001) for job in answer.jobs]
            low = answer.jobs[0].rank if len(answer.jobs) == batch else _EPOCH
            if answer.done:
                break
        seconds = time.perf_counter() - began
        await gateway.close()
        if await self._left():
            raise RuntimeError("jobs are left")
        return seconds, seconds

    async def _by_worker(self) -> tuple[float, float]:
        worker = Worker(self._dsn, slots=100, executors=_Noop(self._handled.one), name="bench worker")
        task = asyncio.create_task(worker.run())
        took = await self._handled.recorded(self._left)
        worker.drain()
        await task
        return took

    async def pickup(self, jobs: int) -> list[float]:
        await self._save(1)
        started = Started()
        worker = Worker(self._dsn, slots=10, executors=_Noop(lambda _: started.now()))
        task = asyncio.create_task(worker.run())

        async def insert(_: int) -> None:
            await self._call("start_run", {"suite": "suite-1"})

        await latencies(3, insert, started.wait)
        found = await latencies(jobs, insert, started.wait)
        worker.drain()
        with suppress(asyncio.CancelledError):
            await task
        return found


if __name__ == "__main__":
    serve(Orbit)
