"""Who may see and do what: named by the threat, made from the catalog, so that what is new is covered at once."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.queue import Queue

SCHEMAS = "('orbit', 'orbit_private', 'orbit_runner')"
ADA = UUID("aaaaaaaa-0000-4000-8000-000000000001")
EVE = UUID("eeeeeeee-0000-4000-8000-000000000002")
SEALED = "orbit.seal.v1.AAAAAAAA." + "A" * 60


@asynccontextmanager
async def acting_as(connection: asyncpg.Connection[Any], role: str, user: UUID | None = None) -> AsyncIterator[None]:
    """A transaction as PostgREST would run it; undone at the end."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        if user:
            await connection.execute(
                "select set_config('request.jwt.claims', $1, true)", json.dumps({"sub": str(user)})
            )
        await connection.execute(f"set local role {role}")
        yield
    finally:
        await transaction.rollback()


@pytest.fixture
async def run(queue: Queue) -> dict[str, Any]:
    """A run with results, events and a context, of an organisation where Ada is editor; Eve owns another."""
    await queue.connection.execute("insert into orbit.users (id) values ($1), ($2)", ADA, EVE)
    await queue.connection.execute(
        "with made as (insert into orbit.organizations (slug, name) values ('acme', 'Acme'), ('evil', 'Evil') returning id, slug)"
        " insert into orbit.organization_members (organization_id, user_id, role)"
        " select id, case slug when 'acme' then $1::uuid else $2::uuid end, case slug when 'acme' then 'editor' else 'owner' end"
        " from made",
        ADA, EVE,
    )  # fmt: skip
    await queue.save({"a": {"tags": ["x"]}, "b": ["a"], "c": []}, organization="acme")
    await queue.call(
        "save_environment",
        {
            "organization": "acme",
            "name": "staging",
            "variables": [{"name": "password", "value": SEALED, "secret": True}],
        },
    )
    started = await queue.start(organization="acme", environment="staging")
    await queue.put(started, {"kind": "token", "name": "t", "value": SEALED, "secret": True})
    worker = await queue.worker()
    a, _ = await worker.claim(2)
    await worker.advance([a.ended("failed", failures=[{"message": "no"}], captures=[{"name": "x", "value": 1}])])
    return started


async def relations(connection: asyncpg.Connection[Any]) -> list[tuple[str, str]]:
    rows = await connection.fetch(
        f"select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        f" where n.nspname in {SCHEMAS} and c.relkind in ('r', 'p', 'v', 'm') order by 1, 2"
    )
    return [(row["nspname"], row["relname"]) for row in rows]


async def visible(connection: asyncpg.Connection[Any], schema: str, name: str) -> int:
    """Rows that the present role sees; 0 where it may not even look."""
    savepoint = connection.transaction()
    await savepoint.start()
    try:
        return int(await connection.fetchval(f"select count(*) from {schema}.{name} t where t is not null or true"))
    except asyncpg.InsufficientPrivilegeError:
        return 0
    finally:
        await savepoint.rollback()


async def test_a_member_of_another_organisation_sees_no_row_of_any_table_or_view(
    queue: Queue, run: dict[str, Any]
) -> None:
    own = {"orbit.users": 1, "orbit.organizations": 1, "orbit.organization_members": 1, "orbit.audit_log": 2}
    tables = [
        (schema, name)
        for schema, name in await relations(queue.connection)
        if name not in ("actions", "limits", "setting_definitions", "state_transitions")
    ]  # for all
    async with acting_as(queue.connection, "authenticated", EVE):
        for schema, name in tables:
            relation = f"{schema}.{name}"
            assert await visible(queue.connection, schema, name) == own.get(relation, 0), relation
    seen = set()
    async with acting_as(queue.connection, "authenticated", ADA):
        for schema, name in tables:
            if await visible(queue.connection, schema, name):
                seen.add(name)
                assert schema == "orbit"
    filled = {row["relname"] for row in await queue.connection.fetch(
        "select relname from pg_stat_user_tables where schemaname = 'orbit'")}  # fmt: skip
    # left out above, or of admins
    not_hers = {"actions", "limits", "setting_definitions", "state_transitions", "audit_log"}
    views = {"test_execution_context", "test_results", "test_result_details"}
    assert seen >= (filled | views) - not_hers - await empty(queue)


async def empty(queue: Queue) -> set[str]:
    """Tables of schema orbit without a row."""
    names = [name for schema, name in await relations(queue.connection) if schema == "orbit"]
    return {name for name in names if not await queue.connection.fetchval(f"select exists (select from orbit.{name})")}


@pytest.mark.parametrize("role", ["anon", "orbit_runner"])
async def test_who_is_not_signed_in_and_a_runner_touch_no_table(queue: Queue, run: dict[str, Any], role: str) -> None:
    tables = await relations(queue.connection)
    async with acting_as(queue.connection, role):
        for schema, name in tables:
            assert await visible(queue.connection, schema, name) == 0, f"{schema}.{name}"
    granted = await queue.connection.fetch(
        f"select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname in {SCHEMAS}"
        " and c.relkind in ('r', 'p', 'v', 'm') and has_table_privilege($1, c.oid,"
        " 'select, insert, update, delete, truncate, references, trigger')",
        role,
    )
    assert granted == []


async def test_who_is_not_signed_in_can_call_nothing(queue: Queue) -> None:
    callable_ = await queue.connection.fetch(
        f"select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
        f" where n.nspname in {SCHEMAS} and has_function_privilege('anon', p.oid, 'execute')"
        " and has_schema_privilege('anon', n.oid, 'usage')"
    )
    assert callable_ == []


async def test_nothing_is_executable_by_everybody(queue: Queue) -> None:
    open_ = await queue.connection.fetch(
        f"select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace,"
        " aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a"
        f" where n.nspname in {SCHEMAS} and a.grantee = 0"
    )
    assert open_ == []


async def test_clients_write_no_table(queue: Queue) -> None:
    """What they may write, they write through functions; but for their own preferences and credentials, rows of nobody else's,
    and what admins keep of environments (which rows and columns: tests/variables)."""
    granted = await queue.connection.fetch(
        f"select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname in {SCHEMAS}"
        " and c.relkind in ('r', 'p', 'v', 'm')"
        " and has_table_privilege('authenticated', c.oid, 'insert, update, delete, truncate')"
    )
    assert {row["relname"] for row in granted} == {
        "user_preferences",
        "api_credentials",
        "environments",
        "environment_variables",
    }


REQUESTS: dict[str, dict[str, Any]] = {
    "get_run": {},
    "list_results": {"details": True},
    "read_events": {},
    "cancel_run": {},
    "get_context": {},
    "put_context": {"entries": []},
    "resolve_dependencies": {"test": "b"},
    "explain_waiting": {},
    "list_transitions": {},
    "rerun": {},
    "compare_runs": {},
}
OF_FINISHED_RUNS: dict[str, tuple[str, ...]] = {"rerun": (), "compare_runs": ("base",)}


async def test_the_functions_that_take_a_run_are_all_looked_at(queue: Queue) -> None:
    """Their comments say that a request names one: {run_id, …}."""
    found = await queue.connection.fetch(
        "select p.proname from pg_proc p where p.pronamespace = 'orbit'::regnamespace"
        " and has_function_privilege('authenticated', p.oid, 'execute')"
        " and obj_description(p.oid, 'pg_proc') ~ '(^|[^[])\\{run_id[,}]'"
    )
    assert {row["proname"] for row in found} == set(REQUESTS)


@pytest.mark.parametrize("function", REQUESTS)
async def test_a_run_of_another_organisation_is_not_found(queue: Queue, run: dict[str, Any], function: str) -> None:
    refusals = []
    for run_id in (run["id"], run["id"][:8], "00000000-0000-0000-0000-000000000000"):
        async with acting_as(queue.connection, "authenticated", EVE):
            with pytest.raises(asyncpg.PostgresError) as error:
                await queue.call(function, {"run_id": run_id} | REQUESTS[function])
        assert error.value.sqlstate == "OR002"
        refusals.append(str(error.value.message).replace(run_id, "…"))
    assert len(set(refusals)) == 1, "what is not there and what is not the caller's are told alike"
    async with acting_as(queue.connection, "authenticated", ADA):
        if function in OF_FINISHED_RUNS:
            with pytest.raises(asyncpg.PostgresError) as error:
                await queue.call(function, dict.fromkeys(("run_id", *OF_FINISHED_RUNS[function]), run["id"]))
            assert error.value.sqlstate == "OR004", "it goes on"
        else:
            assert await queue.call(function, {"run_id": run["id"]} | REQUESTS[function]) is not None


async def test_the_catalog_of_another_organisation_is_not_found(queue: Queue, run: dict[str, Any]) -> None:
    requests: list[tuple[str, dict[str, Any], str]] = [
        ("start_run", {"suite": "suite"}, "OR002"),
        ("start_run", {"suite_id": run["suite_id"]}, "OR002"),
        ("get_environment", {"name": "staging"}, "OR002"),
        ("save_suite", {"organization": "acme", "key": "x", "document": {"tests": [{"key": "a"}]}}, "OR002"),
        ("save_environment", {"organization": "acme", "name": "staging"}, "OR002"),
    ]
    for function, request, code in requests:
        async with acting_as(queue.connection, "authenticated", EVE):
            with pytest.raises(asyncpg.PostgresError) as error:
                await queue.call(function, request)
            assert error.value.sqlstate == code, (function, str(error.value))
            assert "password" not in str(error.value.detail or "")
    async with acting_as(queue.connection, "authenticated", EVE):
        assert await queue.call("list_runs", {}) == []
        saved = await queue.save({"a": []})
        own = await queue.start()
        assert own["suite_id"] == saved["suite_id"] != run["suite_id"], "names are each organisation's own"


async def test_an_environment_of_another_organisation_cannot_be_run_in(queue: Queue, run: dict[str, Any]) -> None:
    environment = await queue.connection.fetchval("select id::text from orbit.environments")
    async with acting_as(queue.connection, "authenticated", EVE):
        await queue.save({"a": []})
        with pytest.raises(asyncpg.PostgresError) as error:
            await queue.start(environment_id=environment)
        assert error.value.sqlstate == "OR002"


async def test_a_made_up_row_tells_nothing_of_another_organisation(queue: Queue, run: dict[str, Any]) -> None:
    """The helpers take a run as a row; who may reach them directly must not be able to make one up."""
    row = await queue.connection.fetchval("select r::text from orbit.test_runs r")
    async with acting_as(queue.connection, "authenticated", EVE):
        await queue.save({"mine": []})
        mine = (await queue.start())["id"]
        for made_up in (row, row.replace(run["id"], mine)):
            told = await queue.connection.fetchval(
                "select orbit_private.run_of($1::text::orbit.test_runs)::text", made_up
            )
            assert told is None or (json.loads(told)["id"] == mine and json.loads(told)["suite_id"] != run["suite_id"])
            events = json.loads(
                await queue.connection.fetchval(
                    "select orbit_private.events_of($1::text::orbit.test_runs, 0, 100)::text", made_up
                )
            )
            assert all(event["run_id"] == mine for event in events)
            assert len(events) <= 1
        assert await queue.connection.fetchval("select orbit_private.context_of($1, 'token')", run["queue_no"]) is None
        assert (
            await queue.connection.fetchval("select orbit_private.test_order_of($1)", UUID(run["version_id"])) is None
        )


@pytest.mark.parametrize(
    ("role", "function", "request_", "allowed"),
    [
        ("viewer", "get_run", {}, True),
        ("viewer", "cancel_run", {}, False),
        ("viewer", "put_context", {"entries": []}, False),
        ("viewer", "start_run", {"suite": "suite"}, False),
        ("viewer", "save_suite", {"key": "x", "document": {"tests": [{"key": "a"}]}}, False),
        ("editor", "start_run", {"suite": "suite"}, True),
        ("editor", "save_suite", {"key": "x", "document": {"tests": [{"key": "a"}]}}, True),
        ("editor", "save_environment", {"name": "staging"}, False),
        ("admin", "save_environment", {"name": "staging"}, True),
        ("owner", "cancel_run", {}, True),
    ],
)
async def test_what_a_role_may_do(
    queue: Queue, run: dict[str, Any], role: str, function: str, request_: Any, allowed: bool
) -> None:
    await queue.connection.execute("update orbit.organization_members set role = $1 where user_id = $2", role, ADA)
    request = request_ if {"suite", "key", "name"} & request_.keys() else {"run_id": run["id"]} | request_
    async with acting_as(queue.connection, "authenticated", ADA):
        if allowed:
            await queue.call(function, request)
            return
        with pytest.raises(asyncpg.PostgresError) as error:
            await queue.call(function, request)
        assert error.value.sqlstate == "OR003"
        assert error.value.hint


async def test_a_role_that_merely_inherits_is_no_administrator(queue: Queue, run: dict[str, Any]) -> None:
    """A custom role with the rights of `authenticated` is under RLS as well."""
    name = f"orbit_test_{run['id'][:8]}"
    await queue.connection.execute(f"create role {name} in role authenticated")
    try:
        async with acting_as(queue.connection, name, EVE):
            assert await queue.call("list_runs", {}) == []
            with pytest.raises(asyncpg.PostgresError) as error:
                await queue.call("get_run", {"run_id": run["id"]})
            assert error.value.sqlstate == "OR002"
    finally:
        await queue.connection.execute(f"drop role {name}")


async def test_a_runner_can_do_its_work_and_nothing_else(queue: Queue, run: dict[str, Any]) -> None:
    signatures = await queue.connection.fetch(
        "select p.oid::regprocedure::text as name from pg_proc p where p.pronamespace = 'orbit_runner'::regnamespace"
    )
    denied = await queue.connection.fetch(
        "select p.oid::regprocedure::text as name from pg_proc p where p.pronamespace = 'orbit_runner'::regnamespace"
        " and not has_function_privilege('orbit_runner', p.oid, 'execute')"
    )
    assert len(signatures) >= 7
    assert denied == []
    await queue.start(organization="acme")
    async with acting_as(queue.connection, "orbit_runner"):
        worker = await queue.worker("runner")
        jobs = await worker.claim(1)
        assert len(jobs) == 1
        assert await worker.held() == {jobs[0].id: 1}
        assert await worker.heartbeat(run["queue_no"]) == (True, [])
        assert await queue.connection.fetchval("select orbit_runner.load_run($1) is not null", run["queue_no"])
        await worker.advance([jobs[0].ended("passed")])
        await queue.connection.fetchval("select orbit_runner.tick()")
        await worker.retire()
        for sql in (
            "select orbit.list_runs('{}')",
            "select orbit_private.caller_is_trusted()",
            "select * from orbit.test_runs",
        ):
            savepoint = queue.connection.transaction()
            await savepoint.start()
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await queue.connection.execute(sql)
            await savepoint.rollback()


async def test_expired_contexts_are_not_anybody_s_to_delete(queue: Queue) -> None:
    async with acting_as(queue.connection, "authenticated", ADA):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await queue.call("cleanup_expired_contexts", {})
    async with acting_as(queue.connection, "service_role"):
        assert await queue.call("cleanup_expired_contexts", {}) == {"deleted": 0}
