"""Cancellation, deadlines, workers that are lost or sign off. Time is told to tick(), never waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.queue import retry

if TYPE_CHECKING:
    from support.postgres import Database
    from support.queue import Queue

LATER = "1 minute"


# -- cancel ----------------------------------------------------------------------------------------------------------------


async def test_a_queued_run_is_cancelled_at_once(queue: Queue) -> None:
    await queue.save({"a": [], "b": ["a"], "clean": {"always": True, "needs": ["b"]}})
    run = await queue.start()
    cancelled = await queue.cancel(run, reason="not today")
    assert (cancelled["status"], cancelled["reason"], cancelled["changed"]) == ("cancelled", "not today", True)
    results = await queue.results(run)
    assert {result["status"] for result in results.values()} == {"cancelled"}
    assert {(result["reason"], result["category"], result["attempts"]) for result in results.values()} == {
        ("not today", "cancelled", 0)
    }
    await queue.check()
    await queue.check_events(run)
    assert await (await queue.worker()).claim(10) == []


async def test_what_is_held_ends_when_its_worker_hears_of_it(queue: Queue) -> None:
    await queue.save({"a": [], "b": [], "c": ["a"]})
    run = await queue.start()
    worker = await queue.worker()
    a, b = await worker.claim(2)
    assert (await queue.cancel(run))["status"] == "cancelling"
    await queue.check()
    assert await worker.heartbeat(run["queue_no"]) == (True, [run["queue_no"]])
    answer = await worker.advance([a.ended("passed")], want=10)
    assert (answer.stop, answer.jobs) == ([run["queue_no"]], [])
    assert (await worker.advance([b.ended("cancelled")], want=10)).done == {run["queue_no"]: "cancelled"}
    assert await queue.statuses(run) == {"a": "passed", "b": "cancelled", "c": "cancelled"}
    await queue.check()
    await queue.check_events(run)


async def test_a_finished_run_is_not_cancelled(queue: Queue) -> None:
    await queue.save({"a": []})
    run = await queue.start()
    await (await queue.worker()).run_to_end()
    cancelled = await queue.cancel(run)
    assert (cancelled["status"], cancelled["changed"]) == ("passed", False)
    await queue.check_events(run)


async def test_cancelling_twice_changes_nothing(queue: Queue) -> None:
    await queue.save({"a": []})
    run = await queue.start()
    worker = await queue.worker()
    await worker.claim(1)
    await queue.cancel(run, reason="first")
    again = await queue.cancel(run, reason="second")
    assert (again["changed"], again["reason"], again["status"]) == (False, "first", "cancelling")
    assert [event["kind"] for event in await queue.events(run)].count("run_cancelling") == 1


async def test_what_waits_for_another_attempt_is_cancelled_and_its_attempts_are_kept(queue: Queue) -> None:
    await queue.save({"a": retry(3)})
    run = await queue.start()
    worker = await queue.worker()
    [a] = await worker.claim(1)
    await worker.advance([a.ended("failed", retryable=True, reason="no")])
    assert (await queue.cancel(run))["status"] == "cancelled"
    [result] = (await queue.results(run)).values()
    assert (result["status"], result["attempts"]) == ("cancelled", 1)
    assert [attempt["reason"] for attempt in result["previous_attempts"]] == ["no"]
    await queue.check()


async def test_a_retry_of_a_run_that_is_being_cancelled_is_none(queue: Queue) -> None:
    await queue.save({"a": retry(3)})
    run = await queue.start()
    worker = await queue.worker()
    [a] = await worker.claim(1)
    await queue.cancel(run)
    assert (await worker.advance([a.ended("failed", retryable=True)])).done == {run["queue_no"]: "cancelled"}
    await queue.check()


async def test_cancel_overrides_fail_fast(queue: Queue) -> None:
    await queue.save({"a": [], "b": [], "clean": {"always": True, "needs": ["b"]}})
    run = await queue.start(fail_fast=True)
    worker = await queue.worker()
    a, b = await worker.claim(2)
    await worker.advance([a.ended("failed")])
    assert "clean" in await queue.jobs(run)
    assert (await queue.cancel(run))["changed"]
    assert "clean" not in await queue.jobs(run)
    assert (await worker.advance([b.ended("passed")])).done == {run["queue_no"]: "cancelled"}
    await queue.check()


async def test_a_stale_report_does_not_keep_a_run_from_being_cancelled(queue: Queue, database: Database) -> None:
    """The report of an attempt that is no longer its worker's, not committed yet, while the run is cancelled."""
    await queue.save({"a": []})
    run = await queue.start()
    lost = await queue.worker("lost")
    [a] = await lost.claim(1)
    await queue.ticks(now=LATER)
    async with database.connect() as other:
        lost.connection = other
        async with other.transaction():
            assert (await lost.advance([a.ended("passed")])).stale == [(a.id, 1)]
            assert (await queue.cancel(run))["status"] == "cancelled"
    await queue.check()


# -- deadlines -------------------------------------------------------------------------------------------------------------


async def test_a_run_past_its_deadline_is_stopped(queue: Queue) -> None:
    await queue.save({"a": [], "b": ["a"]})
    run, endless = await queue.start(timeout=300), await queue.start()
    worker = await queue.worker()
    [a, _] = await worker.claim(2)
    assert (await queue.tick(now="299 seconds", lease="1 hour"))["late"] == 0
    assert (await queue.tick(now="301 seconds", lease="1 hour"))["late"] == 1
    assert (await queue.tick(now="301 seconds", lease="1 hour"))["late"] == 0
    assert (await queue.run(run))["status"] == "cancelling"
    assert (await worker.advance([a.ended("cancelled")])).done == {run["queue_no"]: "timed_out"}
    finished = await queue.run(run)
    assert (finished["status"], finished["reason"]) == ("timed_out", "the run took longer than it was given")
    assert (await queue.results(run))["b"]["category"] == "timeout"
    assert (await queue.run(endless))["status"] == "running"
    await queue.check()
    await queue.check_events(run)


# -- lost workers ----------------------------------------------------------------------------------------------------------


async def test_what_a_lost_worker_held_is_handed_out_again_at_once(queue: Queue) -> None:
    await queue.save({"a": [], "b": ["a"]})
    run = await queue.start()
    lost = await queue.worker("lost")
    [a] = await lost.claim(10)
    assert await queue.tick(now="9 seconds") == {"late": 0, "expired": 0}
    assert await queue.tick(now="11 seconds") == {"lost_worker": "lost", "lost": 1, "more": True}
    await queue.check()
    assert (await queue.run(run))["counts"]["running"] == 0
    assert await lost.heartbeat() == (False, [])
    worker = await queue.worker("other")
    [again] = await worker.claim(10)
    assert (again.id, again.attempt) == (a.id, 2)
    late = await lost.advance([a.ended("failed")], want=10)
    assert late.stale == [(a.id, 1)]
    assert late.unknown
    assert (await worker.advance([again.ended("passed")], want=0)).stale == []
    result = (await queue.results(run))["a"]
    assert (result["status"], result["attempts"]) == ("passed", 2), "a loss is no retry of the test's"
    assert [(a["status"], a["category"], a["reason"]) for a in result["previous_attempts"]] == [
        ("lost", "runner_lost", "its worker lost was lost")
    ]
    await worker.run_to_end()
    await queue.check_events(run)


async def test_a_loss_uses_up_no_retry(queue: Queue) -> None:
    await queue.save({"a": retry(2)})
    run = await queue.start()
    lost = await queue.worker("lost")
    await lost.claim(1)
    await queue.ticks(now=LATER)
    worker = await queue.worker()
    for _ in range(2):
        [a] = await worker.claim(1)
        await worker.advance([a.ended("failed", retryable=True)])
        await queue.make_due()
    result = (await queue.results(run))["a"]
    assert (result["status"], result["attempts"]) == ("failed", 3)


async def test_a_test_that_takes_three_workers_with_it_is_given_up(queue: Queue) -> None:
    await queue.save({"poison": retry(9), "below": ["poison"], "free": []})
    run = await queue.start()
    for attempt in (1, 2, 3):
        worker = await queue.worker(f"w{attempt}")
        jobs = await worker.claim(1)
        assert [(job.position, job.attempt) for job in jobs] == [(0, attempt)]
        await queue.ticks(now=LATER)
        await queue.check()
    results = await queue.results(run)
    assert (results["poison"]["status"], results["poison"]["category"], results["poison"]["attempts"]) == (
        "errored",
        "runner_lost",
        3,
    )
    assert results["below"]["reason"] == "poison reached no verdict"
    await (await queue.worker()).run_to_end()
    assert (await queue.run(run))["status"] == "errored"
    await queue.check_events(run)


async def test_workers_are_given_up_one_at_a_time_and_those_alive_are_not(queue: Queue) -> None:
    await queue.save({f"t{n}": [] for n in range(6)})
    await queue.start()
    workers = [await queue.worker(f"w{n}") for n in range(3)]
    for worker in workers:
        await worker.claim(2)
    await queue.connection.execute(
        "update orbit_private.worker set seen_at = clock_timestamp() + interval '50 seconds' where id = $1",
        workers[1].id,
    )
    answers = [await queue.tick(now="55 seconds") for _ in range(3)]
    assert [answer.get("lost_worker") for answer in answers] == ["w0", "w2", None]
    assert len(await workers[1].held()) == 2
    await queue.check()


async def test_a_run_that_is_cancelled_ends_with_its_lost_worker(queue: Queue) -> None:
    await queue.save({"a": [], "b": ["a"]})
    run = await queue.start(private=True)
    await (await queue.worker(lane=run["lane"])).claim(1)
    assert (await queue.cancel(run))["status"] == "cancelling"
    await queue.ticks(now=LATER)
    assert (await queue.run(run))["status"] == "cancelled"
    await queue.check_events(run)


async def test_two_ticks_at_once_do_not_wait_for_each_other(queue: Queue, database: Database) -> None:
    async with database.connect() as other, other.transaction():
        await type(queue)(other).tick()
        assert await queue.tick() == {"busy": True}


# -- signing off -----------------------------------------------------------------------------------------------------------


async def test_a_worker_that_signs_off_hands_back_what_it_holds(queue: Queue) -> None:
    await queue.save({"a": [], "b": []})
    run = await queue.start()
    worker = await queue.worker("first")
    await worker.claim(2)
    await worker.retire()
    await queue.check()
    assert (await queue.run(run))["counts"]["running"] == 0
    other = await queue.worker("second")
    await other.run_to_end()
    results = await queue.results(run)
    assert {(result["status"], result["attempts"]) for result in results.values()} == {("passed", 2)}
    assert [a["reason"] for a in results["a"]["previous_attempts"]] == ["its worker first signed off"]
    await queue.check_events(run)


async def test_signing_off_is_no_loss(queue: Queue) -> None:
    await queue.save({"a": []})
    run = await queue.start()
    for _ in range(5):
        worker = await queue.worker()
        assert len(await worker.claim(1)) == 1
        await worker.retire()
    await queue.worker("lost")
    worker = await queue.worker()
    await worker.claim(1)
    await queue.ticks(now=LATER)
    await queue.check()
    await (await queue.worker()).run_to_end()
    assert await queue.statuses(run) == {"a": "passed"}


@pytest.mark.parametrize("private", [False, True])
async def test_a_run_that_is_cancelled_ends_when_its_worker_signs_off(queue: Queue, private: bool) -> None:
    await queue.save({"a": [], "b": []})
    run, other = await queue.start(private=private), await queue.start()
    worker = await queue.worker(lane=run["lane"])
    await worker.claim(2)
    assert (await queue.cancel(run))["status"] == "cancelling"
    await worker.retire()
    assert (await queue.run(run))["status"] == "cancelled"
    assert (await queue.run(other))["counts"]["waiting"] == 2
    await queue.check()
    await queue.check_events(run)
