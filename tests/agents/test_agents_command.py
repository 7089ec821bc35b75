"""`orbit worker` as a process: what it takes, how it goes, and what it says meanwhile."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING, Any

import pytest
from support.bench import until
from support.command import OrbitCommand, finished, line_with

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.bench import Bench
    from support.command import Process
    from support.fleet import Fleet
    from support.line import DatabaseLine
    from support.postgres import Database
    from support.target import Target


@pytest.fixture
async def runner(runner_login: str, orbit: OrbitCommand, tmp_path: Path) -> AsyncIterator[OrbitCommand]:
    """The command with an account that is a runner's."""
    async with OrbitCommand(runner_login, tmp_path, key=orbit.key) as command:
        yield command


async def event(process: Process, name: str) -> dict[str, Any]:
    """Reads standard output, a JSON object a line, up to this event."""
    while True:
        line = json.loads(await line_with(process.stdout, '"event"'))
        assert {"at", "event", "worker"} <= set(line)
        if line["event"] == name:
            return dict(line)


async def test_absurd_values_are_one_clear_error(runner: OrbitCommand, database: Database) -> None:
    limit = asyncio.Semaphore(3)

    async def refused(*arguments: str, named: str, **environment: str) -> None:
        async with limit:
            done = await runner("worker", *arguments, **environment)
        assert done.code == 4, (arguments, done)
        assert done.stderr.count("error:") == 1, done.stderr
        assert "hint:" in done.stderr or "a duration is" in done.stderr, done.stderr
        assert named in done.stderr, done.stderr
        assert "Traceback" not in done.stderr

    await asyncio.gather(
        refused("--slots", "0", named="--slots"),
        refused("--slots", "10001", named="--slots"),
        refused("--slots", "many", named="--slots"),
        refused("--name", "", named="name"),
        refused("--name", "a\nb", named="name"),
        refused("--name", "n" * 201, named="name"),
        refused("--capability", "Docker", named="capability"),
        refused("--capability", "", named="capability"),
        refused("--drain-timeout", "0", named="--drain-timeout"),
        refused("--drain-timeout", "soon", named="--drain-timeout"),
        refused("--max-tests", "0", named="--max-tests"),
        refused("--token", "forged", named="token"),
        refused(named="token", ORBIT_WORKER_TOKEN="orbit_worker_" + "0" * 64),
    )
    assert database.fetch("select name from orbit_private.worker") == []


async def test_a_token_is_shown_to_nobody(
    runner: OrbitCommand, orbit: OrbitCommand, bench: Bench, database: Database
) -> None:
    await bench.start({"a": {"request": "/item/1"}})  # makes the organisation `default`
    made = await orbit("agent-token", "create", "lab", "--capability", "docker")
    token = made.stdout.strip()
    assert token.startswith("orbit_worker_"), made
    process = await runner.start(
        "worker", "--json", "--name", "lab-1", "--capability", "docker", ORBIT_WORKER_TOKEN=token
    )
    serving = await event(process, "serving")
    assert serving["capabilities"] == ["docker", "http"]
    again = await runner("worker", "--name", "lab-1", ORBIT_WORKER_TOKEN=token)
    assert again.code == 4
    assert "lab-1 already" in again.stderr
    beyond = await runner("worker", "--capability", "ios", ORBIT_WORKER_TOKEN=token)
    assert beyond.code == 4
    assert "ios" in beyond.stderr
    configured = await orbit("config", "show", ORBIT_WORKER_TOKEN=token)
    listed = await orbit("agent-token", "list")
    assert "lab" in listed.stdout
    # Revoked, it ends at its next heartbeat, and says why.
    revoked = await orbit("agent-token", "revoke", "lab")
    assert revoked.code == 0
    done = await finished(process)
    assert done.code == 4
    assert "token is not valid" in done.stderr
    told = json.dumps(serving) + "".join(
        one.stdout + one.stderr for one in (again, beyond, configured, listed, revoked, done)
    )
    assert token not in told
    assert token[21:] not in json.dumps(
        [dict(row) for row in database.fetch("select * from orbit.audit_log")], default=str
    )


async def test_an_installation_that_requires_tokens(runner: OrbitCommand, orbit: OrbitCommand) -> None:
    assert "no token" in (await orbit("agent-token", "require")).stdout
    assert (await orbit("agent-token", "require", "on")).code == 0
    done = await runner("worker", "--once")
    assert done.code == 4
    assert "orbit agent-token create" in done.stderr
    assert (await orbit("worker", "--once")).code == 0  # who runs the database
    assert (await orbit("agent-token", "require", "off", "--json")).json["tokens_required"] is False
    assert (await runner("worker", "--once")).code == 0


async def test_it_drains_at_the_first_signal(
    runner: OrbitCommand, bench: Bench, target: Target, database: Database
) -> None:
    process = await runner.start("worker", "--json", "--name", "drainer", "--slots", "2")
    await event(process, "serving")
    run = await bench.start(
        {"a": {"request": "/hold"}, "b": {"needs": ["a"], "request": "/item/1"}}, base_url=target.url("")
    )
    taken = await event(process, "run_taken")
    assert taken["run_id"] == str(run.id)
    await target.until(lambda: "/hold" in target.paths())
    process.send_signal(signal.SIGTERM)
    await event(process, "draining")
    draining = "select draining from orbit_private.worker where name = 'drainer'"
    await until(lambda: database.fetch(draining)[0][0])
    target.release.set()
    assert (await event(process, "run_left"))["tests"] == {"passed": 1}
    assert (await finished(process)).code == 0
    assert "/item/1" not in target.paths()  # it took nothing more
    assert database.fetch("select name from orbit_private.worker where name = 'drainer'") == []
    assert (await runner("worker", "--once")).code == 0  # another one does the rest
    assert (await bench.finished(run)).status == "passed"


@pytest.mark.parametrize("again", [True, False])
async def test_it_hands_back_when_told_twice_or_when_draining_takes_too_long(
    again: bool, runner: OrbitCommand, bench: Bench, target: Target, database: Database
) -> None:
    process = await runner.start("worker", "--drain-timeout", "1h" if again else "0.3")
    await line_with(process.stderr, "serves")
    run = await bench.start({"a": {"request": {"GET": "/hold", "timeout": "60s"}}}, base_url=target.url(""))
    await line_with(process.stderr, f"takes part in run {run.id}")
    await target.until(lambda: "/hold" in target.paths())
    process.send_signal(signal.SIGINT)
    await line_with(process.stderr, "finishing what is running")
    if again:
        process.send_signal(signal.SIGINT)
    done = await finished(process)
    assert done.code == 2, done
    assert "handing back what still runs" in done.stderr
    [job] = database.fetch("select state, losses, previous_attempts::text as before from orbit_private.job")
    assert (job["state"], json.loads(job["before"])[0]["status"]) == (1, "returned")
    target.release.set()
    assert (await runner("worker", "--once")).code == 0
    assert (await bench.finished(run)).status == "passed"


async def test_once_it_does_what_there_is(runner: OrbitCommand, bench: Bench, target: Target) -> None:
    assert (await runner("worker", "--once")).code == 0
    tests = {f"t{number}": {"needs": [f"t{number - 1}"] if number else [], "request": "/item/1"} for number in range(5)}
    runs = [await bench.start(tests, base_url=target.url("")) for _ in range(3)]
    done = await runner("worker", "--once", "--slots", "2", "--json")
    assert done.code == 0, done.stderr
    for run in runs:
        assert (await bench.finished(run)).status == "passed"
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(line["run_id"] for line in lines if line["event"] == "run_left") == sorted(
        str(run.id) for run in runs
    )
    assert [line["tests"] for line in lines if line["event"] == "run_left"] == [{"passed": 5}] * 3
    assert lines[-1]["event"] == "ended"


async def test_it_ends_after_so_many_tests(runner: OrbitCommand, bench: Bench, target: Target) -> None:
    run = await bench.start({f"t{number}": {"request": "/item/1"} for number in range(20)}, base_url=target.url(""))
    done = await runner("worker", "--max-tests", "3", "--slots", "10")
    assert done.code == 0, done.stderr
    taken = len(target.requests)
    assert 3 <= taken < 6  # what it held by then is finished
    assert (await bench.orbit.runs.get(run.id)).status == "running"


async def test_a_group_is_set_up_once_by_a_command(
    runner: OrbitCommand, bench: Bench, target: Target, tmp_path: Path
) -> None:
    tests = {f"t{number}": {"request": "/item/1"} for number in range(6)}
    runs = [await bench.start(tests, base_url=target.url(""), group="v1") for _ in range(2)]
    log = tmp_path / "set-up.log"
    command = f'echo "$ORBIT_GROUP $ORBIT_GROUP_PROJECT ${{ORBIT_DATABASE_URL-}}${{ORBIT_SECRET_KEY-}}." >> {log}'
    process = await runner.start("worker", "--group-setup", command, "--slots", "2")
    for run in runs:
        assert (await bench.finished(run)).status == "passed"
    process.send_signal(signal.SIGTERM)
    assert (await finished(process)).code == 0
    assert log.read_text() == "v1 default .\n"  # and nothing of what is the worker's own


async def test_a_group_that_cannot_be_set_up_ends_its_runs(runner: OrbitCommand, bench: Bench) -> None:
    run = await bench.start({"a": {"request": "/item/1"}}, group="v2")
    process = await runner.start("worker", "--group-setup", "echo no such build >&2; exit 7")
    done = await bench.finished(run)
    assert done.status == "cancelled"
    assert "ended with 7" in str(done.reason)
    process.send_signal(signal.SIGTERM)
    ended = await finished(process)
    assert "no such build" in ended.stderr
    assert "could not be set up" in ended.stderr


async def test_a_set_up_that_hangs_is_ended(runner: OrbitCommand, bench: Bench) -> None:
    run = await bench.start({"a": {"request": "/item/1"}}, group="v3")
    process = await runner.start("worker", "--group-setup", "sleep 1000", "--group-setup-timeout", "0.2")
    done = await bench.finished(run)
    assert done.status == "cancelled"
    assert "took longer than 0.2 s" in str(done.reason)
    process.send_signal(signal.SIGTERM)
    assert (await finished(process)).code == 0


async def test_it_tells_of_an_outage_once(
    orbit: OrbitCommand, bench: Bench, line: DatabaseLine, target: Target, database: Database, fleet: Fleet
) -> None:
    await fleet.start("patient", dsn=line.dsn)
    for outage in (1, 2):
        line.cut()
        refused = line.refused
        await until(lambda: fleet.log("patient").count("trying again") == outage)  # noqa: B023
        await until(lambda: line.refused > refused + 5)  # noqa: B023
        line.mend()
        await until(lambda: fleet.log("patient").count("is back after") == outage)  # noqa: B023
        # The heartbeat's own connection finds out later: that is no second outage.
        seen = "select seen_at from orbit_private.worker where name = 'patient'"
        [before] = database.fetch(seen)
        await until(lambda: database.fetch(seen) != [before])  # noqa: B023
        [before] = database.fetch(seen)
        await until(lambda: database.fetch(seen) != [before])  # noqa: B023
        assert fleet.log("patient").count("trying again") == outage, fleet.log("patient")
    run = await bench.start({"a": {"request": "/item/1"}}, base_url=target.url(""))
    assert (await bench.finished(run)).status == "passed"
    log = fleet.log("patient")
    assert log.count("is back after") == 2
    assert "password" not in log
    assert database.dsn.partition("://")[2].partition("@")[0] not in log


async def test_work_is_shared_in_proportion_to_slots(
    orbit: OrbitCommand, bench: Bench, target: Target, database: Database, fleet: Fleet
) -> None:
    """Tests take equally long, so that shares follow slots; and nobody ever has more than its slots."""
    slots = {"one": 1, "two": 2, "three": 3, "six": 6}
    for name, count in slots.items():
        await fleet.start(name, count)
    tests = {f"t{number}": {"request": "/slow?seconds=0.25"} for number in range(240)}
    run = await bench.start(tests, base_url=target.url(""))
    most: dict[str, int] = {}
    names = {row["id"]: row["name"] for row in database.fetch("select id, name from orbit_private.worker")}
    while not (await bench.orbit.runs.get(run.id)).finished_at:
        for row in database.fetch(
            "select worker_id, count(*)::int as n from orbit_private.job where state = 2 group by 1"
        ):
            name = names[row["worker_id"]]
            most[name] = max(most.get(name, 0), row["n"])
    assert most.keys() == slots.keys()
    assert all(most[name] <= count for name, count in slots.items()), most
    rows = database.fetch("select worker_id, count(*)::int as n from orbit.test_results group by worker_id")
    shares = {names[row["worker_id"]]: row["n"] for row in rows}
    assert sum(shares.values()) == 240
    for name, count in slots.items():
        assert 0.6 <= shares[name] / (240 * count / 12) <= 1.6, shares
