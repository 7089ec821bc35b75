"""Ways in which a review found the engine to stand still, to leak room, or to be in its own way; each closed."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from orbit_runner.worker import Worker as Runner
from support.queue import Queue, Worker, retry
from support.tenants import Tenants

from orbit_context.gateway.runner import RunnerGateway

if TYPE_CHECKING:
    from support.postgres import Database

    from orbit_context.gateway.runner import Advance


@pytest.fixture
def queue(connection: asyncpg.Connection[Any]) -> Queue:
    return Queue(connection)


def groups(answer: Any) -> list[int]:
    return [row["job_id"] for row in answer.rows if row["kind"] == "group"]


async def set_up(worker: Worker, want: int = 5) -> int:
    """Takes the group that it is offered, and is ready for it."""
    (lane,) = groups(await worker.advance(want=want))
    assert await worker.connection.fetchval("select orbit_runner.group_ready($1, $2, true)", worker.id, lane)
    return lane


# Groups -----------------------------------------------------------------------------------------------------------------


async def test_a_group_of_which_everything_is_put_off_is_taken_again(queue: Queue) -> None:
    await queue.save({"flaky": retry(2)})
    run = await queue.start(group="v1")
    worker = await queue.worker(slots=5)
    lane = await set_up(worker)
    (job,) = await worker.claim(5)
    await worker.advance([job.ended("failed", retryable=True)])
    await worker.retire()
    heir = await queue.worker(slots=5)
    assert groups(await heir.advance(want=5)) == []  # its back-off is not over
    await queue.make_due()
    assert await set_up(heir) == lane
    await heir.run_to_end(batch=5)
    assert await queue.statuses(run) == {"flaky": "passed_on_retry"}


async def test_whoever_has_a_group_does_not_leave_it_for_another_when_a_retry_is_due(queue: Queue) -> None:
    await queue.save({"flaky": retry(2)})
    run = await queue.start(group="v1")
    worker = await queue.worker(slots=5)
    await set_up(worker)
    (job,) = await worker.claim(5)
    await worker.advance([job.ended("failed", retryable=True)])
    await queue.start(group="v2")
    await queue.make_due()
    answer = await worker.advance(want=5)
    assert ([job.queue_no for job in answer.jobs], groups(answer)) == ([run["queue_no"]], [])


async def test_a_worker_that_drains_keeps_no_group(queue: Queue) -> None:
    await queue.save({"long": [], "next": []})
    run = await queue.start(group="v1")
    leaving, staying = await queue.worker(slots=1), await queue.worker(slots=1)
    lane = await set_up(leaving, want=1)
    (long,) = await leaving.claim(1)
    assert groups(await staying.advance(want=1)) == []
    await queue.connection.execute("select orbit_runner.drain_worker($1)", leaving.id)
    assert await set_up(staying, want=1) == lane
    await staying.run_to_end(batch=1)
    await leaving.advance([long.ended("passed")])
    assert await queue.statuses(run) == {"long": "passed", "next": "passed"}


# Locks ------------------------------------------------------------------------------------------------------------------


async def test_batches_that_ask_for_the_same_in_another_order_do_not_wait_for_each_other(
    queue: Queue, database: Database
) -> None:
    for key, capability in (("one", "docker"), ("two", "android")):
        await queue.save({"a": {"requires": [capability]}}, key=key)
        await queue.start(suite=key)
    async with database.connect() as first, database.connect() as second:
        await second.execute("set lock_timeout = '10s'")
        begun, other = first.transaction(), second.transaction()
        await begun.start()
        await other.start()
        await Queue(first).start(suite="one")
        await Queue(second).start(suite="two")
        await asyncio.gather(Queue(first).start(suite="two"), Queue(second).start(suite="one"))
        await begun.commit()
        await other.commit()
    await queue.check()


async def test_a_start_keeps_nobody_from_claiming_in_its_organisation(queue: Queue, database: Database) -> None:
    await queue.save({"a": [], "b": []})
    await queue.save({"off": {"skip": "broken"}, "on": []}, key="half")
    await queue.connection.execute(
        "select orbit_private.set_gate((select id from orbit.organizations), 'organization', '', 9, null, null)"
    )
    await queue.start()
    async with database.connect() as other:
        await queue.connection.execute("set lock_timeout = '10s'")
        transaction = other.transaction()
        await transaction.start()
        await Queue(other).start(suite="half", concurrency=1)
        assert len(await (await queue.worker()).claim(2)) == 2
        await transaction.commit()


async def test_schedules_do_not_wait_for_a_suite_that_somebody_has_locked(queue: Queue, database: Database) -> None:
    await queue.save({"a": []})
    await queue.call("save_schedule", {"name": "s", "suite": "suite", "kind": "interval", "every": 60})
    due = "select orbit_runner.start_due(10, clock_timestamp() + interval '61 seconds')::text"
    async with database.connect() as other:
        await queue.connection.execute("set statement_timeout = '10s'")
        transaction = other.transaction()
        await transaction.start()
        await other.execute("select from orbit.test_suites for update")
        assert json.loads(await queue.connection.fetchval(due))["started"] == 0
        await transaction.rollback()
    later = due.replace("61", "63")
    assert json.loads(await queue.connection.fetchval(later))["started"] == 1


async def test_a_worker_takes_a_breath_where_others_have_locked_what_is_ready(
    queue: Queue, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await queue.save({"a": []})
    run = await queue.start()
    asked, most, breathed = 0, 0, asyncio.Event()
    advance, woken = RunnerGateway.advance, Runner._woken

    async def counted(self: RunnerGateway, *arguments: Any) -> Advance:
        nonlocal asked, most
        asked += 1
        most = max(most, asked)
        if asked > 20:
            breathed.set()
        return await advance(self, *arguments)

    async def waited(self: Runner, seconds: float) -> None:
        nonlocal asked
        asked = 0
        breathed.set()
        await woken(self, seconds)

    monkeypatch.setattr(RunnerGateway, "advance", counted)
    monkeypatch.setattr(Runner, "_woken", waited)
    async with database.connect() as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("select from orbit_private.job for update")

        def never(_: Any) -> Any:
            raise AssertionError("nothing is executed here")

        work = asyncio.create_task(Runner(database.dsn, slots=2, executors=never).run())
        await asyncio.wait_for(breathed.wait(), 30)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await transaction.rollback()
    assert most <= 20
    assert (await queue.run(run))["status"] == "queued"


# Room, and names ---------------------------------------------------------------------------------------------------------


async def test_what_is_deleted_leaves_no_use_of_a_gate(queue: Queue) -> None:
    await queue.save({f"t{n}": [] for n in range(4)})
    await queue.connection.execute(
        "select orbit_private.set_gate((select id from orbit.organizations), 'organization', '', 2, null, null)"
    )
    gone = await queue.start(concurrency=3)
    worker = await queue.worker()
    assert len(await worker.claim(4)) == 2
    await queue.connection.execute("delete from orbit.test_runs where id = $1::text::uuid", gone["id"])
    for what in ("gate_use", "parked", "gate where kind = 'run'"):
        assert await queue.connection.fetchval(f"select count(*) from orbit_private.{what}") == 0, what
    await queue.start()
    assert len(await worker.claim(4)) == 2


async def test_the_first_worker_token_ends_no_worker_that_has_a_name(queue: Queue) -> None:
    old = await queue.worker("lab")
    await queue.save({"a": []})
    await queue.call("create_agent_token", {"name": "first"})
    assert (await old.heartbeat())[0] is False
    new = await queue.worker("lab")
    assert (await new.heartbeat())[0] is True
    assert len(await new.claim(1)) == 0
    with pytest.raises(asyncpg.PostgresError) as twice:
        await queue.worker("lab")
    assert twice.value.sqlstate == "OR004"


# Other people's secrets --------------------------------------------------------------------------------------------------


async def test_a_dead_letter_gives_nobody_what_somebody_else_was_trusted_with(
    connection: asyncpg.Connection[Any],
) -> None:
    tenants = await Tenants.on(connection)
    await tenants.organization("acme", owner="olga", editor="ed", admin="adam")
    await tenants.project("acme", "website")
    suite = {"project": "website", "key": "s", "dependencies": []}
    suite["document"] = {"suite": "s", "tests": [{"key": "a", "request": {"url": "http://shop.example/"}}]}
    await tenants.call_as("ed", "save_suite", suite)
    request = {"project": "website", "suite": "s", "secrets": {"password": "orbit.seal.v1.AAAAAAAA." + "A" * 40}}
    letters = []
    for _ in range(2):
        run = await tenants.call_as("olga", "start_run", request)
        letters.append(
            await connection.fetchval(
                "insert into orbit.dead_letters (project_id, run_id, test_case_id, position, attempts)"
                " select r.project_id, r.id, v.test_case_ids[1], 0, 3 from orbit.test_runs r"
                " join orbit.test_suite_versions v on v.id = r.version_id where r.id = $1::text::uuid returning id::text",
                run["id"],
            )
        )
    assert await tenants.refused("ed", "replay_dead_letters", {"ids": [letters[0]]}) == "OR003"
    for person, letter in (("olga", letters[0]), ("adam", letters[1])):
        answer = await tenants.call_as(person, "replay_dead_letters", {"ids": [letter]})
        assert [one["key"] for one in answer["replayed"]] == ["a"]
