"""Caps and rates that are set are kept: by claims of several workers, and at once when they change."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from support.queue import Queue

if TYPE_CHECKING:
    import asyncpg
    from support.postgres import Database
    from support.queue import Worker

HOST = "api.example"


@pytest.fixture
async def queue(connection: asyncpg.Connection[Any]) -> Queue:
    """With an environment `staging`, and 24 tests against a host."""
    queue = Queue(connection)
    await queue.call("save_environment", {"name": "staging"})
    await queue.call("save_environment", {"name": "other"})
    await queue.save({f"t{n:02}": {"request": {"method": "GET", "url": f"https://{HOST}/{n}"}} for n in range(24)})
    return queue


async def set_(queue: Queue, name: str, value: Any, **place: Any) -> None:
    await queue.call("set_setting", place | {"name": name, "value": value})


async def unset(queue: Queue, name: str, **place: Any) -> None:
    await queue.call("unset_setting", place | {"name": name})


async def gates(queue: Queue) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Of organisations by their slug, environments by their name, hosts: (cap, per_second, burst)."""
    rows = await queue.connection.fetch(
        "select o.slug, g.kind, coalesce(e.name, g.key) as key, g.cap, g.per_second, g.burst from orbit_private.gate g"
        " join orbit.organizations o on o.id = g.organization_id left join orbit.environments e on e.id::text = g.key"
    )
    return {(row["slug"], f"{row['kind']} {row['key']}".strip()): tuple(row)[3:] for row in rows}


async def drain(queue: Queue, database: Database, *, cap: int, slots: int = 10) -> int:
    """Two workers on connections of their own claim and end whatever there is; the most that was held at once."""
    most = 0

    async def work(connection: asyncpg.Connection[Any], watch: asyncpg.Connection[Any]) -> None:
        nonlocal most
        worker: Worker = await queue.worker(on=connection, slots=slots)
        mine = await worker.claim(slots)
        idle = 0
        while idle < 20:
            held = int(await watch.fetchval("select count(*) from orbit_private.job where state = 2"))
            most = max(most, held)
            assert held <= cap
            reports = [mine.pop(0).ended("passed")] if mine else []
            answer = await worker.advance(reports, want=slots - len(mine))
            mine += answer.jobs
            idle = 0 if mine or reports else idle + 1
            await asyncio.sleep(0)

    async with database.connect() as a, database.connect() as b, database.connect() as c, database.connect() as d:
        await asyncio.gather(work(a, b), work(c, d))
    return most


async def test_a_cap_of_an_environment_is_never_passed_by_two_workers(queue: Queue, database: Database) -> None:
    await set_(queue, "concurrency.environment", 2, environment="staging")
    run = await queue.start(environment="staging")
    assert await drain(queue, database, cap=2) == 2
    assert set((await queue.statuses(run)).values()) == {"passed"}
    other = await queue.start(environment="other")  # another environment is not held up
    assert len(await (await queue.worker()).claim(24)) == 24
    assert other["id"] != run["id"]


async def test_a_cap_that_changes_during_a_run_holds_at_once(queue: Queue) -> None:
    place = {"environment": "staging"}
    await set_(queue, "concurrency.environment", 2, **place)
    await queue.start(**place)
    worker = await queue.worker()
    held = await worker.claim(10)
    assert len(held) == 2
    await set_(queue, "concurrency.environment", 5, **place)
    held += await worker.claim(10)
    assert len(held) == 5
    await set_(queue, "concurrency.environment", 1, **place)
    for left in (4, 3, 2, 1):  # what is under way is finished, and nothing begins until there is room again
        answer = await worker.advance([held.pop(0).ended("passed")], want=10)
        assert answer.jobs == []
        assert len(held) == left
    answer = await worker.advance([held.pop(0).ended("passed")], want=10)
    assert len(answer.jobs) == 1
    await set_(queue, "concurrency.environment", 0, **place)
    assert (await worker.advance([answer.jobs[0].ended("passed")], want=10)).jobs == []
    await unset(queue, "concurrency.environment", **place)
    assert len(await worker.claim(100)) == 24 - 6


async def test_a_rate_against_a_host_is_kept(queue: Queue) -> None:
    await set_(queue, f"rate.host:{HOST.upper()}", {"per_second": 0.001, "burst": 5})
    await queue.start()
    first, second = await queue.worker(), await queue.worker()
    assert len(await first.claim(10) + await second.claim(10)) == 5
    assert await second.claim(10) == []
    await set_(queue, f"rate.host:{HOST}", {"per_second": 0.001, "burst": 8})  # a change begins anew
    assert len(await first.claim(10) + await second.claim(10)) == 8
    await unset(queue, f"rate.host:{HOST}")
    await queue.make_due()
    assert len(await first.claim(100)) == 24 - 13


async def test_five_a_second_are_no_more_than_five_a_second(queue: Queue, database: Database) -> None:
    """By the database's own clock: of any two claims, no more lie between them than the burst and what the time gives."""
    await set_(queue, f"rate.host:{HOST}", {"per_second": 5, "burst": 2})
    await queue.start()
    began: list[float] = []

    async def work(connection: asyncpg.Connection[Any]) -> None:
        worker = await queue.worker(on=connection, slots=10)
        reports: list[Any] = []
        while len(began) < 12:
            # Taken after the claim: it cannot have been later.
            answer = await worker.advance(reports, want=10)
            now = float(await connection.fetchval("select extract(epoch from clock_timestamp())::float8"))
            began.extend([now] * len(answer.jobs))
            reports = [job.ended("passed") for job in answer.jobs]
            await asyncio.sleep(0.02)

    async with database.connect() as a, database.connect() as b:
        start = float(await a.fetchval("select extract(epoch from clock_timestamp())::float8"))
        async with asyncio.timeout(60):
            await asyncio.gather(work(a), work(b))
    began.sort()
    for number, moment in enumerate(began, 1):
        assert number <= 2 + (moment - start) * 5 + 1e-3


async def test_settings_of_every_level_become_gates(queue: Queue) -> None:
    await queue.call("create_organization", {"name": "Acme", "slug": "acme"})
    await set_(queue, "concurrency.organization", 50, all=True)
    await set_(queue, "concurrency.organization", 10, organization="acme")
    await set_(queue, "concurrency.environment", 7, organization="default")
    await set_(queue, "concurrency.environment", 3, environment="staging")
    await set_(queue, f"concurrency.host:{HOST}", 4, all=True)
    await set_(queue, f"rate.host:{HOST}", {"per_second": 5}, organization="acme")
    assert await gates(queue) == {
        ("default", "organization"): (50, None, None),
        ("acme", "organization"): (10, None, None),
        ("default", "environment staging"): (3, None, None),
        ("default", "environment other"): (7, None, None),
        ("default", f"host {HOST}"): (4, None, None),
        ("acme", f"host {HOST}"): (4, 5, 5),
    }
    # What is born later has them from its birth, and what goes takes its own along.
    await queue.call("create_organization", {"name": "Late", "slug": "late"})
    await queue.call("save_environment", {"name": "late"})
    await queue.call("delete_environment", {"name": "other"})
    now = await gates(queue)
    assert now["late", "organization"] == (50, None, None)
    assert now["late", f"host {HOST}"] == (4, None, None)
    assert now["default", "environment late"] == (7, None, None)
    assert len(now) == 8
    await set_(queue, "concurrency.organization", "none", organization="acme")
    assert ("acme", "organization") not in await gates(queue)
    for name, place in (
        ("concurrency.organization", {"all": True}),
        ("concurrency.organization", {"organization": "acme"}),
        ("concurrency.environment", {"organization": "default"}),
        ("concurrency.environment", {"environment": "staging"}),
        (f"concurrency.host:{HOST}", {"all": True}),
        (f"rate.host:{HOST}", {"organization": "acme"}),
    ):
        await unset(queue, name, **place)
    assert await gates(queue) == {}


async def test_an_organisation_with_caps_is_deleted(queue: Queue) -> None:
    await queue.call("create_organization", {"name": "Acme", "slug": "acme"})
    await queue.call("save_environment", {"name": "a", "organization": "acme"})
    for place in ({"all": True}, {"organization": "acme"}, {"organization": "acme", "environment": "a"}):
        await set_(queue, "concurrency.environment", 3, **place)
    await set_(queue, "concurrency.organization", 3, organization="acme")
    await set_(queue, f"rate.host:{HOST}", {"per_second": 5}, organization="acme")
    await queue.call("delete_organization", {"organization": "acme", "confirm": "acme"})
    assert {slug for slug, _ in await gates(queue)} == {"default"}


async def test_a_run_that_says_nothing_of_its_concurrency_is_given_it(queue: Queue) -> None:
    await set_(queue, "run.concurrency", 3, project="default")
    await queue.start()
    assert len(await (await queue.worker()).claim(10)) == 3


async def test_a_group_that_says_nothing_of_its_waiting_is_given_it(queue: Queue) -> None:
    await set_(queue, "group.wait", 60, project="default")
    await set_(queue, "group.size", 30)
    await set_(queue, "group.spread", 9)
    await queue.start(group="v1")
    await queue.start(group={"key": "v2", "wait": 0, "size": 2})
    rows = await queue.connection.fetch(
        "select group_key, group_size, group_spread, extract(epoch from open_at - (select max(created_at) from orbit.test_runs"
        " where affinity_group = group_key))::int as wait from orbit_private.lane where group_key is not null order by 1"
    )
    assert [tuple(row) for row in rows] == [("v1", 30, 9, 60), ("v2", 2, 9, 0)]
