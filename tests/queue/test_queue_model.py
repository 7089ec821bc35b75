"""The queue against a model: random steps of workers, housekeeper and users; after each, everything that must hold, holds.

A few hundred steps by default; HYPOTHESIS_PROFILE=thorough makes 10,000.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import asyncpg
import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.queue import FINAL, Claimed, Queue, Worker, check_invariants, retry, test_keys

if TYPE_CHECKING:
    from support.postgres import Database

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
STATUSES = ("passed", "failed", "errored", "timed_out", "cancelled")

SUITES: dict[str, dict[str, Any]] = {
    "chain": {"a": [], "b": [("a", "data")], "c": ["b"], "clean": {"always": True, "needs": ["c", "a"]}},
    "join": {"a": retry(3), "b": [], "c": {"needs": ["a", "b"]} | retry(2), "d": ["c"], "e": ["c", "b"]},
    "clean-up": {
        "make": [],
        "use": [("make", "token")],
        "drop": {"always": True, "needs": [("make", "data"), "use"]},
        "tell": {"always": True, "needs": [("drop", "data"), "use"]},
        "free": retry(2),
    },
    "skips": {"a": {"skip": "no"}, "b": ["a"], "c": {"always": True, "needs": ["b", "d"]}, "d": [], "e": ["d"]},
}


class QueueMachine(RuleBasedStateMachine):
    """The database is the system; what is remembered here is what its answers promised."""

    database: Database
    loop: asyncio.AbstractEventLoop

    runs = Bundle("runs")
    workers = Bundle("workers")
    reports = Bundle("reports")
    """What was held once: may be reported whenever, by whoever held it."""

    def __init__(self) -> None:
        super().__init__()
        self.connection: asyncpg.Connection[Any] = self.wait(asyncpg.connect(self.database.dsn))
        self.wait(self.connection.execute("truncate orbit.organizations cascade"))
        for table in ("job", "ready", "worker", "run_progress", "run_event", "context_entry"):
            self.wait(self.connection.execute(f"delete from orbit_private.{table}"))
        self.wait(self.connection.execute("delete from orbit.test_results; delete from orbit.test_result_details"))
        self.queue = Queue(self.connection)
        self.holders: dict[int, tuple[int, int]] = {}
        """job -> (worker, attempt), as the answers say."""
        self.attempts: dict[int, int] = {}
        self.final: dict[str, dict[str, str]] = {}
        self.verdicts: dict[str, str] = {}
        self.started: list[dict[str, Any]] = []
        self.alive: set[int] = set()

    def wait(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    @initialize()
    def save(self) -> None:
        for key, tests in SUITES.items():
            self.wait(self.queue.save(tests, key=key))

    @rule(target=workers)
    def register(self) -> Any:
        worker = self.wait(self.queue.worker())
        self.alive.add(worker.id)
        return worker

    @rule(
        target=runs,
        suite=st.sampled_from(sorted(SUITES)),
        fail_fast=st.booleans(),
        priority=st.integers(-2, 2),
        timeout=st.booleans(),
    )
    def start(self, suite: str, fail_fast: bool, priority: int, timeout: bool) -> Any:
        extra = {"timeout": 3600} if timeout else {}
        run = self.wait(self.queue.start(suite=suite, fail_fast=fail_fast, priority=priority, **extra))
        self.started.append(run)
        return run

    def take(self, worker: Worker, answer: Any) -> Any:
        for job in answer.jobs:
            assert job.id not in self.holders, "handed out while somebody holds it"
            assert job.attempt > self.attempts.get(job.id, 0), "attempts count up"
            self.attempts[job.id] = job.attempt
            self.holders[job.id] = (worker.id, job.attempt)
        assert answer.unknown == (worker.id not in self.alive)
        return multiple(*((worker, job) for job in answer.jobs))

    @rule(target=reports, worker=workers, want=st.integers(1, 4))
    def claim(self, worker: Worker, want: int) -> Any:
        return self.take(worker, self.wait(worker.advance(want=want)))

    def report(self, held: list[tuple[Worker, Claimed]], status: str, retryable: bool, want: int) -> Any:
        worker = held[0][0]
        mine = [job for holder, job in held if holder.id == worker.id]
        mine = list({(job.id, job.attempt): job for job in mine}.values())
        captures = [{"name": "x", "value": status, "share": "variable"}] if status == "passed" else []
        valid = {(job.id, job.attempt) for job in mine if self.holders.get(job.id) == (worker.id, job.attempt)}
        for job, _ in valid:
            del self.holders[job]
        answer = self.wait(
            worker.advance([job.ended(status, retryable=retryable, captures=captures) for job in mine], want=want)
        )
        assert set(answer.stale) == {(job.id, job.attempt) for job in mine} - valid, "exactly what is not held is stale"
        if want:
            return self.take(worker, answer)
        return multiple()

    @rule(
        target=reports,
        held=consumes(reports),
        status=st.sampled_from(STATUSES),
        retryable=st.booleans(),
        want=st.integers(0, 3),
    )
    def end(self, held: Any, status: str, retryable: bool, want: int) -> Any:
        return self.report([held], status, retryable, want)

    @rule(
        target=reports,
        held=st.lists(reports, min_size=1, max_size=4),
        status=st.sampled_from(STATUSES),
        want=st.integers(0, 3),
    )
    def end_some_and_keep_their_reports(self, held: Any, status: str, want: int) -> Any:
        """What is reported here may be reported again."""
        return self.report(held, status, status == "failed", want)

    @rule()
    def make_due(self) -> None:
        self.wait(self.queue.make_due())

    @rule(worker=workers)
    def lose(self, worker: Worker) -> None:
        self.wait(
            self.connection.execute("update orbit_private.worker set seen_at = clock_timestamp() + interval '1 hour'")
        )
        self.wait(self.connection.execute("update orbit_private.worker set seen_at = now() where id = $1", worker.id))
        self.wait(self.queue.ticks(now="1 minute"))
        self.gone(worker)

    @rule(worker=workers)
    def sign_off(self, worker: Worker) -> None:
        self.wait(worker.retire())
        self.gone(worker)

    def gone(self, worker: Worker) -> None:
        self.alive.discard(worker.id)
        self.holders = {job: holder for job, holder in self.holders.items() if holder[0] != worker.id}

    @rule(run=runs)
    def cancel(self, run: Any) -> None:
        before = self.wait(self.queue.run(run))
        after = self.wait(self.queue.cancel(run))
        assert after["changed"] == (before["status"] in ("queued", "running"))

    @rule(run=runs, value=st.integers())
    def put(self, run: Any, value: int) -> None:
        entry = {"kind": "variable", "name": "x", "value": value}
        if run["id"] in self.verdicts:
            with pytest.raises(asyncpg.PostgresError) as error:
                self.wait(self.queue.put(run, entry))
            assert error.value.sqlstate == "OR004"
        else:
            self.wait(self.queue.put(run, entry))
            assert self.wait(self.queue.context(run))["shared_variables"]["x"] == value

    @precondition(lambda self: self.started)
    @rule()
    def pass_the_deadlines(self) -> None:
        self.wait(
            self.connection.execute("update orbit_private.worker set seen_at = clock_timestamp() + interval '3 hours'")
        )
        self.wait(self.queue.ticks(now="2 hours"))

    @invariant()
    def everything_holds(self) -> None:
        self.wait(check_invariants(self.connection))
        held = self.wait(self.connection.fetch("select id, worker_id, attempt from orbit_private.job where state = 2"))
        assert {row["id"]: (row["worker_id"], row["attempt"]) for row in held} == self.holders, (
            "one holder, the one that was told"
        )
        for run in self.started:
            if run["id"] in self.verdicts:
                continue
            results = self.wait(self.queue.statuses(run))
            before = self.final.get(run["id"], {})
            assert before.items() <= results.items(), "final is final"
            self.final[run["id"]] = results
            now = self.wait(self.queue.run(run))
            if now["finished_at"]:
                self.verdicts[run["id"]] = now["status"]
                self.wait(self.queue.check_events(run))
                expected = set(self.wait(test_keys(self.connection, run["queue_no"])))
                assert set(results) == expected, "exactly one result of every test"
                assert set(results.values()) <= set(FINAL)

    def teardown(self) -> None:
        try:
            for run in self.started:
                if run["id"] in self.verdicts:
                    results = self.wait(self.queue.statuses(run))
                    assert results == self.final[run["id"]], "final is final"
                    assert self.wait(self.queue.run(run))["status"] == self.verdicts[run["id"]]
            # Whatever state it was left in, one good worker brings everything to its end.
            self.wait(self.connection.execute("update orbit_private.worker set seen_at = now()"))
            self.wait(self.queue.ticks(now="1 minute"))
            worker = self.wait(self.queue.worker())
            for _ in range(4):
                self.wait(self.queue.make_due())
                self.wait(worker.run_to_end())
            self.wait(check_invariants(self.connection))
            assert self.wait(self.connection.fetchval("select count(*) from orbit_private.run_progress")) == 0, (
                "a run never ends"
            )
            assert self.wait(self.connection.fetchval("select count(*) from orbit_private.job")) == 0
        finally:
            self.wait(self.connection.close())


@pytest.mark.timeout(3600 if THOROUGH else 120)
def test_the_queue_keeps_its_promises(database: Database) -> None:
    loop = asyncio.new_event_loop()

    class Machine(QueueMachine):
        pass

    Machine.database, Machine.loop = database, loop
    examples, steps = (200, 50) if THOROUGH else (12, 25)
    try:
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                print_blob=True,
            ),
        )
    finally:
        loop.close()
