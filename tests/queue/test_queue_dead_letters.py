"""What is given up stays to be looked at; workers are told as far as it is one's business; tokens hold while they hold."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from support.tenants import Tenants

if TYPE_CHECKING:
    from support.queue import Queue


async def test_a_test_that_three_workers_were_lost_over_is_a_dead_letter(queue: Queue) -> None:
    await queue.save({"a": [], "b": []})
    run = await queue.start()
    for n in range(3):
        assert await queue.call("list_dead_letters", {"state": "all"}) == []
        worker = await queue.worker()
        claimed = {job.position: job for job in await worker.claim(2)}
        if n == 0:
            await worker.advance([claimed[1].ended("passed")])
        await queue.ticks(now="1 hour")
    (letter,) = await queue.call("list_dead_letters", {})
    assert (letter["key"], letter["run_id"], letter["state"], letter["attempts"]) == ("a", run["id"], "open", 3)
    assert [attempt["status"] for attempt in letter["previous_attempts"]] == ["lost", "lost"]
    (kept,) = await queue.call("list_run_history", {})
    assert (kept["errored"], kept["passed"], kept["total"]) == (1, 1, 2)


async def test_a_worker_s_name_is_told_to_those_whose_test_it_has(queue: Queue) -> None:
    tenants = await Tenants.on(queue.connection)
    await tenants.organization("acme", viewer="vera")
    await tenants.organization("default", viewer="dora")
    await queue.save({"a": []})
    await queue.start()
    worker = await queue.worker()
    await tenants.project("acme")
    await worker.claim(1)
    async with tenants.acting("dora"):
        (mine,) = await tenants.call("list_workers", {})
    async with tenants.acting("vera"):
        (theirs,) = await tenants.call("list_workers", {})
    assert mine["name"]
    assert (mine["running"], theirs["name"], theirs["version"], theirs["running"]) == (1, None, None, 0)


async def test_a_trigger_token_holds_until_it_is_revoked_or_over(queue: Queue) -> None:
    connection: asyncpg.Connection[Any] = queue.connection
    await queue.save({"a": []})
    made = await queue.call("create_trigger_token", {"name": "ci", "expires_at": "2099-01-01T00:00:00Z"})

    async def shown(token: str, now: str = "now()") -> Any:
        return await connection.fetchval(f"select (orbit_private.trigger_token_of($1, {now})).name", token)

    assert await shown(made["token"]) == "ci"
    assert made["token"] not in json.dumps(await queue.call("list_trigger_tokens", {}))
    assert (await queue.call("list_trigger_tokens", {}))[0]["last_used_at"]
    for token, now in ((made["token"], "'2099-01-01T00:00:00Z'"), (made["prefix"], "now()"), ("", "now()")):
        with pytest.raises(asyncpg.PostgresError) as refusal:
            await shown(token, now)
        assert refusal.value.sqlstate == "OR003"
    await queue.call("revoke_trigger_token", {"name": "ci"})
    with pytest.raises(asyncpg.PostgresError, match="not valid"):
        await shown(made["token"])
