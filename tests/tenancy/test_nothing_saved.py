"""A database in which nothing was saved yet: whoever runs it asks, and hears that there is nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from support.tenants import Tenants

from orbit_context.gateway.port import FUNCTIONS

if TYPE_CHECKING:
    from support.command import OrbitCommand

READS = [name for name in FUNCTIONS if name.startswith("list_")]
READS += ["get_limits", "get_usage", "resolve_variables", "verify_audit", "get_preferences", "whoami"]


@pytest.mark.parametrize("organization", [False, True], ids=["nothing", "an organisation without a project"])
async def test_nothing_is_missing_where_nothing_was_saved(
    connection: asyncpg.Connection[Any], organization: bool
) -> None:
    tenants = await Tenants.on(connection)
    if organization:
        await tenants.organization("default")
    refused = {}
    for name in READS:
        try:
            async with connection.transaction():
                answer = await tenants.call(name, {})
        except asyncpg.PostgresError as error:
            refused[name] = f"{error.sqlstate} {error}"
        else:
            if name.startswith("list_") and name != "list_organizations":
                assert isinstance(answer, dict) or answer == [], (name, answer)
    # What asks for something by its name says so.
    assert {
        name: told for name, told in refused.items() if not told.startswith("OR001") or "is missing" not in told
    } == {}
    assert len(refused) < 6
    assert await connection.fetchval("select count(*) from orbit.organizations") == int(organization)


@pytest.mark.parametrize("request_", [{"organization": "acme"}, {"project": "shop"}], ids=str)
async def test_what_is_named_must_be_there_all_the_same(
    connection: asyncpg.Connection[Any], request_: dict[str, Any]
) -> None:
    tenants = await Tenants.on(connection)
    for name in ("list_environments", "list_variables", "list_secrets", "list_settings", "list_fixtures"):
        with pytest.raises(asyncpg.PostgresError) as error:
            async with connection.transaction():
                await tenants.call(name, request_)
        assert error.value.sqlstate == "OR002", name


async def test_somebody_signed_in_is_told_to_name_an_organisation(connection: asyncpg.Connection[Any]) -> None:
    tenants = await Tenants.on(connection)
    await tenants.person("ada")
    for name in ("list_members", "list_secrets", "list_settings", "get_limits"):
        assert await tenants.refused("ada", name, {}) == "OR001", name


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("env list", "no environment"),
        ("var list", "no variable"),
        ("secret list", "no secret"),
        ("audit list", "nothing was done"),
        ("audit verify", "whole: 0 entries"),
        ("unit list", "no business unit"),
        ("org members", "nobody belongs to it"),
        ("access list", "no grant"),
        ("fixture list", "no data set"),
        ("limits show", "unlimited"),
        ("config show", "run.timeout"),
    ],
)
async def test_a_fresh_laptop_is_answered(orbit: OrbitCommand, command: str, said: str) -> None:
    answer = await orbit(*command.split())
    assert (answer.code, answer.stderr) == (0, "")
    assert said in answer.stdout
