"""Tokens of workers, and what an installation asks of its workers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from support.queue import suite

from orbit_context.errors import ConflictError, InvalidRequestError, NotAllowedError, NotFoundError

if TYPE_CHECKING:
    from support.gateways import Gateways, Teller


async def test_worker_tokens(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        for wrong in (
            {"expires_at": "2020-01-01T00:00:00Z"},
            {"expires_at": "never"},
            {"capabilities": ["Docker"]},
            {"capabilities": ["a b"]},
            {"capabilities": [""]},
            {"capabilities": [None]},
            {"capabilities": []},
            {"capabilities": "docker"},
            {"capabilities": [f"c{number}" for number in range(51)]},
            {"name": "n" * 201},
            {"name": ""},
            {"name": "a\nb"},
            {"any_organization": "perhaps"},
            {"slots": 4},
        ):
            error = await me.refused("create_agent_token", **{"name": "x", **wrong})
            assert isinstance(error, InvalidRequestError), wrong
        assert isinstance(await me.refused("create_agent_token", name="x", any_organization=True), NotAllowedError)
        assert isinstance(await me.refused("revoke_agent_token", name="x", any_organization=True), NotAllowedError)
        assert isinstance(await me.refused("revoke_agent_token", name="lab"), NotFoundError)
        assert isinstance(await me.refused("create_agent_token", name="x", organization="elsewhere"), NotFoundError)
        assert await me.call("list_agent_tokens") == []
        assert isinstance(await me.refused("set_worker_policy"), NotAllowedError)

    await gateways.tell(story, role="admin")
    # A token differs each time, so that these are not told twice.
    admin = await gateways.person("admin")
    made = await admin.postgres.call("create_agent_token", {"name": "lab", "capabilities": ["docker", "android"]})
    assert re.fullmatch(r"orbit_worker_[0-9a-f]{64}", made["token"])
    assert made["capabilities"] == ["android", "docker", "http"]
    assert isinstance(await admin.refused("create_agent_token", name="lab"), ConflictError)
    rows = await admin.both("list_agent_tokens")
    assert [(row["name"], row["prefix"], row["organization_id"]) for row in rows] == [
        ("lab", made["token"][:21], made["organization_id"])
    ]
    assert made["token"][21:] not in str(rows)
    revoked = await admin.supabase.call("revoke_agent_token", {"name": "lab"})
    assert revoked["revoked_at"]
    other = await admin.supabase.call("create_agent_token", {"name": "lab"})
    assert other["token"] != made["token"]
    assert other["capabilities"] == ["http"]


async def test_editors_leave_worker_tokens_alone(gateways: Gateways) -> None:
    admin = await gateways.person("admin")
    await admin.postgres.call("save_suite", suite({"a": []}))
    await admin.postgres.call("create_agent_token", {"name": "lab"})
    editor = await gateways.person("editor")
    for function, request in (
        ("create_agent_token", {"name": "x"}),
        ("revoke_agent_token", {"name": "lab"}),
        ("list_agent_tokens", {}),
        ("set_worker_policy", {"tokens_required": True}),
    ):
        assert isinstance(await editor.refused(function, **request), NotAllowedError), function
