"""Runs and their contexts."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from support.queue import suite

from orbit_context.errors import (
    ConflictError,
    InvalidRequestError,
    NotAllowedError,
    NotFoundError,
    NothingSelectedError,
)

if TYPE_CHECKING:
    from support.gateways import Gateways, Teller


async def test_a_run_from_start_to_end(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        await me.call("save_suite", **suite({"a": [], "b": ["a"], "c": [("a", "data")]}))
        run = await me.call("start_run", suite="suite", variables={"host": "ü", "n": 1.50})
        assert (await me.call("get_run", run_id=run["id"]))["status"] == "queued"
        assert (await me.call("get_run", run_id=run["id"][:13]))["id"] == run["id"]
        assert [found["id"] for found in await me.call("list_runs")] == [run["id"]]
        assert await me.call("list_runs", status="passed") == []
        waits = await me.call("resolve_dependencies", run_id=run["id"], test="b")
        assert not waits["is_ready"]
        assert await me.call("list_results", run_id=run["id"]) == []
        cancelled = await me.call("cancel_run", run_id=run["id"], reason="enough")
        assert (cancelled["status"], cancelled["changed"]) == ("cancelled", True)
        assert not (await me.call("cancel_run", run_id=run["id"]))["changed"]
        results = await me.call("list_results", run_id=run["id"], details=True)
        assert [result["status"] for result in results] == ["cancelled"] * 3
        assert len(await me.call("list_results", run_id=run["id"], after=0, limit=1)) == 1
        events = await me.call("read_events", run_id=run["id"])
        assert events[-1]["kind"] == "run_finished"
        assert await me.call("read_events", run_id=run["id"], after=events[-1]["seq"]) == []

    await gateways.tell(story)


async def test_a_context_is_written_and_read(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        await me.call("save_suite", **suite({"a": [], "b": [("a", "data")]}))
        run = (await me.call("start_run", suite="suite", variables={"base": "x"}))["id"]
        entries = [
            {"kind": "token", "name": "access_token", "value": "t"},
            {"kind": "variable", "name": "é", "value": [1.5, None, "ü", {"deep": [True]}]},
            {"kind": "captured", "producer": "a", "name": "id", "value": 9_007_199_254_740_991},
            {"kind": "variable", "name": "looks like json", "value": "123"},
        ]
        await me.call("put_context", run_id=run, entries=entries)
        context = await me.call("get_context", run_id=run)
        assert context["shared_variables"] == {"é": [1.5, None, "ü", {"deep": [True]}], "looks like json": "123"}
        assert isinstance(await me.refused("put_context", run_id=run, entries=[{"kind": "x"}]), InvalidRequestError)
        await me.call("cancel_run", run_id=run)
        assert isinstance(await me.refused("put_context", run_id=run, entries=entries), ConflictError)

    await gateways.tell(story)


async def test_what_a_start_refuses(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        await me.call("save_suite", **suite({"a": []}))
        assert isinstance(await me.refused("start_run", suite="suite", colour="red"), InvalidRequestError)
        assert isinstance(await me.refused("start_run", suite="none"), NotFoundError)
        nothing = await me.refused("start_run", suite="suite", selection={"tags": [["x"]]})
        assert isinstance(nothing, NothingSelectedError)
        run = await me.call("start_run", suite="suite", run_id=str(uuid4()), idempotency_key="once")
        assert (await me.call("start_run", suite="suite", idempotency_key="once"))["id"] == run["id"]
        assert isinstance(await me.refused("start_run", suite="suite", run_id=run["id"]), ConflictError)

    await gateways.tell(story)


async def test_a_run_of_others_does_not_exist(gateways: Gateways) -> None:
    owner = await gateways.person("owner")
    await owner.postgres.call("save_suite", suite({"a": []}))
    run = (await owner.supabase.call("start_run", {"suite": "suite"}))["id"]
    assert (await owner.both("get_run", run_id=run))["id"] == run
    colleague = await gateways.person("viewer")
    assert (await colleague.both("get_run", run_id=run))["id"] == run
    assert isinstance(await colleague.refused("cancel_run", run_id=run), NotAllowedError)
    stranger = await gateways.person("owner", await gateways.organization())
    for function in ("get_run", "get_context", "read_events", "list_results", "cancel_run"):
        assert isinstance(await stranger.refused(function, run_id=run), NotFoundError), function
    assert await stranger.both("list_runs") == []


async def test_expired_contexts_are_for_the_service_to_clean_up(gateways: Gateways) -> None:
    assert set(await gateways.service().both("cleanup_expired_contexts")) == {"deleted"}
    someone = await gateways.person("owner")
    assert isinstance(await someone.refused("cleanup_expired_contexts"), NotAllowedError)
