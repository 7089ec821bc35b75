"""Each index that the mission names is used by a question that Orbit asks, over tables that are filled."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from support.tenants import Tenants

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg
    from support.postgres import Cluster

_FILL = """
set session_replication_role = replica;
insert into orbit.organizations (slug, name) values ('default', 'Default');
insert into orbit.projects (organization_id, slug, name)
  select o.id, case p when 1 then 'default' else 'p' || p end, 'P' || p from orbit.organizations o, generate_series(1, 20) p;
insert into orbit.test_suites (organization_id, project_id, key, name, latest_version)
  select organization_id, id, 's' || s, 's' || s, 1 from orbit.projects, generate_series(1, 5) s;
insert into orbit.test_cases (project_id, suite_id, key, stable_key, name, enabled, skip_reason)
  select project_id, id, 't' || lpad(n::text, 2, '0'), 't' || n, 'Test ' || n, n % 25 <> 0, case when n % 25 = 0 then 'off' end
    from orbit.test_suites, generate_series(1, 50) n;
insert into orbit.test_suite_versions (project_id, suite_id, number, digest, document, test_case_ids)
  select s.project_id, s.id, 1, 'x', '{}', array(select c.id from orbit.test_cases c where c.suite_id = s.id order by c.key)
    from orbit.test_suites s;
insert into orbit.test_dependencies (project_id, dependent_test_id, required_test_id, dependency_type)
  select v.project_id, v.test_case_ids[n], v.test_case_ids[n - 1], 'order'
    from orbit.test_suite_versions v, generate_series(2, 50) n;
insert into orbit.api_endpoints (project_id, method, path, tags)
  select id, 'GET', '/' || n, case when n = 7 then '{rare}' else '{common}' end::text[]
    from orbit.projects, generate_series(1, 500) n;
insert into orbit.test_data_fixtures (project_id, name, tags, columns, rows, digest)
  select id, 'f' || n, case when n = 7 then '{rare}' else '{common}' end::text[], '{a}', '[{"a": 1}]', 'x'
    from orbit.projects, generate_series(1, 200) n;
insert into orbit.environments (organization_id, project_id, name) select organization_id, id, 'staging' from orbit.projects;
insert into orbit.test_runs
    (organization_id, project_id, suite_id, version_id, status, counts, created_at, started_at, finished_at)
  select v.organization_id, v.project_id, v.id, w.id, case when n % 25 = 0 then 'failed' else 'passed' end,
         '{"total": 50}', now() - make_interval(secs => n * 60 + 120), now() - make_interval(secs => n * 60 + 120),
         now() - make_interval(secs => n * 60)
    from orbit.test_suites v join orbit.test_suite_versions w on w.suite_id = v.id, generate_series(1, 50) n;
insert into orbit.test_results (run_id, position, created_at, status, project_id, test_case_id, started_at, worker_id)
  select r.id, n, r.finished_at, case when n % 25 = 0 then 'failed' else 'passed' end, r.project_id, v.test_case_ids[n + 1],
         r.created_at, 1
    from orbit.test_runs r join orbit.test_suite_versions v on v.id = r.version_id, generate_series(0, 9) n;
insert into orbit_private.context_entry (queue_no, kind, producer, name, value, version)
  select r.queue_no, 'variable', '', 'v' || n, '1', 1 from orbit.test_runs r, generate_series(1, 5) n;
insert into orbit.performance_metrics (project_id, test_case_id, environment_id, date)
  select c.project_id, c.id, e.id, current_date - d
    from orbit.test_cases c join orbit.environments e on e.project_id = c.project_id, generate_series(0, 9) d
    where c.key < 't20';
-- Others' tenants, of whom one person is in three.
insert into orbit.users (id) select md5('u' || n)::uuid from generate_series(0, 1000) n;
insert into orbit.organizations (slug, name) select 'o' || n, 'O' from generate_series(1, 300) n;
insert into orbit.projects (organization_id, slug, name) select o.id, 'q' || n, 'Q'
  from orbit.organizations o, generate_series(1, 5) n
  where o.slug ~ '^o[0-9]';
insert into orbit.organization_members (organization_id, user_id, role)
  select o.id, md5('u' || 1 + n)::uuid, 'viewer'
    from generate_series(0, 999) n join orbit.organizations o on o.slug = 'o' || 1 + n % 300;
insert into orbit.organization_members (organization_id, user_id, role)
  select o.id, md5('u0')::uuid, 'viewer' from orbit.organizations o where o.slug in ('o1', 'o2', 'o3');
insert into orbit.api_credentials (organization_id, user_id, name, credential_type)
  select m.organization_id, m.user_id, 'c' || n, 'bearer' from orbit.organization_members m, generate_series(1, 5) n;
set session_replication_role = origin;
"""

_PROJECT = "(select id from orbit.projects where slug = 'default')"
_RUN = f"(select id from orbit.test_runs where project_id = {_PROJECT} limit 1)"
_TEST = f"(select id from orbit.test_cases where project_id = {_PROJECT} and key = 't03' limit 1)"
_ENVIRONMENT = f"(select id from orbit.environments where project_id = {_PROJECT})"

QUESTIONS: dict[str, str] = {
    "idx_test_execution_context_run_id": f"select orbit.get_context(jsonb_build_object('run_id', {_RUN}))",
    "idx_test_results_run_id": f"select orbit.list_results(jsonb_build_object('run_id', {_RUN}))",
    "idx_test_results_created_at": "select * from orbit.test_results order by created_at desc limit 50",
    "idx_test_dependencies_dependent_test_id":
        f"select orbit.resolve_dependencies(jsonb_build_object('run_id', {_RUN}, 'test', 't03'))",
    "idx_performance_metrics_test_case_id": f"select orbit.list_metrics(jsonb_build_object('test_case_id', {_TEST}))",
    "idx_performance_metrics_date": "select orbit.list_metrics('{}')",
    "idx_performance_metrics_lookup":
        f"select orbit.list_metrics(jsonb_build_object('test_case_id', {_TEST}, 'environment_id', {_ENVIRONMENT}))",
    "idx_test_cases_suite_id": "delete from orbit.test_suites where id = (select id from orbit.test_suites limit 1)",
    "idx_test_cases_enabled": """select orbit.list_tests('{"project": "default", "suite": "s1", "enabled": false}')""",
    "idx_test_runs_lookup": """select orbit.list_runs('{"project": "default", "status": "failed"}')""",
    "idx_api_endpoints_tags": """select orbit.list_endpoints('{"tags": ["rare"]}')""",
    "idx_api_credentials_user_id":
        "select * from orbit.api_credentials where user_id = md5('u7')::uuid",  # what its policy asks
    "idx_test_data_fixtures_tags": """select orbit.list_fixtures('{"tags": ["rare"]}')""",
}  # fmt: skip
"""The index, and what is asked. A deletion asks for what refers to the row, and the suite's tests by their suite."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def filled(cluster: Cluster, template: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A connection to a database with some hundred thousand rows; what is asked of it is undone."""
    with cluster.database(template) as database:
        async with database.connect() as connection:
            await Tenants.on(connection)
            await connection.execute(_FILL)
            await connection.execute("vacuum analyze")
            await connection.execute("load 'auto_explain'")
            yield connection


async def plans_of(connection: asyncpg.Connection[Any], question: str, person: str | None = None) -> str:
    """The plans, as they were executed, of a statement and of all that it calls; asked as somebody, if a user's id is given."""
    plans: list[str] = []

    def listen(_: object, message: Any) -> None:
        plans.append(f"{message.message}\n{message.detail or ''}")

    transaction = connection.transaction()
    await transaction.start()
    connection.add_log_listener(listen)
    try:
        await connection.execute(
            "set local auto_explain.log_min_duration = 0; set local auto_explain.log_nested_statements = on;"
            " set local auto_explain.log_level = notice; set local auto_explain.log_triggers = on;"
            " set local auto_explain.log_analyze = on"
        )
        if person:
            await connection.execute("select set_config('request.jwt.claims', $1, true)", json.dumps({"sub": person}))
            plans.clear()
        await connection.execute(question)
    finally:
        connection.remove_log_listener(listen)
        await transaction.rollback()
    text = "\n".join(plans)
    assert "Query Text" in text, "no plan was told"
    return text


async def indexes_used(connection: asyncpg.Connection[Any], question: str) -> set[str]:
    """The indexes in the plans; those of a partition by their parent's name."""
    text = await plans_of(connection, question)
    names = set(re.findall(r"(?:using|Index Scan on|Index Only Scan using) (\w+)", text))
    rows = await connection.fetch(
        "select coalesce((select p.relname from pg_partition_ancestors(c.oid) a join pg_class p on p.oid = a.relid"
        "   where not p.relispartition), c.relname) as name"
        " from pg_class c where c.relkind in ('i', 'I') and c.relname = any ($1)",
        list(names),
    )
    return {row["name"] for row in rows}


@pytest.mark.parametrize("index", QUESTIONS)
@pytest.mark.asyncio(loop_scope="module")
async def test_an_index_that_is_named_is_used(filled: asyncpg.Connection[Any], index: str) -> None:
    assert index in await indexes_used(filled, QUESTIONS[index])


@pytest.mark.asyncio(loop_scope="module")
async def test_what_somebody_sees_is_found_by_indexes(filled: asyncpg.Connection[Any]) -> None:
    """Every statement of a member asks this: no table of tenants is read from end to end, and none for grants there are not."""
    person = await filled.fetchval("select md5('u0')::uuid::text")
    text = await plans_of(filled, "select count(*) from orbit_private.my_project_ids()", person)
    assert "project_access" in text
    scans = re.compile(r"Seq Scan on (?:projects|organizations|organization_members)\b")
    assert [line for line in text.splitlines() if scans.search(line) and "never executed" not in line] == []
    assert "rank_of" not in text


@pytest.mark.asyncio(loop_scope="module")
async def test_a_policy_is_a_condition_of_the_index(filled: asyncpg.Connection[Any]) -> None:
    """What is visible is asked once a statement and looked up, not tried row by row."""
    transaction = filled.transaction()
    await transaction.start()
    try:
        claims = json.dumps({"sub": await filled.fetchval("select md5('u0')::uuid::text")})
        await filled.execute("select set_config('request.jwt.claims', $1, true)", claims)
        await filled.execute("set local role authenticated")
        plan = "\n".join(row[0] for row in await filled.fetch("explain select count(*) from orbit.test_runs"))
    finally:
        await transaction.rollback()
    assert plan.count("ProjectSet") == 1
    assert re.search(r"Index Cond: \(project_id = ANY \(\(?(InitPlan|\$)", plan), plan
