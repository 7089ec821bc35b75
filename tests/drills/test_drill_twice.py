"""What arrives twice counts once; and a runner's clock that is wrong changes nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.bench import until
from support.drills import LONG, settled, some_tests, tell
from support.queue import check_invariants

from orbit_context.client import Orbit

if TYPE_CHECKING:
    from support.bench import Bench
    from support.fleet import Fleet
    from support.target import Target

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


async def test_fifty_starts_with_one_key_at_once_are_one_run(bench: Bench, fleet: Fleet, target: Target) -> None:
    """And what is announced again and again is run once."""
    first = await bench.start({"a": {"request": "/item/0"}}, base_url=target.url(""), private=True)
    await bench.orbit.runs.cancel(first.id)
    await fleet.start_many("one", "two", lease=3.0)
    gate = asyncio.Barrier(50)

    async def start() -> Any:
        async with Orbit.connect(bench.database.dsn) as orbit:
            await orbit.runs.latest()  # connected: only the start is left to do
            await gate.wait()
            return await orbit._gateway.call(
                "start_run", {"suite_id": str(first.suite_id), "idempotency_key": "push 4711"}
            )

    replies = await asyncio.gather(*(start() for _ in range(50)))
    assert len({reply["id"] for reply in replies}) == 1
    assert sum(reply.get("repeated", False) for reply in replies) == 49
    run = await bench.orbit.runs.get(replies[0]["id"])
    many = await bench.start(some_tests(60, 0.05), base_url=target.url(""))
    async with bench.database.connect() as connection:
        for _ in range(40):
            await connection.execute("select pg_notify('orbit_ready', '0')")
            await connection.execute("select pg_notify('orbit_run', $1)", str(many.queue_no))
            await asyncio.sleep(0.01)
        await bench.finished(run)
        assert (await bench.finished(many)).counts.passed == 61
        assert await connection.fetchval("select count(*) from orbit.test_runs") == 3
        await check_invariants(connection)
    await settled(bench, first, run, many)
    sent = Counter(request.target for request in target.requests)
    assert sent["/item/0"] == 1
    assert all(number == 1 for path, number in sent.items() if path.startswith("/slow"))
    tell(
        "R5: 50 starts with one key at once: 1 run, 49 replies that name it; 80 notices said twice: every test sent once"
    )


@pytest.mark.skipif(not FAKETIME.exists(), reason="no libfaketime (Debian: faketime)")
async def test_clocks_that_are_wrong_change_nothing(bench: Bench, fleet: Fleet, target: Target, tmp_path: Path) -> None:
    """One worker's clock is an hour fast, one's an hour slow, and the third's jumps three hours back in the middle of the run."""
    count = 300 if LONG else 60
    hands = {"fast": "+3600", "slow": "-3600", "jumping": "+3600"}
    for name, offset in hands.items():
        (tmp_path / f"clock-{name}").write_text(f"{offset}\n")
        environ = {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(tmp_path / f"clock-{name}"),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        await fleet.start(name, slots=4, environ=environ)
    await fleet.start("right", slots=4)
    tests = some_tests(count, 0.2)
    flaky = {"status": 200}
    tests |= {
        f"flaky{n}": {
            "request": f"/flaky/f{n}?fails=1",
            "expect": flaky,
            "retry": {"max": 2, "on": "any", "backoff": {"initial": "100ms", "max": "100ms"}},
        }
        for n in range(8)
    }
    run = await bench.start(tests, base_url=target.url(""), timeout=600)
    await until(lambda: len(target.requests) > count / 3, within=60)
    (tmp_path / "clock-jumping").write_text("-7200\n")
    done = await bench.finished(run, within=100)
    results = await settled(bench, run)
    assert (done.status, done.counts.passed, done.counts.passed_on_retry) == ("passed", count + 1, 8)
    by_key = {result.key: result for result in results}
    lost = [attempt for result in results for attempt in result.previous_attempts if attempt.status == "lost"]
    assert not lost, f"a lease was lost: {lost[0].reason}"
    used = {result.worker for result in results}
    assert len(used) == 4, "a worker with a wrong clock was not used"
    assert done.started_at is not None
    assert done.finished_at is not None
    for result in results:
        assert result.started_at is not None
        assert done.created_at <= result.started_at <= result.finished_at <= done.finished_at
        assert 0 <= result.duration < 30
    for key, test in tests.items():
        for need in test.get("needs", ()):
            assert by_key[need].finished_at <= by_key[key].started_at or by_key[key].started_at is None
    tell(
        f"R6: {len(tests)} tests; clocks an hour fast, an hour slow, and one that jumped three hours back: nothing changed"
    )
