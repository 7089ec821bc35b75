"""Workers that are killed, stopped or told to go in the middle of a run: every test has exactly one result, and what is read says
what happened."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from support.bench import Scripted, until
from support.command import finished, line_with
from support.drills import counted

from orbit_context.models.outcome import Outcome

if TYPE_CHECKING:
    from support.bench import Bench
    from support.command import OrbitCommand
    from support.fleet import Fleet
    from support.target import Target

LEASE = 1.0


def slow(count: int, seconds: float) -> dict[str, Any]:
    """Independent tests, and one that needs them all."""
    tests: dict[str, Any] = {f"t{n}": {"request": f"/slow?seconds={seconds}&n={n}"} for n in range(count)}
    return tests | {"last": {"needs": list(tests), "request": "/item/1"}}


async def test_what_a_killed_worker_held_is_run_again_and_its_reader_is_told(
    bench: Bench, fleet: Fleet, target: Target, orbit: OrbitCommand
) -> None:
    await fleet.start("doomed", lease=LEASE)
    await fleet.start("heir", lease=LEASE)
    run = await bench.start(slow(30, 0.15), base_url=target.url(""))
    await target.until(lambda: len(target.requests) > 12)
    fleet.kill("doomed")
    done = await bench.finished(run)
    assert (done.status, done.counts.passed) == ("passed", 31)
    await bench.check_whole(run)
    results = await bench.orbit.runs.results(run.id)
    again = [result for result in results if result.attempts > 1]
    assert 1 <= len(again) <= 5  # what it held, and nothing else
    for result in again:
        (earlier,) = result.previous_attempts
        assert earlier.status == "lost"
        assert earlier.reason == "its worker doomed was lost"
    sent = Counter(request.target for request in target.requests)
    asked = {"last": "/item/1"} | {f"t{n}": f"/slow?seconds=0.15&n={n}" for n in range(30)}
    assert {sent[asked[result.key]] for result in again} <= {
        1,
        2,
    }  # on a slow machine it may be the last test that is held
    shown = await orbit("show", str(run.id))
    assert shown.code == 0
    assert "its worker doomed was lost" in shown.stdout
    one = await orbit("logs", str(run.id), again[0].key)
    assert "its worker doomed was lost" in one.stdout


async def test_a_worker_told_to_go_finishes_what_it_runs_and_takes_nothing_more(
    bench: Bench, orbit: OrbitCommand, target: Target
) -> None:
    run = await bench.start({f"t{n}": {"request": f"/hold?n={n}"} for n in range(6)}, base_url=target.url(""))
    process = await orbit.start("worker", "--slots", "3", "--name", "leaver")
    await line_with(process.stderr, "leaver serves")
    await target.until(lambda: len(target.requests) == 3)
    process.send_signal(signal.SIGTERM)
    await line_with(process.stderr, "finishing what is running")
    target.release.set()
    done = await finished(process, within=10)
    assert done.code == 0, done.stderr
    assert len(target.requests) == 3
    state = await bench.orbit.runs.get(run.id)
    assert (state.counts.passed, state.counts.waiting, state.counts.running) == (3, 3, 0)
    bench.work(Scripted())
    assert (await bench.finished(run)).counts.passed == 6
    assert {result.attempts for result in await bench.orbit.runs.results(run.id)} == {1}


async def test_a_second_signal_hands_back_what_is_running(bench: Bench, orbit: OrbitCommand, target: Target) -> None:
    run = await bench.start({"stuck": {"request": {"GET": "/hold", "timeout": "60s"}}}, base_url=target.url(""))
    process = await orbit.start("worker")
    await target.until(lambda: target.requests)
    process.send_signal(signal.SIGTERM)
    await line_with(process.stderr, "finishing what is running")
    process.send_signal(signal.SIGTERM)
    done = await finished(process, within=10)
    assert done.code == 2
    assert "Traceback" not in done.stderr
    state = await bench.orbit.runs.get(run.id)
    assert (state.counts.waiting, state.counts.running) == (1, 0)
    bench.work(Scripted())
    assert (await bench.finished(run)).status == "passed"


@pytest.mark.slow
async def test_a_killed_command_is_resumed_and_a_killed_worker_is_replaced_within_the_lease(
    bench: Bench, orbit: OrbitCommand, target: Target
) -> None:
    """Both at once, with the lease that users have: ten seconds."""
    tests = slow(40, 0.1)
    suite = orbit.suite(tests, base_url=target.url(""), suite="killed")
    command = await orbit.start("run", suite, "--concurrency", "4")
    await target.until(lambda: len(target.requests) > 12)
    command.kill()
    await command.wait()
    killed = await bench.orbit.runs.get("last")
    assert killed.status == "running"
    shown = await orbit("show", str(killed.id))
    assert shown.code == 3  # not finished is not passed
    assert f"orbit resume {killed.id}" in shown.stdout

    shared = await bench.start(slow(60, 0.1), base_url=target.url(""))
    first = await orbit.start("worker", "--name", "first", "--slots", "4")
    await until(lambda: len(target.requests) > 30)
    resumed = await orbit.start("resume", str(killed.id), "--json", "--concurrency", "4")
    second = await orbit.start("worker", "--name", "second", "--slots", "4")
    await line_with(second.stderr, "second serves")
    first.kill()
    began = asyncio.get_running_loop().time()
    done = await finished(resumed, within=40)
    assert done.code == 0, done.stderr
    assert len(done.statuses()) == 41
    assert set(done.statuses().values()) == {"passed"}
    await bench.check_whole(killed)
    lost = [result for result in done.json["results"] if result["attempts"] > 1]
    # It held what it ran, and as many more so as not to wait for its next round trip.
    assert 1 <= len(lost) <= 8
    assert all("was lost" in result["previous_attempts"][0]["reason"] for result in lost)
    assert "was lost" in done.stderr

    assert (await bench.finished(shared)).counts.passed == 61
    await bench.check_whole(shared)
    recovered = asyncio.get_running_loop().time() - began
    assert recovered < 25
    print(f"recovered {recovered:.1f} s after the kill")
    second.terminate()
    assert (await finished(second, within=10)).code == 0


async def test_two_workers_share_tokens_captures_and_secrets(
    bench: Bench, fleet: Fleet, target: Target, orbit: OrbitCommand
) -> None:
    tests: dict[str, Any] = {
        "login": {
            "request": {"POST": "/login"},
            "capture": {"access_token": {"json": "$.access_token", "share": "token"}},
        },
        "make": {"request": "/item/7", "capture": {"id": "$.id", "shared_id": {"json": "$.id", "share": "variable"}}},
    }
    names = "{{captured_data.make.id}}&{{shared_variables.shared_id}}"
    for number in range(20):
        tests[f"me{number}"] = {
            # Long enough for a worker that looks for work twice a second to find some left.
            "request": {"GET": "/me?seconds=0.3", "auth": {"bearer": "{{shared_auth_tokens.access_token}}"}},
            "capture": {"user": {"json": "$.user", "secret": True}},
            "expect": {"status": 200},
        }
        tests[f"use{number}"] = {
            "request": f"/echo?{names}&{{{{captured_data.me{number}.user}}}}",
            "expect": {"json": {"$.target": {"contains": "7&7&demo"}}},
        }
    await fleet.start_many("one", "two", slots=3, lease=LEASE)
    run = await bench.start(tests, base_url=target.url(""))
    done = await bench.finished(run)
    results = await bench.orbit.runs.results(run.id)
    assert done.status == "passed", [result.reason for result in results if result.reason]
    assert len({result.worker for result in results}) == 2
    async with bench.database.connect() as connection:
        entries = await connection.fetch("select name, value::text from orbit_private.context_entry where secret")
    assert {entry["name"] for entry in entries} == {"access_token", "user"}
    assert all(entry["value"].startswith('"orbit.seal.v1.') for entry in entries)


async def test_a_worker_without_the_key_says_so(bench: Bench, fleet: Fleet, target: Target) -> None:
    from orbit_context.context import secret_place
    from orbit_context.seal import Sealer

    tests = {"plain": {"request": "/echo?{{password}}"}}
    os.environ["ORBIT_SECRET_KEY"] = bench.command.key
    try:
        sealer = Sealer.from_environment()
    finally:
        del os.environ["ORBIT_SECRET_KEY"]
    run_id = "5b7d6d39-0c9e-4b4c-9d68-0123456789ab"
    sealed = sealer.seal("s3cret", aad=secret_place(run_id, "password"))
    await fleet.start("keyless", lease=LEASE, keyless=True)
    run = await bench.start(
        tests,
        base_url=target.url(""),
        suite_variables={"password": {"value": None, "secret": True}},
        run_id=run_id,
        secrets={"password": sealed},
    )
    done = await bench.finished(run)
    assert done.status == "errored"
    (result,) = await bench.orbit.runs.results(run.id)
    assert result.reason is not None
    assert "password is secret, and this worker has no key" in result.reason
    assert target.requests == []


async def test_a_cancelled_run_is_forgotten_by_those_who_worked_for_it(bench: Bench) -> None:
    hold = asyncio.Event()

    async def behave(key: str, attempt: int) -> Outcome:
        await hold.wait()
        return Outcome("passed", 0.0)

    run = await bench.start({f"t{n}": {"request": "/x"} for n in range(30)})
    scripts = [Scripted(behave), Scripted(behave)]
    both = [bench.work(script, slots=3, heartbeat=5) for script in scripts]
    await until(lambda: all(len(script.calls) == 3 for script in scripts))
    for worker in both:
        worker._look_up()  # so that both are listening
    async with bench.database.connect() as connection:
        # The last that a heart says in a beat, after it has begun to listen.
        listening = (
            "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
            " and query ~ 'orbit_runner.(tick|start_due)' and state = 'idle'"
        )
        await counted(connection, listening, 2)
    began = asyncio.get_running_loop().time()
    await bench.orbit.runs.cancel(run.id)
    assert (await bench.finished(run)).status == "cancelled"
    assert asyncio.get_running_loop().time() - began < 2  # told, not found out at the next beat in five seconds
    await bench.check_whole(run)
    await until(
        lambda: all(not worker._states and not worker._known and not worker._held for worker in both), within=12
    )
