"""Lanes: what a worker can do, whose tests it takes, and groups that it is set up for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.queue import Queue, Worker

if TYPE_CHECKING:
    from collections.abc import Sequence


async def able(queue: Queue, *capabilities: str) -> Worker:
    name, register = "-".join(("can", *capabilities)), "select orbit_runner.register_worker($1, 100, $2)"
    return Worker(queue.connection, await queue.connection.fetchval(register, name, ["http", *capabilities]))


async def save(queue: Queue, requires: dict[str, Sequence[str]], key: str = "suite") -> None:
    tests = [
        {"key": name, "request": {"method": "GET", "url": "/"}, "requires": list(capabilities)}
        for name, capabilities in requires.items()
    ]
    await queue.call("save_suite", {"key": key, "document": {"tests": tests}})


def groups(answer: Any) -> list[tuple[int, dict[str, Any]]]:
    return [(row["job_id"], json.loads(row["payload"])) for row in answer.rows if row["kind"] == "group"]


async def ready(worker: Worker, lane: int, *, ok: bool = True, reason: str | None = None) -> bool:
    return bool(
        await worker.connection.fetchval("select orbit_runner.group_ready($1, $2, $3, $4)", worker.id, lane, ok, reason)
    )


async def test_a_worker_takes_what_it_can_do(queue: Queue) -> None:
    await save(queue, {"plain": [], "docker": ["docker"], "both": ["android", "docker"], "http": ["http"]})
    await queue.start()
    assert [job.position for job in await (await able(queue)).claim(10)] == [0, 3]
    assert [job.position for job in await (await able(queue, "docker")).claim(10)] == [1]
    assert [job.position for job in await (await able(queue, "docker", "android", "x")).claim(10)] == [2]


async def test_lanes_are_merged_by_rank(queue: Queue) -> None:
    await save(queue, {f"t{n}": ["docker"] if n % 2 else [] for n in range(10)})
    await queue.start()
    worker = await able(queue, "docker")
    assert [job.position for job in await worker.claim(5)] == [0, 1, 2, 3, 4]
    assert [job.position for job in await worker.claim(50)] == [5, 6, 7, 8, 9]


async def test_what_nobody_can_do_waits_and_times_out_as_told(queue: Queue) -> None:
    await save(queue, {"a": ["quantum"], "b": []})
    run = await queue.start(timeout=60)
    worker = await able(queue)
    (job,) = await worker.claim(10)
    await worker.advance([job.ended("passed")])
    assert (await queue.run(run))["status"] == "running"
    await queue.ticks(now="2 minutes")
    assert (await queue.run(run))["status"] == "timed_out"
    assert (await queue.statuses(run)) == {"a": "cancelled", "b": "passed"}


async def test_dependents_and_retries_keep_their_lane(queue: Queue) -> None:
    document = {
        "tests": [
            {"key": "a", "request": {"url": "/"}},
            {"key": "b", "request": {"url": "/"}, "requires": ["docker"], "retry": {"max": 1}},
        ]
    }
    await queue.call(
        "save_suite",
        {"key": "suite", "document": document, "dependencies": [{"test": "b", "needs": "a", "kind": "order"}]},
    )
    run = await queue.start()
    plain, docker = await able(queue), await able(queue, "docker")
    (a,) = await plain.claim(5)
    assert (await plain.advance([a.ended("passed")], want=5)).jobs == []
    (b,) = await docker.claim(5)
    answer = await docker.advance([b.ended("failed", retryable=True)], want=5)
    assert answer.next_in is not None
    await queue.make_due()
    assert await plain.claim(5) == []
    (b,) = await docker.claim(5)
    await docker.advance([b.ended("passed")])
    assert await queue.statuses(run) == {"a": "passed", "b": "passed_on_retry"}


async def test_a_run_with_its_own_worker_asks_for_nothing(queue: Queue) -> None:
    await save(queue, {"a": ["docker"]})
    run = await queue.start(private=True)
    assert await (await able(queue, "docker")).claim(5) == []
    own = await queue.worker(lane=run["lane"])
    assert len(await own.claim(5)) == 1


@pytest.mark.parametrize("bad", ["Docker", "a b", "", "x" * 64, "ü"])
async def test_capabilities_are_words(queue: Queue, bad: str) -> None:
    with pytest.raises(Exception, match="is no capability"):
        await able(queue, bad)


async def test_lanes_that_nobody_uses_are_removed(queue: Queue) -> None:
    await save(queue, {"a": ["docker"]})
    await queue.start()
    count = "select count(*) from orbit_private.lane"
    await queue.connection.execute("update orbit_private.lane set used_at = now() - interval '1 hour'")
    await queue.tick()
    assert await queue.connection.fetchval(count) == 2
    await (await able(queue, "docker")).run_to_end()
    await queue.connection.execute("update orbit_private.lane set used_at = now() - interval '1 hour'")
    await queue.tick()
    assert await queue.connection.fetchval(count) == 1


# Groups ---------------------------------------------------------------------------------------------------------------


async def test_a_group_is_set_up_once_and_drained_by_one_worker(queue: Queue) -> None:
    await save(queue, {f"t{n}": [] for n in range(6)})
    first_run = await queue.start(group="app 1.2")
    second_run = await queue.start(group={"key": "app 1.2"})
    one, other = await queue.worker(slots=2), await queue.worker(slots=2)
    answer = await one.advance(want=2)
    assert answer.jobs == []
    ((lane, group),) = groups(answer)
    assert group == {"key": "app 1.2", "project": "default", "requires": []}
    # Nobody is handed its tests before it is set up, and nobody else after.
    assert groups(await other.advance(want=2)) == []
    assert await one.claim(2) == []
    assert await ready(one, lane)
    assert not await ready(other, lane)
    assert await other.claim(2) == []
    await one.run_to_end(batch=2)
    for run in (first_run, second_run):
        assert set((await queue.statuses(run)).values()) == {"passed"}
    assert await queue.connection.fetchval("select set_ups from orbit_private.lane where id = $1", lane) == 1
    # It is set up still: what comes now needs no other set-up.
    await queue.start(group="app 1.2")
    answer = await one.advance(want=2)
    assert (len(answer.jobs), groups(answer)) == (2, [])


async def test_another_group_is_taken_when_the_first_is_done(queue: Queue) -> None:
    await save(queue, {"a": [], "b": []})
    await queue.start(group="v1")
    await queue.start(group="v2")
    worker = await queue.worker(slots=4)
    ((first, group),) = groups(await worker.advance(want=4))
    assert group["key"] == "v1"
    await ready(worker, first)
    jobs = await worker.claim(4)
    assert len(jobs) == 2
    # Busy with the first, though it has slots to spare.
    assert groups(await worker.advance([jobs[0].ended("passed")], want=3)) == []
    ((_, group),) = groups(await worker.advance([jobs[1].ended("passed")], want=4))
    assert group["key"] == "v2"


async def test_a_dead_workers_group_moves_on(queue: Queue) -> None:
    await save(queue, {"a": [], "b": []})
    run = await queue.start(group="v1")
    dead = await queue.worker(slots=1)
    ((lane, _),) = groups(await dead.advance(want=1))
    await ready(dead, lane)
    assert len(await dead.claim(1)) == 1
    heir = await queue.worker(slots=5)
    assert groups(await heir.advance(want=5)) == []
    await queue.connection.execute("update orbit_private.worker set seen_at = '-infinity' where id = $1", dead.id)
    await queue.tick()
    ((again, _),) = groups(await heir.advance(want=5))
    assert again == lane
    await ready(heir, lane)
    await heir.run_to_end()
    assert set((await queue.statuses(run)).values()) == {"passed"}


async def test_a_set_up_that_fails_goes_on_elsewhere_and_ends_the_run_at_the_third_time(queue: Queue) -> None:
    await save(queue, {"a": []})
    run = await queue.start(group="v1")
    for n in range(3):
        worker = await queue.worker(f"device-{n}", slots=1)
        ((lane, _),) = groups(await worker.advance(want=1))
        assert await ready(worker, lane, ok=False, reason="no space left on device")
    ended = await queue.run(run)
    assert ended["status"] == "cancelled"
    assert ended["reason"] == "setting up group v1 failed three times: no space left on device"


async def test_a_group_that_one_worker_cannot_set_up_is_left_to_another(queue: Queue) -> None:
    await save(queue, {"a": []})
    run = await queue.start(group="v1")
    broken, whole = await queue.worker("broken", slots=1), await queue.worker("whole", slots=1)
    ((lane, _),) = groups(await broken.advance(want=1))
    await ready(broken, lane, ok=False, reason="no space left on device")
    assert groups(await broken.advance(want=1)) == []
    ((again, _),) = groups(await whole.advance(want=1))
    assert again == lane
    await ready(whole, lane)
    await whole.run_to_end()
    assert set((await queue.statuses(run)).values()) == {"passed"}


async def test_who_is_alone_tries_a_group_again(queue: Queue) -> None:
    await save(queue, {"a": []})
    await queue.start(group="v1")
    worker = await queue.worker(slots=1)
    ((lane, _),) = groups(await worker.advance(want=1))
    await ready(worker, lane, ok=False, reason="no space left on device")
    assert groups(await worker.advance(want=1)) == []
    await queue.connection.execute(
        "update orbit_private.lane set failed_at = failed_at - interval '2 seconds' where id = $1", lane
    )
    assert len(groups(await worker.advance(want=1))) == 1


async def test_a_group_that_never_ends_starves_no_other(queue: Queue) -> None:
    await save(queue, {f"t{n}": [] for n in range(4)})
    await queue.start(group="endless")
    worker = await queue.worker(slots=2)
    ((endless, _),) = groups(await worker.advance(want=2))
    await ready(worker, endless)
    one, two = await worker.claim(2)
    await queue.start(group="waiting")
    later = "update orbit_private.ready set rank = rank + $2 where lane = $1"
    await queue.connection.execute(later, endless, 599.0)
    (three,) = (await worker.advance([one.ended("passed")], want=1)).jobs
    await queue.connection.execute(later, endless, 10.0)
    answer = await worker.advance([two.ended("passed")], want=1)
    assert (answer.jobs, groups(answer)) == ([], []), "it takes nothing more, and ends what it holds"
    answer = await worker.advance([three.ended("passed")], want=2)
    ((waiting, _),) = groups(answer)
    assert (answer.jobs, waiting == endless) == ([], False)
    assert len(groups(await (await queue.worker(slots=2)).advance(want=2))) == 1, "the other is anybody's now"


async def test_a_group_waits_for_company(queue: Queue) -> None:
    await save(queue, {"a": [], "b": []})
    await queue.start(group={"key": "v1", "wait": 60, "size": 4})
    worker = await queue.worker(slots=4)
    assert groups(await worker.advance(want=4)) == []
    await queue.start(group={"key": "v1"})  # enough of them
    assert len(groups(await worker.advance(want=4))) == 1
    await queue.start(group={"key": "v2", "wait": 60})
    other = await queue.worker(slots=4)
    assert groups(await other.advance(want=4)) == []
    await queue.connection.execute("update orbit_private.lane set open_at = now() where group_key = 'v2'")
    assert len(groups(await other.advance(want=4))) == 1


async def test_an_idle_worker_joins_a_group_that_is_too_big_for_one(queue: Queue) -> None:
    await save(queue, {f"t{n:02}": [] for n in range(30)})
    await queue.start(group={"key": "v1", "spread": 10})
    one, two, three = [await queue.worker(slots=2) for _ in range(3)]
    ((lane, _),) = groups(await one.advance(want=2))
    assert len(groups(await two.advance(want=2))) == 1
    assert groups(await two.advance(want=1)) == []
    assert len(groups(await three.advance(want=2))) == 1
    four = await queue.worker(slots=2)
    assert groups(await four.advance(want=2)) == []
    for worker in (one, two, three):
        await ready(worker, lane)
        assert len(await worker.claim(2)) == 2


async def test_tests_without_a_group_and_urgent_groups_go_by_rank(queue: Queue) -> None:
    await save(queue, {"t": []})
    plain = await queue.start()
    await queue.start(group="late")
    worker = await queue.worker(slots=4)
    answer = await worker.advance(want=1)
    assert ([job.queue_no for job in answer.jobs], groups(answer)) == ([plain["queue_no"]], [])
    await queue.start(group="urgent", priority=5)
    ((_, group),) = groups(await worker.advance(want=1))
    assert group["key"] == "urgent"


@pytest.mark.parametrize(
    ("group", "said"),
    [
        (1, "group is neither"),
        ({"keys": "x"}, "group has no field keys"),
        ("", "group.key has"),
        ({"key": "x", "wait": -1}, "group.wait is"),
        ({"key": "x", "size": 0}, "group.wait is"),
        ({"key": "x", "spread": "many"}, "malformed"),
    ],
)
async def test_a_group_that_cannot_be(queue: Queue, group: Any, said: str) -> None:
    await save(queue, {"a": []})
    with pytest.raises(Exception, match=said) as error:
        await queue.start(group=group)
    assert getattr(error.value, "sqlstate", "") == "OR001"
    assert await queue.connection.fetchval("select count(*) from orbit.test_runs") == 0
