"""Many tests at once, on several workers, again and again: none lost, none twice, and the queue as small afterwards as before."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from support.drills import LONG, settled, tell
from support.queue import Queue
from support.target import Target

if TYPE_CHECKING:
    from asyncio import StreamWriter

    from support.bench import Bench
    from support.fleet import Fleet
    from support.hostile import Request
    from support.postgres import Database

NAMES = ("one", "two", "three", "four")


class Crowded(Target):
    """Answers nobody until `wanted` requests are here at once."""

    def crowd(self, wanted: int) -> None:
        self._wanted = wanted
        self._here = self.most = 0

    async def do_crowd(self, request: Request, writer: StreamWriter) -> None:
        self._here += 1
        self.most = max(self.most, self._here)
        if self.most >= self._wanted:
            self.release.set()
        await self.do_hold(request, writer)
        self._here -= 1


@pytest.mark.timeout(200)
async def test_a_thousand_tests_on_four_workers_more_than_a_hundred_at_once(bench: Bench, fleet: Fleet) -> None:
    count, slots, wanted = (1000, 40, 150) if LONG else (400, 30, 110)
    async with Crowded() as target:
        target.crowd(wanted)
        await fleet.start_many(*NAMES, slots=slots)
        tests: dict[str, Any] = {
            f"t{n}": {"request": {"GET": f"/crowd?n={n}", "timeout": "60s"}, "expect": {"status": 200}}
            for n in range(count)
        }
        run = await bench.start(tests, base_url=target.url(""))
        done = await bench.finished(run, within=120)
        results = await settled(bench, run)
        assert (done.status, done.counts.passed) == ("passed", count)
        assert target.most >= wanted
        assert {result.attempts for result in results} == {1}
        assert Counter(request.target for request in target.requests) == {f"/crowd?n={n}": 1 for n in range(count)}
        shares = Counter(result.worker for result in results)
        assert len(shares) == len(NAMES)
        tell(
            f"{count} tests on 4 workers: {target.most} at once; {done.duration:.1f} s; by worker: {sorted(shares.values())}"
        )


@pytest.mark.timeout(200)
async def test_executions_leave_the_queue_as_small_as_it_was(database: Database) -> None:
    """What is autovacuum's work is done by the test, so that it does not depend on when that comes by."""
    rounds, size = (10, 1000) if LONG else (6, 300)
    tests = {f"t{n}": [f"t{n - 10}"] if n >= 10 else [] for n in range(size)}
    tables = ("job", "ready", "worker", "run_progress", "parked", "gate_use")
    sizes: list[dict[str, int]] = []
    began = time.monotonic()
    async with database.connect() as connection:
        queue = Queue(connection)
        there = [
            name
            for name in tables
            if await connection.fetchval("select to_regclass('orbit_private.' || $1) is not null", name)
        ]
        await queue.save(tests)
        for _ in range(rounds):
            await queue.start(concurrency=size // 10)
            worker = await queue.worker(slots=100)
            await worker.run_to_end(batch=50)
            await worker.retire()
            await queue.check()
            await connection.execute("select pg_stat_force_next_flush()")  # before the vacuum, which counts anew
            for name in there:
                await connection.execute(f"vacuum orbit_private.{name}")
            sizes.append(
                {
                    name: await connection.fetchval("select pg_table_size($1::text::regclass)", f"orbit_private.{name}")
                    for name in there
                }
            )
        assert await connection.fetchval("select count(*) from orbit.test_results") == rounds * size
        for name in there:
            # What is held on to is one round's at the most; the last page may or may not have been given back.
            assert sizes[-1][name] <= sizes[1][name] + 5 * 8192, f"{name} grew: {[each[name] for each in sizes]}"
            left = await connection.fetchval(
                "select n_dead_tup from pg_stat_user_tables where schemaname = 'orbit_private' and relname = $1", name
            )
            assert left == 0, f"{left} dead rows in {name}"
    tell(
        f"{rounds * size} executions in {time.monotonic() - began:.1f} s; kB of tables after the first and the last round: "
        + ", ".join(f"{name} {sizes[0][name] // 1024} → {sizes[-1][name] // 1024}" for name in there)
    )
