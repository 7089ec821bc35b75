"""Channels, trigger tokens, workers, and what is kept of the past."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from support.queue import suite

from orbit_context.errors import ConflictError, InvalidRequestError, NotAllowedError, NotFoundError, SecretKeyError
from orbit_context.seal import generate_key

if TYPE_CHECKING:
    from support.gateways import Gateways, Teller


async def test_channels(gateways: Gateways) -> None:
    key = generate_key()
    address = "https://hooks.slack.com/services/T0/B0/shhh"

    async def story(me: Teller) -> None:
        await me.call("save_suite", **suite({"a": []}))
        mail = await me.call("save_channel", name="team", kind="email", recipients=["ada@example.com"])
        assert (mail["events"], mail["only_failures"], mail["has_secret"]) == (["run_completed"], True, False)
        slack = await me.call("save_channel", name="slack", kind="slack", secret=address, secret_key=key)
        assert slack["has_secret"]
        kept = await me.call("save_channel", name="slack", kind="slack", events=["flaky_test_detected"])
        assert kept["has_secret"]
        no_key = await me.refused("save_channel", name="other", kind="slack", secret=address)
        assert isinstance(no_key, SecretKeyError)
        assert "shhh" not in str([no_key.message, no_key.detail, no_key.hint])
        assert "shhh" not in str(await me.call("list_channels"))
        for wrong in (
            {"kind": "pigeon"},
            {"kind": "email"},
            {"kind": "email", "recipients": ["not an address"]},
            {"kind": "slack"},
            {"kind": "webhook", "url": "https://user:password@example.com/"},
            {"kind": "webhook", "url": "https://example.com/", "events": ["nothing"]},
        ):
            assert isinstance(await me.refused("save_channel", name="x", **wrong), InvalidRequestError), wrong
        assert (await me.call("delete_channel", name="slack"))["deleted"] == slack["id"]
        assert isinstance(await me.refused("delete_channel", name="slack"), NotFoundError)

    await gateways.tell(story, role="admin")


async def test_trigger_tokens(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        await me.call("save_suite", **suite({"a": []}))
        assert isinstance(
            await me.refused("create_trigger_token", name="x", expires_at="2020-01-01T00:00:00Z"), InvalidRequestError
        )
        assert await me.call("list_trigger_tokens") == []
        assert isinstance(await me.refused("revoke_trigger_token", name="pipeline"), NotFoundError)

    await gateways.tell(story, role="admin")
    # A token differs each time, so that these are not told twice.
    admin = await gateways.person("admin")
    await admin.postgres.call("save_suite", suite({"a": []}))
    made = await admin.postgres.call("create_trigger_token", {"name": "pipeline"})
    assert re.fullmatch(r"orbit_[0-9a-f]{64}", made["token"])
    error = await admin.refused("create_trigger_token", name="pipeline")
    assert isinstance(error, ConflictError)
    rows = await admin.both("list_trigger_tokens")
    assert [(row["name"], row["prefix"]) for row in rows] == [("pipeline", made["token"][:14])]
    assert made["token"][14:] not in str(rows)
    revoked = await admin.supabase.call("revoke_trigger_token", {"name": "pipeline"})
    assert revoked["revoked_at"]
    other = await admin.supabase.call("create_trigger_token", {"name": "pipeline"})
    assert other["token"] != made["token"]


async def test_editors_leave_channels_and_tokens_alone(gateways: Gateways) -> None:
    admin = await gateways.person("admin")
    await admin.postgres.call("save_suite", suite({"a": []}))
    editor = await gateways.person("editor")
    for function, request in (
        ("save_channel", {"name": "x", "kind": "email", "recipients": ["a@example.com"]}),
        ("delete_channel", {"name": "x"}),
        ("create_trigger_token", {"name": "x"}),
        ("revoke_trigger_token", {"name": "x"}),
    ):
        assert isinstance(await editor.refused(function, **request), NotAllowedError), function
    viewer = await gateways.person("viewer")
    request = {"name": "x", "suite": "suite", "kind": "interval", "every": 60}
    assert isinstance(await viewer.refused("save_schedule", **request), NotAllowedError)


async def test_a_finished_run_stays_in_the_history(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        await me.call("save_suite", **suite({"a": [], "b": ["a"]}))
        run = await me.call("start_run", suite="suite")
        assert await me.call("list_run_history") == []
        await me.call("cancel_run", run_id=run["id"], reason="enough")
        (kept,) = await me.call("list_run_history", status="cancelled", project="default")
        assert (kept["run_id"], kept["suite"], kept["total"], kept["cancelled"]) == (run["id"], "suite", 2, 2)
        assert kept["reason"] == "enough"
        assert await me.call("list_run_history", suite="other") == []
        assert isinstance(await me.refused("list_run_history", limit=0), InvalidRequestError)
        assert await me.call("list_metrics", **{"from": "2026-01-01"}) == []
        assert isinstance(await me.refused("list_metrics", test_case_id="x"), InvalidRequestError)
        assert await me.call("list_failures", category="assertion") == []
        assert await me.call("list_dead_letters", state="all") == []
        assert isinstance(await me.refused("list_dead_letters", state="alive"), InvalidRequestError)
        assert isinstance(await me.refused("list_workers", colour="red"), InvalidRequestError)
        await me.call("list_workers")

    await gateways.tell(story)
