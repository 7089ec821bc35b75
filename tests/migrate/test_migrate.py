"""Pushing migrations: in order, once, whole or not at all; and seeing what a database holds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from orbit_runner import migrate

from orbit_context.errors import ConflictError, DefinitionError, InfrastructureError, SchemaMismatchError

if TYPE_CHECKING:
    import asyncpg
    from migrate.conftest import Files
    from support.postgres import Database

THINGS, MORE = "20260101000000_things.sql", "20260102000000_more.sql"


async def test_push_applies_each_file_once(empty_database: Database, files: Files) -> None:
    async with empty_database.connect() as conn:
        assert not await migrate.is_current(conn, files.directory)
        assert (await migrate.status(conn, files.directory)).pending == (THINGS, MORE)

        assert await migrate.push(conn, files.directory) == migrate.Applied((THINGS, MORE), 0)
        assert await conn.fetchval("select name from orbit.things") == "a;b"
        assert await migrate.is_current(conn, files.directory)
        assert (await migrate.status(conn, files.directory)).current

        assert await migrate.push(conn, files.directory) == migrate.Applied((), 2)
        assert await conn.fetchval("select count(*) from orbit.things") == 1


async def test_a_push_tells_postgrest_to_read_the_schema_anew(empty_database: Database, files: Files) -> None:
    told: asyncio.Queue[object] = asyncio.Queue()
    async with empty_database.connect() as listener, empty_database.connect() as conn:
        await listener.add_listener("pgrst", lambda *notification: told.put_nowait(notification[-1]))
        await migrate.push(conn, files.directory)
        assert await asyncio.wait_for(told.get(), 10) == "reload schema"


async def test_the_history_is_the_supabase_clis(empty_database: Database, files: Files) -> None:
    async with empty_database.connect() as conn:
        await migrate.push(conn, files.directory)
        rows = await conn.fetch(
            "select version, name, statements from supabase_migrations.schema_migrations order by version"
        )
        assert [tuple(row) for row in rows] == [
            (
                "20260101000000",
                "things",
                ["create schema orbit", "-- All things.\ncreate table orbit.things (id int primary key)"],
            ),
            (
                "20260102000000",
                "more",
                ["alter table orbit.things add column name text", "insert into orbit.things values (1, 'a;b')"],
            ),
        ]


async def test_a_file_that_fails_leaves_nothing_and_names_the_line(empty_database: Database, files: Files) -> None:
    files.write(
        MORE,
        "create table orbit.first ();\n\n-- a comment\n-- and another\ncreate table orbit.second (\n  id nonsense\n);\n",
    )
    async with empty_database.connect() as conn:
        with pytest.raises(DefinitionError, match='type "nonsense" does not exist') as caught:
            await migrate.push(conn, files.directory)
        assert (caught.value.file, caught.value.line) == (MORE, 6)
        assert await conn.fetchval("select to_regclass('orbit.first')") is None
        assert (await migrate.status(conn, files.directory)).applied == (THINGS,)
        assert not await migrate.is_current(conn, files.directory)

        files.write(MORE, "create table orbit.first ();")
        assert (await migrate.push(conn, files.directory)).files == (MORE,)


async def test_an_error_without_a_position_names_the_statements_line(empty_database: Database, files: Files) -> None:
    files.write(
        MORE, "insert into orbit.things values (1);\n\n-- the same again\ninsert into orbit.things values (1);\n"
    )
    async with empty_database.connect() as conn:
        with pytest.raises(DefinitionError, match="duplicate key") as caught:
            await migrate.push(conn, files.directory)
        assert (caught.value.file, caught.value.line) == (MORE, 4)
        assert "23505" in (caught.value.detail or "")


async def test_a_position_after_letters_that_are_not_ascii(empty_database: Database, files: Files) -> None:
    files.write(MORE, "comment on schema orbit is 'Größe 🚀';\nselect 'é',\n  nowhere;\n")
    async with empty_database.connect() as conn:
        with pytest.raises(DefinitionError) as caught:
            await migrate.push(conn, files.directory)
        assert caught.value.line == 3


@pytest.mark.parametrize(
    "statement", ["begin", "COMMIT", "-- why\nrollback", "create index concurrently i on orbit.things (id)", "vacuum"]
)
async def test_a_file_may_not_leave_its_transaction(statement: str, empty_database: Database, files: Files) -> None:
    files.write(MORE, f"create table orbit.first ();\n{statement};\n")
    async with empty_database.connect() as conn:
        with pytest.raises(DefinitionError, match="one transaction") as caught:
            await migrate.push(conn, files.directory)
        assert caught.value.line == 1 + len(statement.splitlines())
        assert await conn.fetchval("select to_regclass('orbit.first')") is None


async def test_a_file_that_was_changed_after_it_was_applied(empty_database: Database, files: Files) -> None:
    async with empty_database.connect() as conn:
        await migrate.push(conn, files.directory)
        files.write(THINGS, "create schema orbit;\n\n-- All things!\ncreate table orbit.things (id int primary key);\n")
        assert not await migrate.is_current(conn, files.directory)
        assert (await migrate.status(conn, files.directory)).changed == (THINGS,)
        with pytest.raises(SchemaMismatchError, match=THINGS) as caught:
            await migrate.push(conn, files.directory)
        assert "orbit db reset" in (caught.value.hint or "")


async def test_a_database_that_a_newer_orbit_has_migrated(empty_database: Database, files: Files) -> None:
    async with empty_database.connect() as conn:
        files.write("20260103000000_newer.sql", "-- what comes next\ncreate table orbit.newer ();")
        await migrate.push(conn, files.directory)
        files.remove("20260103000000_newer.sql")
        assert not await migrate.is_current(conn, files.directory)
        assert (await migrate.status(conn, files.directory)).unknown == ("20260103000000_newer.sql",)
        with pytest.raises(SchemaMismatchError, match="20260103000000_newer") as caught:
            await migrate.push(conn, files.directory)
        assert "upgrade" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("statement", "ours"),
    [
        ("create table if not exists public.orders (id int, thing int references orbit.things)", False),
        ("create view public.v as select * from orbit.things", False),
        ("create table public.orbit (id int)", False),
        ("create table orbit.extra ()", True),
        ("CREATE OR REPLACE FUNCTION\n  orbit_private.f() returns int language sql as 'select 1'", True),
        ('alter table only "orbit"."things" add column x int', True),
        ("create policy p on orbit.things for select using (true)", True),
        ("create unique index concurrently_not on orbit.things (id)", True),
        ("drop schema if exists orbit_runner", True),
    ],
)
async def test_migrations_of_other_applications_concern_nobody(
    statement: str, ours: bool, empty_database: Database, files: Files
) -> None:
    """Orbit can be added to a database that has an application, whose migrations stand in the same table."""
    async with empty_database.connect() as conn:
        await migrate.push(conn, files.directory)
        await conn.execute(
            "insert into supabase_migrations.schema_migrations values ('20260101120000', $1, 'theirs')",
            ["-- theirs\n" + statement],
        )
        found = await migrate.status(conn, files.directory)
        assert (bool(found.unknown), found.foreign) == (ours, int(not ours))
        assert await migrate.is_current(conn, files.directory) is not ours


async def test_two_programs_push_at_once(empty_database: Database, files: Files) -> None:
    files.write("20260103000000_slow.sql", "select pg_sleep(0.1); create table orbit.slow ();")

    async def push() -> migrate.Applied:
        async with empty_database.connect() as conn:
            return await migrate.push(conn, files.directory)

    results = await asyncio.gather(*(push() for _ in range(4)))
    assert sorted(name for result in results for name in result.files) == [THINGS, MORE, "20260103000000_slow.sql"]
    assert {len(result.files) + result.already for result in results} == {3}


async def test_being_current_takes_one_query(connection: asyncpg.Connection) -> None:
    asked: list[str] = []
    with connection.query_logger(lambda record: asked.append(record.query)):
        assert await migrate.is_current(connection)
        await asyncio.sleep(0)  # asyncpg tells its loggers in the loop's next turn
    assert len(asked) == 1


async def test_a_database_without_history_is_not_current(empty_database: Database) -> None:
    async with empty_database.connect() as conn:
        assert not await migrate.is_current(conn)


async def test_a_history_without_texts_is_believed(empty_database: Database, files: Files) -> None:
    """As `supabase migration repair` and old CLIs write it."""
    async with empty_database.connect() as conn:
        await conn.execute(
            "create schema supabase_migrations; create table supabase_migrations.schema_migrations (version text primary key)"
        )
        await conn.execute(
            "insert into supabase_migrations.schema_migrations values ('20260101000000'), ('20260102000000')"
        )
        assert (await migrate.status(conn, files.directory)).current
        assert (await migrate.push(conn, files.directory)).files == ()


async def test_two_files_with_one_version(empty_database: Database, files: Files) -> None:
    files.write("20260101000000_again.sql", "")
    async with empty_database.connect() as conn:
        with pytest.raises(DefinitionError, match="20260101000000"):
            await migrate.push(conn, files.directory)


async def test_reset_drops_orbit_and_nothing_else(empty_database: Database, files: Files) -> None:
    async with empty_database.connect() as conn:
        await migrate.push(conn, files.directory)
        await conn.execute(
            "create table public.theirs as select 1 as kept; insert into orbit.things values (2, 'gone')"
        )
        await conn.execute(
            "insert into supabase_migrations.schema_migrations values ('20250101000000', '{create table theirs ()}', 'theirs')"
        )
        files.write(THINGS, "create schema orbit; create table orbit.things (id text primary key);")
        assert (await migrate.reset(conn, embedded=True, sql=files.directory)).files == (THINGS, MORE)
        assert await conn.fetchval("select string_agg(id, ',') from orbit.things") == "1"
        assert await conn.fetchval("select kept from public.theirs") == 1
        assert (await migrate.status(conn, files.directory)).foreign == 1
        assert await migrate.is_current(conn, files.directory)


async def test_reset_of_a_database_of_the_users_needs_a_yes(empty_database: Database, files: Files) -> None:
    async with empty_database.connect() as conn:
        await migrate.push(conn, files.directory)
        await conn.execute("insert into orbit.things values (2, 'kept')")
        with pytest.raises(ConflictError) as caught:
            await migrate.reset(conn, embedded=False, sql=files.directory)
        assert "--yes" in (caught.value.hint or "")
        assert await conn.fetchval("select count(*) from orbit.things") == 2
        await migrate.reset(conn, embedded=False, yes=True, sql=files.directory)
        assert await conn.fetchval("select count(*) from orbit.things") == 1


async def test_the_real_migrations_reset_to_themselves(connection: asyncpg.Connection) -> None:
    everything = [migration.path.name for migration in migrate.migrations()]
    assert list((await migrate.reset(connection, embedded=True)).files) == everything
    assert await migrate.is_current(connection)


async def test_an_account_that_may_not_make_the_platform(empty_database: Database, files: Files) -> None:
    async with empty_database.connect() as conn:
        await conn.execute("create role powerless_owner login password 'x'")
        try:
            await conn.execute("set role powerless_owner")
            with pytest.raises(InfrastructureError, match="may not make it"):
                await migrate.push(conn, files.directory)
        finally:
            await conn.execute("reset role; drop role powerless_owner")
