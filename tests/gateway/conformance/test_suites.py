"""Suites and environments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.queue import suite

from orbit_context.errors import CycleError, InvalidRequestError, NotAllowedError, NotFoundError

if TYPE_CHECKING:
    from support.gateways import Gateways, Teller


async def test_a_suite_is_saved_again_and_changed(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        first = await me.call("save_suite", **suite({"a": [], "b": ["a"]}))
        assert first["changed"]
        assert not (await me.call("save_suite", **suite({"a": [], "b": ["a"]})))["changed"]
        changed = await me.call("save_suite", **suite({"a": [], "b": ["a"], "c": [("b", "data")]}, name="Größer"))
        assert (changed["version"], changed["suite_id"]) == (2, first["suite_id"])

    await gateways.tell(story)


async def test_what_a_suite_may_not_be(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        assert isinstance(await me.refused("save_suite", **suite({"a": ["b"], "b": ["a"]})), CycleError)
        assert isinstance(await me.refused("save_suite", **suite({})), InvalidRequestError)
        assert isinstance(await me.refused("save_suite", document={"tests": [{"key": "a"}]}), InvalidRequestError)

    await gateways.tell(story)


async def test_an_environment_is_saved_and_read(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        await me.call("save_suite", **suite({"a": []}))  # makes the project
        values = [1.5, -0, 2**53, "ü", "123", "", None, True, {"a": [{}]}, "line\nline", "\u2028"]
        variables = [{"name": f"v{n}", "value": value} for n, value in enumerate(values)]
        await me.call("save_environment", name="staging", variables=variables)
        read = await me.call("get_environment", name="staging")
        by_name = {variable["name"]: variable["value"] for variable in read["variables"]}
        assert [by_name[f"v{n}"] for n in range(len(values))] == values
        assert isinstance(await me.refused("get_environment", name="production"), NotFoundError)

    await gateways.tell(story, role="admin")


@pytest.mark.parametrize(
    "value", ["NUL \0 in it", "half a character \ud800", 2**70, {1, 2}], ids=["nul", "half", "big", "set"]
)
async def test_what_json_or_the_database_cannot_hold(gateways: Gateways, value: object) -> None:
    someone = await gateways.person()
    refused = await someone.refused("save_environment", name="x", variables=[{"name": "v", "value": value}])
    assert isinstance(refused, InvalidRequestError)


async def test_a_viewer_may_not_write(gateways: Gateways) -> None:
    someone = await gateways.person("viewer")
    assert isinstance(await someone.refused("save_suite", **suite({"a": []})), NotAllowedError)


async def test_who_belongs_nowhere_and_who_is_nobody(gateways: Gateways) -> None:
    stranger = await gateways.person(None)
    await stranger.refused("save_suite", **suite({"a": []}))
    home = await gateways.home()
    await stranger.refused("get_environment", name="x", organization=home)
    nobody = gateways.anonymous()
    refused = await nobody.refused("get_environment", name="x", organization=home)
    assert isinstance(refused, NotAllowedError)
    assert "permission denied for schema orbit" in str(refused.detail)
