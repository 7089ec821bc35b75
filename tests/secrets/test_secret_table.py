"""Sealed values in the database: the two forms, what opens them, and where they do not open."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from support.tenants import Tenants

from orbit_context.seal import Sealer, generate_key, key_id

if TYPE_CHECKING:
    from uuid import UUID

    Connection = asyncpg.Connection[Any]

PLACE = "environment:staging:password"
VALUE = 'pa"ss\\wörd 1'

VAULT = """
create schema vault;
create table vault.secrets (
  id uuid primary key default gen_random_uuid(), name text, description text default '', secret text,
  created_at timestamptz default now());
create view vault.decrypted_secrets as
  select s.id, s.name, s.description, s.secret, s.secret as decrypted_secret, s.created_at from vault.secrets s;
create function vault.create_secret(
  new_secret text, new_name text default null, new_description text default '', new_key_id uuid default null)
returns uuid language sql as $$
  insert into vault.secrets (secret, name, description) values (new_secret, new_name, new_description) returning id
$$;
"""
"""What Supabase's Vault looks like from outside; its encryption is Supabase's."""


@pytest.fixture
async def acme(connection: Connection) -> UUID:
    return await (await Tenants.on(connection)).organization("acme", owner="olga")


async def put(
    connection: Connection,
    organization: UUID,
    value: Any,
    *,
    key: str | None = None,
    old: Any = None,
    place: str = PLACE,
) -> UUID:
    result: UUID = await connection.fetchval(
        "select orbit_private.put_secret($1, $2, $3, $4, $5)", organization, place, json.dumps(value), old, key
    )
    return result


async def stored(connection: Connection, secret: UUID) -> asyncpg.Record:
    row = await connection.fetchrow("select * from orbit_private.secret where id = $1", secret)
    assert row is not None
    return row


async def test_a_sealed_value_is_kept_as_it_came(connection: Connection, acme: UUID) -> None:
    sealer = Sealer(generate_key())
    sealed = sealer.seal(VALUE, PLACE)
    row = await stored(connection, await put(connection, acme, sealed))
    assert (row["sealed"], row["key_id"], row["version"]) == (sealed, sealer.key_id, 1)


@pytest.mark.parametrize("value", [VALUE, "x", "ü" * 2000, 12345678901234567890, True, {"user": "a", "password": [1]}])
async def test_a_clear_value_is_sealed_by_the_database(connection: Connection, acme: UUID, value: Any) -> None:
    key = generate_key()
    row = await stored(connection, await put(connection, acme, value, key=key))
    assert row["sealed"].startswith(f"orbit.pgp.v1.{row['key_id']}.")
    assert Sealer(key).key_id == row["key_id"]  # one name for a key, whoever uses it
    opened = await connection.fetchval("select orbit_private.open_pgp($1, $2, $3)::text", row["sealed"], PLACE, key)
    assert json.loads(opened) == value


async def test_hexadecimal_and_base64_are_the_same_key(connection: Connection, acme: UUID) -> None:
    key = bytes(range(32))
    row = await stored(connection, await put(connection, acme, VALUE, key=key.hex()))
    assert row["key_id"] == key_id(key)
    text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    assert (
        await connection.fetchval("select orbit_private.open_pgp($1, $2, $3) #>> '{}'", row["sealed"], PLACE, text)
        == VALUE
    )


async def test_without_a_key_a_clear_value_is_refused_and_not_repeated(connection: Connection, acme: UUID) -> None:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await put(connection, acme, VALUE)
    assert refused.value.sqlstate == "OR008"
    assert "Vault" in (refused.value.hint or "")
    assert "pa" not in str(refused.value.args)
    assert await connection.fetchval("select count(*) from orbit_private.secret") == 0


@pytest.mark.parametrize("key", ["too-short", "x" * 44, "z" * 64])
async def test_what_is_no_key_is_refused_and_not_repeated(connection: Connection, acme: UUID, key: str) -> None:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await put(connection, acme, VALUE, key=key)
    assert refused.value.sqlstate == "OR008"
    assert key not in str(refused.value.__dict__)


async def test_the_key_of_the_vault_seals_and_opens(connection: Connection, acme: UUID) -> None:
    await connection.execute(VAULT)
    key = generate_key()
    await connection.fetchval("select vault.create_secret($1, 'orbit_secret_key')", key)
    row = await stored(connection, await put(connection, acme, VALUE))
    assert row["key_id"] == Sealer(key).key_id
    assert await connection.fetchval("select orbit_private.open_pgp($1, $2) #>> '{}'", row["sealed"], PLACE) == VALUE


async def test_a_value_opens_with_its_key_only(connection: Connection, acme: UUID) -> None:
    old, new = generate_key(), generate_key()
    row = await stored(connection, await put(connection, acme, VALUE, key=old))
    with pytest.raises(asyncpg.PostgresError, match="a key that is not here") as refused:
        await connection.fetchval("select orbit_private.open_pgp($1, $2, $3)", row["sealed"], PLACE, new)
    assert refused.value.sqlstate == "OR008"
    both = f"{new}, {old}"
    assert (
        await connection.fetchval("select orbit_private.open_pgp($1, $2, $3) #>> '{}'", row["sealed"], PLACE, both)
        == VALUE
    )


async def test_a_value_copied_to_another_place_does_not_open(connection: Connection, acme: UUID) -> None:
    key = generate_key()
    row = await stored(connection, await put(connection, acme, VALUE, key=key))
    copy = await stored(connection, await put(connection, acme, row["sealed"], place="environment:production:password"))
    assert copy["sealed"] == row["sealed"]
    with pytest.raises(asyncpg.PostgresError, match="does not open here") as refused:
        await connection.fetchval("select orbit_private.open_pgp($1, $2, $3)", copy["sealed"], copy["place"], key)
    assert refused.value.sqlstate == "OR008"


async def test_a_changed_value_does_not_open(connection: Connection, acme: UUID) -> None:
    key = generate_key()
    sealed = (await stored(connection, await put(connection, acme, VALUE, key=key)))["sealed"]
    middle = len(sealed) - 30
    changed = sealed[:middle] + ("A" if sealed[middle] != "A" else "B") + sealed[middle + 1 :]
    with pytest.raises(asyncpg.PostgresError, match="does not open here") as refused:
        await connection.fetchval("select orbit_private.open_pgp($1, $2, $3)", changed, PLACE, key)
    assert refused.value.sqlstate == "OR008"


@pytest.mark.parametrize(
    "sealed",
    [
        "orbit.seal.v1.abcdefgh.short",
        "orbit.seal.v1.abc." + "a" * 60,
        "orbit.pgp.v1.abcdefgh.%%%",
        "orbit.pgp.v1.",
        "hello",
    ],
)
async def test_nothing_but_the_two_forms_gets_in(connection: Connection, acme: UUID, sealed: str) -> None:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await put(connection, acme, sealed)
    assert refused.value.sqlstate == ("OR008" if sealed == "hello" else "OR001")
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute(
            "insert into orbit_private.secret (organization_id, place, sealed) values ($1, $2, $3)", acme, PLACE, sealed
        )


async def test_replacing_keeps_the_id_and_counts_versions(connection: Connection, acme: UUID) -> None:
    key = generate_key()
    first = await put(connection, acme, "one", key=key)
    assert await put(connection, acme, "two", key=key, old=first) == first
    row = await stored(connection, first)
    assert row["version"] == 2
    assert await put(connection, acme, row["sealed"], old=first) == first
    assert (await stored(connection, first))["version"] == 2  # the same text again is nothing new
    await connection.execute("select orbit_private.drop_secret($1)", first)
    assert await connection.fetchval("select count(*) from orbit_private.secret") == 0


async def test_null_is_no_secret(connection: Connection, acme: UUID) -> None:
    with pytest.raises(asyncpg.PostgresError, match="has no value") as refused:
        await put(connection, acme, None, key=generate_key())
    assert refused.value.sqlstate == "OR001"


async def test_another_organisation_s_value_is_not_replaced(connection: Connection, acme: UUID) -> None:
    other = await (await Tenants.on(connection)).organization("other", owner="olga")
    first = await put(connection, acme, "one", key=generate_key())
    assert await put(connection, other, "two", key=generate_key(), old=first) != first
    assert (await stored(connection, first))["version"] == 1


@pytest.mark.parametrize("role", ["authenticated", "anon", "service_role", "orbit_runner"])
async def test_nobody_reads_the_table_or_calls_its_functions(connection: Connection, role: str) -> None:
    for statement in (
        "select * from orbit_private.secret",
        "select orbit_private.put_secret(null, '', null)",
        "select orbit_private.drop_secret(null)",
        "select * from orbit_private.secret_keys()",
        "select orbit_private.open_pgp('', '')",
        "select orbit_private.seal_pgp('1', '', '')",
    ):
        async with connection.transaction():
            await connection.execute(f"set local role {role}")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with connection.transaction():
                    await connection.execute(statement)
