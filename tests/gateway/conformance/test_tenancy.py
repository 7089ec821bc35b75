"""Organisations, members, invitations, business units, projects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orbit_context.errors import ConflictError, InvalidRequestError, NotAllowedError, NotFoundError

if TYPE_CHECKING:
    from support.gateways import Gateways, Teller


async def test_an_organisation_and_who_belongs_to_it(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        told = await me.call("whoami")
        assert told["user"]["email"] == me.account.email
        assert [(one["slug"], one["role"]) for one in told["organizations"]] == [(me.organization, "owner")]
        assert [one["slug"] for one in await me.call("list_organizations")] == [me.organization]
        assert (await me.call("update_organization", name="Größer"))["name"] == "Größer"
        assert [one["role"] for one in await me.call("list_members")] == ["owner"]
        assert isinstance(await me.refused("set_member_role", user="me", role="admin"), ConflictError)
        assert isinstance(await me.refused("set_member_role", user="me", role="king"), InvalidRequestError)
        assert isinstance(await me.refused("remove_member", user="me"), ConflictError)
        assert isinstance(await me.refused("remove_member", user="nobody@example.com"), NotFoundError)
        assert not (await me.call("set_member_role", user="me", role="owner"))["changed"]
        made = await me.call("create_organization", name=f"{me.organization} two")
        assert (made["slug"], made["role"]) == (f"{me.organization}-two", "owner")
        assert isinstance(await me.refused("create_organization", name="Two", slug=made["slug"]), ConflictError)
        assert isinstance(await me.refused("list_members"), InvalidRequestError), "one of two is to be named"
        assert isinstance(await me.refused("delete_organization", organization=made["slug"]), InvalidRequestError)
        await me.call("delete_organization", organization=made["slug"], confirm=made["slug"])
        assert isinstance(await me.refused("list_members", organization=made["slug"]), NotFoundError)

    await gateways.tell(story, role="owner")


async def test_somebody_is_asked_in(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        made = await me.call("invite_member", email="New@Example.com", role="editor")
        me.protocol[-1] = ("invite_member", made | {"token": "<drawn>"})
        assert [one["status"] for one in await me.call("list_invitations")] == ["open"]
        assert isinstance(await me.refused("accept_invitation", token=made["token"]), NotAllowedError)
        assert isinstance(await me.refused("accept_invitation", token="no"), NotFoundError)
        assert (await me.call("revoke_invitation", id=made["id"]))["changed"]
        assert await me.call("list_invitations", status="open") == []
        assert isinstance(await me.refused("invite_member", email="x@example.com", role="owner"), NotAllowedError)
        assert isinstance(await me.refused("invite_member", email=me.account.email), ConflictError)
        assert isinstance(await me.refused("invite_member", email="no address"), InvalidRequestError)

    await gateways.tell(story, role="admin")


async def test_business_units_and_projects(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        assert (await me.call("save_business_unit", business_unit="payments", description="moves money"))["created"]
        assert (await me.call("set_unit_member", business_unit="payments", user="me", role="editor"))["changed"]
        assert [one["role"] for one in await me.call("list_unit_members", business_unit="payments")] == ["editor"]
        assert isinstance(await me.refused("list_unit_members", business_unit="none"), NotFoundError)
        shop = await me.call("save_project", project="shop", name="Shop", business_unit="payments")
        assert (shop["business_unit"], shop["created"]) == ("payments", True)
        assert (await me.call("save_project", project="shop", slug="store"))["slug"] == "store"
        assert [one["slug"] for one in await me.call("list_projects", business_unit="payments")] == ["store"]
        assert [one["projects"] for one in await me.call("list_business_units")] == [1]
        assert isinstance(await me.refused("delete_business_unit", business_unit="payments"), ConflictError)
        assert (await me.call("save_project", project="store", business_unit=None))["business_unit"] is None
        await me.call("remove_unit_member", business_unit="payments", user="me")
        assert (await me.call("delete_business_unit", business_unit="payments"))["deleted"]
        assert isinstance(await me.refused("delete_project", project="store", confirm="shop"), InvalidRequestError)
        assert (await me.call("delete_project", project="store", confirm="store"))["deleted"]
        assert isinstance(await me.refused("save_project", project="x", colour="red"), InvalidRequestError)

    await gateways.tell(story, role="admin")
