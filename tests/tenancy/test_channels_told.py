"""Where notifications go is told to those alone who may say it."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from support.tenants import Tenants

from orbit_context.models.operations import Channel


@pytest.fixture
async def acme(connection: asyncpg.Connection[Any]) -> Tenants:
    tenants = await Tenants.on(connection)
    await tenants.organization("acme", owner="olga", admin="adam", editor="ed", viewer="vera")
    await tenants.organization("evil", owner="mallory")
    await tenants.unit("acme", "payments", admin="pia", viewer="sam")
    await tenants.project("acme", "shop")
    await tenants.project("acme", "checkout", unit="payments")
    for project in ("shop", "checkout"):
        place = {"organization": "acme", "project": project}
        await tenants.call("save_channel", place | {"name": "mail", "kind": "email", "recipients": ["ada@example.com"]})
        await tenants.call(
            "save_channel", place | {"name": "web", "kind": "webhook", "url": "https://hook.example/secret-path"}
        )
    return tenants


@pytest.mark.parametrize(
    ("person", "seen", "told"),
    [
        ("vera", {"shop"}, set()),
        ("ed", {"shop"}, set()),
        ("adam", {"shop", "checkout"}, {"shop", "checkout"}),
        ("olga", {"shop", "checkout"}, {"shop", "checkout"}),
        ("pia", {"shop", "checkout"}, {"checkout"}),
        ("sam", {"shop", "checkout"}, set()),
        ("mallory", set(), set()),
    ],
)
async def test_who_is_told_where_messages_go(acme: Tenants, person: str, seen: set[str], told: set[str]) -> None:
    slugs = dict(await acme.connection.fetch("select id::text, slug from orbit.projects"))
    async with acme.acting(person):
        channels = [Channel.model_validate(one) for one in await acme.call("list_channels", {})]
    assert {slugs[str(one.project_id)] for one in channels} == seen
    assert {slugs[str(one.project_id)] for one in channels if one.recipients} == told
    assert {slugs[str(one.project_id)] for one in channels if one.url} == told
    assert {one.recipients for one in channels if slugs[str(one.project_id)] not in told} <= {None}


@pytest.mark.parametrize("column", ["url", "recipients", "*"])
async def test_the_columns_are_nobodys(acme: Tenants, column: str) -> None:
    async with acme.acting("olga"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await acme.connection.fetch(f"select {column} from orbit.notification_channels")
    async with acme.acting("vera"):
        rows = await acme.connection.fetch("select name, kind, events from orbit.notification_channels")
    assert sorted(row["name"] for row in rows) == ["mail", "web"]


async def test_those_who_run_the_database_are_told_everything(acme: Tenants) -> None:
    channels = await acme.call("list_channels", {})
    assert sum(bool(one["recipients"]) for one in channels) == 2
    assert sum(bool(one["url"]) for one in channels) == 2
    assert len(await acme.call("list_channels", {"organization": "acme", "project": "shop"})) == 2
    assert await acme.refused("mallory", "list_channels", {"organization": "acme", "project": "shop"}) == "OR002"
