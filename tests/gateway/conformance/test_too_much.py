"""Rates and quotas: over HTTP a 429 with Retry-After, and to a caller the same error over either way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from support.queue import suite

from orbit_context.errors import QuotaExceededError, TooManyRequestsError

if TYPE_CHECKING:
    from support.gateways import Gateways, Teller


async def test_a_rate_says_how_long_to_wait(gateways: Gateways) -> None:
    home = await gateways.home()
    rate = {"amount": 1, "per": 3600, "burst": 1}
    await gateways.tenants.call("set_limits", {"organization": home, "limits": {"start_run": rate}})
    me = await gateways.person("editor")
    await me.postgres.call("save_suite", suite({"a": []}))
    await me.postgres.call("start_run", {"suite": "suite"})
    refusals = []
    for gateway in (me.postgres, me.supabase):
        with pytest.raises(TooManyRequestsError) as refusal:
            await gateway.call("start_run", {"suite": "suite"})
        error = refusal.value
        assert error.retry_after is not None
        assert 3500 < error.retry_after <= 3600
        assert error.detail == f"retry after {error.retry_after} s"
        refusals.append((error.message, error.hint))
    assert refusals[0] == refusals[1]
    assert all(refusals[0])


async def test_over_http_a_rate_is_429_with_retry_after(gateways: Gateways) -> None:
    home = await gateways.home()
    rate = {"amount": 1, "per": 3600, "burst": 1}
    await gateways.tenants.call("set_limits", {"organization": home, "limits": {"start_run": rate}})
    account = await gateways.account("editor")
    gateway = gateways.rest(gateways.server.keys.publishable)
    session = await gateway.sign_in(account.email, account.password)
    await gateway.call("save_suite", suite({"a": []}))
    await gateway.call("start_run", {"suite": "suite"})
    headers = {
        "apikey": gateways.server.keys.publishable,
        "authorization": f"Bearer {session.access_token}",
        "content-profile": "orbit",
    }
    async with httpx.AsyncClient(base_url=gateways.server.url, headers=headers) as client:
        answer = await client.post("/rest/v1/rpc/start_run", json={"p_request": {"suite": "suite"}})
    assert answer.status_code == 429
    assert answer.json()["code"] == "OR006"
    assert 3500 < int(answer.headers["retry-after"]) <= 3600


async def test_a_quota_that_is_used_up(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        await gateways.tenants.call("set_limits", {"organization": me.organization, "limits": {"concurrent_runs": 1}})
        await me.call("save_suite", **suite({"a": []}))
        run = await me.call("start_run", suite="suite")
        assert isinstance(await me.refused("start_run", suite="suite"), QuotaExceededError)
        await me.call("cancel_run", run_id=run["id"])
        await me.call("start_run", suite="suite")

    await gateways.tell(story)
