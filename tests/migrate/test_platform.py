"""The shim that gives a bare Postgres what hosted Supabase brings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import pytest
from orbit_runner import migrate

if TYPE_CHECKING:
    from support.postgres import Database

USER = UUID("6f1c2a6e-0000-4000-8000-000000000001")


@pytest.fixture
async def conn(empty_database: Database):  # type: ignore[no-untyped-def]
    """A connection to a database with the shim alone."""
    async with empty_database.connect() as conn:
        assert await migrate.platform(conn)
        yield conn


async def test_the_roles(conn: asyncpg.Connection) -> None:
    rows = await conn.fetch(
        "select rolname, rolcanlogin, rolbypassrls from pg_roles where rolname in ('anon', 'authenticated', 'service_role')"
    )
    assert {tuple(row) for row in rows} == {
        ("anon", False, False),
        ("authenticated", False, False),
        ("service_role", False, True),
    }


@pytest.mark.parametrize("style", ["claims", "claim"])
async def test_who_asks(style: str, conn: asyncpg.Connection) -> None:
    claims = {"sub": str(USER), "role": "authenticated", "email": "a@example.com", "app_metadata": {"x": 1}}
    async with conn.transaction():
        await conn.execute("set local role authenticated")
        if style == "claims":
            await conn.execute("select set_config('request.jwt.claims', $1, true)", json.dumps(claims))
            assert json.loads(await conn.fetchval("select auth.jwt()")) == claims
        else:
            for name in ("sub", "role", "email"):
                await conn.execute("select set_config($1, $2, true)", f"request.jwt.claim.{name}", claims[name])
        assert tuple(await conn.fetchrow("select auth.uid(), auth.role(), auth.email()")) == (
            USER,
            "authenticated",
            "a@example.com",
        )
    # A setting that was made once is empty, not missing, ever after in its session.
    assert tuple(await conn.fetchrow("select auth.uid(), auth.role(), auth.email(), auth.jwt()")) == (
        None,
        None,
        None,
        None,
    )


async def test_pgcrypto_lives_in_extensions(conn: asyncpg.Connection) -> None:
    assert await conn.fetchval("select extensions.crypt('x', extensions.gen_salt('bf', 4)) like '$2a$%'")


async def test_a_broadcast_is_stored(conn: asyncpg.Connection) -> None:
    await conn.execute("select realtime.send('{\"n\": 1}', 'test_started', 'run:1')")
    row = await conn.fetchrow("select id, topic, event, payload, private, extension from realtime.messages")
    payload = json.loads(row["payload"])
    assert (row["topic"], row["event"], row["private"], row["extension"]) == (
        "run:1",
        "test_started",
        True,
        "broadcast",
    )
    assert payload == {"n": 1, "id": str(row["id"])}
    await conn.execute("select realtime.send('{\"id\": \"mine\"}', 'e', 't', false)")
    assert await conn.fetchval("select payload ->> 'id' from realtime.messages where not private") == "mine"


async def test_a_broadcast_is_transactional_and_never_an_error(conn: asyncpg.Connection) -> None:
    async with conn.transaction():
        await conn.execute("select realtime.send('{}', 'e', 'run:9')")
        assert await conn.fetchval("select realtime.topic()") == "run:9"
    warnings: list[str] = []
    conn.add_log_listener(lambda _, message: warnings.append(str(message)))
    await conn.execute("select realtime.send('{}', 'e', null)")
    assert len(warnings) == 1
    assert "not stored" in warnings[0]
    assert await conn.fetchval("select count(*) from realtime.messages") == 1


async def test_nobody_reads_broadcasts_without_a_policy(conn: asyncpg.Connection) -> None:
    await conn.execute("select realtime.send('{}', 'e', 'run:1')")
    async with conn.transaction():
        await conn.execute("set local role authenticated")
        assert await conn.fetchval("select count(*) from realtime.messages") == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.fetchval("select count(*) from realtime.messages_default")


async def test_old_broadcasts_go(conn: asyncpg.Connection) -> None:
    await conn.execute(
        "insert into realtime.messages (topic, extension, inserted_at)"
        " select 'old', 'broadcast', now() - interval '4 days' from generate_series(1, 10)"
    )
    await conn.execute("select realtime.send('{}', 'e', 'new') from generate_series(1, 12000)")
    counts = await conn.fetchrow(
        "select count(*) filter (where topic = 'old'), count(*) filter (where topic = 'new') from realtime.messages"
    )
    assert tuple(counts) == (0, 12000)


async def test_it_can_be_applied_again(conn: asyncpg.Connection) -> None:
    await conn.execute("insert into auth.users (email) values ('kept@example.com')")
    assert await migrate.platform(conn)
    assert await conn.fetchval("select email from auth.users") == "kept@example.com"


async def test_what_is_there_already_is_left_alone(empty_database: Database) -> None:
    """A self-hosted database may bring some of it."""
    async with empty_database.connect() as conn:
        await conn.execute(
            "create schema auth; create function auth.uid() returns uuid language sql as $$ select null::uuid $$"
        )
        await conn.execute("create table auth.users (id uuid primary key, theirs text)")
        assert await migrate.platform(conn)
        assert "request.jwt" not in await conn.fetchval(
            "select prosrc from pg_proc where oid = 'auth.uid()'::regprocedure"
        )
        assert "request.jwt" in await conn.fetchval(
            "select prosrc from pg_proc where oid = 'auth.role()'::regprocedure"
        )
        assert (
            await conn.fetchval(
                "select count(*) from information_schema.columns where table_schema = 'auth' and table_name = 'users'"
            )
            == 2
        )


async def test_supabase_itself_is_left_alone(empty_database: Database) -> None:
    async with empty_database.connect() as conn, conn.transaction():
        await conn.execute("create role supabase_admin")
        assert await migrate.platform(conn) is False
        assert await conn.fetchval("select to_regnamespace('auth')") is None
        await conn.execute("drop role supabase_admin")


async def test_the_migrations_need_no_superuser(empty_database: Database) -> None:
    """Hosted Supabase pushes as `postgres`, which is none; an account with its attributes can push the real files."""
    name = f"hosted_{empty_database.name}"
    async with empty_database.connect() as conn:
        await migrate.platform(conn)
        await conn.execute(f"create role {name} nosuperuser createrole createdb replication bypassrls")
        try:
            await conn.execute(f"grant create on database {empty_database.name} to {name}")
            await conn.execute(f"grant anon, authenticated, service_role to {name} with admin option")
            await conn.execute(f"grant usage on schema auth, extensions, realtime to {name} with grant option")
            await conn.execute(f"grant select, references, trigger on auth.users to {name}")
            await conn.execute(f"grant all on realtime.messages to {name}")
            await conn.execute(f"set role {name}")
            directory = migrate.sql_directory()
            for migration in migrate.migrations(directory):
                await migrate._prepare_history(conn)
                assert await migrate._apply(conn, migration)
        finally:
            await conn.execute(f"reset role; drop owned by {name} cascade; drop role {name}")
