"""What is written to the audit log: every change of every table of configuration, with who and where, and no secret."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from support.queue import Queue
from support.tenants import Tenants

if TYPE_CHECKING:
    from uuid import UUID

NOT_AUDITED = {
    "actions": "part of the schema: what can be done",
    "limits": "part of the schema: what can be limited",
    "setting_definitions": "part of the schema: what can be set",
    "state_transitions": "part of the schema: which changes of state there are",
    "pipeline_runs": "what the engine did: starting and cancelling one is audited by its functions, and so is each start",
    "pipeline_run_steps": "what the engine did",
    "audit_log": "the log itself",
    "users": "accounts are the Auth service's, which has a log of its own; a sign-up must not wait for a chain, nor fail for one",
    "schedule_slots": "what the engine did: the schedules are audited, and so is each start",
    "notification_outbox": "what is to be delivered: the channels are audited",
    "test_cases": "part of a suite's version, which is audited",
    "test_dependencies": "part of a suite's version",
    "test_request_configs": "part of a suite's version",
    "test_response_specs": "part of a suite's version",
    "api_endpoints": "follows from the suites' versions",
    "fixture_usage": "which version uses which data set: part of a suite's version",
    "test_runs": "run control is audited by start_run, cancel_run and put_context; the rest is the queue's",
    "test_results": "what runs found",
    "test_result_details": "what runs found",
    "test_run_history": "what runs found",
    "failure_analysis": "what runs found",
    "performance_metrics": "what runs found",
    "user_preferences": "a person's own, of no consequence to others",
}
"""Tables without the trigger, with the reason."""

LOOKS_SECRET = re.compile(r"secret|password|token|hash|sealed|encrypted|private|credential|signature|\bkey_")
NOT_SECRET = {
    "api_credentials.token_url": "where tokens are asked for",
    "environment_variables.is_secret": "whether it is one",
    "environment_variables.secret_id": "an id of a table that nobody reads",
    "variable_definitions.is_secret": "whether it is one",
    "variable_definitions.secret_id": "an id of a table that nobody reads",
    "api_credentials.secret_id": "an id of a table that nobody reads",
    "api_credentials.secret_ids": "ids of a table that nobody reads",
    "api_credentials.credential_type": "a word",
    "notification_channels.secret_id": "an id of a table that nobody reads",
    "schedules.secret_names": "names",
    "worker_policy.tokens_required": "whether workers need one",
}
"""Columns that only sound as if they held a secret."""


async def entries(connection: asyncpg.Connection[Any], kind: str) -> list[tuple[str, Any, Any]]:
    rows = await connection.fetch(
        "select action, before, after from orbit.audit_log where resource_type = $1 order by organization_id, number",
        kind,
    )
    return [tuple(json.loads(cell) if cell and cell[0] == "{" else cell for cell in row) for row in rows]


@pytest.fixture
async def acme(connection: asyncpg.Connection[Any]) -> UUID:
    tenants = await Tenants.on(connection)
    acme = await tenants.organization("acme", owner="olga")
    await tenants.project("acme")
    return acme


async def test_every_table_is_audited_or_has_a_reason_not_to_be(connection: asyncpg.Connection[Any]) -> None:
    rows = await connection.fetch(
        "select c.relname, exists (select from pg_trigger t where t.tgrelid = c.oid and t.tgname = '800_audit'"
        "   and t.tgenabled = 'O' and t.tgtype & 28 = 28) as audited"  # insert, delete, update
        " from pg_class c where c.relnamespace = 'orbit'::regnamespace and c.relkind in ('r', 'p')"
    )
    without = {row["relname"] for row in rows if not row["audited"]}
    assert without <= set(NOT_AUDITED), "neither audited nor a known exception: select orbit_private.audited(…)"
    assert not {row["relname"] for row in rows if row["audited"]} & set(NOT_AUDITED), "audited, and called an exception"
    assert len(rows) - len(without) >= 10


async def test_no_column_that_sounds_secret_is_written_in_clear(connection: asyncpg.Connection[Any]) -> None:
    rows = await connection.fetch(
        "select c.relname || '.' || a.attname as name, a.attname, encode(t.tgargs, 'escape') as arguments"
        " from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_attribute a on a.attrelid = c.oid"
        " where t.tgname = '800_audit' and a.attnum > 0 and not a.attisdropped"
    )
    assert rows
    for row in rows:
        _, _, masked, left_out, *_ = row["arguments"].split("\\000")
        hidden = masked.split(",") + left_out.split(",")
        if LOOKS_SECRET.search(row["attname"]) and row["attname"] not in hidden:
            assert row["name"] in NOT_SECRET, f"{row['name']} sounds secret, and is written to the audit log"


async def test_what_changed_is_written_and_nothing_else(connection: asyncpg.Connection[Any], acme: UUID) -> None:
    await connection.execute(
        "insert into orbit.environments (organization_id, project_id, name) select $1, id, 'staging' from orbit.projects",
        acme,
    )
    await connection.execute(
        "update orbit.environments set description = 'hers', updated_at = now() + interval '1 day'"
    )
    await connection.execute("update orbit.environments set updated_at = now() + interval '2 days'")
    await connection.execute("update orbit.environments set name = name")
    await connection.execute("delete from orbit.environments")
    create, update, delete = await entries(connection, "environment")
    assert create[0] == "environment.create"
    assert create[1] is None
    assert create[2]["name"] == "staging"
    assert "description" not in create[2]
    assert update == ("environment.update", {"description": None}, {"description": "hers"})
    assert delete[0] == "environment.delete"
    assert delete[2] is None
    assert (delete[1]["name"], delete[1]["description"]) == ("staging", "hers")


async def test_who_and_from_where(connection: asyncpg.Connection[Any], acme: UUID) -> None:
    tenants = await Tenants.on(connection)
    headers = json.dumps({"x-forwarded-for": "203.0.113.7", "user-agent": "browser/1.0"})
    async with connection.transaction():
        await connection.execute("select set_config('request.headers', $1, true)", headers)
        await tenants._become("olga", "authenticated")
        await connection.execute('select orbit.update_organization(\'{"name": "Acme 2"}\')')
    await connection.execute("set application_name = 'psql by hand'")
    await connection.execute("update orbit.organizations set name = 'Acme 3'")
    rows = await connection.fetch(
        "select user_id, actor, address, agent, organization_id::text from orbit.audit_log where action = 'organization.update'"
        " order by number"
    )
    owner = await connection.fetchval("select session_user")
    assert tuple(rows[0]) == (tenants.id("olga"), "olga@example.com", "203.0.113.7", "browser/1.0", str(acme))
    assert tuple(rows[1])[:2] == (None, owner)
    assert rows[1]["agent"] == "psql by hand"


async def test_sealed_values_are_masked_wherever_they_stand(connection: asyncpg.Connection[Any], acme: UUID) -> None:
    sealed = "orbit.seal.v1.AAAAAAAA." + "B" * 60
    value = {"a": [sealed, "orbit.pgp.v1.CCCCCCCC.DDDD+/=="], "b": f"Bearer {sealed}", "c": "kept"}
    await connection.execute(
        "select orbit_private.audit($1, 'thing.done', 'thing', 'x', null, $2::text::jsonb)", acme, json.dumps(value)
    )
    [(_, _, after)] = await entries(connection, "thing")
    assert after == {"a": ["(masked)", "(masked)"], "b": "Bearer (masked)", "c": "kept"}


async def test_what_is_masked_or_was_a_secret_shows_only_that_it_changed(
    connection: asyncpg.Connection[Any], acme: UUID
) -> None:
    await connection.execute("""
        create table orbit.things (id int primary key, organization_id uuid, token_hash text, value text, secret_id text);
        select orbit_private.audited('orbit.things', 'thing', p_masked => '{token_hash}');
    """)
    await connection.execute("insert into orbit.things values (1, $1, 'abc', 'hunter1', null)", acme)
    await connection.execute("update orbit.things set token_hash = 'def'")
    await connection.execute("update orbit.things set value = 'hunter2', secret_id = 's'")
    await connection.execute("update orbit.things set value = 'hunter3', secret_id = null")
    await connection.execute("update orbit.things set token_hash = null")
    told = await entries(connection, "thing")
    assert told[0][2]["token_hash"] == "(masked)"
    assert told[1][1:] == ({"token_hash": "(masked)"}, {"token_hash": "(masked)"})
    assert told[2][1:] == ({"value": "(masked)", "secret_id": None}, {"value": "(masked)", "secret_id": "s"})
    assert told[3][1:] == ({"value": "(masked)", "secret_id": "s"}, {"value": "(masked)", "secret_id": None})
    assert told[4][1:] == ({"token_hash": "(masked)"}, {"token_hash": None})
    everything = json.dumps(told)
    assert "hunter2" not in everything
    assert "hunter3" not in everything
    assert "abc" not in everything


async def test_long_values_are_shortened_to_a_digest(connection: asyncpg.Connection[Any], acme: UUID) -> None:
    await connection.execute("update orbit.projects set name = 'short'")
    await connection.execute(
        "insert into orbit.environments (organization_id, project_id, name, description)"
        " select $1, id, 'e', repeat('x', 100000) from orbit.projects",
        acme,
    )
    [(_, _, after)] = await entries(connection, "environment")
    assert set(after["description"]) == {"sha256", "bytes"}
    assert after["description"]["bytes"] == 100_002


async def test_a_suites_version_is_written_without_its_document(connection: asyncpg.Connection[Any]) -> None:
    queue = Queue(connection)
    await queue.save({"a": [], "b": []})
    await queue.save({"a": [], "b": []})
    [(action, _, after)] = await entries(connection, "suite_version")
    assert action == "suite_version.create"
    assert "document" not in after
    assert after["number"] == 1
    assert len(after["digest"]) == 64
    assert after["test_case_ids"]["items"] == 2


async def test_run_control_is_written(connection: asyncpg.Connection[Any]) -> None:
    queue = Queue(connection)
    await queue.save({"a": []})
    run = await queue.start()
    entry = {"kind": "variable", "name": "city", "value": "Hunter2-Town"}
    await queue.put(run, entry)
    tenants = await Tenants.on(connection)
    for _ in range(2):  # the second changes nothing
        await tenants.call("cancel_run", {"run_id": run["id"], "reason": "enough"})
    told = await entries(connection, "run")
    assert [action for action, _, _ in told] == ["run.start", "context.write", "run.cancel"]
    assert told[0][2] == {"suite": "suite", "version": 1, "tests": 1, "triggered_by": "sdk"}
    assert told[1][2] == {"entries": ["variable city"]}
    assert told[2][2] == {"reason": "enough"}


async def test_all_that_goes_with_an_organisation_is_in_its_log_which_stays(
    connection: asyncpg.Connection[Any], acme: UUID
) -> None:
    await connection.execute(
        "insert into orbit.environments (organization_id, project_id, name) select $1, id, 'e' from orbit.projects",
        acme,
    )
    await connection.execute("delete from orbit.organizations")
    rows = await connection.fetch("select action from orbit.audit_log where organization_id = $1 order by number", acme)
    actions = [row["action"] for row in rows]
    for action in ("organization.delete", "member.delete", "project.delete", "environment.delete"):
        assert action in actions
    system = await connection.fetch(
        "select action from orbit.audit_log where organization_id = '00000000-0000-0000-0000-000000000000'"
        " and resource_type = 'organization' order by number"
    )
    assert [row["action"] for row in system] == ["organization.create", "organization.delete"]
    tenants = await Tenants.on(connection)
    assert (await tenants.call("verify_audit", {"organization": str(acme)}))["ok"]
    assert (await tenants.call("verify_audit", {"system": True}))["ok"]


async def test_rows_that_know_only_their_project_find_the_organisation_also_when_both_go(
    connection: asyncpg.Connection[Any], acme: UUID
) -> None:
    await connection.execute("""
        create table orbit.things (id int primary key, project_id uuid references orbit.projects (id) on delete cascade);
        select orbit_private.audited('orbit.things', 'thing');
        insert into orbit.things select 1, id from orbit.projects;
        delete from orbit.projects;
    """)
    rows = await connection.fetch("select action, organization_id from orbit.audit_log where resource_type = 'thing'")
    assert [(row["action"], row["organization_id"]) for row in rows] == [("thing.create", acme), ("thing.delete", acme)]


async def test_a_list_of_columns_that_names_one_that_is_not_there_is_refused(
    connection: asyncpg.Connection[Any],
) -> None:
    with pytest.raises(asyncpg.RaiseError, match="has no column colour"):
        await connection.execute("select orbit_private.audited('orbit.projects', 'project', p_masked => '{colour}')")


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"action": "environment.create"}, ["b", "a"]),
        ({"action": "environment"}, ["b", "b", "a"]),
        ({"resource": "a"}, ["a"]),
        ({"resource": "environment"}, ["b", "b", "a"]),
        ({"who": "nobody"}, []),
        ({"action": "environment", "since": "2000-01-01"}, ["b", "b", "a"]),
        ({"action": "environment", "until": "2000-01-01"}, []),
    ],
)
async def test_entries_are_found_by_page(
    connection: asyncpg.Connection[Any], acme: UUID, filters: dict[str, str], found: list[str]
) -> None:
    for name in ("a", "b"):
        await connection.execute(
            "insert into orbit.environments (organization_id, project_id, name) select $1, id, $2 from orbit.projects",
            acme,
            name,
        )
    await connection.execute("delete from orbit.environments where name = 'b'")
    tenants = await Tenants.on(connection)
    page = await tenants.call("list_audit", {"organization": "acme", **filters})
    assert [entry["resource_name"] for entry in page["entries"]] == found
    assert page["next"] is None
    one_by_one, before = [], None
    for _ in found:
        page = await tenants.call("list_audit", {"organization": "acme", "limit": 1, "before": before, **filters})
        one_by_one += [entry["resource_name"] for entry in page["entries"]]
        before = page["next"]
    assert one_by_one == found
    assert before is None
