"""advance(): what is handed out, what becomes of what is reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.queue import retry

if TYPE_CHECKING:
    from support.queue import Queue


async def test_a_chain_is_handed_out_in_order_and_each_step_in_one_round_trip(queue: Queue) -> None:
    await queue.save({"a": [], "b": ["a"], "c": ["b"]})
    run = await queue.start()
    assert run["status"] == "queued"
    assert run["counts"]["waiting"] == run["counts"]["total"] == 3
    worker = await queue.worker()
    answer = await worker.advance(want=10)
    for position in range(3):
        [job] = answer.jobs
        assert (job.queue_no, job.position, job.attempt) == (run["queue_no"], position, 1)
        assert (await queue.run(run))["status"] == "running"
        await queue.check()
        answer = await worker.advance([job.ended("passed", 0.25)], want=10)
    assert answer.done == {run["queue_no"]: "passed"}
    assert answer.jobs == []
    await queue.check()
    await queue.check_events(run)
    finished = await queue.run(run)
    assert finished["status"] == "passed"
    assert finished["counts"] == dict.fromkeys(finished["counts"], 0) | {"total": 3, "passed": 3}
    results = await queue.results(run)
    assert list(results) == ["a", "b", "c"]
    assert [result["duration"] for result in results.values()] == [0.25] * 3
    assert {(result["attempts"], result["worker"]) for result in results.values()} == {(1, str(worker.id))}


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("failed", "login failed"),
        ("errored", "login reached no verdict"),
        ("timed_out", "login timed out"),
        ("cancelled", "login was cancelled"),
    ],
)
async def test_what_needs_a_test_that_did_not_pass_is_skipped_and_says_why(
    queue: Queue, status: str, reason: str
) -> None:
    await queue.save({"login": [], "catalog": [("login", "token")], "cart": [("catalog", "data")], "ping": []})
    run = await queue.start()
    worker = await queue.worker()
    await worker.run_to_end({"login": status})
    results = await queue.results(run)
    assert {key: result["status"] for key, result in results.items()} == {
        "login": status, "catalog": "skipped", "cart": "skipped", "ping": "passed",
    }  # fmt: skip
    for key in ("catalog", "cart"):
        assert results[key]["reason"] == reason
        assert results[key]["category"] == "dependency"
        assert results[key]["attempts"] == 0
        assert results[key]["started_at"] is None
    await queue.check()
    await queue.check_events(run)


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        ({}, "passed"),
        ({"a": "failed"}, "failed"),
        ({"a": "errored"}, "errored"),
        ({"a": "errored", "b": "failed"}, "failed"),
        ({"a": "timed_out"}, "failed"),
    ],
)
async def test_the_verdict_of_a_run(queue: Queue, statuses: dict[str, str], verdict: str) -> None:
    await queue.save({"a": [], "b": []})
    run = await queue.start()
    await (await queue.worker()).run_to_end(statuses)
    assert (await queue.run(run))["status"] == verdict


async def test_clean_up_runs_however_what_it_waits_for_ended(queue: Queue) -> None:
    always = {"always": True}
    await queue.save(
        {
            "create": [],
            "use": [("create", "data")],
            "log_out": always | {"needs": ["create", "use"]},
            "delete": always | {"needs": [("create", "data")]},
            "report": always | {"needs": [("delete", "data"), "log_out"]},
        }
    )
    run = await queue.start()
    await (await queue.worker()).run_to_end({"create": "failed"})
    results = await queue.results(run)
    assert {key: result["status"] for key, result in results.items()} == {
        "create": "failed", "use": "skipped", "log_out": "passed", "delete": "skipped", "report": "skipped",
    }  # fmt: skip
    assert results["delete"]["reason"] == "create failed"
    await queue.check_events(run)


async def test_clean_up_waits_for_everything_it_names(queue: Queue) -> None:
    await queue.save({"a": [], "b": [], "clean": {"always": True, "needs": ["a", "b"]}})
    await queue.start()
    worker = await queue.worker()
    a, b = await worker.claim(10)
    assert (await worker.advance([a.ended("failed")], want=10)).jobs == []
    await queue.check()
    assert [job.position for job in (await worker.advance([b.ended("passed")], want=10)).jobs] == [2]


async def test_a_skipped_test_takes_with_it_what_needs_it(queue: Queue) -> None:
    await queue.save(
        {
            "old": {"skip": "broken since May"},
            "on_old": ["old"],
            "below": ["on_old"],
            "clean": {"always": True, "needs": ["below", "old"]},
            "free": [],
            "too": {"needs": ["free"], "skip": "later"},
        }
    )
    run = await queue.start()
    await queue.check()
    assert run["counts"]["skipped"] == 4
    results = await queue.results(run)
    assert {key: result["reason"] for key, result in results.items()} == {
        "old": "broken since May",
        "on_old": "old is skipped: broken since May",
        "below": "old is skipped: broken since May",
        "too": "later",
    }
    assert results["old"]["category"] is None
    await (await queue.worker()).run_to_end()
    assert (await queue.run(run))["status"] == "passed"
    assert (await queue.statuses(run))["clean"] == "passed"
    await queue.check()


async def test_a_run_of_which_everything_is_skipped_is_over_at_once(queue: Queue) -> None:
    await queue.save({"a": {"skip": "not now"}, "b": ["a"]})
    run = await queue.start()
    assert run["status"] == "passed"
    assert run["counts"]["skipped"] == 2
    await queue.check()
    assert [event["kind"] for event in await queue.events(run)] == ["run_queued", "run_finished"]


# -- fail fast -------------------------------------------------------------------------------------------------------------


async def test_fail_fast_skips_what_waits_and_still_cleans_up(queue: Queue) -> None:
    always = {"always": True}
    await queue.save(
        {
            "login": [],
            "fails": ["login"],
            "runs": ["login"],
            "waits": ["runs"],
            "free": ["runs"],
            "log_out": always | {"needs": ["login", "waits"]},
            "delete": always | {"needs": [("waits", "data")]},
            "after_delete": always | {"needs": [("delete", "data"), "login"]},
        }
    )
    run = await queue.start(fail_fast=True)
    worker = await queue.worker()
    [login] = await worker.claim(10)
    fails, runs = (await worker.advance([login.ended("passed")], want=10)).jobs
    answer = await worker.advance([fails.ended("failed")], want=10)
    await queue.check()
    assert answer.next_in == 0
    [log_out] = await worker.claim(10)
    assert log_out.position == 5, "it waits for nothing any more"
    assert (await queue.statuses(run)) == {
        "login": "passed", "fails": "failed", "waits": "skipped", "free": "skipped", "delete": "skipped",
        "after_delete": "skipped",
    }  # fmt: skip
    answer = await worker.advance([runs.ended("passed"), log_out.ended("passed")], want=10)
    assert answer.done == {run["queue_no"]: "failed"}
    finished = await queue.run(run)
    assert finished["reason"] == "the run ends at its first failure"
    await queue.check()
    await queue.check_events(run)


async def test_fail_fast_gives_back_what_the_same_call_would_have_claimed(queue: Queue) -> None:
    await queue.save({"a": [], "b": [], "c": [], "clean": {"always": True}})
    run = await queue.start(fail_fast=True)
    worker = await queue.worker()
    [a] = await worker.claim(1)
    answer = await worker.advance([a.ended("failed")], want=10)
    assert [job.position for job in answer.jobs] == [3]
    assert await queue.statuses(run) == {"a": "failed", "b": "skipped", "c": "skipped"}
    await queue.check()


async def test_fail_fast_does_not_stop_at_a_failure_that_is_tried_again(queue: Queue) -> None:
    await queue.save({"a": retry(2), "b": ["a"]})
    run = await queue.start(fail_fast=True)
    worker = await queue.worker()
    [a] = await worker.claim(1)
    await worker.advance([a.ended("failed", retryable=True)])
    await queue.make_due()
    await worker.run_to_end()
    assert await queue.statuses(run) == {"a": "passed_on_retry", "b": "passed"}


# -- retries ---------------------------------------------------------------------------------------------------------------


async def test_a_retry_waits_its_back_off_and_is_told_in_the_result(queue: Queue) -> None:
    await queue.save({"a": retry(3, initial=100, maximum=1000, factor=2)})
    run = await queue.start()
    worker = await queue.worker()
    for attempt, base in ((1, 100), (2, 200)):
        [job] = await worker.claim(5)
        assert job.attempt == attempt
        answer = await worker.advance(
            [
                job.ended(
                    "failed",
                    1.5,
                    retryable=True,
                    reason=f"no {attempt}",
                    category="assertion",
                    failures=[{"n": attempt}],
                )
            ],
            want=5,
        )
        assert answer.jobs == []
        assert answer.next_in is not None
        assert 0.75 * base - 1 < answer.next_in <= 1.25 * base
        await queue.check()
        assert (await worker.advance(want=5)).jobs == []
        await queue.make_due()
    [job] = await worker.claim(5)
    answer = await worker.advance([job.ended("passed")])
    assert answer.done == {run["queue_no"]: "passed"}
    [result] = (await queue.results(run)).values()
    assert (result["status"], result["attempts"]) == ("passed_on_retry", 3)
    assert [(a["number"], a["status"], a["reason"], a["category"], a["duration"], a["failures"], a["worker"])
            for a in result["previous_attempts"]] == [
        (1, "failed", "no 1", "assertion", 1.5, [{"n": 1}], str(worker.id)),
        (2, "failed", "no 2", "assertion", 1.5, [{"n": 2}], str(worker.id)),
    ]  # fmt: skip
    assert (await queue.run(run))["counts"]["passed_on_retry"] == 1
    retried = [event for event in await queue.events(run) if event["kind"] == "test_retried"]
    assert [(event["attempt"], event["reason"]) for event in retried] == [(1, "no 1"), (2, "no 2")]
    await queue.check_events(run)


async def test_the_back_off_has_a_ceiling(queue: Queue) -> None:
    await queue.save({"a": retry(20, initial=1, maximum=50, factor=10)})
    await queue.start()
    worker = await queue.worker()
    for _ in range(6):
        [job] = await worker.claim(1)
        answer = await worker.advance([job.ended("failed", retryable=True)], want=1)
        await queue.make_due()
    assert answer.next_in is not None
    assert 36 < answer.next_in <= 62.5


async def test_attempts_are_used_up(queue: Queue) -> None:
    await queue.save({"a": retry(2), "b": ["a"]})
    run = await queue.start()
    worker = await queue.worker()
    for _ in range(2):
        [job] = await worker.claim(1)
        await worker.advance([job.ended("failed", retryable=True, reason="no")])
        await queue.make_due()
    results = await queue.results(run)
    assert (results["a"]["status"], results["a"]["attempts"], len(results["a"]["previous_attempts"])) == (
        "failed",
        2,
        1,
    )
    assert results["b"]["status"] == "skipped"


async def test_only_what_the_worker_calls_retryable_is_tried_again(queue: Queue) -> None:
    await queue.save({"a": retry(5)})
    run = await queue.start()
    worker = await queue.worker()
    [job] = await worker.claim(1)
    assert (await worker.advance([job.ended("failed")])).done == {run["queue_no"]: "failed"}


async def test_a_retry_keeps_its_place_in_the_queue(queue: Queue) -> None:
    await queue.save({"a": retry(3), "b": [], "c": []})
    await queue.start()
    worker = await queue.worker()
    [a] = await worker.claim(1)
    await worker.advance([a.ended("failed", retryable=True)])
    await queue.make_due()
    assert [job.position for _ in range(3) for job in await worker.claim(1)] == [0, 1, 2]


# -- fences ----------------------------------------------------------------------------------------------------------------


async def test_a_report_said_twice_counts_once(queue: Queue) -> None:
    await queue.save({"a": [], "b": ["a"]})
    run = await queue.start()
    worker = await queue.worker()
    [a] = await worker.claim(1)
    first = await worker.advance([a.ended("passed")], want=0)
    assert first.stale == []
    events = len(await queue.events(run))
    again = await worker.advance([a.ended("failed")], want=0)
    assert again.stale == [(a.id, 1)]
    assert (await queue.statuses(run)) == {"a": "passed"}
    assert len(await queue.events(run)) == events
    await queue.check()


async def test_after_a_lost_reply_held_jobs_tells_what_was_handed_out(queue: Queue) -> None:
    await queue.save({"a": [], "b": ["a"], "c": []})
    await queue.start()
    worker = await queue.worker()
    a, c = await worker.claim(10)
    await worker.advance([a.ended("passed")], want=1)  # the reply is lost
    held = await worker.held()
    assert held == {a.id + 1: 1, c.id: 1}


async def test_another_worker_cannot_report_what_it_does_not_hold(queue: Queue) -> None:
    await queue.save({"a": []})
    run = await queue.start()
    one, two = await queue.worker("one"), await queue.worker("two")
    [a] = await one.claim(1)
    assert (await two.advance([a.ended("failed")])).stale == [(a.id, 1)]
    assert await queue.statuses(run) == {}
    assert (await one.advance([a.ended("passed")])).done


async def test_an_old_and_a_new_attempt_in_one_report_are_told_apart(queue: Queue) -> None:
    await queue.save({"a": retry(3)})
    run = await queue.start()
    worker = await queue.worker()
    [first] = await worker.claim(1)
    await worker.advance([first.ended("failed", retryable=True)])
    await queue.make_due()
    [second] = await worker.claim(1)
    capture = {"name": "x", "value": "old"}
    answer = await worker.advance(
        [first.ended("failed", captures=[capture]), second.ended("passed", captures=[capture | {"value": "new"}])]
    )
    assert answer.stale == [(first.id, 1)]
    assert answer.done == {run["queue_no"]: "passed"}
    assert (await queue.context(run))["captured_data"] == {"a": {"x": "new"}}
    await queue.check_events(run)


async def test_an_unknown_worker_is_handed_nothing(queue: Queue) -> None:
    await queue.save({"a": []})
    await queue.start()
    worker = await queue.worker()
    worker.id += 1000
    answer = await worker.advance(want=10)
    assert answer.unknown
    assert answer.jobs == []
    await queue.check()


# -- order -----------------------------------------------------------------------------------------------------------------


async def test_a_priority_is_worth_a_minute_a_step_and_waiting_makes_up_for_it(queue: Queue) -> None:
    await queue.save({"t": []})
    ages = {"old low": (-1, 400), "mid high": (2, 10), "new high": (2, 0), "new": (0, 0), "new low": (-1, 0)}
    names = {}
    for name, (priority, age) in ages.items():
        run = await queue.start(priority=priority)
        names[run["queue_no"]] = name
        for table in ("job", "ready"):
            key = "id" if table == "job" else "job_id"
            await queue.connection.execute(
                f"update orbit_private.{table} set rank = rank - $1 where {key} >> 20 = $2", age, run["queue_no"]
            )
    worker = await queue.worker()
    order = [names[job.queue_no] for job in await worker.claim(10)]
    assert order == ["old low", "mid high", "new high", "new", "new low"]


async def test_what_has_a_low_priority_is_run_when_there_is_nothing_else(queue: Queue) -> None:
    await queue.save({"t": []})
    await queue.start(priority=-100)
    answer = await (await queue.worker()).advance(want=1)
    assert len(answer.jobs) == 1


async def test_tests_of_a_run_are_handed_out_in_the_order_of_the_suite(queue: Queue) -> None:
    await queue.save({f"t{n:03}": [] for n in range(200)})
    await queue.start()
    assert [job.position for job in await (await queue.worker()).claim(200)] == list(range(200))


async def test_the_watermark_passes_over_what_is_before_it(queue: Queue) -> None:
    await queue.save({"a": [], "b": [], "c": []})
    await queue.start()
    worker = await queue.worker()
    [a] = await worker.claim(1)
    assert [job.position for job in (await worker.advance(want=1, low=a.rank + 0.015)).jobs] == [2]
    assert [job.position for job in (await worker.advance(want=1)).jobs] == [1]


async def test_a_private_run_has_a_lane_to_itself(queue: Queue) -> None:
    await queue.save({"a": retry(2)})
    run = await queue.start(private=True)
    assert run["lane"] == run["queue_no"]
    shared = await queue.worker("shared")
    assert await shared.claim(10) == []
    own = await queue.worker("own", lane=run["lane"])
    [a] = await own.claim(10)
    await own.advance([a.ended("failed", retryable=True)])
    await queue.make_due()
    assert await shared.claim(10) == []
    await own.run_to_end()
    assert (await queue.run(run))["status"] == "passed"


async def test_next_says_how_long_to_wait(queue: Queue) -> None:
    await queue.save({"a": retry(2, initial=40, maximum=100)})
    worker = await queue.worker()
    assert (await worker.advance(want=1)).next_in is None
    await queue.start()
    [a] = (await worker.advance(want=1)).jobs
    answer = await worker.advance([a.ended("failed", retryable=True)], want=1)
    assert answer.next_in is not None
    assert 29 < answer.next_in <= 50


# -- several runs in one call ------------------------------------------------------------------------------------------------


async def test_one_call_may_end_one_run_and_begin_another(queue: Queue) -> None:
    await queue.save({"a": [], "b": []})
    one, two = await queue.start(), await queue.start()
    worker = await queue.worker()
    a, b = await worker.claim(2)
    assert a.queue_no == b.queue_no == one["queue_no"]
    answer = await worker.advance([a.ended("passed")], want=1)  # touches the first, begins the second
    assert [job.queue_no for job in answer.jobs] == [two["queue_no"]]
    await queue.check()
    assert [event["kind"] for event in await queue.events(one)][-1] == "test_finished"
    assert [event["kind"] for event in await queue.events(two)] == ["run_queued", "run_started", "test_started"]
    await worker.advance([b.ended("passed"), answer.jobs[0].ended("passed")])
    await worker.run_to_end()
    for run in (one, two):
        await queue.check_events(run)
