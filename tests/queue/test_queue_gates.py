"""Gates: caps on what runs at once, and how fast it begins."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from support.queue import Queue

if TYPE_CHECKING:
    import asyncpg
    from support.postgres import Database
    from support.queue import Worker


async def set_gate(
    connection: asyncpg.Connection[Any],
    kind: str,
    key: str = "",
    *,
    cap: int | None = None,
    per_second: float | None = None,
    burst: int | None = None,
) -> None:
    await connection.execute(
        "select orbit_private.set_gate((select id from orbit.organizations), $1, $2, $3, $4, $5)",
        kind,
        key,
        cap,
        per_second,
        burst,
    )


async def held(queue: Queue) -> int:
    return int(await queue.connection.fetchval("select count(*) from orbit_private.job where state = 2"))


async def left_over(queue: Queue) -> tuple[int, ...]:
    return tuple(
        await queue.connection.fetchrow(
            "select (select count(*) from orbit_private.gate_use), (select count(*) from orbit_private.parked),"
            " (select count(*) from orbit_private.ready), (select count(*) from orbit_private.job),"
            " (select count(*) from orbit_private.gate where kind = 'run')"
        )
    )


async def drained(worker: Worker, queue: Queue, *, cap: int, want: int = 10) -> int:
    """Ends one test at a time until nothing is left; the most that were held at once."""
    most = 0
    answer = await worker.advance(want=want)
    held_jobs = list(answer.jobs)
    while held_jobs:
        most = max(most, await held(queue))
        answer = await worker.advance([held_jobs.pop(0).ended("passed")], want=want)
        held_jobs += answer.jobs
    assert most <= cap
    return most


async def test_a_run_caps_its_own_tests_over_all_workers(queue: Queue) -> None:
    await queue.save({f"t{n:02}": [] for n in range(20)})
    run = await queue.start(concurrency=3)
    first, second = await queue.worker(), await queue.worker()
    jobs = await first.claim(2) + await second.claim(10)
    assert len(jobs) == 3
    assert await second.claim(10) == []
    # What comes free goes to whoever asks next.
    mine = [job for job in jobs if job.id in await first.held()]
    await first.advance([mine[0].ended("passed")])
    assert len(await second.claim(10)) == 1
    for worker in (first, second):
        for job, attempt in (await worker.held()).items():
            await worker.advance([(job, attempt, "passed", 0.0, None)])
    await drained(first, queue, cap=3)
    assert await queue.statuses(run) == {f"t{n:02}": "passed" for n in range(20)}
    assert await left_over(queue) == (0, 0, 0, 0, 0)


async def test_what_is_capped_keeps_its_order_and_holds_nobody_up(queue: Queue) -> None:
    await queue.save({f"t{n}": [] for n in range(6)}, key="capped")
    await queue.save({f"u{n}": [] for n in range(6)}, key="free")
    capped = await queue.start(suite="capped", concurrency=1)
    free = await queue.start(suite="free")
    worker = await queue.worker()
    jobs = await worker.claim(100)
    assert [job.queue_no for job in jobs] == [capped["queue_no"]] + [free["queue_no"]] * 6
    order = [jobs[0].position]
    answer = await worker.advance([jobs[0].ended("passed")], want=5)
    while answer.jobs:
        order += [job.position for job in answer.jobs]
        answer = await worker.advance([job.ended("passed") for job in answer.jobs], want=5)
    assert order == list(range(6))


async def test_dependencies_under_a_cap(queue: Queue) -> None:
    await queue.save({"a": [], "b": ["a"], "c": ["a"], "d": ["a"], "e": ["b", "c", "d"]})
    run = await queue.start(concurrency=2)
    assert await drained(await queue.worker(), queue, cap=2) == 2
    assert set((await queue.statuses(run)).values()) == {"passed"}
    assert await left_over(queue) == (0, 0, 0, 0, 0)


async def test_a_retry_a_loss_and_a_worker_that_goes_give_back_what_they_had(queue: Queue) -> None:
    await queue.save({"a": {"retry": {"max": 1}}, "b": []})
    await queue.start(concurrency=1)
    worker = await queue.worker()
    (a,) = await worker.claim(5)
    answer = await worker.advance([a.ended("failed", retryable=True)], want=5)
    (b,) = answer.jobs  # a is put off: b may have its place
    await queue.make_due()
    assert await worker.claim(5) == []
    await queue.ticks(now="1 minute")
    assert await queue.connection.fetchval("select count(*) from orbit_private.gate_use") == 0
    worker = await queue.worker()
    (again,) = await worker.claim(5)
    assert again.id in (a.id, b.id)
    await worker.retire()
    assert await queue.connection.fetchval("select count(*) from orbit_private.gate_use") == 0
    await (await queue.worker()).run_to_end()
    assert await left_over(queue) == (0, 0, 0, 0, 0)


async def test_a_cancelled_run_leaves_nothing_parked(queue: Queue) -> None:
    await queue.save({f"t{n}": [] for n in range(10)})
    run = await queue.start(concurrency=2)
    worker = await queue.worker()
    jobs = await worker.claim(10)
    await queue.cancel(run)
    await worker.advance([job.ended("cancelled") for job in jobs])
    assert set((await queue.statuses(run)).values()) == {"cancelled"}
    assert await left_over(queue) == (0, 0, 0, 0, 0)


async def test_a_claim_that_is_given_up_gives_back_what_it_had(queue: Queue) -> None:
    await queue.save({f"t{n}": [] for n in range(6)})
    await set_gate(queue.connection, "organization", cap=3)
    await queue.start(fail_fast=True, concurrency=1)
    worker = await queue.worker()
    (first,) = await worker.claim(1)
    await worker.advance([first.ended("failed")], want=2)
    assert await left_over(queue) == (0, 0, 0, 0, 0)
    await queue.start()
    assert len(await worker.claim(10)) == 3


async def test_what_nobody_can_do_keeps_nobody_out_of_a_gate(queue: Queue) -> None:
    tests = [{"key": f"t{n}", "request": {"url": "/"}, "requires": ["quantum"] if n < 5 else []} for n in range(8)]
    await queue.call("save_suite", {"key": "suite", "document": {"tests": tests}})
    await set_gate(queue.connection, "organization", cap=2)
    await queue.start(concurrency=1)
    worker = await queue.worker()
    for position in (5, 6, 7):
        (job,) = await worker.claim(10)
        assert job.position == position
        await worker.advance([job.ended("passed")])


async def test_what_is_parked_at_a_gate_that_is_gone_comes_back(queue: Queue) -> None:
    await queue.save({f"t{n}": [] for n in range(3)})
    await set_gate(queue.connection, "organization", cap=0)
    await queue.start()
    worker = await queue.worker()
    assert await worker.claim(10) == []
    await queue.connection.execute("delete from orbit_private.gate")
    await queue.tick()
    assert len(await worker.claim(10)) == 3


async def test_an_organisation_caps_all_its_runs_and_a_change_holds_at_once(queue: Queue) -> None:
    await queue.save({f"t{n}": [] for n in range(10)})
    await set_gate(queue.connection, "organization", cap=2)
    await queue.start()
    await queue.start()
    worker = await queue.worker()
    assert len(await worker.claim(100)) == 2
    assert await worker.claim(100) == []
    await set_gate(queue.connection, "organization", cap=5)
    assert len(await worker.claim(100)) == 3
    await set_gate(queue.connection, "organization", cap=0)
    assert await worker.claim(100) == []
    await set_gate(queue.connection, "organization")
    assert len(await worker.claim(100)) == 15


async def test_the_narrowest_of_several_gates_decides(queue: Queue) -> None:
    await queue.save({f"t{n}": [] for n in range(10)})
    await set_gate(queue.connection, "organization", cap=3)
    narrow, wide = await queue.start(concurrency=1), await queue.start(concurrency=8)
    worker = await queue.worker()
    jobs = await worker.claim(100)
    assert [job.queue_no for job in jobs] == [narrow["queue_no"], wide["queue_no"], wide["queue_no"]]
    # When the narrow run's test ends, its next one was there first.
    answer = await worker.advance([jobs[0].ended("passed")], want=100)
    assert [job.queue_no for job in answer.jobs] == [narrow["queue_no"]]


@pytest.mark.parametrize("url", ["https://Shop.Example:8443/items", "{{base_url}}/items", "/items", "{{ api }}items"])
async def test_a_host_is_known_from_the_url_or_the_variable_at_its_beginning(queue: Queue, url: str) -> None:
    saved = await queue.save({"a": [], "b": []})
    assert saved["tests"] == 2
    await set_gate(queue.connection, "host", "shop.example", cap=1)
    document = {
        "defaults": {"base_url": "{{base_url}}"},
        "variables": {"base_url": {"value": "http://user@shop.example/v1"}, "api": "http://shop.example/"},
        "tests": [{"key": key, "request": {"method": "GET", "url": url}} for key in ("a", "b")]
        + [{"key": "c", "request": {"method": "GET", "url": "http://other.example/"}}],
    }
    await queue.call("save_suite", {"key": "suite", "document": document})
    run = await queue.start()
    jobs = await (await queue.worker()).claim(10)
    assert sorted(job.position for job in jobs) == [0, 2]
    assert run["counts"]["total"] == 3


async def test_a_rate_lets_the_burst_through_and_then_so_many_a_second(queue: Queue) -> None:
    await queue.save({f"t{n:02}": [] for n in range(12)})
    await set_gate(queue.connection, "organization", per_second=0.001, burst=4)
    await queue.start()
    worker = await queue.worker()
    answer = await worker.advance(want=100)
    assert len(answer.jobs) == 4
    # One stands for all that wait: it is due when the next may begin.
    assert answer.next_in is not None
    assert 900 < answer.next_in <= 1000
    lanes = await queue.connection.fetch("select lane from orbit_private.ready")
    assert [row["lane"] for row in lanes] == [~0]
    assert await queue.connection.fetchval("select count(*) from orbit_private.parked") == 7
    # A second later, by the gate's clock.
    await queue.connection.execute("update orbit_private.gate set full_at = full_at - 1000, wakes_at = 0")
    await queue.make_due()
    assert len(await worker.claim(100)) == 1
    assert await worker.claim(100) == []


async def test_a_cap_is_never_passed_by_six_workers(queue: Queue, database: Database) -> None:
    await queue.save({f"t{n:03}": [] for n in range(120)})
    await set_gate(queue.connection, "organization", cap=7)
    runs = [await queue.start(concurrency=5), await queue.start(), await queue.start(concurrency=1)]
    over: list[int] = []

    async def work() -> None:
        async with database.connect() as connection:
            worker = await Queue(connection).worker()
            reports: list[Any] = []
            while await connection.fetchval("select exists (select from orbit_private.job)"):
                answer = await worker.advance(reports, want=4)
                used = await connection.fetchval(
                    "select max(n) filter (where n > cap) from (select g.cap, count(*) as n"
                    " from orbit_private.gate g join orbit_private.gate_use u on u.gate_id = g.id group by g.id) x"
                )
                over.extend([used] if used else [])
                reports = [job.ended("passed") for job in answer.jobs]

    await asyncio.gather(*(work() for _ in range(6)))
    assert over == []
    for run in runs:
        assert set((await queue.statuses(run)).values()) == {"passed"}
    assert await left_over(queue) == (0, 0, 0, 0, 0)
