"""Why tests wait, how much waits, how it went, and whether all is well."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from support.queue import Queue, retry
from support.tenants import Tenants

from orbit_context.models.status import Reason

if TYPE_CHECKING:
    import asyncpg
    from support.postgres import Database


async def why(queue: Queue, run: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Reason and sentence by test."""
    waiting = await queue.call("explain_waiting", {"run_id": run["id"]})
    assert sum(reason["tests"] for reason in waiting["reasons"]) == waiting["waiting"] == len(waiting["tests"])
    assert {reason["reason"] for reason in waiting["reasons"]} == {test["reason"] for test in waiting["tests"]}
    return {test["key"]: (test["reason"], test["sentence"]) for test in waiting["tests"]}


async def gate(queue: Queue, kind: str, key: str, *limits: Any) -> None:
    organization = await queue.connection.fetchval("select id from orbit.organizations where slug = 'default'")
    await queue.connection.execute(
        "select orbit_private.set_gate($1, $2, $3, $4, $5, $6)", organization, kind, key, *limits
    )


async def test_requirements_workers_and_slots(queue: Queue) -> None:
    await queue.save({"a": [], "b": ["a"], "c": ["a", "b"]})
    run = await queue.start()
    assert await why(queue, run) == {
        "a": ("no_worker", "no worker is alive that serves it"),
        "b": ("requirements", "needs a"),
        "c": ("requirements", "needs a, b"),
    }
    worker = await queue.worker(slots=7)
    assert (await why(queue, run))["a"] == ("slot", "waits for a free slot: the worker has 7")
    [a] = await worker.claim(1)
    await worker.advance([a.ended("passed")])
    assert (await why(queue, run))["c"] == ("requirements", "needs b")
    await worker.run_to_end()
    assert await why(queue, run) == {}


async def test_a_capability_that_nobody_has_is_named_and_the_run_times_out_as_told(queue: Queue) -> None:
    await queue.save({"a": {"requires": ["docker", "gpu"]}, "b": {"requires": ["docker"]}, "c": []})
    run = await queue.start(timeout=60)
    connection = queue.connection
    await connection.execute("select orbit_runner.register_worker('boxes', 5, array['docker'])")
    said = await why(queue, run)
    assert said["a"] == ("capability", "no living worker that serves it has gpu")
    assert (said["b"][0], said["c"][0]) == ("slot", "slot")
    await connection.execute("select orbit_runner.register_worker('cards', 5, array['gpu'])")
    assert (await why(queue, run))["a"] == ("capability", "no living worker that serves it has all of docker, gpu")
    await queue.ticks(now="2 minutes", lease="1 hour")
    assert (await queue.run(run))["status"] == "timed_out"


async def test_a_worker_that_drains_or_is_silent_serves_nobody(queue: Queue) -> None:
    await queue.save({"a": []})
    run = await queue.start()
    worker = await queue.worker()
    await queue.connection.execute("select orbit_runner.drain_worker($1)", worker.id)
    assert (await why(queue, run))["a"][0] == "no_worker"
    await queue.connection.execute(
        "update orbit_private.worker set draining = false, seen_at = now() - interval '11 s'"
    )
    assert (await why(queue, run))["a"][0] == "no_worker"


async def test_retries_and_lost_workers(queue: Queue) -> None:
    await queue.save({"a": retry(2, initial=100, maximum=100), "b": []})
    run = await queue.start()
    worker = await queue.worker("hercules")
    a, b = await worker.claim(2)
    await worker.advance([a.ended("failed", retryable=True)])
    reason, sentence = (await why(queue, run))["a"]
    assert (reason, sentence.startswith("attempt 2 is due in ")) == ("retry", True)
    (test,) = (await queue.call("explain_waiting", {"run_id": run["id"]}))["tests"]
    assert 70 < test["due_in"] <= 125
    assert b.position == 1
    await queue.worker("other")
    await queue.connection.execute("update orbit_private.worker set seen_at = '-infinity' where name = 'hercules'")
    await queue.ticks(now="0")
    assert (await why(queue, run))["b"] == ("lost", "its worker hercules was lost; it is handed out anew")


async def test_caps_and_rates_of_run_organisation_environment_and_host(queue: Queue) -> None:
    flat = {name: {"request": {"method": "GET", "url": "http://api.example.com/"}} for name in ("a", "b", "c")}
    await queue.save(flat)
    worker = await queue.worker()

    async def reason_with(**options: Any) -> tuple[str, str]:
        run = await queue.start(**options)
        held = await worker.claim(10)
        (said,) = set((await why(queue, run)).values())
        await worker.advance([job.ended("passed") for job in held])
        await queue.cancel(run)
        return said

    assert await reason_with(concurrency=2) == ("run_cap", "the run's concurrency of 2 is used up")
    await gate(queue, "organization", "", 1, None, None)
    assert await reason_with() == ("organization_cap", "the organisation's 1 tests at once are used up")
    await gate(queue, "organization", "", None, None, None)
    environment = (await queue.call("save_environment", {"name": "staging", "variables": []}))["environment_id"]
    await gate(queue, "environment", environment, 2, None, None)
    said = await reason_with(environment="staging")
    assert said == ("environment_cap", "the 2 tests at once in staging are used up")
    await gate(queue, "host", "api.example.com", 2, None, None)
    assert await reason_with() == ("host_cap", "the 2 tests at once against api.example.com are used up")
    await gate(queue, "host", "api.example.com", None, 0.01, 1)
    run = await queue.start()
    await worker.claim(10)
    said_by = await why(queue, run)
    assert {reason for reason, _ in said_by.values()} == {"rate"}
    assert all("0.01 a second against api.example.com are used up" in sentence for _, sentence in said_by.values())


async def test_a_group_waits_for_company_and_to_be_set_up(queue: Queue) -> None:
    await queue.save({"a": [], "b": []})
    run = await queue.start(group={"key": "app-1.2", "wait": 60, "size": 5})
    worker = await queue.worker()
    reason, sentence = (await why(queue, run))["a"]
    assert reason == "group"
    assert sentence.startswith("its group app-1.2 is taken in ")
    assert sentence.endswith("or with 5 tests")
    await queue.connection.execute("update orbit_private.lane set open_at = now() where group_key is not null")
    assert (await why(queue, run))["b"] == ("group", "its group app-1.2 is taken by the next worker that can")
    await worker.claim(1)
    assert (await why(queue, run))["b"] == ("group", "its group app-1.2 is being set up")


async def test_a_run_that_brings_its_runner_waits_for_that(queue: Queue) -> None:
    await queue.save({"a": []})
    run = await queue.start(private=True)
    await queue.worker()
    assert (await why(queue, run))["a"] == ("own_worker", "waits for the runner that the run brings itself")


async def test_the_reasons_are_those_of_the_models(connection: asyncpg.Connection[Any]) -> None:
    rows = await connection.fetch("select reason from orbit_private.waiting_reasons()")
    assert [row["reason"] for row in rows] == list(Reason.__args__)  # type: ignore[attr-defined]


async def test_the_queue_is_counted_once_and_the_oldest_is_first(queue: Queue) -> None:
    await queue.save({"a": [], "b": ["a"], "c": retry(2, initial=100, maximum=100)})
    old, new = await queue.start(), await queue.start(concurrency=1)
    await queue.connection.execute(
        "update orbit.test_runs set created_at = now() - interval '1 hour' where id = $1::text::uuid", old["id"]
    )
    status = await queue.call("queue_status", {})
    assert 3600 <= status["oldest_waiting"] < 3660
    assert [test["run_id"] for test in status["waiting"]] == [old["id"]] * 3 + [new["id"]] * 3
    worker = await queue.worker(slots=9)
    held = await worker.claim(4)
    await worker.advance([job.ended("failed", retryable=True) for job in held if job.position == 2])
    status = await queue.call("queue_status", {"limit": 1})
    waiting = {name: number for name, number in status["depth"].items() if name not in ("running", "runs")}
    counts = [(await queue.run(run))["counts"] for run in (old, new)]
    assert sum(waiting.values()) == sum(count["waiting"] for count in counts)
    assert status["depth"]["running"] == sum(count["running"] for count in counts) > 0
    assert (status["depth"]["put_off"], status["depth"]["runs"], len(status["waiting"])) == (1, 2, 1)
    assert (status["workers"]["slots"], status["workers"]["free"]) == (9, 9 - status["depth"]["running"])
    await worker.advance([job.ended("passed") for job in held if job.position == 0])
    assert (await queue.call("queue_status", {}))["finished"]["last_minute"] == 2


async def test_throughput_is_of_the_time_and_estimated_where_there_is_too_much(queue: Queue) -> None:
    await queue.save({name: [] for name in "abcdefghij"})
    await queue.start()
    await (await queue.worker()).run_to_end()
    now = "clock_timestamp()"
    exact = json.loads(await queue.connection.fetchval(f"select orbit_private.finished_lately(null, {now})"))
    assert (exact["last_minute"], exact["last_15_minutes"], exact["is_estimate"]) == (10, 10, False)
    later = json.loads(
        await queue.connection.fetchval(f"select orbit_private.finished_lately(null, {now} + interval '2 min')")
    )
    assert (later["last_minute"], later["last_5_minutes"]) == (0, 10)
    rough = json.loads(await queue.connection.fetchval(f"select orbit_private.finished_lately(null, {now}, 10)"))
    assert rough["is_estimate"]
    assert rough["last_15_minutes"] > 10


async def test_status_locks_nothing_and_waits_for_nobody(database: Database) -> None:
    async with database.connect() as busy, database.connect() as reader:
        queue = Queue(busy)
        await queue.save({"a": [], "b": ["a"]})
        run = await queue.start()
        async with busy.transaction():
            for table in ("job", "ready", "run_progress", "worker"):
                await busy.execute(f"select * from orbit_private.{table} for update")
            other = Queue(reader)
            async with asyncio.timeout(20), reader.transaction():
                for function, request in (
                    ("queue_status", {}), ("explain_waiting", {"run_id": run["id"]}), ("health", {}), ("stats", {}),
                ):  # fmt: skip
                    await other.call(function, request)
                locks = await reader.fetch(
                    "select distinct mode from pg_locks where pid = pg_backend_pid() and locktype in ('relation', 'tuple')"
                )
                assert {row["mode"] for row in locks} <= {"AccessShareLock"}


async def test_everybody_sees_their_own(queue: Queue) -> None:
    tenants = await Tenants.on(queue.connection)
    for name, viewer in (("acme", "vera"), ("other", "oscar")):
        await tenants.organization(name, editor=f"{name}-ed", viewer=viewer)
        await tenants.project(name)
        document = {"tests": [{"key": "ping", "request": {"method": "GET", "url": "/ping"}}]}
        await tenants.call_as(f"{name}-ed", "save_suite", {"key": "s", "document": document, "dependencies": []})
        await tenants.call_as(f"{name}-ed", "start_run", {"suite": "s"})
    everything = await queue.call("queue_status", {})
    assert everything["depth"]["runs"] == 2
    for person, theirs in (("vera", "acme"), ("oscar", "other")):
        async with tenants.acting(person):
            status = await tenants.call("queue_status", {})
            assert (status["depth"]["runs"], status["depth"]["ready"], len(status["waiting"])) == (1, 1, 1)
            assert (await tenants.call("health", {}))["queue"]["ready"] == 1
        others = "other" if theirs == "acme" else "acme"
        assert await tenants.refused(person, "queue_status", {"organization": others}) == "OR002"
        assert await tenants.refused(person, "stats", {"organization": others}) == "OR002"
    assert (await queue.call("queue_status", {"organization": "acme"}))["depth"]["runs"] == 1


async def test_stats_of_days_and_suites(queue: Queue) -> None:
    await queue.save({"a": [], "b": []}, key="one")
    await queue.save({"a": []}, key="two")
    worker = await queue.worker()
    for statuses in ({}, {"a": "failed"}, {}):
        await queue.start(suite="one")
        await worker.run_to_end(statuses)
    await queue.start(suite="two")
    await worker.run_to_end()
    await queue.cancel(await queue.start(suite="two"))
    await queue.connection.execute(
        "update orbit.test_run_history set started_at = finished_at - interval '10 s', created_at = finished_at - interval '10 s'"
    )
    stats = await queue.call("stats", {"days": 2})
    assert stats["total"]["runs"] == {
        "total": 5,
        "passed": 3,
        "failed": 1,
        "errored": 0,
        "cancelled": 1,
        "timed_out": 0,
    }
    assert (stats["total"]["tests"]["total"], stats["total"]["tests"]["passed"]) == (8, 6)
    assert (stats["total"]["pass_rate"], stats["total"]["test_pass_rate"]) == (75.0, 85.71)
    assert (stats["total"]["average_duration"], stats["total"]["p95_duration"]) == (10.0, 10.0)
    assert [(row["suite"], row["runs"]["total"]) for row in stats["suites"]] == [("one", 3), ("two", 2)]
    assert sum(day["runs"]["total"] for day in stats["days"]) == 5
    await queue.connection.execute(
        "update orbit.test_run_history set finished_at = finished_at - interval '3 days',"
        " started_at = started_at - interval '4 days'"
    )
    assert (await queue.call("stats", {"days": 2}))["total"]["runs"]["total"] == 0
    assert (await queue.call("stats", {"days": 5}))["total"]["runs"]["total"] == 5


@pytest.mark.parametrize(
    ("change", "name", "status"),
    [
        ("select 1", "workers", "ok"),
        ("delete from orbit_private.worker", "workers", "down"),
        ("update orbit_private.worker set seen_at = now() - interval '15 s'", "workers", "down"),
        ("update orbit_private.worker set seen_at = now() - interval '40 s'", "housekeeping", "degraded"),
        ("update orbit_private.run_progress set deadline_at = now() - interval '1 min'", "housekeeping", "degraded"),
        ("update orbit.test_runs set created_at = now() - interval '10 min'", "queue", "degraded"),
    ],
)
async def test_what_is_not_well_is_told(queue: Queue, change: str, name: str, status: str) -> None:
    await queue.save({"a": []})
    await queue.start()
    await queue.worker()
    await queue.connection.execute(change)
    health = await queue.call("health", {})
    checks = {check["name"]: check for check in health["checks"]}
    assert checks[name]["status"] == status
    assert (checks[name]["hint"] is None) == (status == "ok")
    worst = max(("ok", "degraded", "down").index(check["status"]) for check in checks.values())
    assert health["status"] == ("ok", "degraded", "down")[worst]


async def test_an_overdue_schedule_and_a_dead_letter_are_told(queue: Queue) -> None:
    await queue.save({"a": []})
    run = await queue.start()
    await queue.call("save_schedule", {"name": "n", "suite": "suite", "kind": "interval", "every": 60})
    await queue.connection.execute("update orbit.schedules set next_run_at = now() - interval '2 min'")
    await queue.connection.execute(
        "insert into orbit.dead_letters (project_id, run_id, test_case_id, position, attempts)"
        " select r.project_id, r.id, c.id, 0, 3 from orbit.test_runs r join orbit.test_cases c on c.suite_id = r.suite_id"
        " where r.id = $1::text::uuid", run["id"],
    )  # fmt: skip
    health = await queue.call("health", {})
    checks = {check["name"]: check["status"] for check in health["checks"]}
    assert (checks["schedules"], checks["dead_letters"], health["schedules_overdue"]) == ("degraded", "degraded", 1)
    await queue.call("drop_dead_letters", {"all": True})
    health = await queue.call("health", {})
    assert {check["name"]: check["status"] for check in health["checks"]}["dead_letters"] == "ok"
