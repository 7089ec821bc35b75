"""What is saved, what is refused, and with which words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

if TYPE_CHECKING:
    from pipelines.conftest import Plan


def message(error: asyncpg.PostgresError) -> str:
    return str(error.as_dict()["message"])


async def refused(plan: Plan, steps: Any, **request: Any) -> asyncpg.PostgresError:
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await plan.queue.call("save_pipeline", {"key": "plan", "steps": steps} | request)
    return refusal.value


async def test_a_version_counts_changes_of_steps(plan: Plan) -> None:
    first = await plan.save({"a": [], "b": ["a"]})
    same = await plan.save({"a": [], "b": ["a"]})
    named = await plan.save({"a": [], "b": ["a"]}, name="Release")
    other = await plan.save({"a": [], "b": []}, name="Release")
    assert [(one["version"], one["changed"]) for one in (first, same, named, other)] == [
        (1, True),
        (1, False),
        (1, True),
        (2, True),
    ]
    assert (await plan.queue.call("list_pipelines", {}))[0]["name"] == "Release"
    audited = await plan.connection.fetch(
        "select action from orbit.audit_log where resource_type = 'pipeline' order by number"
    )
    assert [row["action"] for row in audited] == ["pipeline.create", "pipeline.update", "pipeline.update"]


async def test_a_cycle_is_named(plan: Plan) -> None:
    for key in ("a", "b", "c", "d"):
        await plan.queue.save({"a": []}, key=key)
    steps = [
        {"key": "a", "suite": "a"},
        {"key": "b", "suite": "b", "needs": ["a", "d"]},
        {"key": "c", "suite": "c", "needs": ["b"]},
        {"key": "d", "suite": "d", "needs": ["c"]},
    ]
    error = await refused(plan, steps)
    assert (error.sqlstate, message(error)) == ("OR010", "the steps need each other: b → d → c → b")
    itself = await refused(plan, [{"key": "a", "suite": "a", "needs": ["a"]}])
    assert (itself.sqlstate, message(itself)) == ("OR010", "the steps need each other: a → a")


async def test_a_missing_suite_or_environment_is_named_with_its_step(plan: Plan) -> None:
    await plan.queue.save({"a": []}, key="a")
    error = await refused(plan, [{"key": "one", "suite": "a"}, {"key": "two", "suite": "gone"}])
    assert (error.sqlstate, message(error)) == ("OR002", "step two: no suite gone in project default")
    error = await refused(plan, [{"key": "one", "suite": "a", "environment": "mars"}])
    assert (error.sqlstate, message(error)) == ("OR002", "step one: no environment mars in project default")


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (None, "steps is no array of 1 to 100 steps"),
        ([], "steps is no array of 1 to 100 steps"),
        ([{"key": f"s{n}", "suite": "a"} for n in range(101)], "steps is no array of 1 to 100 steps"),
        (["a"], "steps[0]: it is no object"),
        ([{"suite": "a"}], "steps[0]: key is missing"),
        ([{"key": "a", "suite": "a", "colour": 1}], "step a: unknown field colour"),
        ([{"key": "a"}], "step a: suite is missing"),
        ([{"key": "a", "suite": "a"}] * 2, "step a: another step has this key"),
        ([{"key": "a b", "suite": "a"}], "step a b: key is of letters"),
        ([{"key": "a", "suite": "a", "needs": ["z"]}], "step a: needs z, which is no step"),
        ([{"key": "a", "suite": "a", "needs": "z"}], "step a: needs is no array of keys"),
        ([{"key": "a", "suite": "a", "needs": [1]}], "step a: needs is no array of keys"),
        ([{"key": "a", "suite": "a", "when": "failed"}], "step a: when is failed, and there is nothing that it needs"),
        ([{"key": "a", "suite": "a", "when": "always"}], "step a: when is passed, failed or finished"),
        ([{"key": "a", "suite": "a", "retries": 11}], "step a: retries is a whole number between 0 and 10"),
        ([{"key": "a", "suite": "a", "retries": 0.5}], "step a: retries is a whole number between 0 and 10"),
        ([{"key": "a", "suite": "a", "priority": 101}], "step a: priority is a whole number"),
        ([{"key": "a", "suite": "a", "timeout": 0}], "step a: timeout is not more than zero seconds"),
        ([{"key": "a", "suite": "a", "timeout": "5m"}], "step a: concurrency, timeout, priority and retries are numbers"),
        ([{"key": "a", "suite": "a", "allow_failure": "yes"}], "step a: fail_fast and allow_failure are true or false"),
        ([{"key": "a", "suite": "a", "variables": []}], "step a: variables is no object"),
        ([{"key": "a", "suite": "a", "selection": "x"}], "step a: selection is no object"),
    ],
)  # fmt: skip
async def test_what_is_wrong_names_step_and_field(plan: Plan, steps: Any, said: str) -> None:
    error = await refused(plan, steps)
    assert error.sqlstate == "OR001"
    assert message(error).startswith(said)
    assert await plan.queue.call("list_pipelines", {}) == []


async def test_a_suite_that_has_gone_is_told_when_it_is_started(plan: Plan) -> None:
    await plan.save({"a": [], "b": ["a"]})
    await plan.connection.execute("delete from orbit.test_suites where key = 'b'")
    with pytest.raises(asyncpg.PostgresError, match="step b: no suite b in project default") as refusal:
        await plan.start()
    assert refusal.value.sqlstate == "OR002"
    assert await plan.queue.call("list_pipeline_runs", {}) == []


async def test_unknown_fields_of_each_request_are_refused(plan: Plan) -> None:
    for function in (
        "save_pipeline", "get_pipeline", "list_pipelines", "delete_pipeline", "start_pipeline", "get_pipeline_run",
        "list_pipeline_runs", "cancel_pipeline_run", "get_batch", "cancel_runs", "rerun_runs",
    ):  # fmt: skip
        request = (
            {"key": "plan", "batch_id": "00000000-0000-4000-8000-000000000000"} if function == "save_pipeline" else {}
        )
        needed = {"get_batch": {"batch_id": "00000000-0000-4000-8000-000000000000"}}.get(function, {})
        with pytest.raises(asyncpg.PostgresError, match="unknown field") as refusal:
            await plan.queue.call(function, request | needed | {"colour": 1})
        assert refusal.value.sqlstate == "OR001", function
