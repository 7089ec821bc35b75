"""Who names no project means the one they prefer, to read and to write alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.queue import suite
from support.tenants import Tenants

if TYPE_CHECKING:
    import asyncpg


@pytest.fixture
async def acme(connection: asyncpg.Connection[Any]) -> Tenants:
    """acme with `default`, `shop` and, in a unit of its own, `hidden`; adam prefers shop."""
    tenants = await Tenants.on(connection)
    await tenants.organization("acme", owner="olga", admin="adam", editor="ed")
    await tenants.unit("acme", "payments")
    for project in ("default", "shop"):
        await tenants.project("acme", project)
    await tenants.project("acme", "hidden", unit="payments")
    await tenants.call_as("adam", "set_preferences", {"preferences": {"project": "shop"}})
    return tenants


SAVES: dict[str, dict[str, Any]] = {
    "save_suite": suite({"a": []}),
    "save_environment": {"name": "staging", "variables": [{"name": "a", "value": 1}]},
    "set_variables": {"scope": "project", "variables": [{"name": "a", "value": 1}]},
    "save_fixture": {"name": "users", "rows": [{"name": "ada"}]},
    "save_report_template": {"name": "mine", "kind": "text", "source": "x"},
    "save_channel": {"name": "team", "kind": "email", "recipients": ["a@example.com"]},
}
WHERE = {
    "save_suite": "test_suites", "save_environment": "environments", "set_variables": "variable_definitions",
    "save_fixture": "test_data_fixtures", "save_report_template": "report_templates", "save_channel": "notification_channels",
}  # fmt: skip


async def projects(tenants: Tenants, table: str) -> list[str]:
    rows = await tenants.connection.fetch(
        f"select p.slug from orbit.{table} t join orbit.projects p on p.id = t.project_id"
    )
    return [row["slug"] for row in rows]


@pytest.mark.parametrize("function", SAVES)
async def test_what_is_saved_goes_to_the_preferred_project(acme: Tenants, function: str) -> None:
    await acme.call_as("adam", function, SAVES[function])
    assert await projects(acme, WHERE[function]) == ["shop"]
    await acme.call_as("adam", function, SAVES[function] | {"project": "default"})
    assert sorted(await projects(acme, WHERE[function])) == ["default", "shop"]


async def test_what_was_saved_is_read_and_started(acme: Tenants) -> None:
    for function, request in SAVES.items():
        await acme.call_as("adam", function, request)
    async with acme.acting("adam"):
        assert [one["name"] for one in await acme.call("list_environments", {})] == ["staging"]
        assert [one["name"] for one in await acme.call("list_variables", {})] == ["a"]
        assert (await acme.call("get_environment", {"name": "staging"}))["name"] == "staging"
        run = await acme.call("start_run", {"suite": "suite", "environment": "staging"})
        assert run["project"] == "shop"


async def test_a_preference_that_is_gone_or_hidden_is_none(acme: Tenants) -> None:
    for project in ("hidden", "nowhere"):
        await acme.connection.execute(
            "insert into orbit.user_preferences (user_id, preferences) values ($1, jsonb_build_object('project', $2::text))"
            " on conflict (user_id) do update set preferences = excluded.preferences",
            acme.id("ed"), project,
        )  # fmt: skip
        await acme.call_as("ed", "save_suite", suite({"a": []}, key=project))
    assert await projects(acme, "test_suites") == ["default", "default"]
    assert await acme.connection.fetchval("select count(*) from orbit.projects") == 3


async def test_a_suite_file_that_names_no_project_follows_the_preference(acme: Tenants) -> None:
    from orbit_context.client.suites import Suites
    from orbit_context.suite.load import build_suite

    asked: list[dict[str, Any]] = []

    class Asked:
        async def call(self, function: str, request: dict[str, Any]) -> Any:
            asked.append(request)
            return await acme.call_as("adam", function, request)

        async def close(self) -> None: ...

    document = {"version": 1, "suite": "cart", "tests": {"a": {"request": "https://a.example/"}}}
    await Suites(Asked()).save(build_suite(document))
    await Suites(Asked()).save(build_suite(document | {"project": "default"}))
    assert [request.get("project") for request in asked] == [None, "default"]
    assert sorted(await projects(acme, "test_suites")) == ["default", "shop"]
