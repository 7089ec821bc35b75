"""Variables by scope, and environments, over both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.queue import suite

from orbit_context.errors import InvalidRequestError, NotAllowedError, NotFoundError, SecretKeyError

if TYPE_CHECKING:
    from support.gateways import Gateways, Teller


async def test_variables_from_setting_to_deleting(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        await me.call("save_suite", **suite({"a": []}))  # makes the project
        await me.call("save_environment", name="staging", variables=[{"name": "x", "value": "staging"}])
        await me.call(
            "set_variables", scope="project", variables=[{"name": "x", "value": {"a": [1.5, None]}, "type": "object"}]
        )
        await me.call(
            "set_variables",
            scope="test",
            suite="suite",
            test="a",
            variables=[{"name": "x", "value": "ü", "priority": -1}],
        )
        found = await me.call("resolve_variables", environment="staging", suite="suite", test="a")
        assert [(v["value"], v["scope"]) for v in found["variables"]] == [("staging", "environment")]
        assert [shadow["scope"] for shadow in found["variables"][0]["shadows"]] == ["project", "test"]
        assert len(await me.call("list_variables", environment="staging", suite="suite", test="a")) == 3
        wrong = [{"name": "x", "value": "text"}]
        assert isinstance(await me.refused("set_variables", scope="project", variables=wrong), InvalidRequestError)
        secret = [{"name": "s", "value": "clear", "secret": True}]
        assert isinstance(await me.refused("set_variables", scope="project", variables=secret), SecretKeyError)
        assert await me.call("delete_variable", scope="project", name="x") == {"deleted": True}
        assert isinstance(await me.refused("delete_variable", scope="project", name="x"), NotFoundError)

    await gateways.tell(story, role="admin")


async def test_environments_are_listed_and_deleted(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        await me.call("save_suite", **suite({"a": []}))
        await me.call("save_environment", name="staging", variables=[{"name": "x", "value": 1}])
        assert [e["variables"] for e in await me.call("list_environments")] == [1]
        assert isinstance(await me.refused("delete_environment", name="live"), NotFoundError)
        assert await me.call("delete_environment", name="staging") == {"deleted": True, "variables": 1}
        assert await me.call("list_environments") == []

    await gateways.tell(story, role="admin")


async def test_an_editor_may_not_define_variables(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        await me.call("save_suite", **suite({"a": []}))
        variables = [{"name": "x", "value": 1}]
        assert isinstance(await me.refused("set_variables", scope="project", variables=variables), NotAllowedError)
        assert (await me.call("resolve_variables"))["variables"] == []

    await gateways.tell(story, role="editor")
