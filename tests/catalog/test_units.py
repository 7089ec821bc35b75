"""Business units do not see each other's projects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.tenants import Tenants

if TYPE_CHECKING:
    import asyncpg


@pytest.fixture
async def tenants(connection: asyncpg.Connection[Any]) -> Tenants:
    """acme with two units and a project in each, and one of no unit."""
    tenants = await Tenants.on(connection)
    await tenants.organization("acme", owner="olga", viewer="vera")
    await tenants.unit("acme", "payments", editor="pia")
    await tenants.unit("acme", "search", viewer="sam")
    await tenants.project("acme", "checkout", unit="payments")
    await tenants.project("acme", "index", unit="search")
    await tenants.project("acme", "website")
    return tenants


@pytest.mark.parametrize(
    ("person", "projects"),
    [
        ("olga", ["checkout", "index", "website"]),
        ("vera", ["website"]),
        ("pia", ["checkout", "website"]),
        ("sam", ["index", "website"]),
        ("stranger", []),
    ],
)
async def test_who_sees_which_projects(tenants: Tenants, person: str, projects: list[str]) -> None:
    async with tenants.acting(person):
        rows = await tenants.connection.fetch("select slug from orbit.projects order by slug")
    assert [row["slug"] for row in rows] == projects


async def test_a_grant_opens_a_project_until_it_is_over(tenants: Tenants) -> None:
    await tenants.connection.execute(
        "insert into orbit.permission_assignments"
        " (organization_id, user_id, permission_type, resource_type, resource_id, granted_at, expires_at)"
        " select organization_id, $1, 'viewer', 'project', id, now() - interval '2 hours', now() + interval '1 hour'"
        " from orbit.projects where slug = 'index'",
        tenants.id("pia"),
    )
    async with tenants.acting("pia"):
        assert await tenants.connection.fetchval("select count(*) from orbit.projects") == 3
    await tenants.connection.execute("update orbit.permission_assignments set expires_at = now() - interval '1 second'")
    async with tenants.acting("pia"):
        assert await tenants.connection.fetchval("select count(*) from orbit.projects") == 2


async def test_a_role_of_one_unit_is_none_of_another(tenants: Tenants) -> None:
    suite = {"organization": "acme", "key": "s", "document": {"tests": [{"key": "a"}]}}
    await tenants.call_as("pia", "save_suite", suite | {"project": "checkout"})
    # A project that is hidden is one that is not there: who may not create one hears the same of both.
    assert await tenants.refused("pia", "save_suite", suite | {"project": "index"}) == "OR003"
    assert await tenants.refused("pia", "save_suite", suite | {"project": "no-such"}) == "OR003"
    assert await tenants.refused("sam", "save_suite", suite | {"project": "index"}) == "OR003"
    assert (
        await tenants.refused("sam", "start_run", {"organization": "acme", "project": "checkout", "suite": "s"})
        == "OR002"
    )
