"""Credentials are of whoever saved them, and of nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
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
