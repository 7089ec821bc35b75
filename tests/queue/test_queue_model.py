"""The queue against a model: random steps of workers, housekeeper and users; after each, everything that must hold, holds.

Some hundreds of steps by default; `make drills` makes 10,000 interleavings.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import asyncpg
import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
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
from support.drills import LONG, tell
from support.invariants import BROKEN, OVERLOOKED
from support.queue import FINAL, Claimed, Queue, Worker, retry, test_keys

if TYPE_CHECKING:
    from support.postgres import Database

INTERLEAVINGS, STEPS = (int(os.environ.get("ORBIT_INTERLEAVINGS", "10000")), 25) if LONG else (14, 25)
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
    "picky": {"a": [], "b": {"requires": ["docker"]} | retry(2), "c": {"needs": ["b"]}, "d": {"requires": ["docker"]}},
    "wide": {name: retry(2) for name in "abcdef"},
}
# Back-offs and rates never come to their end by themselves: what passes is what the model says, so that a step can be said again.
for _tests in SUITES.values():
    for _name, _test in _tests.items():
        if "retry" in _test:
            _tests[_name] = _test | retry(_test["retry"]["max"] + 1, initial=3600, maximum=3600)
CAPABILITIES: tuple[tuple[str, ...], ...] = ((), ("docker",))

# All that the model looks at after a step, in one round trip; and a queue as it was at first.
CLEARED = (
    *("orbit.test_results", "orbit.test_result_details", "orbit.dead_letters", "orbit.test_runs"),
    *(f"orbit_private.{name}" for name in ("job", "ready", "parked", "gate_use", "gate", "worker", "run_progress")),
    *("orbit_private.run_event", "orbit_private.context_entry", "orbit_private.lane where id <> 0"),
)
LOOK = f"""
    create schema model;
    -- Planned once: planning is nearly all of what it would cost.
    create function model.look() returns jsonb language plpgsql set plan_cache_mode = force_generic_plan as $$
    begin
      return jsonb_build_object(
        'broken', (select jsonb_agg(b.rule || ' ' || b.id) from ({BROKEN}) b),
        'overlooked', (select jsonb_agg(o.rule || ' ' || o.id) from ({OVERLOOKED}) o),
        'held', (select jsonb_agg(jsonb_build_array(j.id, j.worker_id, j.attempt)) from orbit_private.job j where j.state = 2),
        'runs', (select jsonb_agg(jsonb_build_array(r.queue_no, r.status, r.finished_at is not null, (
            select jsonb_object_agg(t.position, t.status) from orbit.test_results t where t.run_id = r.id)))
          from orbit.test_runs r),
        'gates', (select jsonb_agg(jsonb_build_array(g.id, g.cap, (
            select count(*) from orbit_private.gate_use u where u.gate_id = g.id)))
          from orbit_private.gate g));
    end $$;
    create function model.clear() returns void language plpgsql as $$
    begin {" ".join(f"delete from {table};" for table in CLEARED)} end $$;
"""


class QueueMachine(RuleBasedStateMachine):
    """The database is the system; what is remembered here is what its answers promised."""

    loop: asyncio.AbstractEventLoop
    connection: asyncpg.Connection[Any]
    organization: str
    steps: Counter[str]

    runs = Bundle("runs")
    workers = Bundle("workers")
    reports = Bundle("reports")
    """What was held once: may be reported whenever, by whoever held it."""

    def __init__(self) -> None:
        super().__init__()
        self.wait(self.connection.execute("select model.clear()"))
        self.steps["interleavings"] += 1
        self.queue = Queue(self.connection)
        self.holders: dict[int, tuple[int, int]] = {}
        """job -> (worker, attempt), as the answers say."""
        self.attempts: dict[int, int] = {}
        self.final: dict[int, dict[str, str]] = {}
        self.verdicts: dict[int, str] = {}
        self.started: dict[int, dict[str, Any]] = {}
        self.suites: dict[int, str] = {}
        self.alive: set[int] = set()
        self.able: dict[int, tuple[str, ...]] = {}
        self.groups: list[tuple[Worker, int]] = []
        self.gave_up = False
        """Whether the last step may have claimed what a failure then took away: under the run's lock nobody is woken."""
        self.uses: dict[int, int] = {}
        """Of each gate, when it was last looked at: what is under way keeps its use when the cap is lowered."""

    def wait(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    @initialize(target=workers)
    def begin(self) -> Any:
        return multiple(*(self.register(capabilities) for capabilities in CAPABILITIES))

    @precondition(lambda self: len(self.alive) < 3)
    @rule(target=workers, capabilities=st.sampled_from(CAPABILITIES))
    def come(self, capabilities: tuple[str, ...]) -> Any:
        return self.register(capabilities)

    def register(self, capabilities: tuple[str, ...]) -> Any:
        sql = "select orbit_runner.register_worker($1, 4, $2)"
        name = f"w{self.steps['workers']}"
        self.steps["workers"] += 1
        worker = Worker(self.connection, self.wait(self.connection.fetchval(sql, name, capabilities)))
        self.alive.add(worker.id)
        self.able[worker.id] = capabilities
        return worker

    @initialize(
        target=runs,
        suite=st.sampled_from(sorted(SUITES)),
        fail_fast=st.booleans(),
        concurrency=st.sampled_from((None, 1, 2)),
    )
    def first(self, suite: str, **options: Any) -> Any:
        return self.start_run(suite, None, options)

    @precondition(lambda self: len(self.started) - len(self.verdicts) < 4)
    @rule(
        target=runs,
        suite=st.sampled_from(sorted(SUITES)),
        fail_fast=st.booleans(),
        priority=st.integers(-2, 2),
        timeout=st.booleans(),
        concurrency=st.sampled_from((None, None, 1, 2)),
        group=st.sampled_from((None, None, None, "v1", "v2")),
    )
    def start(self, suite: str, group: str | None, **options: Any) -> Any:
        return self.start_run(suite, group, options)

    def start_run(self, suite: str, group: str | None, options: dict[str, Any]) -> Any:
        timeout = options.pop("timeout", False)
        given = {name: value for name, value in (options | {"group": group}).items() if value is not None}
        run = self.wait(self.queue.start(suite=suite, order="suite", **given, **({"timeout": 3600} if timeout else {})))
        self.started[run["queue_no"]] = run
        self.suites[run["queue_no"]] = suite
        return run

    def take(self, worker: Worker, answer: Any) -> Any:
        for job in answer.jobs:
            assert job.id not in self.holders, "handed out while somebody holds it"
            assert job.attempt > self.attempts.get(job.id, 0), "attempts count up"
            test = list(SUITES[self.suites[job.queue_no]].values())[job.position]
            needed = test.get("requires", ()) if isinstance(test, dict) else ()
            assert set(needed) <= set(self.able[worker.id]), "handed to a worker that cannot"
            self.attempts[job.id] = job.attempt
            self.holders[job.id] = (worker.id, job.attempt)
        for row in answer.rows:
            if row["kind"] == "group":
                self.groups.append((worker, row["job_id"]))
        assert answer.unknown == (worker.id not in self.alive)
        return multiple(*((worker, job) for job in answer.jobs))

    @rule(target=reports, worker=workers, want=st.integers(1, 4))
    def claim_some(self, worker: Worker, want: int) -> Any:
        return self.claim(worker, want)

    @rule(target=reports, worker=workers, want=st.integers(1, 4))
    def claim(self, worker: Worker, want: int) -> Any:
        return self.take(worker, self.wait(worker.advance(want=want)))

    @precondition(lambda self: self.groups)
    @rule(number=st.integers(0, 5), ok=st.sampled_from((True, True, True, False)))
    def set_up(self, number: int, ok: bool) -> None:
        worker, lane = self.groups.pop(number % len(self.groups))
        sql = "select orbit_runner.group_ready($1, $2, $3, 'no device')"
        assert self.wait(self.connection.fetchval(sql, worker.id, lane, ok)) in (True, False)

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
        self.steps["late or repeated reports"] += len(answer.stale)
        self.gave_up = bool(want) and status != "passed"
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

    @rule(target=reports, held=consumes(reports), want=st.integers(0, 3))
    def passes(self, held: Any, want: int) -> Any:
        return self.report([held], "passed", False, want)

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
    def beat(self, worker: Worker) -> None:
        alive, _ = self.wait(worker.heartbeat())
        assert alive == (worker.id in self.alive)

    @rule(worker=workers)
    def drain(self, worker: Worker) -> None:
        self.wait(self.connection.execute("select orbit_runner.drain_worker($1)", worker.id))

    @rule(worker=workers)
    def lose(self, worker: Worker) -> None:
        """Or freeze: what it holds may be reported at any time after this."""
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
        self.steps["workers lost"] += worker.id in self.alive
        self.alive.discard(worker.id)
        self.holders = {job: holder for job, holder in self.holders.items() if holder[0] != worker.id}

    @rule(run=runs)
    def cancel(self, run: Any) -> None:
        over = run["queue_no"] in self.verdicts
        before = self.wait(self.queue.run(run))
        after = self.wait(self.queue.cancel(run))
        assert after["changed"] == (before["status"] in ("queued", "running"))
        assert not (over and after["changed"])

    @rule(run=runs, value=st.integers())
    def put(self, run: Any, value: int) -> None:
        entry = {"kind": "variable", "name": "x", "value": value}
        if run["queue_no"] in self.verdicts:
            with pytest.raises(asyncpg.PostgresError) as error:
                self.wait(self.queue.put(run, entry))
            assert error.value.sqlstate == "OR004"
        else:
            self.wait(self.queue.put(run, entry))
            assert self.wait(self.queue.context(run))["shared_variables"]["x"] == value

    @rule(
        cap=st.sampled_from((None, 0, 1, 2, 3)),
        rate=st.sampled_from((None, None, None, 0.001)),
        burst=st.integers(1, 3),
    )
    def cap(self, cap: int | None, rate: float | None, burst: int) -> None:
        """Of the organisation: made, changed or removed."""
        self.set_cap(cap, rate, burst if rate else None)

    def set_cap(self, cap: int | None, rate: float | None, burst: int | None) -> None:
        sql = "select orbit_private.set_gate($1::text::uuid, 'organization', '', $2, $3, $4)"
        self.wait(self.connection.execute(sql, self.organization, cap, rate, burst))

    @precondition(lambda self: self.started)
    @rule()
    def pass_the_deadlines(self) -> None:
        self.wait(
            self.connection.execute("update orbit_private.worker set seen_at = clock_timestamp() + interval '3 hours'")
        )
        self.wait(self.queue.ticks(now="2 hours"))

    def look(self) -> dict[str, Any]:
        seen: dict[str, Any] = json.loads(self.wait(self.connection.fetchval("select model.look()::text")))
        assert not seen["broken"], seen["broken"][:5]
        if seen["overlooked"]:
            assert self.gave_up, seen["overlooked"][:5]
            self.steps["left to the housekeeper"] += 1
            self.wait(self.queue.ticks(now="0"))
            return self.look()
        return seen

    @invariant()
    def everything_holds(self) -> None:
        self.steps["steps"] += 1
        seen = self.look()
        self.gave_up = False
        held = {job: (worker, attempt) for job, worker, attempt in seen["held"] or ()}
        assert held == self.holders, "one holder, the one that was told"
        for gate, cap, uses in seen["gates"] or ():
            assert cap is None or uses <= max(cap, self.uses.get(gate, 0)), "more at work than the cap says"
        self.uses = {gate: uses for gate, _, uses in seen["gates"] or ()}
        for number, status, finished, results in seen["runs"] or ():
            results = results or {}
            before = self.final.get(number, {})
            assert before.items() <= results.items(), "final is final"
            self.final[number] = results
            if number in self.verdicts:
                assert results == before, "a result after the end"
                assert status == self.verdicts[number], "final is final"
            elif finished:
                self.verdicts[number] = status
                self.wait(self.queue.check_events(self.started[number]))
                assert len(results) == len(SUITES[self.suites[number]]), "exactly one result of every test"
                assert set(results.values()) <= set(FINAL)

    def teardown(self) -> None:
        # Whatever state it was left in, one good worker brings everything to its end once nothing is capped any more.
        self.wait(self.connection.execute("update orbit_private.worker set seen_at = now()"))
        self.wait(self.queue.ticks(now="1 minute"))
        self.holders.clear()
        self.set_cap(4, None, None)  # made before it is removed: what is parked at it comes back whatever it was
        self.set_cap(None, None, None)
        worker = self.register(("docker",))
        reports: list[Any] = []
        for idle in range(400):
            answer = self.wait(worker.advance(reports, want=4))
            reports = [job.ended("passed") for job in answer.jobs]
            for row in answer.rows:
                if row["kind"] == "group":
                    self.wait(
                        self.connection.fetchval(
                            "select orbit_runner.group_ready($1, $2, true)", worker.id, row["job_id"]
                        )
                    )
            if not reports:
                if not self.wait(self.connection.fetchval("select count(*) from orbit_private.run_progress")):
                    break
                self.wait(self.queue.make_due())
                if idle > 300:
                    self.wait(self.queue.ticks(now="0"))
        seen = self.look()
        assert all(finished for _, _, finished, _ in seen["runs"] or ()), "a run never ends"
        for table in ("job", "ready", "parked", "gate_use", "gate", "run_progress"):
            assert self.wait(self.connection.fetchval(f"select count(*) from orbit_private.{table}")) == 0, table


@pytest.mark.timeout(7200 if LONG else 120)
def test_the_queue_keeps_its_promises(database: Database) -> None:
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(asyncpg.connect(database.dsn))

    class Machine(QueueMachine):
        pass

    Machine.loop, Machine.connection, Machine.steps = loop, connection, Counter()
    queue = Queue(connection)
    began = time.monotonic()
    try:
        loop.run_until_complete(connection.execute(LOOK))
        for key, tests in SUITES.items():
            loop.run_until_complete(queue.save(tests, key=key))
        Machine.organization = loop.run_until_complete(connection.fetchval("select id::text from orbit.organizations"))
        for key, tests in SUITES.items():  # positions are those of the mapping
            run = loop.run_until_complete(queue.start(suite=key))
            assert loop.run_until_complete(test_keys(connection, run["queue_no"])) == list(tests)
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=INTERLEAVINGS,
                stateful_step_count=STEPS,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                print_blob=True,
                database=None,
                report_multiple_bugs=False,
                phases=[Phase.generate] if LONG or "CI" in os.environ else [Phase.generate, Phase.shrink],
            ),
        )
    finally:
        loop.run_until_complete(connection.close())
        loop.close()
    counted = ", ".join(f"{number} {what}" for what, number in sorted(Machine.steps.items()))
    tell(f"R10: {counted}; no invariant broken; {time.monotonic() - began:.0f} s")
