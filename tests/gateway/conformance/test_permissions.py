"""Grants, and why somebody may do something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orbit_context.errors import InvalidRequestError, NotAllowedError, NotFoundError

if TYPE_CHECKING:
    from support.gateways import Gateways, Teller


async def test_a_grant_from_beginning_to_end(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        await me.call("save_project", project="shop")
        grant = {"user": me.account.email.upper(), "permission": "secret.read", "project": "shop"}
        made = await me.call("grant_permission", **grant)
        assert (made["granted_by"], made["resource"], made["changed"]) == (me.account.email, "shop", True)
        assert not (await me.call("grant_permission", **grant))["changed"]
        assert [one["id"] for one in await me.call("list_permissions")] == [made["id"]]
        why = await me.call("explain_access", action="secret.read", project="shop")
        assert {one["via"] for one in why["because"]} == {"project", "organization"}
        assert (await me.call("can", action="secret.read", project="shop"))["allowed"]
        assert (await me.call("revoke_permission", id=made["id"]))["changed"]
        assert not (await me.call("revoke_permission", id=made["id"]))["changed"]
        assert await me.call("list_permissions", project="shop") == []
        assert len(await me.call("list_permissions", history=True)) == 1
        assert isinstance(await me.refused("grant_permission", **grant | {"permission": "owner"}), InvalidRequestError)
        assert isinstance(
            await me.refused("grant_permission", user="me", permission="admin", resource_type="system"), NotAllowedError
        )

    await gateways.tell(story, role="admin")


async def test_who_may_not(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        assert not (await me.call("can", action="member.write"))["allowed"]
        assert not (await me.call("explain_access", action="run.start"))["allowed"]
        assert isinstance(await me.refused("can", action="fly"), InvalidRequestError)
        assert isinstance(await me.refused("can", action="run.start", project="elsewhere"), NotFoundError)
        assert isinstance(await me.refused("save_project", project="mine"), NotAllowedError)

    await gateways.tell(story, role="viewer")
