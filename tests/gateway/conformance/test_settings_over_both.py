"""Settings over both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.errors import InvalidRequestError, NotAllowedError, NotFoundError

if TYPE_CHECKING:
    from support.gateways import Gateways


async def test_settings_are_set_by_admins_and_read_by_members(gateways: Gateways) -> None:
    async def story(me: Any) -> None:
        await me.call("save_environment", name="staging", variables=[])
        await me.call("set_setting", name="run.timeout", value=90)
        await me.call("set_setting", name="run.priority", value=5, project="default")
        await me.call("set_setting", name="run.fail_fast", value=True, environment="staging")
        await me.call("list_settings", environment="staging")
        await me.call("unset_setting", name="run.priority", project="default")
        await me.refused("unset_setting", name="run.priority", project="default")
        await me.refused("set_setting", name="run.timeout", value=-1)
        await me.refused("set_setting", name="run.tiemout", value=1)
        await me.refused("set_setting", name="run.timeout", value=1, all=True)
        await me.call("list_settings")

    await gateways.tell(story, role="admin")


async def test_who_may_and_who_may_not(gateways: Gateways) -> None:
    home, viewer, service = await gateways.home(), await gateways.person("viewer"), gateways.service()
    await service.postgres.call("set_setting", {"organization": home, "name": "run.timeout", "value": 60})
    held = await viewer.both("list_settings")
    assert {one["name"]: one["source"] for one in held["settings"]}["run.timeout"] == "organization"
    assert isinstance(await viewer.refused("set_setting", name="run.timeout", value=1), NotAllowedError)
    assert isinstance(await viewer.refused("unset_setting", name="run.timeout"), NotAllowedError)
    assert isinstance(await viewer.refused("set_setting", name="run.timeout", value=1, all=True), NotAllowedError)
    stranger = await gateways.person(None)
    assert isinstance(await stranger.refused("list_settings", organization=home), NotFoundError)
    error = await service.refused("set_setting", organization=home, name="run.priority", value=1000)
    assert isinstance(error, InvalidRequestError)
    assert "between -100 and 100" in (error.detail or "")
