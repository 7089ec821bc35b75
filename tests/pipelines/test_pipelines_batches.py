"""Many runs by one request: started, counted, cancelled and run again together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest
from support.tenants import Tenants

if TYPE_CHECKING:
    from pipelines.conftest import Plan


async def refused(plan: Plan, function: str, request: Any) -> tuple[str, str]:
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await plan.queue.call(function, request)
    return str(refusal.value.sqlstate), str(refusal.value.as_dict()["message"])


@pytest.fixture
async def suites(plan: Plan) -> None:
    for key in ("a", "b", "c"):
        await plan.queue.save({"t": [], "u": []}, key=key)


@pytest.mark.usefixtures("suites")
async def test_all_are_started_or_none(plan: Plan) -> None:
    for wrong, refusal in (
        ([{"suite": "a"}, {"suite": "gone"}], ("OR002", "runs[1]: no suite gone")),
        ([{"suite": "a"}, {"suite": "b", "colour": 1}], ("OR001", "runs[1]: unknown field colour")),
        ([{"suite": "a"}, {"suite": "b", "priority": 101}], ("OR001", "runs[1]: priority 101 is not between -100 and 100")),
        ([{"suite": "a"}, {"suite": "b", "selection": {"tags": [["x"]]}}], ("OR005", "runs[1]: the selection matches no test")),
        ([{"suite": "a"}, "b"], ("OR001", "runs[1]: it is no object")),
        ([{"suite": "a", "batch_id": str(uuid4())}], ("OR001", "runs[0]: batch_id belongs beside runs")),
        ([], ("OR001", "a batch has 1 to 200 runs; this one has 0")),
        ([{"suite": "a"}] * 201, ("OR001", "a batch has 1 to 200 runs; this one has 201")),
        ("a", ("OR001", "runs is missing")),
    ):  # fmt: skip
        assert await refused(plan, "start_runs", {"runs": wrong}) == refusal
    assert await plan.queue.call("list_runs", {}) == []
    assert await plan.connection.fetchval("select count(*) from orbit_private.job") == 0


@pytest.mark.usefixtures("suites")
async def test_what_is_common_and_what_is_a_runs_own(plan: Plan) -> None:
    batch = await plan.queue.call(
        "start_runs",
        {
            "runs": [{"suite": "a"}, {"suite": "b", "priority": 9, "variables": {"x": 2}}],
            "priority": 5,
            "variables": {"x": 1, "y": 1},
        },
    )
    rows = await plan.connection.fetch(
        "select priority, variables->>'x' as x, variables->>'y' as y, batch_id::text from orbit.test_runs order by queue_no"
    )
    assert [tuple(row) for row in rows] == [(5, "1", "1", batch["batch_id"]), (9, "2", "1", batch["batch_id"])]


@pytest.mark.usefixtures("suites")
async def test_a_batch_is_counted_over_its_runs(plan: Plan) -> None:
    batch = await plan.queue.call("start_runs", {"runs": [{"suite": "a"}, {"suite": "b"}]})
    seen = await plan.queue.call("get_batch", {"batch_id": batch["batch_id"]})
    assert (seen["status"], seen["total"], seen["runs"], seen["counts"]["total"]) == ("queued", 2, {"queued": 2}, 4)
    worker = await plan.queue.worker()
    first = await worker.claim(1)
    assert (await plan.queue.call("get_batch", {"batch_id": batch["batch_id"]}))["status"] == "running"
    more = await plan.queue.call("start_runs", {"runs": [{"suite": "c"}], "batch_id": batch["batch_id"]})
    assert more["batch_id"] == batch["batch_id"]
    await worker.advance([job.ended("failed") for job in first])
    await worker.run_to_end()
    done = await plan.queue.call("get_batch", {"batch_id": batch["batch_id"]})
    assert (done["status"], done["runs"]) == ("failed", {"failed": 1, "passed": 2})
    assert (done["counts"]["passed"], done["counts"]["failed"], done["counts"]["total"]) == (5, 1, 6)
    assert done["duration"] > 0
    assert len(await plan.queue.call("list_runs", {"batch_id": batch["batch_id"]})) == 3
    assert await plan.queue.call("list_runs", {"batch_id": str(uuid4())}) == []
    assert (await refused(plan, "get_batch", {"batch_id": str(uuid4())}))[0] == "OR002"


@pytest.mark.usefixtures("suites")
async def test_a_second_start_with_the_same_key_answers_the_first(plan: Plan) -> None:
    request = {"runs": [{"suite": "b"}, {"suite": "a"}], "idempotency_key": "ci-9"}
    first = await plan.queue.call("start_runs", request)
    again = await plan.queue.call("start_runs", request)
    assert (again["repeated"], again["batch_id"]) == (True, first["batch_id"])
    assert [run["id"] for run in again["runs"]] == [run["id"] for run in first["runs"]]
    assert len(await plan.queue.call("list_runs", {})) == 2


@pytest.mark.usefixtures("suites")
async def test_many_are_cancelled_at_once_and_each_is_in_the_audit_log(plan: Plan) -> None:
    batch = await plan.queue.call("start_runs", {"runs": [{"suite": "a"}, {"suite": "b"}]})
    alone = await plan.queue.start(suite="c")
    answer = await plan.queue.call("cancel_runs", {"batch_id": batch["batch_id"], "reason": "wrong branch"})
    assert (answer["changed"], sorted(answer["runs"])) == (2, sorted(run["id"] for run in batch["runs"]))
    assert {(await plan.queue.run(run))["reason"] for run in batch["runs"]} == {"wrong branch"}
    assert (await plan.queue.run(alone))["status"] == "queued"
    audited = "select count(*) from orbit.audit_log where action = 'run.cancel'"
    assert await plan.connection.fetchval(audited) == 2
    assert (await plan.queue.call("cancel_runs", {"batch_id": batch["batch_id"]}))["changed"] == 0
    assert (await plan.queue.call("cancel_runs", {"project": "default", "status": "running"}))["changed"] == 0
    assert (await plan.queue.call("cancel_runs", {"project": "default", "status": "queued"}))["runs"] == [alone["id"]]
    for wrong in (
        {},
        {"batch_id": batch["batch_id"], "project": "default"},
        {"run_ids": []},
        {"run_ids": "last"},
        {"project": "default", "status": "passed"},
        {"run_ids": [alone["id"]], "reason": "x" * 1001},
    ):
        assert (await refused(plan, "cancel_runs", wrong))[0] == "OR001", wrong
    assert (await refused(plan, "cancel_runs", {"run_ids": [alone["id"], str(uuid4())]}))[0] == "OR002"
    await plan.queue.check()


async def test_nobody_adds_to_another_organisations_batch(plan: Plan) -> None:
    tenants = await Tenants.on(plan.connection)
    document = {"tests": [{"key": "t", "request": {"method": "GET", "url": "/"}}]}
    for slug, owner in (("acme", "olga"), ("evil", "mallory")):
        await tenants.organization(slug, owner=owner)
        await tenants.project(slug)
        await tenants.call_as(owner, "save_suite", {"key": "a", "document": document})
    await tenants.call_as("olga", "save_pipeline", {"key": "p", "steps": [{"key": "a", "suite": "a"}]})
    batch = await tenants.call_as("olga", "start_runs", {"runs": [{"suite": "a"}]})
    run = await tenants.call_as("olga", "start_pipeline", {"pipeline": "p"})
    for taken in (batch["batch_id"], run["id"]):
        assert await tenants.refused("mallory", "start_runs", {"runs": [{"suite": "a"}], "batch_id": taken}) == "OR004"
        assert await tenants.refused("mallory", "start_run", {"suite": "a", "batch_id": taken}) == "OR004"
