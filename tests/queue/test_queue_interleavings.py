"""Races, one step at a time: a session goes so far, another runs into it, the first goes on. What is waited for is the
condition that the server shows (blocked by that very session), never a time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from support.queue import Queue, Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Coroutine

    from support.postgres import Database


class Stage:
    """Sessions of one test, and what they wait for."""

    def __init__(self, database: Database, watch: asyncpg.Connection[Any]) -> None:
        self._database = database
        self._watch = watch
        self._open: list[asyncpg.Connection[Any]] = []

    async def session(self) -> Queue:
        connection = await asyncpg.connect(self._database.dsn)
        self._open.append(connection)
        return Queue(connection)

    async def worker(self, name: str = "w") -> Worker:
        return await (await self.session()).worker(name)

    async def blocked(self, blocked: Queue | Worker, work: Awaitable[Any], by: Queue | Worker) -> asyncio.Task[Any]:
        """Starts `work` and returns it once the server says that it waits for the session `by`."""
        task = asyncio.ensure_future(work)
        waiting, holding = (side.connection.get_server_pid() for side in (blocked, by))
        async with asyncio.timeout(10):
            while not await self._watch.fetchval("select $2 = any (pg_blocking_pids($1))", waiting, holding):
                assert not task.done(), f"did not wait: {task.result()}"
        return task

    async def close(self) -> None:
        for connection in self._open:
            connection.terminate()


@pytest.fixture
async def stage(database: Database) -> AsyncIterator[Stage]:
    async with database.connect() as watch:
        stage = Stage(database, watch)
        try:
            yield stage
        finally:
            await stage.close()


@asynccontextmanager
async def step(session: Queue | Worker) -> AsyncIterator[None]:
    """What is done inside is committed at its end."""
    async with session.connection.transaction():
        yield


async def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of what must not wait for anybody."""
    async with asyncio.timeout(10):
        return await work


async def test_claim_and_claim(queue: Queue, stage: Stage) -> None:
    await queue.save({"a": [], "b": [], "c": []})
    await queue.start()
    one, two = await stage.worker("one"), await stage.worker("two")
    async with step(one):
        first = await one.claim(2)
        # Two are taken and not committed: the other gets the third, and waits at the end alone, for the run's counters.
        task = await stage.blocked(two, two.claim(3), by=one)
    second = await task
    assert sorted(job.position for job in first + second) == [0, 1, 2]
    assert len(first) == 2
    await queue.check()


async def test_two_parents_of_one_child_end_at_once(queue: Queue, stage: Stage) -> None:
    await queue.save({"a": [], "b": [], "child": ["a", "b"]})
    run = await queue.start()
    one, two = await stage.worker("one"), await stage.worker("two")
    [a], [b] = await one.claim(1), await two.claim(1)
    async with step(one):
        assert (await one.advance([a.ended("passed")], want=5)).jobs == []
        task = await stage.blocked(two, two.advance([b.ended("passed")], want=5), by=one)
    assert [job.position for job in (await task).jobs] == [2], "whoever comes last releases the child"
    await queue.check()
    assert (await queue.run(run))["counts"]["passed"] == 2


@pytest.mark.parametrize("statuses", [("failed", "passed"), ("passed", "failed"), ("failed", "failed")])
async def test_parents_of_one_child_end_at_once_and_one_does_not_pass(
    queue: Queue, stage: Stage, statuses: tuple[str, str]
) -> None:
    await queue.save({"a": [], "b": [], "child": ["a", "b"], "clean": {"always": True, "needs": ["child", "a", "b"]}})
    run = await queue.start()
    one, two = await stage.worker("one"), await stage.worker("two")
    [a], [b] = await one.claim(1), await two.claim(1)
    async with step(one):
        await one.advance([a.ended(statuses[0])], want=5)
        task = await stage.blocked(two, two.advance([b.ended(statuses[1])], want=5), by=one)
    await task
    await queue.check()
    await (await queue.worker()).run_to_end()
    left = await two.held()
    assert len(left) == 1
    await two.advance([task.result().jobs[0].ended("passed")])
    assert await queue.statuses(run) == {"a": statuses[0], "b": statuses[1], "child": "skipped", "clean": "passed"}
    await queue.check_events(run)


WITHOUT_THE_LOCK_PASS = """
    select replace(replace(pg_get_functiondef('orbit_runner.advance'::regproc), 'order by j.id for update', ''),
                   'for key share', '')
"""
ARITHMETIC_ON_WHAT_WAS_READ = """
    create or replace function orbit_private.release(p_ids bigint[], out ready bigint[])
    language plpgsql set search_path = '' as $$
    begin
      with given as (select j.id as id, j.pending - 1 as left_over from orbit_private.job j where j.id = any (p_ids)),
      freed as (
        update orbit_private.job j set pending = g.left_over, state = case when g.left_over <= 0 then 1 else 0 end
          from given g where j.id = g.id and j.state = 0 returning j.id, j.lane, j.rank, j.state),
      listed as (insert into orbit_private.ready (lane, rank, job_id) select f.lane, f.rank, f.id from freed f where f.state = 1)
      select array_agg(f.id) into ready from freed f where f.state = 1;
    end $$
"""


async def test_without_the_lock_pass_the_same_interleaving_loses_the_child(queue: Queue, stage: Stage) -> None:
    """The form that is wrong, so that it stays known that the tests above can tell."""
    await queue.connection.execute(await queue.connection.fetchval(WITHOUT_THE_LOCK_PASS))
    await queue.connection.execute(ARITHMETIC_ON_WHAT_WAS_READ)
    await queue.save({"a": [], "b": [], "child": ["a", "b"]})
    await queue.start()
    one, two = await stage.worker("one"), await stage.worker("two")
    [a], [b] = await one.claim(1), await two.claim(1)
    async with step(one):
        await one.advance([a.ended("passed")], want=5)
        task = await stage.blocked(two, two.advance([b.ended("passed")], want=5), by=one)
    await task
    with pytest.raises(AssertionError, match="pending"):
        await queue.check()


async def test_finish_and_reap_the_report_comes_first(queue: Queue, stage: Stage) -> None:
    await queue.save({"a": [], "b": ["a"]})
    run = await queue.start()
    worker, keeper = await stage.worker(), await stage.session()
    [a] = await worker.claim(1)
    async with step(worker):
        await worker.advance([a.ended("passed")])
        # Whoever speaks is alive: the housekeeper passes it over, and waits for nobody.
        assert await at_once(keeper.tick(now="1 minute")) == {"late": 0, "expired": 0}
    assert await queue.statuses(run) == {"a": "passed"}
    await queue.check()


async def test_finish_and_reap_the_reaper_comes_first(queue: Queue, stage: Stage) -> None:
    await queue.save({"a": [], "b": ["a"]})
    run = await queue.start()
    worker, keeper = await stage.worker(), await stage.session()
    [a] = await worker.claim(1)
    async with step(keeper):
        assert (await keeper.tick(now="1 minute"))["lost"] == 1
        task = await stage.blocked(worker, worker.advance([a.ended("passed")], want=5), by=keeper)
    answer = await task
    assert answer.stale == [(a.id, 1)]
    assert answer.unknown
    assert await queue.statuses(run) == {}
    assert (await queue.jobs(run))["a"]["losses"] == 1
    await queue.check()


async def test_finish_and_reap_that_is_undone(queue: Queue, stage: Stage) -> None:
    await queue.save({"a": []})
    run = await queue.start()
    worker, keeper = await stage.worker(), await stage.session()
    [a] = await worker.claim(1)
    transaction = keeper.connection.transaction()
    await transaction.start()
    await keeper.tick(now="1 minute")
    task = await stage.blocked(worker, worker.advance([a.ended("passed")]), by=keeper)
    await transaction.rollback()
    assert (await task).done == {run["queue_no"]: "passed"}
    await queue.check()


async def test_cancel_and_claim_the_claim_comes_first(queue: Queue, stage: Stage) -> None:
    await queue.save({"a": [], "b": []})
    run = await queue.start()
    worker, canceller = await stage.worker(), await stage.session()
    async with step(worker):
        [a] = await worker.claim(1)
        task = await stage.blocked(canceller, canceller.cancel(run), by=worker)
    assert (await task)["status"] == "cancelling"
    assert await queue.statuses(run) == {"b": "cancelled"}
    await queue.check()
    assert (await worker.advance([a.ended("cancelled")])).done == {run["queue_no"]: "cancelled"}
    await queue.check_events(run)


async def test_cancel_and_claim_the_cancel_comes_first(queue: Queue, stage: Stage) -> None:
    await queue.save({"a": [], "b": []})
    run, other = await queue.start(), await queue.start()
    worker, canceller = await stage.worker(), await stage.session()
    async with step(canceller):
        assert (await canceller.cancel(run))["status"] == "cancelled"
        jobs = await at_once(worker.claim(5))
        assert {job.queue_no for job in jobs} == {other["queue_no"]}, "what is being cancelled is passed over"
    await queue.check()
    assert await queue.statuses(run) == {"a": "cancelled", "b": "cancelled"}


async def test_cancel_and_finish_the_report_comes_first(queue: Queue, stage: Stage) -> None:
    await queue.save({"a": [], "b": ["a"], "c": ["b"]})
    run = await queue.start()
    worker, canceller = await stage.worker(), await stage.session()
    [a] = await worker.claim(1)
    async with step(worker):
        [b] = (await worker.advance([a.ended("passed")], want=1)).jobs
        task = await stage.blocked(canceller, canceller.cancel(run), by=worker)
    await task
    assert await queue.statuses(run) == {"a": "passed", "c": "cancelled"}
    assert (await worker.advance([b.ended("passed")])).done == {run["queue_no"]: "cancelled"}
    await queue.check()
    await queue.check_events(run)


async def test_cancel_and_finish_the_cancel_comes_first(queue: Queue, stage: Stage) -> None:
    await queue.save({"a": [], "b": ["a"], "c": ["b"]})
    run = await queue.start()
    worker, canceller = await stage.worker(), await stage.session()
    [a] = await worker.claim(1)
    async with step(canceller):
        await canceller.cancel(run)
        task = await stage.blocked(worker, worker.advance([a.ended("passed")], want=1), by=canceller)
    answer = await task
    assert (answer.done, answer.jobs) == ({run["queue_no"]: "cancelled"}, [])
    assert await queue.statuses(run) == {"a": "passed", "b": "cancelled", "c": "cancelled"}
    await queue.check()
    await queue.check_events(run)


async def test_fail_fast_and_the_release_of_clean_up(queue: Queue, stage: Stage) -> None:
    """One failure ends the run while another report is about to release clean-up."""
    always = {"always": True}
    await queue.save({"fails": [], "runs": [], "waits": ["runs"], "clean": always | {"needs": ["runs", "waits"]}})
    run = await queue.start(fail_fast=True)
    one, two = await stage.worker("one"), await stage.worker("two")
    [fails], [runs] = await one.claim(1), await two.claim(1)
    async with step(one):
        await one.advance([fails.ended("failed")], want=5)
        task = await stage.blocked(two, two.advance([runs.ended("passed")]), by=one)
    await task
    await queue.check()
    assert [job.position for job in await two.claim(5)] == [3]
    assert await queue.statuses(run) == {"fails": "failed", "runs": "passed", "waits": "skipped"}


async def test_fail_fast_while_clean_up_that_must_not_run_is_locked(queue: Queue, stage: Stage) -> None:
    """Its requirement is skipped by one session while another has the clean-up itself locked: it is skipped as well, later."""
    await queue.save(
        {
            "fails": [],
            "runs": [],
            "waits": [],
            "clean": {"always": True, "needs": [("runs", "data"), ("waits", "data")]},
        }
    )
    run = await queue.start(fail_fast=True)
    one, two = await stage.worker("one"), await stage.worker("two")
    [fails], [runs] = await one.claim(1), await two.claim(1)
    async with step(two):
        await two.connection.fetch("select from orbit_private.job where id = $1 for update", runs.id + 2)
        await at_once(one.advance([fails.ended("failed")]))
        assert await queue.statuses(run) == {"fails": "failed", "waits": "skipped"}
    answer = await two.advance([runs.ended("passed")], want=5)
    assert answer.done == {run["queue_no"]: "failed"}
    assert (await queue.statuses(run))["clean"] == "skipped"
    await queue.check()


async def test_put_context_and_finish_the_value_comes_first(queue: Queue, stage: Stage) -> None:
    await queue.save({"a": []})
    run = await queue.start()
    worker, writer = await stage.worker(), await stage.session()
    [a] = await worker.claim(1)
    async with step(writer):
        await writer.put(run, {"kind": "variable", "name": "x", "value": 1})
        task = await stage.blocked(
            worker,
            worker.advance([a.ended("passed", captures=[{"name": "x", "value": 2, "share": "variable"}])]),
            by=writer,
        )
    assert (await task).done
    assert (await queue.context(run))["shared_variables"] == {"x": 2}
    await queue.check_events(run)


async def test_put_context_and_finish_the_run_ends_first(queue: Queue, stage: Stage) -> None:
    await queue.save({"a": []})
    run = await queue.start()
    worker, writer = await stage.worker(), await stage.session()
    [a] = await worker.claim(1)
    async with step(worker):
        await worker.advance([a.ended("passed")])
        task = await stage.blocked(writer, writer.put(run, {"kind": "variable", "name": "x", "value": 1}), by=worker)
    with pytest.raises(asyncpg.PostgresError) as error:
        await task
    assert error.value.sqlstate == "OR004"
    assert (await queue.context(run))["shared_variables"] == {}
    await queue.check_events(run)


async def test_save_and_start(queue: Queue, stage: Stage) -> None:
    """A start that meets a save waits for it: a version's dependencies are never those of another."""
    await queue.save({"a": [], "b": ["a"]})
    saver, starter = await stage.session(), await stage.session()
    async with step(saver):
        saved = await saver.save({"a": ["b"], "b": []})
        task = await stage.blocked(starter, starter.start(), by=saver)
    run = await task
    assert run["version_id"] == saved["version_id"]
    assert (await queue.jobs(run))["b"]["state"] == 1
    assert (await queue.jobs(run))["a"]["state"] == 0


async def test_a_claim_does_not_wait_for_a_job_that_somebody_has_locked(queue: Queue, stage: Stage) -> None:
    await queue.save({"a": [], "b": []})
    run = await queue.start()
    worker, other = await stage.worker(), await stage.session()
    async with step(other):
        await other.connection.fetch("select from orbit_private.job where id = $1 for update", run["queue_no"] << 20)
        assert [job.position for job in await at_once(worker.claim(5))] == [1]
    assert [job.position for job in await worker.claim(5)] == [0]
    await queue.check()


async def test_a_run_is_cancelled_while_somebody_has_a_ready_job_locked(queue: Queue, stage: Stage) -> None:
    await queue.save({"a": [], "b": []})
    run = await queue.start()
    worker, other = await stage.worker(), await stage.session()
    async with step(other):
        await other.connection.fetch("select from orbit_private.job where id = $1 for update", run["queue_no"] << 20)
        assert (await at_once(queue.cancel(run)))["status"] == "cancelling"
    await queue.check()
    answer = await worker.advance(want=5)
    assert (answer.jobs, answer.done) == ([], {run["queue_no"]: "cancelled"})
    await queue.check_events(run)
