"""Tests that harm their worker: they cost their own result, and nothing else."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from support.bench import Scripted

from orbit_context.models.outcome import Captured, Failure, Outcome

if TYPE_CHECKING:
    from support.bench import Bench

OTHERS = {f"t{n}": {"request": "/x"} for n in range(20)}
UNSTORABLE = {
    "NUL": Outcome("failed", 0.0, "assertion", "a\x00b"),
    "half a character": Outcome("failed", 0.0, "assertion", "a\ud800b"),
    "an unknown category": Outcome("failed", 0.0, "no such category"),
    "an unknown status": Outcome("unheard of", 0.0),  # type: ignore[arg-type]
    "not JSON": Outcome("failed", 0.0, "assertion", "x", [Failure("x", "body", expected=object())]),
    "a capture with NUL": Outcome("passed", 0.0, captures=[Captured("c", {"deep": ["\x00"]})]),
}


@pytest.mark.parametrize("what", UNSTORABLE)
async def test_an_outcome_that_cannot_be_stored_is_one_result_and_keeps_back_no_other(bench: Bench, what: str) -> None:
    async def behave(key: str, attempt: int) -> Outcome:
        return UNSTORABLE[what] if key == "poison" else Outcome("passed", 0.0)

    run = await bench.start({"poison": {"request": "/x", "capture": {"c": "$.c"}}, **OTHERS})
    bench.work(Scripted(behave))
    done = await bench.finished(run, within=10)
    assert done.counts.passed == 20
    await bench.check_whole(run)
    poison = (await bench.orbit.runs.results(run.id))[0]
    if what == "an unknown category":
        assert poison.status == "failed"  # nothing says that the list of categories is closed
    else:
        assert (poison.status, poison.category) == ("errored", "internal")
        assert "could not be recorded" in (poison.reason or "")


async def test_an_executor_that_raises_costs_one_test(bench: Bench) -> None:
    async def behave(key: str, attempt: int) -> Outcome:
        if key == "poison":
            raise RuntimeError("unforeseen")
        return Outcome("passed", 0.0)

    run = await bench.start({"poison": {"request": "/x"}, "after": {"needs": ["poison"], "request": "/x"}, **OTHERS})
    bench.work(Scripted(behave))
    done = await bench.finished(run, within=10)
    assert (done.status, done.counts.passed) == ("errored", 20)
    poison, after, *_ = await bench.orbit.runs.results(run.id)
    assert (poison.status, poison.category) == ("errored", "internal")
    assert "RuntimeError: unforeseen" in (poison.reason or "")
    assert after.reason == "poison reached no verdict"


async def test_an_executor_that_cannot_be_made_costs_its_run_and_not_the_worker(bench: Bench) -> None:
    script = Scripted()
    broken = True

    def make(state: object) -> object:
        if broken:
            raise RuntimeError("no executor")
        return script(state)  # type: ignore[arg-type]

    bench.work(make)
    first = await bench.finished(await bench.start(OTHERS), within=10)
    assert (first.status, first.counts.errored) == ("errored", 20)
    broken = False
    assert (await bench.finished(await bench.start(OTHERS), within=10)).status == "passed"


async def test_the_heart_beats_while_a_test_blocks_the_loop(bench: Bench) -> None:
    async def behave(key: str, attempt: int) -> Outcome:
        if key == "poison":
            time.sleep(2.5)  # noqa: ASYNC251 - that is the poison
        return Outcome("passed", 0.0)

    run = await bench.start({"poison": {"request": "/x"}, "after": {"needs": ["poison"], "request": "/x"}, **OTHERS})
    bench.work(Scripted(behave), heartbeat=0.2, lease=1.0)
    done = await bench.finished(run, within=15)
    assert done.status == "passed"
    async with bench.database.connect() as connection:
        assert await connection.fetchval("select max(attempts) from orbit.test_results") == 1
        # Who keeps house meanwhile must have found the worker alive: its own heartbeat does, four times a lease.
        assert await connection.fetchval("select count(*) from orbit_private.worker") == 1


async def test_the_heart_beats_on_after_whatever_happened_to_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from orbit_context.gateway.runner import RunnerGateway

    tick, failures = RunnerGateway.tick, iter([ValueError("unforeseen"), TimeoutError(), RuntimeError("deadlock")])

    async def failing(self: RunnerGateway, lease: float) -> dict[str, object]:
        for failure in failures:
            raise failure
        return await tick(self, lease)

    monkeypatch.setattr(RunnerGateway, "tick", failing)
    bench.work(Scripted(), heartbeat=0.05)
    async with bench.database.connect() as connection, asyncio.timeout(10):
        seen: set[object] = set()
        while len(seen) < 8:
            seen.add(await connection.fetchval("select seen_at from orbit_private.worker"))
            await asyncio.sleep(0.02)
    assert sum("unforeseen" in record.getMessage() for record in caplog.records) == 1
