"""The queue as a test drives it: suites in a few words, workers by hand, the recount of what the counters claim.

async with database.connect() as connection:
    queue = await Queue.on(connection)
    await queue.save({"a": [], "b": ["a"]})
    run = await queue.start()
    worker = await queue.worker()
    [a] = await worker.claim(10)
    answer = await worker.advance([a.ended("passed")], want=10)
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from support.invariants import FINAL, check_invariants

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import asyncpg


def suite(tests: Any, *, key: str = "suite", **request: Any) -> dict[str, Any]:
    """A request of save_suite. A test is a list of what it needs (`"a"`, or `("a", "data")` for a kind), or a mapping of its
    fields with `needs` among them."""
    document: dict[str, Any] = {"tests": []}
    dependencies = []
    for name, given in tests.items():
        fields = dict(given) if isinstance(given, dict) else {"needs": given}
        for need in fields.pop("needs", ()):
            needed, kind = (need, "order") if isinstance(need, str) else need
            dependencies.append({"test": name, "needs": needed, "kind": kind})
        document["tests"].append({"key": name, "request": {"method": "GET", "url": f"/{name}"}} | fields)
    document |= request.pop("document", {})
    return {"key": key, "document": document, "dependencies": dependencies} | request


def retry(attempts: int, *, initial: float = 0.2, maximum: float = 10, factor: float = 2) -> dict[str, Any]:
    """A test's `retry`: this many attempts in all."""
    return {"retry": {"max": attempts - 1, "backoff": {"initial": initial, "max": maximum, "factor": factor}}}


@dataclass(frozen=True)
class Claimed:
    """A job that a worker holds."""

    id: int
    attempt: int
    rank: float

    @property
    def queue_no(self) -> int:
        return self.id >> 20

    @property
    def position(self) -> int:
        return self.id & 0xFFFFF

    def ended(
        self, status: str, duration: float = 0.0, **extra: Any
    ) -> tuple[int, int, str, float, dict[str, Any] | None]:
        """What a worker reports of it."""
        return self.id, self.attempt, status, duration, extra or None


__all__ = [
    "FINAL",
    "Answer",
    "Claimed",
    "Queue",
    "Worker",
    "check_invariants",
    "retry",
    "suite",
    "test_keys",
    "timestamp",
]

_NUMBERS = itertools.count(1)


@dataclass
class Answer:
    """The rows of one advance(), by kind."""

    rows: list[asyncpg.Record]
    jobs: list[Claimed] = field(init=False)
    stale: list[tuple[int, int]] = field(init=False)
    done: dict[int, str] = field(init=False)
    stop: list[int] = field(init=False)
    context: dict[int, Any] = field(init=False)
    next_in: float | None = field(init=False)
    unknown: bool = field(init=False)

    def __post_init__(self) -> None:
        of: dict[str, list[asyncpg.Record]] = {}
        for row in self.rows:
            of.setdefault(row["kind"], []).append(row)
        self.jobs = [Claimed(row["job_id"], row["attempt"], row["rank"]) for row in of.get("job", ())]
        self.stale = [(row["job_id"], row["attempt"]) for row in of.get("stale", ())]
        self.done = {row["job_id"]: json.loads(row["payload"])["status"] for row in of.get("done", ())}
        self.stop = [row["job_id"] for row in of.get("stop", ())]
        self.context = {row["job_id"]: json.loads(row["payload"]) for row in of.get("context", ())}
        self.next_in = of["next"][0]["rank"] if "next" in of else None
        self.unknown = "unknown" in of


class Worker:
    """A registered worker on one connection."""

    def __init__(self, connection: asyncpg.Connection[Any], number: int, lane: int = 0) -> None:
        self.connection = connection
        self.id = number
        self.lane = lane

    async def advance(
        self,
        reports: Iterable[tuple[int, int, str, float, dict[str, Any] | None]] = (),
        *,
        want: int = 0,
        low: float = float("-inf"),
        known: Mapping[int, int] | None = None,
    ) -> Answer:
        columns: list[list[Any]] = [list(column) for column in zip(*reports, strict=True)] or [[], [], [], [], []]
        extras = [None if extra is None else json.dumps(extra) for extra in columns[4]]
        known = known or {}
        return Answer(
            await self.connection.fetch(
                "select * from orbit_runner.advance($1, $2, $3, $4, $5, $6, $7, $8::text[]::jsonb[], $9, $10, $11)",
                self.id,
                self.lane,
                want,
                *columns[:4],
                extras,
                low,
                list(known),
                list(known.values()),
            )
        )

    async def claim(self, want: int) -> list[Claimed]:
        return (await self.advance(want=want)).jobs

    async def held(self) -> dict[int, int]:
        rows = await self.connection.fetch("select job_id, attempt from orbit_runner.held_jobs($1)", self.id)
        return dict(rows)

    async def heartbeat(self, *runs: int) -> tuple[bool, list[int]]:
        row = await self.connection.fetchrow("select * from orbit_runner.heartbeat($1, $2)", self.id, list(runs))
        return row["alive"], list(row["stopping"] or ())

    async def retire(self) -> None:
        await self.connection.execute("select orbit_runner.retire_worker($1)", self.id)

    async def run_to_end(self, statuses: Mapping[str, str] | None = None, *, batch: int = 100) -> None:
        """Claims and ends everything that can be; a test ends `passed` unless its key is in `statuses`."""
        keys: dict[int, list[str]] = {}
        reports: list[Any] = []
        while True:
            answer = await self.advance(reports, want=batch)
            if not answer.jobs and not reports:
                return
            for queue_no in {job.queue_no for job in answer.jobs} - keys.keys():
                keys[queue_no] = await test_keys(self.connection, queue_no)
            reports = [
                job.ended((statuses or {}).get(keys[job.queue_no][job.position], "passed")) for job in answer.jobs
            ]


async def test_keys(connection: asyncpg.Connection[Any], queue_no: int) -> list[str]:
    """The keys of a run's tests by position."""
    return list(
        await connection.fetchval(
            "select array_agg(c.key order by t.n) from orbit.test_runs r join orbit.test_suite_versions v on v.id = r.version_id"
            " cross join unnest(v.test_case_ids) with ordinality t (id, n) join orbit.test_cases c on c.id = t.id"
            " where r.queue_no = $1",
            queue_no,
        )
    )


test_keys.__test__ = False  # type: ignore[attr-defined]


class Queue:
    """The functions of schema `orbit`, and what lies behind them."""

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self.connection = connection

    async def call(self, function: str, request: Any) -> Any:
        """`orbit.<function>(request)`."""
        return json.loads(
            await self.connection.fetchval(f"select orbit.{function}($1::text::jsonb)::text", json.dumps(request))
        )

    async def save(self, tests: Any, **request: Any) -> dict[str, Any]:
        saved: dict[str, Any] = await self.call("save_suite", suite(tests, **request))
        return saved

    async def start(self, **request: Any) -> dict[str, Any]:
        request = request if "suite" in request or "suite_id" in request else {"suite": "suite"} | request
        started: dict[str, Any] = await self.call("start_run", request)
        return started

    async def run(self, run: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = await self.call("get_run", {"run_id": run["id"]})
        return found

    async def cancel(self, run: Mapping[str, Any], **request: Any) -> dict[str, Any]:
        cancelled: dict[str, Any] = await self.call("cancel_run", {"run_id": run["id"]} | request)
        return cancelled

    async def results(self, run: Mapping[str, Any], **request: Any) -> dict[str, dict[str, Any]]:
        """By key."""
        rows = await self.call("list_results", {"run_id": run["id"], "limit": 10000} | request)
        assert len({row["key"] for row in rows}) == len(rows), "a test has two results"
        return {row["key"]: row for row in rows}

    async def statuses(self, run: Mapping[str, Any]) -> dict[str, str]:
        return {key: result["status"] for key, result in (await self.results(run)).items()}

    async def events(self, run: Mapping[str, Any], after: int = 0) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        while page := await self.call("read_events", {"run_id": run["id"], "after": after}):
            events += page
            after = page[-1]["seq"]
        return events

    async def put(self, run: Mapping[str, Any], *entries: dict[str, Any]) -> Any:
        return await self.call("put_context", {"run_id": run["id"], "entries": list(entries)})

    async def context(self, run: Mapping[str, Any]) -> dict[str, Any]:
        context: dict[str, Any] = await self.call("get_context", {"run_id": run["id"]})
        return context

    async def worker(
        self, name: str | None = None, *, lane: int = 0, slots: int = 100, on: asyncpg.Connection[Any] | None = None
    ) -> Worker:
        connection = on or self.connection
        number = await connection.fetchval(
            "select orbit_runner.register_worker($1, $2)", name or f"w{next(_NUMBERS)}", slots
        )
        return Worker(connection, number, lane)

    async def tick(self, *, now: str | None = None, lease: str = "10 seconds") -> dict[str, Any]:
        """`now` is an interval from now: `+1 minute`."""
        sql = "select orbit_runner.tick($1::text::interval, clock_timestamp() + $2::text::interval)"
        answer: dict[str, Any] = json.loads(await self.connection.fetchval(sql, lease, now or "0"))
        return answer

    async def ticks(self, *, now: str, lease: str = "10 seconds") -> None:
        """Until there is no more to do."""
        while (await self.tick(now=now, lease=lease)).get("more"):
            pass

    async def make_due(self) -> None:
        """What a back-off put off is due now."""
        await self.connection.execute("update orbit_private.ready set rank = rank - 1e6 where lane < 0")

    async def jobs(self, run: Mapping[str, Any]) -> dict[str, asyncpg.Record]:
        """The rows left in the queue, by key."""
        keys = await test_keys(self.connection, run["queue_no"])
        rows = await self.connection.fetch(
            "select *, (id & 1048575)::int as position from orbit_private.job where id >> 20 = $1", run["queue_no"]
        )
        return {keys[row["position"]]: row for row in rows}

    async def check(self) -> None:
        """Everything that must hold between any two transactions."""
        await check_invariants(self.connection)

    async def check_events(self, run: Mapping[str, Any]) -> None:
        """A finished run's events are numbered without a gap and tell exactly its results."""
        events = await self.events(run)
        seqs = [event["seq"] for event in events]
        assert seqs == sorted(seqs)
        assert set(seqs) == set(range(1, seqs[-1] + 1)), "a gap in the events"
        assert events[0]["kind"] == "run_queued"
        assert events[-1]["kind"] == "run_finished"
        told = [(event["key"], event["status"]) for event in events if event["kind"] == "test_finished"]
        # Tests that the suite skips end with the start: they are counted in the first event and have none of their own.
        results = await self.results(run)
        at_start = {
            key for key, result in results.items() if result["finished_at"] == (await self.run(run))["created_at"]
        }
        assert Counter(told) == Counter(
            (key, result["status"]) for key, result in results.items() if key not in at_start
        )
        assert events[-1]["counts"] == (await self.run(run))["counts"]


def timestamp(text: str) -> datetime:
    """Of a JSON answer."""
    return datetime.fromisoformat(text)
