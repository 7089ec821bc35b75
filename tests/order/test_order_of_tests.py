"""Which tests of a run go first: what failed lately, then what is slow, within what dependencies allow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from support.queue import retry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from support.queue import Queue


async def drain(queue: Queue, ended: Mapping[str, Any] | None = None, **request: Any) -> list[str]:
    """A run of the suite to its end by one worker with one slot; the keys in the order in which they were handed out. What is
    given for a key is how it ends: a duration, a status, or a status with its category."""
    run = await queue.start(**request)
    keys = list((await queue.context(run))["test_order"])
    worker = await queue.worker(lane=run["lane"])
    order: list[str] = []
    reports: list[Any] = []
    while True:
        answer = await worker.advance(reports, want=1)
        if not answer.jobs:
            assert answer.done
            return order
        [job] = answer.jobs
        key = keys[job.position]
        order.append(key)
        end = (ended or {}).get(key, 0.1)
        status, duration, extra = "passed", 0.1, {}
        if isinstance(end, float):
            duration = end
        elif isinstance(end, str):
            status = end
        else:
            status, extra = end[0], {"category": end[1]}
        reports = [job.ended(status, duration, **extra)]


async def test_without_a_past_the_order_is_the_suites(queue: Queue) -> None:
    await queue.save({key: [] for key in "dbca"})
    assert await drain(queue) == list("dbca")


async def test_what_failed_goes_first_and_then_what_is_slow(queue: Queue) -> None:
    await queue.save({key: [] for key in "abcdef"})
    await drain(queue, {"b": 2.0, "d": 9.0, "e": "failed"})
    assert await drain(queue) == list("edbacf")


async def test_what_leads_to_what_failed_or_to_what_is_slow_goes_first(queue: Queue) -> None:
    await queue.save({"a": [], "b": [], "c": ["b"], "d": ["c"], "e": [], "f": ["e"], "g": []})
    await drain(queue, {"a": 3.0, "d": "failed", "f": 8.0, "g": 4.0})
    # b leads to d, which failed; e to f; then alone: g, a.
    assert await drain(queue) == list("bcdefga")


async def test_the_longest_way_to_the_end_counts_not_the_test_alone(queue: Queue) -> None:
    await queue.save({"long": [], "one": [], "two": ["one"], "three": ["two"], "join": ["two", "three"]})
    await drain(queue, {"long": 5.0, "one": 2.0, "two": 2.0, "three": 2.0, "join": 2.0})
    assert await drain(queue) == ["one", "two", "long", "three", "join"]


async def test_passing_again_makes_a_failure_forgotten(queue: Queue) -> None:
    await queue.save({"a": [], "slow": [], "c": []})
    fast_and_slow = {"slow": 5.0}
    await drain(queue, fast_and_slow | {"c": "failed"})
    firsts = [(await drain(queue, fast_and_slow))[0] for _ in range(10)]
    assert firsts[:5] == ["c"] * 5
    assert firsts[9] == "slow"


async def test_a_pass_on_a_retry_counts_for_half_a_failure(queue: Queue) -> None:
    await queue.save({"a": [], "b": retry(2), "c": []})
    run = await queue.start()
    worker = await queue.worker()
    a, b, c = await worker.claim(3)
    await worker.advance([a.ended("passed"), b.ended("failed", retryable=True), c.ended("failed")])
    await queue.make_due()
    [again] = await worker.claim(1)
    await worker.advance([again.ended("passed")])
    assert (await queue.statuses(run))["b"] == "passed_on_retry"
    assert await drain(queue) == ["c", "b", "a"]
    assert await pace(queue, "b", "failing") == pytest.approx(0.35)


@pytest.mark.parametrize("category", ["runner_lost", "internal", "config"])
async def test_what_the_runner_got_wrong_is_no_failure_of_the_test(queue: Queue, category: str) -> None:
    await queue.save({"a": [], "b": []})
    await drain(queue, {"b": ("errored", category)})
    assert await drain(queue) == ["a", "b"]
    await drain(queue, {"b": ("errored", "connect")})
    assert await drain(queue) == ["b", "a"]


async def test_what_did_not_run_leaves_no_trace(queue: Queue) -> None:
    await queue.save({"a": [], "b": ["a"], "c": {"skip": "not yet"}})
    await drain(queue, {"a": "failed"})
    run = await queue.start()
    await queue.cancel(run)
    assert await queue.connection.fetchval("select count(*) from orbit_private.test_pace") == 1
    assert await pace(queue, "a", "runs") == 1


async def test_averages_follow_the_last_runs(queue: Queue) -> None:
    await queue.save({"a": []})
    await drain(queue, {"a": 1.0})
    await drain(queue, {"a": 2.0})
    assert await pace(queue, "a", "duration_ms") == pytest.approx(1300)
    assert await pace(queue, "a", "runs") == 2
    assert await pace(queue, "a", "last_failed_at") is None
    await drain(queue, {"a": "failed"})
    failed_at = await queue.connection.fetchval("select max(created_at) from orbit.test_results")
    await drain(queue)
    assert await pace(queue, "a", "last_failed_at") == failed_at


@pytest.mark.parametrize("duration", [-5.0, 1e9])
async def test_nothing_that_a_worker_reports_fails_the_run(queue: Queue, duration: float) -> None:
    await queue.save({"a": []})
    await drain(queue, {"a": "failed"})
    # A score that 0.7 makes too small for its type.
    await queue.connection.execute("update orbit_private.test_pace set failing = 1.2e-38")
    assert await drain(queue, {"a": duration}) == ["a"]
    assert await pace(queue, "a", "failing") == 0
    assert 0 <= await pace(queue, "a", "duration_ms") <= 1e8


async def test_a_test_that_is_gone_does_not_fail_the_run(queue: Queue) -> None:
    await queue.save({"a": [], "b": []})
    run = await queue.start()
    worker = await queue.worker()
    a, b = await worker.claim(2)
    await queue.connection.execute("delete from orbit.test_cases where key = 'b'")
    answer = await worker.advance([a.ended("passed"), b.ended("passed")])
    assert answer.done == {run["queue_no"]: "passed"}
    assert await queue.connection.fetchval("select count(*) from orbit_private.test_pace") == 1


async def test_a_part_of_a_suite_is_put_in_order_among_itself(queue: Queue) -> None:
    await queue.save({f"t{n}": [] for n in range(50)})
    await drain(queue, {"t7": "failed", "t40": 3.0, "t48": "failed"})
    selection = {"tests": ["t3", "t40", "t48", "t49"]}
    run = await queue.start(selection=selection)
    ranks = {key: job["rank"] for key, job in (await queue.jobs(run)).items()}
    first = min(ranks.values())
    assert {key: round((rank - first) * 100) for key, rank in ranks.items()} == {"t48": 0, "t40": 1, "t3": 2, "t49": 3}


async def test_the_suites_own_order_can_be_asked_for(queue: Queue) -> None:
    await queue.save({key: [] for key in "abc"})
    await drain(queue, {"c": "failed"})
    assert await drain(queue, order="suite") == list("abc")
    assert await drain(queue, order="impact") == list("cab")
    assert await drain(queue, order=None) == list("cab")


@pytest.mark.parametrize("order", ["alphabetical", "", ["suite"], 7])
async def test_an_order_that_there_is_not_is_refused(queue: Queue, order: Any) -> None:
    await queue.save({"a": []})
    with pytest.raises(asyncpg.PostgresError, match="neither impact nor suite") as refusal:
        await queue.start(order=order)
    assert refusal.value.sqlstate == "OR001"


async def test_runs_take_turns(queue: Queue) -> None:
    await queue.save({f"t{n:03}": [] for n in range(300)}, key="large")
    await queue.save({"small": []}, key="small")
    large, small = await queue.start(suite="large"), await queue.start(suite="small")
    between = await queue.connection.fetchval(
        "select extract(epoch from s.created_at - l.created_at)::float8 from orbit.test_runs l, orbit.test_runs s"
        " where l.id = $1 and s.id = $2",
        large["id"], small["id"],
    )  # fmt: skip
    worker = await queue.worker()
    before = [job.queue_no for job in await worker.claim(301)].index(small["queue_no"])
    assert before == min(300, int(between * 100) + 1)


async def test_a_priority_is_worth_a_minute_also_for_the_last_of_many(queue: Queue) -> None:
    await queue.save({f"t{n:04}": [] for n in range(5000)}, key="large")
    await queue.save({"small": []}, key="small")
    urgent = await queue.start(suite="large", priority=1)
    await queue.start(suite="small")
    worker = await queue.worker(slots=10000)
    assert {job.queue_no for job in await worker.claim(5000)} == {urgent["queue_no"]}


async def pace(queue: Queue, key: str, column: str) -> Any:
    return await queue.connection.fetchval(
        f"select p.{column} from orbit_private.test_pace p join orbit.test_cases c on c.id = p.test_case_id where c.key = $1",
        key,
    )
