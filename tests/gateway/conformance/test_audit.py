"""The audit log over both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.queue import suite

from orbit_context.errors import InvalidRequestError, NotAllowedError, NotFoundError

if TYPE_CHECKING:
    from support.gateways import Gateways


async def test_an_admin_reads_and_verifies(gateways: Gateways) -> None:
    admin = await gateways.person("admin")
    await admin.postgres.call("save_suite", suite({"a": []}))
    await admin.supabase.call("save_suite", suite({"a": []}, key="other"))
    page = await admin.both("list_audit", action="suite.create", limit=1)
    assert page["entries"][0]["resource_name"] == "other"
    rest = await admin.both("list_audit", action="suite.create", before=page["next"])
    assert [entry["resource_name"] for entry in rest["entries"]] == ["suite"]
    assert rest["next"] is None
    over_http, straight = page["entries"][0], rest["entries"][0]
    assert over_http["actor"] == straight["actor"]
    assert over_http["user_id"] == straight["user_id"]
    assert "httpx" in over_http["agent"], "the User-Agent of the request"
    assert straight["agent"] != over_http["agent"]
    report = await admin.both("verify_audit")
    assert report["ok"]
    head = f"{report['head']['number']}:{report['head']['hash']}"
    assert (await admin.both("verify_audit", head=head))["ok"]
    assert not (await admin.both("verify_audit", head=f"1:{report['head']['hash']}"))["ok"]


async def test_who_may_not(gateways: Gateways) -> None:
    editor, stranger = await gateways.person("editor"), await gateways.person(None)
    home = await gateways.home()
    for function in ("list_audit", "verify_audit"):
        assert isinstance(await editor.refused(function), NotAllowedError)
        assert isinstance(await stranger.refused(function, organization=home), NotFoundError)
        admin = await gateways.person("owner")
        assert isinstance(await admin.refused(function, system=True), NotAllowedError)
        assert isinstance(await admin.refused(function, colour="red"), InvalidRequestError)
        assert isinstance(await gateways.anonymous().refused(function), NotAllowedError)
        await gateways.service().both(function, system=True)
    assert isinstance(await admin.refused("list_audit", since="yesteryear"), InvalidRequestError)
    assert isinstance(await admin.refused("list_audit", limit=501), InvalidRequestError)
    assert isinstance(await admin.refused("verify_audit", head="x"), InvalidRequestError)
