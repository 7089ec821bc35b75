"""Credentials are of whoever saved them, and of nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from support.queue import suite
from support.tenants import Tenants

from orbit_context.seal import Sealer, generate_key

if TYPE_CHECKING:
    from collections.abc import Mapping

CANARY = "tok-canary-71c2"


@pytest.fixture
async def tenants(connection: asyncpg.Connection[Any]) -> Tenants:
    tenants = await Tenants.on(connection)
    await tenants.organization("acme", owner="olga", admin="adam", editor="ed")
    return tenants


def sealed(name: str, person: str) -> str:
    return Sealer(generate_key()).seal(CANARY, f"credential:{Tenants.id(person)}:{name}")


async def saved(tenants: Tenants, **fields: Any) -> None:
    request = {"name": "shop", "type": "bearer", "secret": sealed("shop", "ed")} | fields
    await tenants.call_as("ed", "save_credential", request)


@pytest.mark.parametrize("person", ["olga", "adam"])
async def test_owners_and_admins_neither_see_nor_delete_a_members_credential(tenants: Tenants, person: str) -> None:
    await saved(tenants)
    async with tenants.acting(person):
        assert await tenants.call("list_credentials", {}) == []
        assert await tenants.connection.fetch("select * from orbit.api_credentials") == []
    assert await tenants.refused(person, "delete_credential", {"name": "shop"}) == "OR002"
    async with tenants.acting("ed"):
        (own,) = await tenants.call("list_credentials", {})
        assert (own["name"], own["has_secret"]) == ("shop", True)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await tenants.connection.fetch("select * from orbit_private.secret")


async def test_the_secret_goes_with_the_credential_and_the_credential_with_the_member(tenants: Tenants) -> None:
    count = "select count(*) from orbit_private.secret"
    await saved(tenants)
    await saved(tenants, secret=sealed("shop", "ed"))
    assert await tenants.connection.fetchval(count) == 1
    await tenants.call_as("ed", "delete_credential", {"name": "shop"})
    assert await tenants.connection.fetchval(count) == 0
    await saved(tenants)
    await tenants.connection.execute("delete from orbit.organization_members where user_id = $1", Tenants.id("ed"))
    assert await tenants.connection.fetchval("select count(*) from orbit.api_credentials") == 0
    assert await tenants.connection.fetchval(count) == 0


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"secret": None}, "OR001"),
        ({"secret": CANARY}, "OR008"),
        ({"secret": 7}, "OR001"),
        ({"type": "magic"}, "OR001"),
        ({"type": "basic"}, "OR001"),
        ({"type": "api_key", "header_name": "X Y"}, "OR001"),
        ({"type": "oauth2_client", "client_id": "c", "token_url": "https://u:p@example.com"}, "OR001"),
        ({"username": "ada"}, "OR001"),
        ({"name": "a.b"}, "OR001"),
        ({"colour": "red"}, "OR001"),
    ],
)
async def test_what_is_no_credential(tenants: Tenants, fields: Mapping[str, Any], code: str) -> None:
    request = {"name": "shop", "type": "bearer", "secret": sealed("shop", "ed")} | dict(fields)
    async with tenants.acting("ed"):
        with pytest.raises(asyncpg.PostgresError) as refusal:
            await tenants.call("save_credential", request)
    assert refusal.value.sqlstate == code
    assert CANARY not in str(refusal.value) + str(refusal.value.detail) + str(refusal.value.hint)
    assert await tenants.connection.fetchval("select count(*) from orbit_private.secret") == 0


async def test_the_audit_log_tells_of_it_without_the_secret(tenants: Tenants) -> None:
    await saved(tenants)
    rows = await tenants.connection.fetch(
        "select action, after::text from orbit.audit_log where resource_type = 'credential'"
    )
    assert [row["action"] for row in rows] == ["credential.create"]
    assert CANARY not in str(rows)
    assert "orbit.seal" not in str(rows)


async def test_people_write_their_own_rows_and_never_the_secret(tenants: Tenants) -> None:
    await tenants.organization("evil", owner="mallory")
    await saved(tenants)
    connection = tenants.connection
    make = "insert into orbit.api_credentials (organization_id, name, credential_type) select $1, 'direct', 'bearer'"
    acme = await connection.fetchval("select id from orbit.organizations where slug = 'acme'")
    async with tenants.acting("ed"):
        assert await connection.execute(make, acme) == "INSERT 0 1"
        assert (
            await connection.execute("update orbit.api_credentials set description = 'x', expires_at = null")
            == "UPDATE 2"
        )
        own = {row["name"]: row["has_secret"] for row in await tenants.call("list_credentials", {})}
        assert own == {"direct": False, "shop": True}
        assert await connection.execute("delete from orbit.api_credentials") == "DELETE 2"
        await connection.execute("reset role")
        assert await connection.fetchval("select count(*) from orbit_private.secret") == 0
    for statement in (
        "update orbit.api_credentials set secret_id = null",
        "update orbit.api_credentials set name = 'y'",
        "update orbit.api_credentials set credential_type = 'basic'",
        "update orbit.api_credentials set user_id = gen_random_uuid()",
        "update orbit.api_credentials set last_used_at = null",
        "insert into orbit.api_credentials (name, credential_type, secret_id) values ('y', 'bearer', null)",
    ):
        async with tenants.acting("ed"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    for person in ("olga", "adam", "mallory"):
        async with tenants.acting(person):
            assert await connection.execute("update orbit.api_credentials set description = 'mine'") == "UPDATE 0"
            assert await connection.execute("delete from orbit.api_credentials") == "DELETE 0"
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(
                    "insert into orbit.api_credentials (organization_id, user_id, name, credential_type)"
                    " values ($1, $2, 'y', 'bearer')",
                    acme,
                    Tenants.id("ed"),
                )
    async with tenants.acting("mallory"):  # of an organisation that is not theirs
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(make, acme)


async def test_nobody_is_told_the_secret_of_a_credential_by_its_id(tenants: Tenants) -> None:
    await saved(tenants)
    secret_id = await tenants.connection.fetchval("select secret_id::text from orbit.api_credentials")
    for person in ("olga", "adam", "ed"):
        assert await tenants.refused(person, "read_secret", {"id": secret_id}) == "OR002"
        async with tenants.acting(person):
            assert await tenants.call("list_secrets", {}) == []


@pytest.mark.parametrize("person", ["olga", "adam", "eve"])
async def test_a_run_is_given_credentials_of_whoever_starts_it_alone(tenants: Tenants, person: str) -> None:
    await tenants.member("acme", "eve", "editor")
    await tenants.project("acme")
    await saved(tenants)
    await tenants.call_as("ed", "save_suite", suite({"a": []}))
    start = {"suite": "suite", "credentials": ["shop"]}
    assert await tenants.refused(person, "start_run", start) == "OR002"
    run = await tenants.call_as("ed", "start_run", start)
    count = "select count(*) from orbit_private.run_secret where name = 'credentials.shop'"
    assert await tenants.connection.fetchval(count) == 1
    async with tenants.acting(person):
        told = str(await tenants.call("get_run", {"run_id": run["id"]}))
        told += str(await tenants.call("get_context", {"run_id": run["id"]}))
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await tenants.connection.fetch("select * from orbit_private.run_secret")
    assert "orbit.seal" not in told


async def test_a_credential_of_the_installation_is_nobodys_who_signs_in(tenants: Tenants) -> None:
    await tenants.project("acme")
    await tenants.call_as("ed", "save_suite", suite({"a": []}))
    place = "credential:acme:shop"
    secret = Sealer(generate_key()).seal(CANARY, place)
    made = await tenants.call(
        "save_credential", {"name": "shop", "type": "bearer", "secret": secret, "organization": "acme"}
    )
    assert made["place"] == place
    start = {"suite": "suite", "organization": "acme", "credentials": ["shop"]}
    for person in ("olga", "ed"):
        assert await tenants.refused(person, "start_run", start) == "OR002"
        assert await tenants.refused(person, "delete_credential", {"name": "shop"}) == "OR002"
    await tenants.call("start_run", start)
