"""Limits over both ways; a rate's refusal is a 429 with Retry-After where there is HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from support.queue import suite

from orbit_context.errors import (
    InvalidRequestError,
    NotAllowedError,
    NotFoundError,
    QuotaExceededError,
    TooManyRequestsError,
)

if TYPE_CHECKING:
    from support.gateways import Gateways


async def test_limits_are_set_by_the_service_and_read_by_members(gateways: Gateways) -> None:
    home, service, viewer = await gateways.home(), gateways.service(), await gateways.person("viewer")
    limits = {"concurrent_runs": 3, "start_run": {"amount": 5, "per": 0.5}}
    answer = await service.both("set_limits", organization=home, limits=limits)
    assert await viewer.both("get_limits") == answer
    usage = {used["name"]: used for used in (await viewer.both("get_usage"))["usage"]}
    assert (usage["concurrent_runs"]["used"], usage["concurrent_runs"]["allowed"]) == (0, 3)
    assert isinstance(await viewer.refused("set_limits", limits=limits), NotAllowedError)
    assert isinstance(
        await service.refused("set_limits", organization=home, limits={"start_run": 1}), InvalidRequestError
    )
    stranger = await gateways.person(None)
    assert isinstance(await stranger.refused("get_limits", organization=home), NotFoundError)
    assert isinstance(await stranger.refused("get_usage", organization=home), NotFoundError)


async def test_a_quota_that_is_used_up(gateways: Gateways) -> None:
    home, editor = await gateways.home(), await gateways.person("editor")
    await gateways.service().postgres.call("set_limits", {"organization": home, "limits": {"concurrent_runs": 1}})
    await editor.postgres.call("save_suite", suite({"a": []}))
    await editor.supabase.call("start_run", {"suite": "suite"})
    error = await editor.refused("start_run", suite="suite")
    assert isinstance(error, QuotaExceededError)
    assert error.detail == "used: 1, allowed: 1"


async def test_a_rate_that_is_used_up_says_when_to_come_back(gateways: Gateways) -> None:
    home, editor = await gateways.home(), await gateways.person("editor")
    rate = {"start_run": {"amount": 1, "per": 3600}}
    await gateways.service().postgres.call("set_limits", {"organization": home, "limits": rate})
    await editor.postgres.call("save_suite", suite({"a": []}))
    await editor.supabase.call("start_run", {"suite": "suite"})
    refusals = []
    for gateway in (editor.postgres, editor.supabase):
        with pytest.raises(TooManyRequestsError) as refusal:
            await gateway.call("start_run", {"suite": "suite"})
        refusals.append(refusal.value)
    straight, rest = refusals
    assert (rest.sqlstate, rest.message, rest.hint) == (straight.sqlstate, straight.message, straight.hint)
    for error in refusals:
        assert error.retry_after is not None
        assert 3000 < error.retry_after <= 3600
        assert error.detail == f"retry after {error.retry_after} s"


async def test_over_http_it_is_a_429_with_retry_after(gateways: Gateways) -> None:
    home, service = await gateways.home(), gateways.service()
    rate = {"save_suite": {"amount": 1, "per": 3600}}
    await service.postgres.call("set_limits", {"organization": home, "limits": rate})
    await service.postgres.call("save_suite", suite({"a": []}, organization=home))
    key = gateways.server.keys.secret
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            f"{gateways.server.url}/rest/v1/rpc/save_suite",
            json={"p_request": suite({"b": []}, organization=home)},
            headers={"apikey": key, "Authorization": f"Bearer {key}", "Content-Profile": "orbit"},
        )
    assert answer.status_code == 429
    assert 3000 < int(answer.headers["Retry-After"]) <= 3600
    assert answer.json()["code"] == "OR006"
    assert answer.json()["details"].startswith("retry after ")
