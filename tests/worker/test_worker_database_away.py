"""The database goes away, loses replies, or falls silent: nothing is lost, nothing is done twice, and the run ends by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from orbit_runner.worker.loop import Worker
from support.bench import Scripted, until
from support.command import finished

from orbit_context.errors import DatabaseUnavailableError
from orbit_context.gateway import patience
from orbit_context.models.outcome import Captured, Outcome

if TYPE_CHECKING:
    from support.bench import Bench
    from support.command import OrbitCommand
    from support.line import DatabaseLine
    from support.postgres import Database
    from support.target import Target


def layered(count: int, width: int = 10) -> dict[str, Any]:
    """Layers of tests: each needs two of the layer before."""
    tests: dict[str, Any] = {}
    for number in range(count):
        layer = number // width
        needs = [f"t{(layer - 1) * width + (number + step) % width}" for step in (0, 3)] if layer else []
        tests[f"t{number}"] = {"request": "/x", "needs": needs, "capture": {"seen": "$.seen"}}
    return tests


async def briefly(key: str, attempt: int) -> Outcome:
    await asyncio.sleep(0.005)
    return Outcome("passed", 0.005, captures=[Captured("seen", key)])


async def test_replies_that_are_lost_cost_nothing(bench: Bench, line: DatabaseLine) -> None:
    async def behave(key: str, attempt: int) -> Outcome:
        outcome = await briefly(key, attempt)
        return Outcome("failed", 0.0, "assertion", "not yet", retryable=True) if attempt in retried(key) else outcome

    def retried(key: str) -> range:
        return range(1, 3) if int(key[1:]) % 3 == 0 else range(0)

    tests = layered(300, width=50)
    for test in tests.values():
        test["retry"] = {"max": 2, "on": "any", "backoff": {"initial": "1ms", "max": "1ms"}}
    script = Scripted(behave)
    run = await bench.start(tests)
    bench.work(script, dsn=line.dsn, prefetch=10)
    for progress in range(10, 480, 10):
        await until(lambda progress=progress: len(script.calls) >= progress)  # type: ignore[misc]
        line.lose = 1 + progress % 20 // 10
    done = await bench.finished(run)
    assert (done.status, done.counts.passed, done.counts.passed_on_retry) == ("passed", 200, 100)
    await bench.check_whole(run)
    assert line.lost > 10
    # Whatever was claimed in a lost reply was taken up; whatever was reported in one was not reported anew.
    expected = [(key, attempt) for key in tests for attempt in range(1, len(retried(key)) + 2)]
    assert sorted(script.calls) == sorted(expected)
    assert len(await bench.orbit.context(run.id).captured_data()) == 300


async def test_what_others_captured_is_known_although_the_reply_that_told_it_was_lost(
    bench: Bench, line: DatabaseLine
) -> None:
    began, go = asyncio.Event(), asyncio.Event()

    async def first(key: str, attempt: int) -> Outcome:
        if key == "make":
            began.set()
            await go.wait()
        return Outcome("passed", 0.0, captures=[Captured("id", 41)] if key == "make" else [])

    tests = {
        "make": {"request": "/x", "capture": {"id": "$.id"}},
        "other": {"request": "/x"},
        "use": {"request": "/x/{{captured_data.make.id}}"},
    }
    run = await bench.start(tests)
    script = Scripted(first)
    worker = bench.work(script, slots=1)
    await began.wait()
    second = Scripted()
    bench.work(second, dsn=line.dsn)
    await until(lambda: ("other", 1) in second.calls)
    worker.drain()
    go.set()
    line.lose = 1  # the other worker hears neither of its job nor of what it needs
    await bench.finished(run)
    assert ("use", 1) in second.calls
    (state,) = second.states
    assert state.captured["make"] == {"id": 41}
    await bench.check_whole(run)


async def test_a_silent_line_is_given_up(bench: Bench, line: DatabaseLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orbit_context.gateway.runner._COMMAND_TIMEOUT", 0.5)
    script = Scripted(briefly)
    run = await bench.start(layered(60))
    bench.work(script, dsn=line.dsn, heartbeat=0.2)
    await until(lambda: len(script.calls) >= 20)
    line.stall()
    await asyncio.sleep(0.7)
    line.mend()
    assert (await bench.finished(run)).counts.passed == 60
    await bench.check_whole(run)


async def test_a_worker_gives_up_a_database_that_stays_away(
    bench: Bench, line: DatabaseLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience.patiently, "__kwdefaults__", {"seconds": 0.3})
    worker = bench.work(Scripted(), dsn=line.dsn, heartbeat=0.1)
    await until(lambda: worker.id)
    line.cut()
    with pytest.raises(DatabaseUnavailableError):
        await bench.ended()
    assert line.refused > 1


@pytest.mark.slow
async def test_the_run_of_a_command_outlasts_ten_seconds_without_its_database(
    orbit: OrbitCommand, target: Target, line: DatabaseLine, database: Database
) -> None:
    tests: dict[str, Any] = {f"slow{n}": {"request": "/slow?seconds=0.3", "expect": {"status": 200}} for n in range(60)}
    tests |= {
        "last": {"needs": list(tests), "request": "/item/1", "capture": {"id": "$.id"}},
        "end": {"request": "/item/{{captured_data.last.id}}"},
    }
    suite = orbit.suite(tests, base_url=target.url(""))
    process = await orbit.start("run", suite, "--json", "--concurrency", "5", ORBIT_DATABASE_URL=line.dsn)
    await target.until(lambda: len(target.requests) > 12)
    line.cut()
    await asyncio.sleep(10)
    line.mend()
    done = await finished(process, within=30)
    assert done.code == 0, done.stderr
    assert set(done.statuses().values()) == {"passed"}
    assert line.refused > 3
    assert len(target.requests) == 62  # nothing was sent twice
    assert "trying again" in done.stderr
    assert "Traceback" not in done.stderr
    assert database.fetch("select count(*)::int as n, count(distinct position)::int as m from orbit.test_results")[0][
        :
    ] == (62, 62)


async def test_twenty_times_every_connection_is_ended(orbit: OrbitCommand, target: Target, database: Database) -> None:
    tests: dict[str, Any] = {f"t{n}": {"request": f"/slow?seconds=0.1&n={n}"} for n in range(150)}
    tests |= {f"after{n}": {"needs": [f"t{n}"], "request": f"/item/{n}"} for n in range(150)}
    suite = orbit.suite(tests, base_url=target.url(""))
    process = await orbit.start("run", suite, "--json", "--concurrency", "6")
    await target.until(lambda: len(target.requests) > 6)
    ended = 0
    async with database.connect() as connection:
        for _ in range(20):
            ended += await connection.fetchval(
                "with others as materialized (select pid from pg_stat_activity where pid <> pg_backend_pid()"
                " and datname = current_database() and backend_type = 'client backend')"
                " select count(*) filter (where pg_terminate_backend(pid)) from others"
            )
            await asyncio.sleep(0.1)
    done = await finished(process, within=40)
    assert done.code == 0, done.stderr
    assert set(done.statuses().values()) == {"passed"}
    assert len(done.statuses()) == 300
    assert ended > 20
    assert len(target.requests) == 300
    assert "Traceback" not in done.stderr


async def test_an_outage_while_a_run_is_loaded_is_waited_for(bench: Bench, line: DatabaseLine) -> None:
    script = Scripted()
    worker = Worker(line.dsn, slots=2, executors=script)
    load = worker._load

    async def cut_first(queue_no: int) -> Any:
        line.cut()
        asyncio.get_running_loop().call_later(0.5, line.mend)
        return await load(queue_no)

    worker._load = cut_first  # type: ignore[method-assign]
    run = await bench.start({"a": {"request": "/a"}})
    task = asyncio.create_task(worker.run())
    done = await bench.finished(run)
    assert done.status == "passed"
    worker.drain()
    await task
