"""Secrets over both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.queue import suite

from orbit_context.errors import ConflictError, InvalidRequestError, NotAllowedError, NotFoundError, SecretKeyError
from orbit_context.seal import Sealer, generate_key

if TYPE_CHECKING:
    from support.gateways import Gateways, Teller

PLACE = "environment:staging:password"
OLD, NEW = "A" * 43, "B" * 42 + "A"


async def test_a_secret_from_setting_to_rotation(gateways: Gateways) -> None:
    old, new = Sealer(OLD), Sealer(NEW)
    sealed, again = old.seal("pä$$", PLACE), new.seal("pä$$", PLACE)

    async def story(me: Teller) -> None:
        await me.call("save_suite", **suite({"a": []}))  # makes the project
        await me.call("save_environment", name="staging")
        await me.call("set_secret", environment="staging", name="password", value=sealed)
        [listed] = await me.call("list_secrets")
        assert (listed["place"], listed["key_id"]) == (PLACE, old.key_id)
        read = await me.call("read_secret", id=listed["id"])
        assert old.open(read["sealed"], PLACE) == "pä$$"
        page = await me.call("rotate_secrets", key_id=new.key_id)
        assert [item["id"] for item in page["sealed"]] == [listed["id"]]
        expected = {"id": listed["id"], "expected_key_id": old.key_id, "expected_version": 1}
        await me.call("replace_secret", **expected, sealed=again)
        assert isinstance(await me.refused("replace_secret", **expected, sealed=again), ConflictError)
        assert (await me.call("rotate_secrets", key_id=new.key_id))["sealed"] == []
        await me.call("delete_variable", scope="environment", environment="staging", name="password")
        assert await me.call("list_secrets") == []

    await gateways.tell(story, role="admin")


async def test_a_clear_secret_needs_a_key(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        await me.call("save_suite", **suite({"a": []}))
        error = await me.refused("set_secret", name="token", value="clear-text-value")
        assert isinstance(error, SecretKeyError)
        assert "clear-text-value" not in str(error.__dict__)
        await me.call("set_secret", name="token", value="clear-text-value", key=OLD)
        assert (await me.call("read_secret", name="token", key=OLD))["value"] == "clear-text-value"
        assert isinstance(await me.refused("read_secret", name="token", key=NEW), SecretKeyError)
        assert (await me.call("rotate_secrets", key=f"{NEW} {OLD}"))["rotated"] == 1
        assert (await me.call("read_secret", name="token", key=NEW))["value"] == "clear-text-value"
        assert isinstance(await me.refused("read_secret", name="none"), NotFoundError)
        assert isinstance(await me.refused("set_secret", name="token", colour=1), InvalidRequestError)

    await gateways.tell(story, role="admin")


async def test_an_editor_may_not(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        await me.call("save_suite", **suite({"a": []}))
        key = generate_key()
        assert isinstance(await me.refused("set_secret", name="token", value="x", key=key), NotAllowedError)
        assert isinstance(await me.refused("rotate_secrets"), NotAllowedError)
        assert await me.call("list_secrets") == []

    await gateways.tell(story, role="editor")
