"""A worker that is frozen longer than its lease, and goes on as if nothing had been."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from support.bench import until
from support.drills import LONG, counted, settled, some_tests, tell

if TYPE_CHECKING:
    from support.bench import Bench
    from support.fleet import Fleet
    from support.line import DatabaseLine
    from support.target import Target


@pytest.mark.timeout(300 if LONG else 120)
@pytest.mark.parametrize("how", ["frozen", "cut off"])
async def test_what_a_worker_reports_when_it_comes_back_is_ignored(
    bench: Bench, fleet: Fleet, target: Target, line: DatabaseLine, how: str
) -> None:
    """Frozen, it wakes with answers in hand whose tests are another's by then. Cut off, it has reported some on a line that holds
    the report back until long after."""
    lease = None if LONG else 2.0
    count, slots, heirs = (200, 8, ("heir", "second", "third")) if LONG else (24, 4, ("heir",))
    await fleet.start("sleeper", slots, lease=lease, dsn=line.dsn)
    await fleet.start_many(*heirs, slots=slots, lease=lease)
    async with bench.database.connect() as connection:
        for _ in range(3 if LONG else 1):
            before = len(target.requests)
            run = await bench.start(some_tests(count, 0.8), base_url=target.url(""))
            # Every slot is busy: nobody asks for work, and the next that each of them says is a report.
            busy = before + slots * (1 + len(heirs))
            await until(lambda busy=busy: len(target.requests) >= busy, within=60)  # type: ignore[misc]
            if how == "frozen":
                fleet.freeze("sleeper")
            else:
                line.stall()
            await counted(connection, "select count(*) from orbit_private.worker where name = 'sleeper'", 0)
            if LONG:
                await asyncio.sleep(8)  # 1.8 leases in all
            fleet.thaw("sleeper")
            line.mend()
            done = await bench.finished(run, within=100)
            assert (done.status, done.counts.passed) == ("passed", count + 1)
            results = await settled(bench, run)
            again = [result for result in results if result.attempts > 1]
            assert again
            for result in again:
                assert [attempt.status for attempt in result.previous_attempts] == ["lost"]
                assert result.previous_attempts[0].reason == "its worker sleeper was lost"
            # It comes back under a new number, and is used.
            await counted(connection, "select count(*) from orbit_private.worker where name = 'sleeper'", 1)
    fleet.processes["sleeper"].terminate()
    assert await fleet.ended("sleeper") == 0
    log = fleet.log("sleeper")
    assert "sleeper was given up for lost" in log
    async with bench.database.connect() as connection:
        fenced = await connection.fetchval("select count from orbit_private.tally where name = 'fenced_reports'")
    if how == "cut off":
        assert fenced > 0, "it never reported what was another's"
    tell(f"R2: {how} beyond its lease; {len(again)} tests were run again; {fenced} late reports, which changed nothing")
