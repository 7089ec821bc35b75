"""How a pipeline's run goes on: order, conditions, retries, cancelling, limits, rights, movers that meet or die."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from support.tenants import Tenants

if TYPE_CHECKING:
    from pipelines.conftest import Plan
    from support.postgres import Database


async def test_steps_start_when_what_they_need_has_passed(plan: Plan) -> None:
    await plan.save({"build": [], "lint": [], "deploy": ["build", "lint"], "smoke": ["deploy"]})
    run = await plan.start()
    assert await plan.statuses() == {"build": "running", "lint": "running", "deploy": "waiting", "smoke": "waiting"}
    await plan.finish("build")
    assert await plan.move() == 1
    assert await plan.statuses() == {"build": "passed", "lint": "running", "deploy": "waiting", "smoke": "waiting"}
    assert await plan.move() == 0, "nothing is to be done until a run ends"
    await plan.finish("lint")
    await plan.move()
    assert await plan.statuses() == {"build": "passed", "lint": "passed", "deploy": "running", "smoke": "waiting"}
    await plan.end()
    done = await plan.run()
    assert (done["status"], done["counts"], done["reason"]) == ("passed", {"passed": 4}, None)
    assert done["duration"] >= 0
    runs = await plan.queue.call("list_runs", {"batch_id": run["id"]})
    assert {one["suite"] for one in runs} == {"build", "lint", "deploy", "smoke"}
    batch = await plan.queue.call("get_batch", {"batch_id": run["id"]})
    assert (batch["status"], batch["total"], batch["counts"]["passed"]) == ("passed", 4, 4)
    triggers = await plan.connection.fetch("select distinct triggered_by from orbit.test_runs")
    assert [row["triggered_by"] for row in triggers] == ["pipeline"]
    await plan.queue.check()


async def test_what_needs_a_failed_step_is_skipped_and_says_because_of_which(plan: Plan) -> None:
    await plan.save(
        {
            "deploy": [],
            "smoke": ["deploy"],
            "load": ["smoke"],
            "clean": {"needs": ["load"], "when": "finished"},
            "alarm": {"needs": ["load"], "when": "failed"},
            "after": ["alarm"],
        }
    )
    await plan.start()
    await plan.end("deploy")
    done = await plan.run()
    assert (done["status"], done["reason"]) == ("failed", "did not pass: deploy")
    assert {step["key"]: (step["status"], step["reason"], step["caused_by"]) for step in done["steps"]} == {
        "deploy": ("failed", "1 of 1 tests did not pass", None),
        "smoke": ("skipped", "deploy failed", "deploy"),
        "load": ("skipped", "smoke was skipped, because deploy did not pass", "deploy"),
        "clean": ("passed", None, None),
        "alarm": ("passed", None, None),
        "after": ("passed", None, None),
    }


async def test_where_all_pass_what_waits_for_a_failure_is_skipped_and_what_needs_that(plan: Plan) -> None:
    await plan.save(
        {
            "a": [],
            "alarm": {"needs": ["a"], "when": "failed"},
            "after": ["alarm"],
            "clean": {"needs": ["after"], "when": "finished"},
            "again": {"needs": ["after"], "when": "failed"},
        }
    )
    await plan.start()
    await plan.end()
    done = await plan.run()
    assert done["status"] == "passed"
    assert {step["key"]: (step["status"], step["reason"], step["caused_by"]) for step in done["steps"]} == {
        "a": ("passed", None, None),
        "alarm": ("skipped", "nothing that it needs failed", None),
        "after": ("skipped", "alarm was skipped", None),
        "clean": ("passed", None, None),
        "again": ("skipped", "nothing that it needs failed", None),
    }


async def test_a_failure_that_is_allowed_counts_as_passed(plan: Plan) -> None:
    await plan.save(
        {"flaky": {"allow_failure": True}, "next": ["flaky"], "alarm": {"needs": ["flaky"], "when": "failed"}}
    )
    await plan.start()
    await plan.end("flaky")
    assert await plan.statuses() == {"flaky": "failed", "next": "passed", "alarm": "skipped"}
    assert (await plan.run())["status"] == "passed"


async def test_a_step_is_run_again_as_often_as_it_says(plan: Plan) -> None:
    await plan.save({"a": {"retries": 2}, "b": ["a"]})
    await plan.start()
    first = (await plan.step("a"))["run_id"]
    await plan.finish("a", status="failed")
    await plan.move()
    again = await plan.step("a")
    assert (again["status"], again["attempt"], again["previous_runs"]) == ("running", 2, [first])
    await plan.finish("a")
    await plan.end()
    assert await plan.statuses() == {"a": "passed", "b": "passed"}
    await plan.start()
    await plan.end("a")
    step = await plan.step("a")
    assert (step["status"], step["attempt"], len(step["previous_runs"])) == ("failed", 3, 2)
    assert (await plan.run())["status"] == "failed"


async def test_cancelling_in_the_middle(plan: Plan) -> None:
    await plan.save({"a": [], "b": ["a"], "clean": {"needs": ["b"], "when": "finished"}})
    await plan.start()
    worker = await plan.queue.worker()
    (job,) = await worker.claim(10)
    answer = await plan.queue.call("cancel_pipeline_run", {"pipeline_run_id": "last", "reason": "wrong branch"})
    assert (answer["status"], answer["changed"]) == ("cancelling", True)
    assert await plan.statuses() == {"a": "running", "b": "cancelled", "clean": "cancelled"}
    assert not (await plan.queue.call("cancel_pipeline_run", {"pipeline_run_id": "last"}))["changed"]
    await worker.advance([job.ended("passed")])
    await plan.move()
    done = await plan.run()
    assert (done["status"], done["reason"]) == ("cancelled", "wrong branch")
    await plan.end()
    assert len(await plan.queue.call("list_runs", {})) == 1


async def test_cancelling_its_batch_cancels_the_pipeline(plan: Plan) -> None:
    await plan.save({"a": [], "b": ["a"], "clean": {"needs": ["b"], "when": "finished"}})
    run = await plan.start()
    answer = await plan.queue.call("cancel_runs", {"batch_id": run["id"], "reason": "stop"})
    assert answer["changed"] == 1
    assert (await plan.run())["status"] == "cancelled"
    assert await plan.statuses() == {"a": "cancelled", "b": "cancelled", "clean": "cancelled"}


async def test_a_run_cancelled_by_hand_is_no_pass_and_is_not_run_again(plan: Plan) -> None:
    await plan.save({"a": {"retries": 3}, "b": ["a"]})
    await plan.start()
    await plan.queue.call("cancel_run", {"run_id": (await plan.step("a"))["run_id"]})
    await plan.move()
    done = await plan.run()
    assert (done["status"], await plan.statuses()) == ("cancelled", {"a": "cancelled", "b": "skipped"})


async def test_a_start_that_is_refused_fails_its_step_and_nothing_else(plan: Plan) -> None:
    await plan.save({"a": [], "b": {"needs": ["a"], "selection": {"tests": ["none"]}}, "c": ["a"], "d": ["b"]})
    await plan.start()
    await plan.end()
    step = await plan.step("b")
    assert (step["status"], step["run_id"]) == ("errored", None)
    assert step["reason"] == "it could not be started: no test none in suite b"
    assert await plan.statuses() == {"a": "passed", "b": "errored", "c": "passed", "d": "skipped"}
    assert (await plan.run())["status"] == "errored"


async def test_a_suite_that_goes_while_it_waits_fails_its_step(plan: Plan) -> None:
    await plan.save({"a": [], "b": ["a"]})
    await plan.start()
    await plan.connection.execute("delete from orbit.test_suites where key = 'b'")
    await plan.end()
    assert (await plan.step("b"))["reason"] == "it could not be started: no suite b"


async def test_a_run_that_is_deleted_does_not_leave_its_step_waiting(plan: Plan) -> None:
    await plan.save({"a": [], "b": ["a"]})
    await plan.start()
    await plan.connection.execute("delete from orbit.test_suites where key = 'a'")
    await plan.move()
    step = await plan.step("a")
    assert (step["status"], step["reason"], step["run_id"]) == ("errored", "its run was deleted", None)
    assert (await plan.run())["status"] == "errored"


async def test_a_limit_puts_a_start_off_and_does_not_fail_it(plan: Plan) -> None:
    await plan.save({"a": [], "b": ["a"]})
    await plan.queue.call(
        "set_limits", {"organization": "default", "limits": {"start_run": {"amount": 1, "per": 60, "burst": 1}}}
    )
    await plan.start()
    await plan.finish("a")
    await plan.move()
    step = await plan.step("b")
    assert (step["status"], step["reason"].startswith("put off: too many at once")) == ("waiting", True)
    assert await plan.move() == 0, "it is looked at again when it is due"
    later = "select orbit_private.move_pipelines(clock_timestamp() + interval '2 minutes', 10)"
    await plan.queue.call("set_limits", {"organization": "default", "limits": {"start_run": None}})
    assert await plan.connection.fetchval(later) == 1
    assert await plan.statuses() == {"a": "passed", "b": "running"}


async def test_what_was_started_keeps_its_steps(plan: Plan) -> None:
    await plan.save({"a": [], "b": ["a"]})
    await plan.start()
    await plan.save({"a": [], "c": ["a"]})
    await plan.queue.call("delete_pipeline", {"key": "plan"})
    await plan.end()
    done = await plan.run()
    assert (done["status"], done["version"], done["pipeline_id"]) == ("passed", 1, None)
    assert [step["key"] for step in done["steps"]] == ["a", "b"]


async def test_a_second_start_with_the_same_key_answers_the_first(plan: Plan) -> None:
    await plan.save({"a": []})
    first = await plan.start(idempotency_key="build-7")
    again = await plan.start(idempotency_key="build-7")
    assert (again["id"], again["repeated"]) == (first["id"], True)
    assert len(await plan.queue.call("list_runs", {})) == 1


async def test_variables_and_environment_of_a_start(plan: Plan) -> None:
    for name in ("staging", "pinned"):
        await plan.queue.call("save_environment", {"name": name, "variables": []})
    await plan.save({"a": {"variables": {"user": "step", "own": 1}}, "b": {"environment": "pinned"}})
    await plan.start(variables={"user": "start"}, environment="staging")
    rows = await plan.connection.fetch(
        "select s.key, e.name, r.variables from orbit.test_runs r join orbit.test_suites s on s.id = r.suite_id"
        " join orbit.environments e on e.id = r.environment_id order by s.key"
    )
    assert [(row["key"], row["name"], json.loads(row["variables"])) for row in rows] == [
        ("a", "staging", {"user": "start", "own": 1}),
        ("b", "pinned", {"user": "start"}),
    ]


async def test_who_loses_the_right_to_start_in_the_middle_starts_nothing_more(plan: Plan) -> None:
    tenants = await Tenants.on(plan.connection)
    await tenants.organization("acme", owner="olga", editor="ed")
    await tenants.project("acme")
    for key in ("a", "b"):
        document = {"tests": [{"key": "t", "request": {"method": "GET", "url": "/"}}]}
        await tenants.call_as("ed", "save_suite", {"key": key, "document": document})
    steps = [{"key": "a", "suite": "a"}, {"key": "b", "suite": "b", "needs": ["a"]}]
    await tenants.call_as("ed", "save_pipeline", {"key": "plan", "steps": steps})
    run = await tenants.call_as("ed", "start_pipeline", {"pipeline": "plan"})
    assert run["created_by"] == str(tenants.id("ed"))
    started = await plan.connection.fetchval("select created_by from orbit.test_runs")
    assert started == tenants.id("ed")
    await plan.connection.execute("update orbit.organization_members set role = 'viewer' where user_id = $1", started)
    await plan.finish("a")
    await plan.move()
    step = await plan.step("b")
    assert (step["status"], step["run_id"]) == ("errored", None)
    assert step["reason"] == "it could not be started: run.start takes the role editor"
    # Without an account there is no right at all: nobody's steps are started as an administrative role.
    await plan.connection.execute("update orbit.organization_members set role = 'editor' where user_id = $1", started)
    await tenants.call_as("ed", "start_pipeline", {"pipeline": "plan"})
    await plan.connection.execute("delete from orbit.users where id = $1", started)
    await plan.finish("a")
    await plan.move()
    assert ((await plan.step("b"))["status"], (await plan.run())["created_by"]) == ("errored", str(started))


async def test_viewers_save_start_cancel_and_delete_nothing(plan: Plan) -> None:
    tenants = await Tenants.on(plan.connection)
    await tenants.organization("acme", owner="olga", viewer="vera")
    await tenants.organization("evil", owner="mallory")
    await tenants.project("acme")
    document = {"tests": [{"key": "t", "request": {"method": "GET", "url": "/"}}]}
    await tenants.call_as("olga", "save_suite", {"key": "a", "document": document})
    steps = [{"key": "a", "suite": "a"}]
    await tenants.call_as("olga", "save_pipeline", {"key": "plan", "steps": steps})
    run = await tenants.call_as("olga", "start_pipeline", {"pipeline": "plan"})
    assert await tenants.refused("vera", "save_pipeline", {"key": "x", "steps": steps}) == "OR003"
    assert await tenants.refused("vera", "start_pipeline", {"pipeline": "plan"}) == "OR003"
    assert await tenants.refused("vera", "cancel_pipeline_run", {"pipeline_run_id": run["id"]}) == "OR003"
    assert await tenants.refused("vera", "cancel_runs", {"batch_id": run["id"]}) == "OR003"
    assert await tenants.refused("vera", "delete_pipeline", {"key": "plan"}) == "OR003"
    assert (await tenants.call_as("vera", "get_pipeline_run", {"pipeline_run_id": "last"}))["id"] == run["id"]
    for function, request in (
        ("get_pipeline_run", {"pipeline_run_id": run["id"]}),
        ("cancel_pipeline_run", {"pipeline_run_id": run["id"]}),
        ("get_batch", {"batch_id": run["id"]}),
        ("cancel_runs", {"batch_id": run["id"]}),
        ("rerun_runs", {"batch_id": run["id"]}),
        ("get_pipeline", {"organization": "acme", "key": "plan"}),
    ):
        assert await tenants.refused("mallory", function, request) == "OR002", function
    assert await tenants.call_as("mallory", "list_pipelines", {}) == []
    assert await tenants.call_as("mallory", "list_pipeline_runs", {}) == []


async def test_eight_movers_at_once_start_each_step_once(plan: Plan, database: Database) -> None:
    await plan.save({"a": [], **{f"b{n}": ["a"] for n in range(4)}, "c": [f"b{n}" for n in range(4)]})
    runs = [(await plan.start())["id"] for _ in range(12)]
    async with AsyncExitStack() as stack:
        movers = [await stack.enter_async_context(database.connect()) for _ in range(8)]
        worker = await plan.queue.worker()
        for _ in range(200):
            jobs = await worker.claim(7)
            await worker.advance([job.ended("passed") for job in jobs])
            await asyncio.gather(
                *(mover.fetchval("select orbit_private.move_pipelines(clock_timestamp(), 3)") for mover in movers)
            )
            if all([(await plan.run(run))["status"] == "passed" for run in runs]):
                break
    assert [(await plan.run(run))["counts"] for run in runs] == [{"passed": 6}] * 12
    doubled = await plan.connection.fetch(
        "select batch_id, suite_id from orbit.test_runs group by 1, 2 having count(*) <> 1"
    )
    assert doubled == []
    assert await plan.connection.fetchval("select count(*) from orbit.test_runs") == 12 * 6
    await plan.queue.check()


@pytest.mark.parametrize("table", ["orbit_private.job", "orbit.pipeline_run_steps", "orbit.pipeline_runs"])
async def test_a_mover_that_dies_loses_nothing_and_doubles_nothing(plan: Plan, database: Database, table: str) -> None:
    """It is held up where it writes this table, and killed there."""
    await plan.save({"a": [], "b": ["a"], "c": ["a"]})
    await plan.start()
    if table == "orbit.pipeline_runs":
        await plan.finish("a")
        await plan.move()
        await plan.finish("b", "c")
    else:
        await plan.finish("a")
    before = await plan.run()
    event = "insert or update" if table == "orbit_private.job" else "update"
    await plan.connection.execute(
        "create function hold() returns trigger language plpgsql as $$ begin"
        " if current_setting('application_name') = 'doomed' then perform pg_advisory_xact_lock(77); end if;"
        f" return new; end $$; create trigger hold after {event} on {table} for each row execute function hold()"
    )
    async with plan.connection.transaction():
        await plan.connection.execute("select pg_advisory_xact_lock(77)")
        doomed = await asyncpg.connect(database.dsn, server_settings={"application_name": "doomed"})
        moving = asyncio.ensure_future(doomed.fetchval("select orbit_private.move_pipelines()"))
        waiting = "select pid from pg_locks where locktype = 'advisory' and not granted and objid = 77"
        async with asyncio.timeout(20):
            while (pid := await plan.connection.fetchval(waiting)) is None:  # noqa: ASYNC110 (another process comes there)
                await asyncio.sleep(0.02)
        assert await plan.connection.fetchval("select pg_terminate_backend($1)", pid)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError)):
            await moving
        doomed.terminate()
    assert await plan.run() == before
    await plan.end()
    assert (await plan.run())["counts"] == {"passed": 3}
    assert await plan.connection.fetchval("select count(*) from orbit.test_runs") == 3
    await plan.queue.check()


async def test_one_pipeline_that_cannot_be_moved_does_not_hold_up_the_others(plan: Plan) -> None:
    await plan.save({"a": [], "b": ["a"]})
    broken, other = (await plan.start())["id"], (await plan.start())["id"]
    await plan.connection.execute(
        "create function break() returns trigger language plpgsql as $$ begin"
        f" if new.pipeline_run_id = '{broken}' and new.status = 'passed' then raise 'broken'; end if; return new; end $$;"
        " create trigger break before update on orbit.pipeline_run_steps for each row execute function break()"
    )
    await plan.end()
    done: list[dict[str, Any]] = [await plan.run(broken), await plan.run(other)]
    assert [(run["status"], run["reason"]) for run in done] == [
        ("errored", "it could not go on: broken"),
        ("passed", None),
    ]
