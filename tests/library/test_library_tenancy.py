"""Whose the library is: what members, other members, admins, owners and other organisations see and write of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.queue import suite
from support.tenants import Tenants

if TYPE_CHECKING:
    import asyncpg

OTHERS = ["adam", "olga", "eve"]


@pytest.fixture
async def tenants(connection: asyncpg.Connection[Any]) -> Tenants:
    """acme with the project `default` for all of it, and `closed` of a unit that vera is not in; evil is another's."""
    tenants = await Tenants.on(connection)
    await tenants.organization("acme", owner="olga", admin="adam", editor="ed", viewer="vera")
    await tenants.member("acme", "eve", "editor")
    await tenants.organization("evil", owner="mallory")
    await tenants.unit("acme", "unit", editor="una")
    await tenants.project("acme")
    await tenants.project("acme", "closed", unit="unit")
    await tenants.project("evil")
    return tenants


async def seen(tenants: Tenants, person: str, table: str) -> int:
    async with tenants.acting(person):
        count: int = await tenants.connection.fetchval(f"select count(*) from orbit.{table}")
        return count


KEPT = {
    "fixture": ({"rows": [{"a": 1}]}, "test_data_fixtures"),
    "report_template": ({"kind": "md", "source": "x"}, "report_templates"),
}


@pytest.mark.parametrize("kind", KEPT)
async def test_a_projects_library_is_of_those_who_see_the_project(tenants: Tenants, kind: str) -> None:
    fields, table = KEPT[kind]
    await tenants.call_as("ed", f"save_{kind}", {"name": "open", **fields})
    await tenants.call_as("una", f"save_{kind}", {"name": "hidden", "project": "closed", **fields})
    counts = {person: await seen(tenants, person, table) for person in ("vera", "ed", "una", "adam", "olga", "mallory")}
    assert counts == {"vera": 1, "ed": 1, "una": 2, "adam": 2, "olga": 2, "mallory": 0}
    hidden = {"name": "hidden", "project": "closed"}
    for person in ("vera", "ed"):
        assert await tenants.refused(person, f"get_{kind}", hidden) == "OR002"
        assert await tenants.refused(person, f"delete_{kind}", hidden) == "OR002"
        assert await tenants.refused(person, f"save_{kind}", hidden | fields) in ("OR002", "OR003")
    for function, request in ((f"delete_{kind}", {"name": "open"}), (f"save_{kind}", {"name": "new", **fields})):
        assert await tenants.refused("vera", function, request) == "OR003"
        assert await tenants.refused("mallory", function, request | {"organization": "acme"}) == "OR002"
    await tenants.call_as("adam", f"delete_{kind}", {"name": "open"})


async def test_searches_are_ones_own_until_they_are_shared(tenants: Tenants) -> None:
    await tenants.call_as("ed", "save_search", {"name": "mine", "entity": "suites"})
    await tenants.call_as(
        "una", "save_search", {"name": "ours", "entity": "suites", "project": "closed", "shared": True}
    )
    counts = {
        person: await seen(tenants, person, "saved_searches")
        for person in ("vera", "eve", "ed", "una", "adam", "olga", "mallory")
    }
    assert counts == {"vera": 0, "eve": 0, "ed": 1, "una": 1, "adam": 1, "olga": 1, "mallory": 0}
    for person in OTHERS:
        assert await tenants.refused(person, "run_search", {"name": "mine"}) == "OR002"
        assert await tenants.refused(person, "delete_search", {"name": "mine"}) == "OR002"
        assert await tenants.refused(person, "delete_search", {"name": "ours"}) in ("OR002", "OR003")
    async with tenants.acting("adam"):
        assert (await tenants.call("run_search", {"name": "ours"}))["rows"] == []
    assert await tenants.refused("eve", "run_search", {"name": "ours"}) == "OR002"


async def test_preferences_say_which_organisation_and_project_are_meant(tenants: Tenants) -> None:
    await tenants.organization("other", owner="olga")
    await tenants.project("other")
    await tenants.project("other", "shop")
    assert await tenants.refused("olga", "list_suites", {}) == "OR001"  # of two, neither named
    await tenants.call_as("olga", "set_preferences", {"preferences": {"organization": "other", "project": "shop"}})
    await tenants.call_as("olga", "save_fixture", {"name": "f", "rows": [{"a": 1}], "project": "shop"})

    async def found(**request: Any) -> str:
        async with tenants.acting("olga"):
            answer = await tenants.call("get_fixture", {"name": "f", **request})
            return str(answer["name"])

    assert await found() == "f"
    # What is named goes before it, and a project that the organisation named has not is no preference for it.
    assert await tenants.refused("olga", "get_fixture", {"name": "f", "project": "default"}) == "OR002"
    assert await tenants.refused("olga", "get_fixture", {"name": "f", "organization": "acme"}) == "OR002"
    async with tenants.acting("olga"):
        await tenants.call("list_fixtures", {"organization": "acme"})
    # Whoever belongs to it no more means what they would mean without it.
    await tenants.connection.execute(
        "delete from orbit.organization_members m using orbit.organizations o"
        " where o.id = m.organization_id and o.slug = 'other' and m.user_id = $1",
        Tenants.id("olga"),
    )
    await tenants.call_as("olga", "save_suite", suite({"a": []}))
    assert (
        await tenants.connection.fetchval(
            "select o.slug from orbit.test_suites s join orbit.organizations o on o.id = s.organization_id"
        )
        == "acme"
    )


async def test_a_preference_opens_nothing(tenants: Tenants) -> None:
    await tenants.call_as("ed", "set_preferences", {"preferences": {"organization": "evil", "project": "closed"}})
    await tenants.call_as("ed", "save_fixture", {"name": "f", "rows": [{"a": 1}]})
    row = await tenants.connection.fetchrow(
        "select o.slug as organization, p.slug as project from orbit.test_data_fixtures f"
        " join orbit.projects p on p.id = f.project_id join orbit.organizations o on o.id = p.organization_id"
    )
    assert dict(row or {}) == {"organization": "acme", "project": "default"}
