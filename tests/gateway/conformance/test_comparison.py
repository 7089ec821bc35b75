"""Running again, and comparing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.queue import suite

from orbit_context.errors import ConflictError, InvalidRequestError, NotAllowedError, NotFoundError

if TYPE_CHECKING:
    from support.gateways import Gateways, Teller


async def test_a_run_is_run_again(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        await me.call("save_suite", **suite({"a": [], "b": ["a"], "c": []}))
        run = await me.call("start_run", suite="suite", variables={"host": "ü", "n": 1.50})
        assert isinstance(await me.refused("rerun", run_id=run["id"]), ConflictError)
        await me.call("cancel_run", run_id=run["id"])
        again = await me.call("rerun", run_id=run["id"])
        assert (again["rerun_of"], again["counts"]["total"]) == (run["id"], 3)
        assert (await me.call("rerun", run_id=run["id"], tests=["a"]))["counts"]["total"] == 1
        alone = await me.refused("rerun", run_id=run["id"], tests=["b"], with_context=True)
        assert isinstance(alone, ConflictError)
        assert isinstance(await me.refused("rerun", run_id=run["id"], tests=[]), InvalidRequestError)
        assert isinstance(await me.refused("rerun", run_id=run["id"], tests=["z"]), NotFoundError)
        assert isinstance(await me.refused("rerun", run_id="0" * 8), NotFoundError)

    await gateways.tell(story)


async def test_runs_are_compared(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        await me.call("save_suite", **suite({"a": [], "b": ["a"]}))
        runs = [await me.call("start_run", suite="suite") for _ in range(2)]
        assert isinstance(await me.refused("compare_runs", run_id=runs[1]["id"]), NotFoundError)
        assert isinstance(await me.refused("compare_runs", run_id=runs[1]["id"], base=runs[0]["id"]), ConflictError)
        for run in runs:
            await me.call("cancel_run", run_id=run["id"])
        compared = await me.call("compare_runs", run_id=runs[1]["id"], base=runs[0]["id"], ratio=2)
        assert (compared["totals"]["same"], compared["tests"], compared["ratio"]) == (2, [], 2)
        assert isinstance(
            await me.refused("compare_runs", run_id=runs[1]["id"], base=runs[0]["id"], ratio=0), InvalidRequestError
        )

    await gateways.tell(story)


async def test_who_only_reads_runs_nothing_again(gateways: Gateways) -> None:
    editor = await gateways.person("editor")
    await editor.postgres.call("save_suite", suite({"a": []}))
    runs = [(await editor.supabase.call("start_run", {"suite": "suite"}))["id"] for _ in range(2)]
    for run in runs:
        await editor.postgres.call("cancel_run", {"run_id": run})
    viewer = await gateways.person("viewer")
    assert isinstance(await viewer.refused("rerun", run_id=runs[0]), NotAllowedError)
    assert (await viewer.both("compare_runs", run_id=runs[1], base=runs[0]))["totals"]["same"] == 1
    stranger = await gateways.person("owner", await gateways.organization())
    assert isinstance(await stranger.refused("rerun", run_id=runs[0]), NotFoundError)
    assert isinstance(await stranger.refused("compare_runs", run_id=runs[1], base=runs[0]), NotFoundError)
