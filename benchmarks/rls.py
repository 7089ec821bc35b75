"""What row level security costs: the same question by a member and by service_role, over a million results of 200 organisations.

    python -m benchmarks.rls [--results 1000000] [--rounds 60] [--json PATH]

5,000 people in 200 organisations, some with business units; three of the people see 5, 50 and 1,000 projects. Each question is
asked by turns as PostgREST asks it (a transaction with role and claims, a prepared statement), member and service_role on
connections of their own, and both must get the same rows. Of the questions that name no project, service_role names those that
the member sees. The figures are medians of the server's CPU time for the statement alone (elsewhere than on this machine: of its
duration); the goal is at most 1.3 times service_role's. Each statement is planned each time, as behind a pooler; --prepared
measures the plans that a session keeps.

Runs on an embedded server of its own that is thrown away; with ORBIT_DATABASE_URL on that server, whose account must be allowed
to make databases.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import uvloop

if TYPE_CHECKING:
    from asyncpg import Connection

GOAL = 1.3
_DATABASE = "orbit_bench_rls"
_VIEWERS = {5: "few", 50: "some", 1000: "many"}
"""How many projects a person sees, and the organisation whose viewer they are."""

_FILL = """
insert into orbit.users (id, email)
  select md5('user ' || u)::uuid, 'user' || u || '@example.com' from generate_series(0, 4999) u;
insert into orbit.organizations (slug, name) select 'org-' || o, 'Org ' || o from generate_series(1, 197) o;
insert into orbit.organizations (slug, name) values ('few', 'Few'), ('some', 'Some'), ('many', 'Many');
-- Each person is in two organisations, but for the three who are measured.
insert into orbit.organization_members (organization_id, user_id, role)
  select o.id, md5('user ' || u)::uuid, case u % 20 when 0 then 'admin' when 1 then 'editor' else 'viewer' end
    from generate_series(3, 4999) u cross join generate_series(0, 1) k
    join orbit.organizations o on o.slug = 'org-' || 1 + (u * 7 + k * 31) % 197;
insert into orbit.organization_members (organization_id, user_id, role)
  select o.id, md5('user ' || u)::uuid, 'viewer'
    from unnest(array[0, 1, 2], array['few', 'some', 'many']) x (u, slug) join orbit.organizations o on o.slug = x.slug;
insert into orbit.business_units (organization_id, slug, name)
  select o.id, 'unit-' || b, 'Unit ' || b from orbit.organizations o cross join generate_series(1, 3) b
    where o.slug like 'org-%' and length(o.slug) = 6;
insert into orbit.business_unit_members (business_unit_id, organization_id, user_id, role)
  select b.id, b.organization_id, m.user_id, 'editor' from orbit.business_units b
    join orbit.organization_members m on m.organization_id = b.organization_id
    where hashtext(m.user_id::text || b.slug) % 3 = 0;
insert into orbit.projects (organization_id, business_unit_id, slug, name)
  select o.id, b.id, 'project-' || p, 'Project ' || p
    from orbit.organizations o
    cross join lateral generate_series(1, case o.slug when 'some' then 50 when 'many' then 1000 else 5 end) p
    left join orbit.business_units b on b.organization_id = o.id and b.slug = 'unit-' || p - 2;
insert into orbit.permission_assignments (organization_id, user_id, permission_type, resource_type, resource_id)
  select p.organization_id, m.user_id, 'editor', 'project', p.id
    from orbit.projects p join orbit.organizations o on o.id = p.organization_id and o.slug like 'org-%'
    join orbit.organization_members m on m.organization_id = o.id and m.role = 'viewer'
    where p.slug = 'project-1' and hashtext(m.user_id::text) % 4 = 0;
insert into orbit.test_suites (organization_id, project_id, key, name, latest_version)
  select p.organization_id, p.id, 'suite', 'suite', 1 from orbit.projects p;
insert into orbit.test_cases (project_id, suite_id, key, stable_key, name)
  select s.project_id, s.id, 't' || n, 't' || n, 'Test ' || n from orbit.test_suites s cross join generate_series(0, 49) n;
insert into orbit.test_suite_versions (project_id, suite_id, number, digest, document, test_case_ids)
  select s.project_id, s.id, 1, 'x', '{}', (select array_agg(c.id order by c.key) from orbit.test_cases c where c.suite_id = s.id)
    from orbit.test_suites s;
select orbit_private.ensure_partitions(now() - interval '4 weeks'), orbit_private.ensure_partitions(now() - interval '2 weeks');
"""
_RUNS = """
with p as (
  select p.*, row_number() over (order by p.slug = 'project-1' desc, p.id) as n, count(*) over () as of from orbit.projects p),
r as (select g, now() - make_interval(secs => g * 2419200.0 / $1) as at from generate_series(1, $1) g)
insert into orbit.test_runs
    (organization_id, project_id, suite_id, version_id, status, counts, created_at, started_at, finished_at)
  select p.organization_id, p.id, s.id, v.id, case when r.g % 10 = 0 then 'failed' else 'passed' end,
         '{"total": 100, "passed": 95, "failed": 5}', r.at, r.at, r.at + interval '1 minute'
    -- A third of the runs are in the first projects of the organisations.
    from r join p on p.n = case when r.g % 3 = 0 then 1 + r.g / 3 % 200 else 1 + r.g % p.of end
    join orbit.test_suites s on s.project_id = p.id join orbit.test_suite_versions v on v.suite_id = s.id
"""
_RESULTS = """
insert into orbit.test_results
    (run_id, position, created_at, status, project_id, test_case_id, duration_ms, attempts, started_at, worker_id)
  select r.id, n, r.created_at + make_interval(secs => n * 0.5), case when n % 20 = 0 then 'failed' else 'passed' end,
         r.project_id, v.test_case_ids[1 + n % 50], 12, 1, r.created_at, 1
    from orbit.test_runs r join orbit.test_suite_versions v on v.id = r.version_id cross join generate_series(0, 99) n
"""


@dataclass(frozen=True)
class Question:
    """What a member asks, and what service_role asks to get the same rows. Arguments by name, as `Asked` has them."""

    name: str
    sql: str
    arguments: tuple[str, ...] = ()
    unrestricted: str = ""
    """Empty: the same."""


_NEWEST = "select * from orbit.test_results{} order by created_at desc, position limit 50"
_MINE = " where project_id = any ($1)"
QUESTIONS = (
    Question(
        "list_results of a run", "select orbit.list_results(jsonb_build_object('run_id', $1::uuid))::text", ("run",)
    ),
    Question(
        "50 results of a run",
        "select * from orbit.test_results where run_id = $1 and created_at between $2 and $2 + interval '1 day'"
        " order by position limit 50",
        ("run", "run_at"),
    ),
    Question(
        "a project's week by status",
        "select status, count(*) from orbit.test_results where project_id = $1 and created_at >= $2"
        " group by status order by status",
        ("project", "week"),
    ),
    Question(
        "list_runs, 20 of a project",
        "select orbit.list_runs(jsonb_build_object('organization', $1::text, 'project', 'project-1'))::text",
        ("organization",),
    ),
    Question(
        "list_runs, 20 of an organisation",
        "select orbit.list_runs(jsonb_build_object('organization', $1::text))::text",
        ("organization",),
    ),
    Question("newest 50, no filter", _NEWEST.format(""), (), _NEWEST.format(_MINE)),
    Question(
        "count, no filter", "select count(*) from orbit.test_results", (), "select count(*) from orbit.test_results" + _MINE
    ),
)  # fmt: skip


class Caller:
    """A connection that asks as somebody."""

    def __init__(self, connection: Connection, role: str, claims: dict[str, str]) -> None:
        self.connection = connection
        self._clock = Path(f"/proc/{connection.get_server_pid()}/schedstat")
        self._become = f"set local role {role}"
        self._claims = json.dumps({"role": role, **claims})

    async def ask(self, sql: str, arguments: list[Any]) -> tuple[float, list[tuple[Any, ...]]]:
        """Milliseconds of the statement, and its rows."""
        # What the server's process was running, which the machine's other work does not change; else what has passed.
        connection = self.connection
        async with connection.transaction():
            await connection.execute("select set_config('request.jwt.claims', $1, true)", self._claims)
            await connection.execute(self._become)
            began = self._now()
            rows = await connection.fetch(sql, *arguments)
            return (self._now() - began) / 1e6, [tuple(row) for row in rows]

    def _now(self) -> int:
        try:
            return int(self._clock.read_text().split()[0])
        except OSError:
            return time.perf_counter_ns()


async def _make(admin: str, results: int) -> str:
    """A database with everything in it; its DSN."""
    from orbit_runner import migrate

    owner = await asyncpg.connect(admin)
    await owner.execute(f"drop database if exists {_DATABASE} with (force)")
    await owner.execute(f"create database {_DATABASE} template template0")
    await owner.close()
    dsn = urlunsplit(urlsplit(admin)._replace(path=f"/{_DATABASE}"))
    connection = await asyncpg.connect(dsn)
    await migrate.push(connection)
    await connection.execute("set session_replication_role = replica")  # what is filled in is no change to be audited
    await connection.execute(_FILL)
    await connection.execute(_RUNS, results // 100)
    await connection.execute(_RESULTS)
    await connection.execute("vacuum analyze")
    await connection.close()
    return dsn


async def _arguments(connection: Connection, slug: str) -> dict[str, Any]:
    row = await connection.fetchrow(
        "select r.id as run, r.created_at as run_at, r.project_id as project, now() - interval '7 days' as week,"
        " $1::text as organization, array(select p.id from orbit.projects p where p.organization_id = o.id) as mine"
        " from orbit.organizations o join orbit.projects p on p.organization_id = o.id and p.slug = 'project-1'"
        " join orbit.test_runs r on r.project_id = p.id where o.slug = $1 order by r.created_at desc limit 1",
        slug,
    )
    return dict(row)


async def _measure(dsn: str, rounds: int, cache: int) -> list[dict[str, Any]]:
    owner = await asyncpg.connect(dsn)
    figures = []
    for number, (projects, slug) in enumerate(_VIEWERS.items()):
        given = await _arguments(owner, slug)
        user = await owner.fetchval("select md5('user ' || $1::int)::uuid::text", number)
        member = Caller(await asyncpg.connect(dsn, statement_cache_size=cache), "authenticated", {"sub": user})
        service = Caller(await asyncpg.connect(dsn, statement_cache_size=cache), "service_role", {})
        print(f"\nA member who sees {projects:,} projects", flush=True)
        print(f"  {'':<34}{'rows':>6}{'member, ms':>13}{'service, ms':>13}{'ratio':>8}")
        for question in QUESTIONS:
            arguments = [given[name] for name in question.arguments]
            other = [*arguments, given["mine"]] if question.unrestricted else arguments
            took: tuple[list[float], list[float]] = ([], [])
            for turn in range(rounds + 6):  # the first six make the plans
                mine = await member.ask(question.sql, arguments)
                theirs = await service.ask(question.unrestricted or question.sql, other)
                if mine[1] != theirs[1]:
                    raise SystemExit(f"{question.name}: member and service_role got different rows")
                if turn >= 6:
                    took[0].append(mine[0])
                    took[1].append(theirs[0])
            medians = [statistics.median(times) for times in took]
            ratio = medians[0] / medians[1]
            figure = {"projects": projects, "question": question.name}
            figures.append(figure | {"member_ms": medians[0], "service_ms": medians[1], "ratio": ratio})
            print(
                f"  {question.name:<34}{len(mine[1]):>6}{medians[0]:>13.2f}{medians[1]:>13.2f}{ratio:>8.2f}"
                f"{'  above ' + str(GOAL) if ratio > GOAL else ''}",
                flush=True,
            )
        await member.connection.close()
        await service.connection.close()
    await owner.close()
    return figures


async def _run(options: argparse.Namespace, admin: str) -> None:
    began = time.perf_counter()
    dsn = await _make(admin, options.results)
    owner = await asyncpg.connect(admin)
    version = await owner.fetchval("select current_setting('server_version')")
    print(
        f"PostgreSQL {version}, {os.cpu_count()} cores, {options.results:,} results in 200 organisations,"
        f" {options.rounds} rounds; made in {time.perf_counter() - began:.0f} s",
        flush=True,
    )
    try:
        figures = await _measure(dsn, options.rounds, 100 if options.prepared else 0)
    finally:
        await owner.execute(f"drop database if exists {_DATABASE} with (force)")
        await owner.close()
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rls", description="Measure row level security.")
    parser.add_argument("--results", type=int, default=1_000_000, help="a multiple of 100")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--prepared", action="store_true", help="with statements that are prepared once a session")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    if given := os.environ.get("ORBIT_DATABASE_URL"):
        uvloop.run(_run(options, given))
        return 0
    from orbit_runner.local import EPHEMERAL, Server

    with tempfile.TemporaryDirectory(prefix="orbit-bench-") as directory:
        Path(directory).chmod(0o755)  # as root, the server runs as an unprivileged account that must pass through
        server = Server(Path(directory) / "home", EPHEMERAL)
        try:
            server.start()
            uvloop.run(_run(options, server.dsn()))
        finally:
            server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
