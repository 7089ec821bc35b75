"""What tables there are, and that each of them is whole: protected, described, referring with an action, its statuses named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import asyncpg

SCHEMAS = "('orbit', 'orbit_private', 'orbit_runner')"

CORE = [
    "users", "organizations", "organization_members", "api_credentials",
    "projects", "test_suites", "test_cases", "api_endpoints", "test_dependencies",
    "test_request_configs", "test_response_specs", "test_data_fixtures", "fixture_usage",
    "environments", "environment_variables",
    "test_runs", "test_execution_context", "test_results", "test_result_details",
    "performance_metrics", "test_run_history", "failure_analysis",
    "report_templates", "user_preferences", "saved_searches",
]  # fmt: skip
"""The tables of the API testing platform by their names."""
EXTENSION = [
    "business_units", "business_unit_members", "permission_assignments", "schedules", "schedule_slots", "dead_letters",
    "workers",
    "notification_channels", "notification_outbox", "trigger_tokens", "worker_tokens", "audit_log",
    "setting_definitions", "settings",
]  # fmt: skip
"""What tenancy, the queue and operations add to them."""
VIEWS = {"test_execution_context", "workers"}
"""Of these, those that are views over what is private."""

NO_ACTION = {
    "projects_business_unit_id_fkey": "a unit that holds projects is not deleted; deferred: an organisation takes both with it"
}
"""Foreign keys that stand in the way of a deletion, and why."""
UNLISTED = {
    ("test_results", "category"): "plug-ins bring their own; a word too many must not cost a result",
    ("test_result_details", "status"): "its partitions take the statuses of test_results, and no other",
    ("audit_log", "resource_type"): "a table names its kind where it is put under audit",
    ("audit_pending", "resource_type"): "as in audit_log",
}
"""Columns that look like a status and are of no list, and why."""
NO_INDEX: dict[str, str] = {}
"""Foreign keys without an index that leads with their columns, and why."""


@pytest.mark.parametrize("name", CORE + EXTENSION)
async def test_the_tables_are_there(connection: asyncpg.Connection[Any], name: str) -> None:
    row = await connection.fetchrow(
        "select c.relkind::text as kind, c.relrowsecurity, exists (select from pg_policy p where p.polrelid = c.oid) as policy,"
        " c.reloptions, has_table_privilege('authenticated', c.oid, 'select')"
        "   or has_any_column_privilege('authenticated', c.oid, 'select') as readable"
        " from pg_class c where c.relnamespace = 'orbit'::regnamespace and c.relname = $1",
        name,
    )
    assert row is not None, f"there is no orbit.{name}"
    assert (row["kind"] == "v") == (name in VIEWS)
    assert row["readable"], f"nobody signed in can read orbit.{name}"
    if name in VIEWS:
        assert "security_invoker=true" in row["reloptions"]
    else:
        assert row["relrowsecurity"]
        assert row["policy"], f"orbit.{name} has no policy"


async def test_every_column_is_described(connection: asyncpg.Connection[Any]) -> None:
    """Of tables in all three schemas, and of the views that people read; a leaf is described by what it is a part of."""
    rows = await connection.fetch(
        f"""
        select n.nspname || '.' || c.relname || '.' || a.attname as name, col_description(c.oid, a.attnum) as comment
          from pg_class c join pg_namespace n on n.oid = c.relnamespace
          join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
          where n.nspname in {SCHEMAS} and not c.relispartition
            and (c.relkind in ('r', 'p') or c.relkind = 'v' and n.nspname = 'orbit')
        """
    )
    assert len(rows) > 300
    assert [row["name"] for row in rows if not row["comment"]] == []


async def test_a_comment_says_more_than_the_name(connection: asyncpg.Connection[Any]) -> None:
    rows = await connection.fetch(
        f"""
        select c.relname || '.' || a.attname as name, d.description
          from pg_description d join pg_class c on c.oid = d.objoid and d.classoid = 'pg_class'::regclass
          join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid and a.attnum = d.objsubid
          where n.nspname in {SCHEMAS} and d.objsubid > 0
            and regexp_replace(lower(d.description), '[^a-z0-9]', '', 'g') in
                (replace(a.attname, '_', ''), 'the' || replace(a.attname, '_', ''))
        """
    )
    assert rows == []


async def test_every_function_and_view_is_described(connection: asyncpg.Connection[Any]) -> None:
    rows = await connection.fetch(
        f"""
        select p.oid::regprocedure::text as name from pg_proc p join pg_namespace n on n.oid = p.pronamespace
          where n.nspname in {SCHEMAS} and obj_description(p.oid, 'pg_proc') is null
        union all
        select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname in {SCHEMAS} and c.relkind = 'v' and obj_description(c.oid, 'pg_class') is null
        """
    )
    assert rows == []


async def test_every_foreign_key_says_what_a_deletion_does(connection: asyncpg.Connection[Any]) -> None:
    rows = await connection.fetch(
        f"select c.conname from pg_constraint c join pg_namespace n on n.oid = c.connamespace"
        f" where n.nspname in {SCHEMAS} and c.contype = 'f' and c.confdeltype = 'a'"
    )
    assert {row["conname"] for row in rows} == set(NO_ACTION)


async def test_every_foreign_key_has_an_index_that_leads_with_it(connection: asyncpg.Connection[Any]) -> None:
    """In any order of its columns; a partial index does not serve a deletion."""
    rows = await connection.fetch(
        f"""
        select c.conrelid::regclass || ' ' || c.conname as name from pg_constraint c join pg_namespace n on n.oid = c.connamespace
          where n.nspname in {SCHEMAS} and c.contype = 'f' and not exists (
            select from pg_index i where i.indrelid = c.conrelid and i.indpred is null
              and (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey)
        """
    )
    assert {row["name"] for row in rows} == set(NO_INDEX)


async def test_every_status_is_of_a_named_list(connection: asyncpg.Connection[Any]) -> None:
    """Columns that say what kind a row is, or where it stands, have a CHECK of their own by their name."""
    rows = await connection.fetch(
        f"""
        select c.relname, a.attname, exists (
            select from pg_constraint k where k.conrelid = c.oid and k.contype = 'c' and a.attnum = any (k.conkey)
              and k.conname = c.relname || '_' || a.attname || '_check') as checked
          from pg_class c join pg_namespace n on n.oid = c.relnamespace
          join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
          where n.nspname in {SCHEMAS} and c.relkind in ('r', 'p') and not c.relispartition and a.attgenerated = ''
            and a.attname in ('status', 'state', 'kind', 'role', 'level', 'category', 'scope', 'dependency_type', 'resource_type')
        """
    )
    assert len(rows) > 10
    assert {(row["relname"], row["attname"]) for row in rows if not row["checked"]} == set(UNLISTED)


async def test_every_constraint_was_given_its_name(connection: asyncpg.Connection[Any]) -> None:
    """A name that Postgres chose ends in check1, check2, …"""
    rows = await connection.fetch(
        f"select c.conname from pg_constraint c join pg_namespace n on n.oid = c.connamespace"
        f" where n.nspname in {SCHEMAS} and c.contype = 'c' and c.conname ~ '_check[0-9]+$'"
    )
    assert rows == []
