"""Batches and pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.queue import suite

from orbit_context.errors import ConflictError, CycleError, InvalidRequestError, NotAllowedError, NotFoundError

if TYPE_CHECKING:
    from support.gateways import Gateways, Teller


async def test_batches_are_started_whole_or_not_at_all(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        await me.call("save_suite", **suite({"a": []}))
        await me.call("save_suite", **suite({"b": []}, key="other"))
        batch = await me.call("start_runs", runs=[{"suite": "suite"}, {"suite": "other", "priority": 3}], priority=5)
        assert [run["suite"] for run in batch["runs"]] == ["suite", "other"]
        assert {run["batch_id"] for run in batch["runs"]} == {batch["batch_id"]}
        missing = await me.refused("start_runs", runs=[{"suite": "suite"}, {"suite": "gone"}])
        assert isinstance(missing, NotFoundError)
        assert missing.message == "runs[1]: no suite gone"
        assert isinstance(await me.refused("start_runs", runs=[]), InvalidRequestError)
        assert isinstance(await me.refused("start_runs"), InvalidRequestError)
        assert len(await me.call("list_runs")) == 2
        first = await me.call("start_runs", runs=[{"suite": "other"}, {"suite": "suite"}], idempotency_key="one")
        again = await me.call("start_runs", runs=[{"suite": "other"}, {"suite": "suite"}], idempotency_key="one")
        assert [run["id"] for run in again["runs"]] == [run["id"] for run in first["runs"]]
        assert (again["repeated"], again["batch_id"]) == (True, first["batch_id"])

    await gateways.tell(story, role="editor")


async def test_a_batch_is_counted_cancelled_and_run_again(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        await me.call("save_suite", **suite({"a": []}))
        batch = await me.call("start_runs", runs=[{"suite": "suite"}, {"suite": "suite"}])
        seen = await me.call("get_batch", batch_id=batch["batch_id"])
        assert (seen["status"], seen["total"], seen["counts"]["waiting"]) == ("queued", 2, 2)
        assert len(await me.call("list_runs", batch_id=batch["batch_id"])) == 2
        early = await me.refused("rerun_runs", batch_id=batch["batch_id"])
        assert isinstance(early, ConflictError)
        cancelled = await me.call("cancel_runs", batch_id=batch["batch_id"], reason="enough")
        assert cancelled["changed"] == 2
        assert (await me.call("get_batch", batch_id=batch["batch_id"]))["status"] == "cancelled"
        assert isinstance(await me.refused("cancel_runs"), InvalidRequestError)
        assert isinstance(await me.refused("get_batch", batch_id="00000000-0000-4000-8000-000000000000"), NotFoundError)

    await gateways.tell(story, role="editor")


async def test_pipelines(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        await me.call("save_suite", **suite({"a": []}))
        steps = [
            {"key": "a", "suite": "suite"},
            {"key": "b", "suite": "suite", "needs": ["a"]},
            {"key": "c", "suite": "suite", "needs": ["b"], "when": "finished"},
        ]
        saved = await me.call("save_pipeline", key="plan", steps=steps)
        assert (saved["version"], saved["changed"]) == (1, True)
        assert (await me.call("get_pipeline", key="plan"))["steps"] == steps
        assert [row["key"] for row in await me.call("list_pipelines")] == ["plan"]
        circle = [{"key": "a", "suite": "suite", "needs": ["b"]}, {"key": "b", "suite": "suite", "needs": ["a"]}]
        cycle = await me.refused("save_pipeline", key="x", steps=circle)
        assert (type(cycle), cycle.message) == (CycleError, "the steps need each other: a → b → a")
        missing = await me.refused("save_pipeline", key="x", steps=[{"key": "a", "suite": "gone"}])
        assert isinstance(missing, NotFoundError)
        run = await me.call("start_pipeline", pipeline="plan", idempotency_key="one")
        assert [step["status"] for step in run["steps"]] == ["running", "waiting", "waiting"]
        assert (await me.call("start_pipeline", pipeline="plan", idempotency_key="one"))["repeated"]
        await me.call("cancel_run", run_id=run["steps"][0]["run_id"])
        assert (await me.call("get_pipeline_run", pipeline_run_id=run["id"]))["status"] == "running"
        done = await me.call("cancel_pipeline_run", pipeline_run_id="last", reason="enough")
        assert (done["status"], done["changed"]) == ("cancelled", True)
        assert [row["status"] for row in await me.call("list_pipeline_runs", pipeline="plan")] == ["cancelled"]
        assert (await me.call("delete_pipeline", key="plan"))["deleted"] == saved["id"]
        assert isinstance(await me.refused("start_pipeline", pipeline="plan"), NotFoundError)

    await gateways.tell(story, role="editor")


async def test_viewers_look_on(gateways: Gateways) -> None:
    editor = await gateways.person("editor")
    await editor.postgres.call("save_suite", suite({"a": []}))
    await editor.postgres.call("save_pipeline", {"key": "plan", "steps": [{"key": "a", "suite": "suite"}]})
    run = await editor.postgres.call("start_pipeline", {"pipeline": "plan"})
    viewer = await gateways.person("viewer")
    assert (await viewer.both("get_pipeline_run", pipeline_run_id=run["id"]))["id"] == run["id"]
    assert (await viewer.both("get_batch", batch_id=run["id"]))["total"] == 1
    for function, request in (
        ("save_pipeline", {"key": "x", "steps": [{"key": "a", "suite": "suite"}]}),
        ("start_pipeline", {"pipeline": "plan"}),
        ("cancel_pipeline_run", {"pipeline_run_id": run["id"]}),
        ("cancel_runs", {"batch_id": run["id"]}),
        ("delete_pipeline", {"key": "plan"}),
    ):
        assert isinstance(await viewer.refused(function, **request), NotAllowedError), function
