"""Orbit beside an application, as hosted Supabase lets it in: nothing of the application changes, by the catalog's own rows."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest
from orbit_runner import migrate
from support.catalog import catalog_without_orbit, difference, schema_objects
from support.queue import Queue

from orbit_context.errors import ConflictError, DefinitionError, SchemaMismatchError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg
    from support.hosted import Hosted, Project
    from support.postgres import Database

APPLICATION = """
create table public.projects (
  id bigint generated always as identity primary key, owner_id uuid references auth.users (id), slug text);
create table public.users (id uuid primary key references auth.users (id) on delete cascade, name text);
alter table public.projects enable row level security;
create policy projects_select on public.projects for select to authenticated using (owner_id = (select auth.uid()));
create policy everybody on public.projects for select to anon using (true);
create type public.role as enum ('owner', 'viewer');
create function public.slug(text) returns text language sql as 'select lower($1)';
create view public.mine with (security_invoker = true) as select * from public.projects;
create function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
begin insert into public.users (id, name) values (new.id, new.email); return new; end $$;
create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();
create schema private;
create table private.jobs (id int primary key);
create role app_worker nologin;
alter default privileges in schema private grant select on tables to app_worker;
alter default privileges for role postgres in schema public grant execute on functions to app_worker;
alter role app_worker set statement_timeout = '1min';
create publication app_changes for table public.projects;
insert into auth.users (id, email) values ('00000000-0000-4000-8000-000000000001', 'ada@example.com');
insert into public.projects (owner_id, slug) values ('00000000-0000-4000-8000-000000000001', 'mine');
create schema supabase_migrations;
create table supabase_migrations.schema_migrations (version text not null primary key, statements text[], name text);
insert into supabase_migrations.schema_migrations values
  ('20250101000000', '{create table public.projects ()}', 'projects'), ('20270101000000', null, 'later'), ('0001', '{}', 'old');
"""


@pytest.fixture(params=[15, 17])
def hosted(request: pytest.FixtureRequest) -> Hosted:
    """Either major version."""
    server: Hosted = request.getfixturevalue(f"hosted_{request.param}")
    return server


@pytest.fixture
async def project(hosted: Hosted) -> AsyncIterator[Project]:
    """A new project of hosted Supabase."""
    async with hosted.project() as project:
        yield project


async def data(connection: asyncpg.Connection[Any]) -> list[list[tuple[Any, ...]]]:
    tables = ("auth.users", "public.users", "public.projects", "private.jobs")
    rows = [await connection.fetch(f"select t.*, t.xmin::text, t.ctid::text from {table} t") for table in tables]
    rows.append(
        await connection.fetch(
            "select t.*, t.xmin::text from supabase_migrations.schema_migrations t"
            " where version in ('20250101000000', '20270101000000', '0001')"
        )
    )
    return [[tuple(row) for row in found] for found in rows]


async def only_ours_came(before: dict[str, set[str]], after: dict[str, set[str]]) -> None:
    """Outside of Orbit's schemas came triggers on auth.users that call Orbit's functions, and what foreign keys bring."""
    for name, (went, came) in difference(before, after).items():
        assert went == set(), f"{name}: changed or gone"
        if name == "pg_trigger":
            came = {row for row in came if '"tgisinternal": false' in row and '"tgname": "orbit_' not in row}
            came = {row for row in came if '"tgconstraint": "0"' in row}
        assert came == set(), f"{name}: new beside Orbit's schemas"


async def test_nothing_of_the_application_changes_and_orbit_works(project: Project) -> None:
    async with project.connect() as connection:
        await connection.execute(APPLICATION)
        before, rows = await catalog_without_orbit(connection), await data(connection)

        assert len((await migrate.push(connection)).files) == len(migrate.migrations())
        await only_ours_came(before, await catalog_without_orbit(connection))
        assert await data(connection) == rows
        found = await migrate.status(connection)
        assert (found.current, found.foreign) == (True, 3)

        queue = Queue(connection)
        await queue.save({"a": [], "b": ["a"]})
        run = await queue.start()
        await (await queue.worker()).run_to_end({"a": "failed"})
        assert await queue.statuses(run) == {"a": "failed", "b": "skipped"}
        await queue.check()
        assert await connection.fetchval("select public.slug('X')") == "x"

        removed = await migrate.uninstall(connection)
        assert (removed.schemas, removed.role, removed.role_kept) == (migrate.SCHEMAS, "orbit_runner", None)
        assert removed.migrations == len(migrate.migrations())
        assert difference(before, await catalog_without_orbit(connection)) == {}
        assert await data(connection) == rows
        assert (await migrate.removal(connection)).nothing


async def test_what_was_removed_can_be_pushed_again(project: Project) -> None:
    async with project.connect() as connection:
        await migrate.push(connection)
        made = await schema_objects(connection)
        assert len(made) > 500
        await migrate.uninstall(connection)
        for schema in migrate.SCHEMAS:
            assert await connection.fetchval("select to_regnamespace($1)", schema) is None
        assert await connection.fetchval("select count(*) from supabase_migrations.schema_migrations") == 0
        assert not await connection.fetchval("select exists (select from pg_roles where rolname = 'orbit_runner')")
        await migrate.push(connection)
        assert await schema_objects(connection) == made
        assert (await migrate.uninstall(connection)).role == "orbit_runner"
        assert (await migrate.uninstall(connection)).nothing


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("create view public.runs as select id from orbit.test_runs", "view runs"),
        ("create table public.notes (run_id uuid references orbit.test_runs)", "notes_run_id_fkey"),
        ("create table public.notes (t orbit.test_runs)", "notes"),
        ("create policy p on public.projects using (orbit_private.may('x', 'y', null))", "policy p on public.projects"),
        ("create function public.f() returns bigint begin atomic select count(*) from orbit.users; end", "public.f()"),
    ],
)  # fmt: skip
async def test_an_application_that_depends_on_orbit_is_told_and_keeps_it(
    statement: str, named: str, empty_database: Database
) -> None:
    async with empty_database.connect() as connection:
        await migrate.push(connection)
        await connection.execute("create table public.projects (id int)")
        await connection.execute(statement)
        with pytest.raises(ConflictError) as caught:
            await migrate.uninstall(connection)
        assert named in str(caught.value)
        assert caught.value.hint
        with pytest.raises(ConflictError):
            await migrate.reset(connection, embedded=True)
        assert (await migrate.status(connection)).current


async def test_the_role_stays_while_others_use_it(empty_database: Database, database: Database) -> None:
    """Another database of the server, or a login that belongs to it."""
    async with empty_database.connect() as connection:
        await migrate.push(connection)
        removed = await migrate.uninstall(connection)
        assert removed.role is None
        assert database.name in (removed.role_kept or "")
        assert await connection.fetchval("select exists (select from pg_roles where rolname = 'orbit_runner')")


async def test_the_role_stays_with_its_members(hosted_15: Hosted) -> None:
    async with hosted_15.project() as project, project.connect() as connection:
        await migrate.push(connection)
        await connection.execute("create role ci_worker login; grant orbit_runner to ci_worker")
        removed = await migrate.uninstall(connection)
        assert removed.role is None
        assert removed.role_kept == "belong to it: ci_worker"
        await connection.execute("drop role ci_worker")
        await migrate.push(connection)
        assert (await migrate.uninstall(connection)).role == "orbit_runner"


async def test_default_privileges_for_everything_are_refused(project: Project) -> None:
    """They would hand Orbit's tables to whoever they name, past what the migrations grant."""
    async with project.connect() as connection:
        await connection.execute("alter default privileges grant select on tables to anon")
        with pytest.raises(DefinitionError, match="default privileges") as caught:
            await migrate.push(connection)
        assert "anon" in str(caught.value.detail)
        assert "alter default privileges" in (caught.value.hint or "")
        assert await connection.fetchval("select to_regnamespace('orbit')") is None
        await connection.execute("alter default privileges revoke select on tables from anon")
        await migrate.push(connection)
        await migrate.uninstall(connection)


# -- half done, done twice, changed by hand ------------------------------------------------------------------------------------


async def test_a_push_that_is_killed_leaves_whole_files_and_the_next_goes_on(
    empty_database: Database, database: Database
) -> None:
    recorded = "select count(*) from supabase_migrations.schema_migrations"
    async with empty_database.connect() as connection:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "orbit_runner", "db", "push",
            env=os.environ | {"ORBIT_DATABASE_URL": empty_database.dsn},
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            count = 0
            while count < 3 and process.returncode is None:
                await asyncio.sleep(0.005)
                if await connection.fetchval("select to_regclass('supabase_migrations.schema_migrations') is not null"):
                    count = await connection.fetchval(recorded)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            await process.wait()
        # Its session ends when its server process finds it gone; a push by somebody else waits for that.
        found = await migrate.status(connection)
        assert found.applied == tuple(m.path.name for m in migrate.migrations()[: len(found.applied)])
        assert len(found.applied) >= 3
        assert (found.changed, found.unknown, found.altered) == ((), (), ())
        await migrate.push(connection)
        async with database.connect() as whole:
            assert await schema_objects(connection) == await schema_objects(whole)


async def test_a_file_whose_row_was_lost_is_not_applied_twice(connection: asyncpg.Connection[Any]) -> None:
    migration = migrate.migrations()[1]
    await connection.execute("delete from supabase_migrations.schema_migrations where version = $1", migration.version)
    with pytest.raises(DefinitionError, match="applied before") as caught:
        await migrate.push(connection)
    assert caught.value.file == migration.path.name
    assert f"migration repair --status applied {migration.version}" in (caught.value.hint or "")
    await connection.execute(
        "insert into supabase_migrations.schema_migrations (version) values ($1)", migration.version
    )
    assert (await migrate.status(connection)).current


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("alter table orbit.organizations drop column created_by", "dropped column orbit.organizations.created_by"),
        ("alter table orbit.organizations add column extra int", "added column orbit.organizations.extra"),
        ("alter table orbit.organizations alter column name drop not null", "changed column orbit.organizations.name"),
        ("alter policy users_select on orbit.users using (true)", "changed policy users_select on orbit.users"),
        ("alter policy users_select on orbit.users to public", "changed policy users_select on orbit.users"),
        ("create policy open on orbit.users for delete to authenticated using (true)", "added policy open on orbit.users"),
        ("alter table orbit.users disable row level security", "changed table orbit.users"),
        ("grant select on orbit.users to anon", "changed table orbit.users"),
        ("grant update (email) on orbit.users to authenticated", "changed column orbit.users.email"),
        ("grant usage on schema orbit_private to anon", "changed schema orbit_private"),
        ("alter function orbit_private.rank_of(text) security definer", "changed function orbit_private.rank_of(text)"),
        ("grant execute on function orbit_private.rank_of(text) to public", "changed function orbit_private.rank_of(text)"),
        ("create function orbit.extra() returns int language sql as 'select 1'", "added function orbit.extra()"),
        ("alter table orbit.users drop constraint users_email_check", "dropped constraint users_email_check on orbit.users"),
        ("drop index orbit.idx_users_email", "dropped index orbit.idx_users_email"),
        ("alter view orbit_private.project_access reset (security_invoker)", "changed view orbit_private.project_access"),
        ("drop function orbit_private.schema_changes()", "dropped function orbit_private.schema_changes()"),
    ],
)  # fmt: skip
async def test_what_was_changed_by_hand_is_named(
    statement: str, named: str, connection: asyncpg.Connection[Any]
) -> None:
    assert (await migrate.status(connection)).altered == ()
    await connection.execute(statement)
    found = await migrate.status(connection)
    assert named in found.altered
    assert not found.current
    assert found.pending == found.changed == ()
    with pytest.raises(SchemaMismatchError, match="by hand") as caught:
        await migrate.push(connection)
    assert named in str(caught.value)
    assert "orbit db reset" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "statement",
    [
        "create index extra on orbit.users (name)",
        "alter table orbit.users set (autovacuum_vacuum_scale_factor = 0.1)",
        "comment on table orbit.users is 'ours'",
        "vacuum analyze orbit.users",
        "create table public.extra (id int)",
    ],
)
async def test_what_does_no_harm_is_no_change(statement: str, connection: asyncpg.Connection[Any]) -> None:
    await connection.execute(statement)
    assert (await migrate.status(connection)).current


async def test_what_runs_make_is_no_change(connection: asyncpg.Connection[Any]) -> None:
    queue = Queue(connection)
    await queue.save({"a": [], "b": ["a"]})
    await queue.start()
    await (await queue.worker()).run_to_end()
    await connection.execute("select orbit_runner.tick()")
    assert (await migrate.status(connection)).altered == ()


async def test_a_dropped_table_is_named_once(connection: asyncpg.Connection[Any]) -> None:
    await connection.execute("drop table orbit.actions cascade")
    altered = (await migrate.status(connection)).altered
    assert "dropped table orbit.actions" in altered
    assert not [name for name in altered if "column orbit.actions." in name]


async def test_under_another_major_version_nothing_is_compared(connection: asyncpg.Connection[Any]) -> None:
    await connection.execute("update orbit_private.fingerprint set major = 14, digest = 'spelt otherwise'")
    assert (await migrate.status(connection)).current
