"""Pipelines as a test drives them: suites of one test each, a worker by hand, and the mover called when the test says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Mapping

    import asyncpg


class Plan:
    """One pipeline, `plan`, whose suites are called as its steps."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.connection = queue.connection

    async def save(self, steps: Mapping[str, Any], **request: Any) -> dict[str, Any]:
        """A step is a list of what it needs, or a mapping of its fields. Saves its suite where it has none."""
        written = []
        for key, given in steps.items():
            step = {"key": key, "suite": key} | (dict(given) if isinstance(given, dict) else {"needs": list(given)})
            if step["suite"] == key:
                await self.queue.save({"a": []}, key=key)
            written.append(step)
        saved: dict[str, Any] = await self.queue.call("save_pipeline", {"key": "plan", "steps": written} | request)
        return saved

    async def start(self, **request: Any) -> dict[str, Any]:
        started: dict[str, Any] = await self.queue.call("start_pipeline", {"pipeline": "plan"} | request)
        return started

    async def run(self, run_id: str = "last") -> dict[str, Any]:
        found: dict[str, Any] = await self.queue.call("get_pipeline_run", {"pipeline_run_id": run_id})
        return found

    async def step(self, key: str, run_id: str = "last") -> dict[str, Any]:
        (found,) = (step for step in (await self.run(run_id))["steps"] if step["key"] == key)
        return dict(found)

    async def statuses(self, run_id: str = "last") -> dict[str, str]:
        return {step["key"]: step["status"] for step in (await self.run(run_id))["steps"]}

    async def move(self, limit: int = 10) -> int:
        moved: int = await self.connection.fetchval("select orbit_private.move_pipelines(clock_timestamp(), $1)", limit)
        return moved

    async def end(self, *failing: str, batch: int = 100) -> None:
        """Ends what runs and moves on, until there is nothing left to do; tests of these suites fail."""
        worker = await self.queue.worker()
        while True:
            jobs = await worker.claim(batch)
            if jobs:
                suites = dict(
                    await self.connection.fetch(
                        "select r.queue_no, s.key from orbit.test_runs r join orbit.test_suites s on s.id = r.suite_id"
                    )
                )
                await worker.advance(
                    [job.ended("failed" if suites[job.queue_no] in failing else "passed") for job in jobs]
                )
            if not await self.move() and not jobs:
                return

    async def finish(self, *keys: str, status: str = "passed") -> None:
        """Ends the runs of these steps alone, without moving on."""
        worker = await self.queue.worker()
        wanted = {(await self.step(key))["run_id"] for key in keys}
        numbers = {
            row["queue_no"]
            for row in await self.connection.fetch("select queue_no from orbit.test_runs where id = any ($1)", wanted)
        }
        jobs = await worker.claim(100)
        assert numbers <= {job.queue_no for job in jobs}
        await worker.advance([job.ended(status) for job in jobs if job.queue_no in numbers])
        await worker.retire()


@pytest.fixture
def plan(connection: asyncpg.Connection[Any]) -> Plan:
    return Plan(Queue(connection))
