"""Batches and pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.queue import suite

from orbit_context.errors import InvalidRequestError, NotFoundError

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
