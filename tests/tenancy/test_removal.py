"""What is deleted leaves nothing: every column of the catalog that can hold an id is looked through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.queue import Queue

if TYPE_CHECKING:
    from uuid import UUID

    from support.postgres import Database
    from support.tenants import Tenants

OUTLIVES = {"audit_log", "audit_head", "audit_pending"}
"""The audit log tells that the organisation was there, and who deleted it."""
OTHERS_TOO = {"actions", "users", "limits", "usage"}


async def everything(tenants: Tenants) -> dict[str, int]:
    """Rows by table, partitions by their root."""
    names = await tenants.connection.fetch(
        "select n.nspname || '.' || c.relname as name, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname in ('orbit', 'orbit_private') and c.relkind in ('r', 'p') and not c.relispartition"
    )
    return {
        row["name"]: await tenants.connection.fetchval(f"select count(*) from {row['name']}")
        for row in names
        if row["relname"] not in OUTLIVES
    }


async def holding(tenants: Tenants, ids: set[UUID]) -> list[str]:
    """Where one of these ids still stands."""
    columns = await tenants.connection.fetch(
        "select n.nspname || '.' || c.relname as name, c.relname, a.attname, a.atttypid = 'uuid[]'::regtype as many"
        " from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname in ('orbit', 'orbit_private') and c.relkind in ('r', 'p') and not c.relispartition and a.attnum > 0"
        " and a.atttypid in ('uuid'::regtype, 'uuid[]'::regtype)"
    )
    assert len(columns) > 40
    return [
        f"{row['name']}.{row['attname']}"
        for row in columns
        if row["relname"] not in OUTLIVES
        and await tenants.connection.fetchval(
            f"select exists (select from {row['name']} t where t.{row['attname']} {'&&' if row['many'] else '= any'} ($1))",
            list(ids),
        )
    ]


async def filled(acme: Tenants, organization: str, project: str) -> tuple[dict[str, Any], Any]:
    """A project with a run that goes on: one result, a context, events, a job that a worker holds."""
    queue = Queue(acme.connection)
    await queue.save({"a": [], "b": ["a"], "c": []}, organization=organization, project=project)
    variables = [{"name": "x", "value": 1}]
    of = {"organization": organization, "project": project}
    await acme.call("save_environment", of | {"name": "staging", "variables": variables})
    run = await queue.start(organization=organization, project=project, environment="staging")
    await queue.put(run, {"kind": "variable", "name": "v", "value": 1})
    worker = await queue.worker()
    a, c = await worker.claim(2)
    await worker.advance([a.ended("failed", failures=[{"message": "no"}], captures=[{"name": "x", "value": 1}])])
    return run, (worker, c)


async def ids_of(acme: Tenants, organization: str) -> set[UUID]:
    found = set()
    for table in ("projects", "business_units", "test_suites", "environments", "test_runs"):
        rows = await acme.connection.fetch(
            f"select t.id from orbit.{table} t join orbit.organizations o on o.id = t.organization_id where o.slug = $1",
            organization,
        )
        found |= {row["id"] for row in rows}
    return found | {await acme.connection.fetchval("select id from orbit.organizations where slug = $1", organization)}


async def test_nothing_is_left_of_an_organisation(acme: Tenants) -> None:
    before = await everything(acme)
    await acme.organization("doomed", owner="olga", viewer="vera")
    await acme.unit("doomed", "unit", editor="pia")
    await acme.project("doomed", "shop", unit="unit")
    run, (worker, held) = await filled(acme, "doomed", "shop")
    for on in (
        {"project": "shop"},
        {"project": "shop", "environment": "staging"},
        {"project": "shop", "suite": "suite"},
    ):
        await acme.call_as(
            "olga", "grant_permission", {"organization": "doomed", "user": "vera@example.com", "permission": "viewer"} | on
        )  # fmt: skip
    await acme.call_as(
        "olga", "invite_member", {"organization": "doomed", "email": "x@example.com", "business_unit": "unit"}
    )
    ids = await ids_of(acme, "doomed")
    assert len(ids) == 6
    during = await everything(acme)
    grown = {name for name in before if during[name] > before[name]}
    assert len(grown) > 20
    assert await acme.refused("olga", "delete_organization", {"organization": "doomed"}) == "OR001"
    assert await acme.refused("olga", "delete_organization", {"organization": "doomed", "confirm": "acme"}) == "OR001"
    assert await acme.refused("vera", "delete_organization", {"organization": "doomed", "confirm": "doomed"}) == "OR003"
    told = await acme.call_as("olga", "delete_organization", {"organization": "doomed", "confirm": "doomed"})
    assert told["deleted"]
    assert await holding(acme, ids) == []
    after = await everything(acme)
    workers = {"orbit_private.worker"}
    assert {name: after[name] for name in grown - workers} == {name: before[name] for name in grown - workers}

    # The worker that was at it hears that it is over, and goes on with what there is.
    alive, stopping = await worker.heartbeat(run["queue_no"])
    assert (alive, stopping) == (True, [run["queue_no"]])
    answer = await worker.advance([held.ended("passed")], want=5)
    assert answer.stale == [(held.id, held.attempt)]
    assert answer.jobs == []
    assert await acme.connection.fetchval("select orbit_runner.load_run($1)", run["queue_no"]) is None


async def test_a_project_goes_and_its_neighbour_stays(acme: Tenants) -> None:
    await filled(acme, "acme", "website")
    kept, _ = await filled(acme, "acme", "checkout")
    doomed = await acme.connection.fetchval("select id from orbit.projects where slug = 'website'")
    runs = {
        row["id"] for row in await acme.connection.fetch("select id from orbit.test_runs where project_id = $1", doomed)
    }
    on = {"organization": "acme", "project": "website", "user": "vera@example.com", "permission": "editor"}
    for place in ({}, {"environment": "staging"}, {"suite": "suite"}):
        await acme.call_as("adam", "grant_permission", on | place)
    granted = await acme.connection.fetch("select resource_id from orbit.permission_assignments")
    assert len(granted) == 3
    await acme.call_as("adam", "delete_project", {"organization": "acme", "project": "website", "confirm": "website"})
    assert await holding(acme, {doomed} | runs | {row["resource_id"] for row in granted}) == []
    run = await acme.call_as("pia", "get_run", {"run_id": kept["id"]})
    assert run["counts"]["failed"] == 1
    queue = Queue(acme.connection)
    await queue.check()
    worker = await queue.worker()
    await queue.tick()
    await worker.retire()


async def test_a_unit_with_projects_stays(acme: Tenants) -> None:
    assert (
        await acme.refused("una", "delete_business_unit", {"organization": "acme", "business_unit": "payments"})
        == "OR004"
    )
    await acme.call_as("adam", "save_project", {"organization": "acme", "project": "checkout", "business_unit": None})
    assert (await acme.call_as("una", "delete_business_unit", {"organization": "acme", "business_unit": "payments"}))[
        "deleted"
    ]
    assert await acme.connection.fetchval(
        "select exists (select from orbit.organization_members where user_id = $1)", acme.id("una")
    )


@pytest.mark.parametrize("works", [True, False])
async def test_a_deletion_waits_for_whoever_is_at_work(acme: Tenants, database: Database, works: bool) -> None:
    """A worker's report and a deletion at the same time: the report is whole, or stale; nothing is left either way."""
    import asyncio

    _, (worker, held) = await filled(acme, "acme", "website")
    ids = await ids_of(acme, "acme")
    request = '{"organization": "acme", "confirm": "acme"}'
    async with database.connect() as other, database.connect() as watcher:
        mine, theirs = acme.connection, other
        transaction = (mine if works else theirs).transaction()
        await transaction.start()
        delete = lambda: theirs.fetchval("select orbit.delete_organization($1::text::jsonb)::text", request)  # noqa: E731
        report = lambda: worker.advance([held.ended("passed")])  # noqa: E731
        await (report() if works else delete())
        second = asyncio.ensure_future(delete() if works else report())
        pid = (theirs if works else mine).get_server_pid()
        while not second.done() and not await watcher.fetchval(  # noqa: ASYNC110 - another server's lock
            "select exists (select from pg_locks where pid = $1 and not granted)", pid
        ):
            await asyncio.sleep(0.005)
        assert not second.done()
        await transaction.commit()
        answer = await second
    if not works:
        assert answer.stale == [(held.id, held.attempt)]
    assert await holding(acme, ids) == []
    for table in ("job", "ready", "run_progress", "run_event", "context_entry"):
        assert await acme.connection.fetchval(f"select count(*) from orbit_private.{table}") == 0, table
