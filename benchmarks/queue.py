"""The queue alone: starting runs, and draining them with no test executed.

    python -m benchmarks.queue [--tests 10000] [--rounds 3] [--past 1000000] [--only drain,processes,…] [--sql DIR]

Every outcome is `passed`, so that what is timed is the claim, the result's row in its partition, the counters, the events and
the unlocking of what depended on it. One worker process has one connection; `batch` is how many tests a call reports and
claims. Runs on an embedded server of its own with Orbit's durable settings, in a database that is thrown away; with
ORBIT_DATABASE_URL on that server, whose account must be allowed to make databases. --sql measures another directory of
migrations beside this one's, turn about.

Each figure is the median of the rounds, with the lowest and the highest. After each run its history is checked: exactly one
result a test, the counters equal, no event missing, nothing left in the queue, in a chain nobody before whom they need.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import uvloop

from orbit_context.gateway.runner import Report, RunnerGateway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asyncpg import Connection

_SECTIONS = ("start", "drain", "gateway", "processes", "past", "snapshot", "fsync")
_GROUP = 100
"""Tests in a chain, and parents of a test in fan-in."""
_EPOCH = float("-inf")
_ADVANCE = "select kind, job_id, attempt, rank from orbit_runner.advance($1, $2, $3, $4, $5, $6, $7, $8, $9)"
_CHECK = """
with r as (select * from orbit.test_runs where id = $1),
  t as (select position, status, created_at, lag(created_at) over (partition by position / $3 order by position) as above
          from orbit.test_results where run_id = $1 and created_at >= (select created_at from r)),
  e as (select * from orbit_private.run_event where queue_no = (select queue_no from r))
select (select count(*) from t) = $2 and (select count(distinct position) from t) = $2
   and (select bool_and(status = 'passed') from t)
   and ($4 <> 'chain' or not exists (select from t where created_at <= above))
   and (select status = 'passed' and (counts ->> 'passed')::int = $2 and (counts ->> 'total')::int = $2 from r)
   and (select sum(cardinality(ended)) = $2 and sum(cardinality(started)) = $2 and max(seq) = count(*) from e)
   and not exists (select from orbit_private.job where id >> 20 = (select queue_no from r))
   and not exists (select from orbit_private.ready where job_id >> 20 = (select queue_no from r))
"""


def _needs(shape: str, tests: int) -> list[tuple[int, int]]:
    """(dependent, required) by position: chains of 100, or 99 parents to each hundredth test, or nothing."""
    if shape == "chain":
        return [(n, n - 1) for n in range(tests) if n % _GROUP]
    if shape == "fan-in":
        return [(n - n % _GROUP + _GROUP - 1, n) for n in range(tests) if n % _GROUP != _GROUP - 1]
    return []


def _suite(shape: str, tests: int) -> dict[str, Any]:
    request = {"method": "GET", "url": "/item"}
    return {
        "key": f"{shape}-{tests}",
        "document": {"tests": [{"key": f"t{n:06}", "request": request} for n in range(tests)]},
        "dependencies": [
            {"test": f"t{child:06}", "needs": f"t{parent:06}", "kind": "order"}
            for child, parent in _needs(shape, tests)
        ],
    }


async def _call(connection: Connection, function: str, request: dict[str, Any]) -> dict[str, Any]:
    answer = await connection.fetchval(f"select orbit.{function}($1::text::jsonb)::text", json.dumps(request))
    return dict(json.loads(answer))


# -- one drain


@dataclass(slots=True)
class Drained:
    """What one drain of one run took."""

    tests: int
    seconds: float
    calls: list[float]
    wal: int = 0
    cpu: float = 0.0
    """Seconds of CPU of the client."""
    server_cpu: float = math.nan
    """Seconds of CPU of the server's process for this client; not known of another machine's."""

    @property
    def rate(self) -> float:
        return self.tests / self.seconds


def _process_cpu(pid: int) -> float:
    """Seconds of CPU that a process of this machine has used, to a hundredth; nan where that is not to be seen."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return math.nan
    if "postgres" not in status:
        return math.nan
    fields = status.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _drain_bare(
    connection: Connection, worker: int, lane: int, batch: int, finished: Callable[[bool], bool]
) -> tuple[int, list[float]]:
    """Claims and reports until `finished(done)` is true; how many were reported, and what each call took."""
    advance = await connection.prepare(_ADVANCE)
    jobs: list[int] = []
    attempts: list[int] = []
    low, since, ended = _EPOCH, time.perf_counter(), 0
    calls = []
    while True:
        began = time.perf_counter()
        if began - since > 0.25:  # as the worker does: from the beginning again, four times a second
            low, since = _EPOCH, began
        count = len(jobs)
        answer = await advance.fetch(worker, lane, batch, jobs, attempts, ["passed"] * count, [0.012] * count, [], low)
        calls.append(time.perf_counter() - began)
        ended += count
        rows = [row for row in answer if row[0] == "job"]
        jobs, attempts = [row[1] for row in rows], [row[2] for row in rows]
        low = rows[0][3] if len(rows) == batch else _EPOCH
        if finished(any(row[0] == "done" for row in answer)):
            return ended, calls
        if not jobs:
            await asyncio.sleep(0.001)


async def _drain_gateway(gateway: RunnerGateway, worker: int, lane: int, batch: int) -> tuple[int, list[float]]:
    """The same by the SDK's own gateway."""
    reports: list[Report] = []
    low, since, ended = _EPOCH, time.perf_counter(), 0
    calls = []
    while True:
        began = time.perf_counter()
        if began - since > 0.25:
            low, since = _EPOCH, began
        answer = await gateway.advance(worker, lane, batch, reports, low, {})
        calls.append(time.perf_counter() - began)
        ended += len(reports)
        reports = [Report(job.id, job.attempt, "passed", 0.012) for job in answer.jobs]
        low = answer.jobs[0].rank if len(answer.jobs) == batch else _EPOCH
        if answer.done:
            return ended, calls


def _process(dsn: str, batch: int, ready: Any, go: Any, over: Any, results: Any) -> None:
    """A worker process: says that it is ready, waits, drains until somebody saw the end."""

    async def main() -> None:
        connection = await asyncpg.connect(dsn)
        worker = await connection.fetchval("select orbit_runner.register_worker($1, 500)", f"bench-{os.getpid()}")
        await connection.fetch(_ADVANCE, worker, 0, 0, [], [], [], [], [], _EPOCH)
        ready.put(worker)
        await asyncio.to_thread(go.wait)

        def finished(done: bool) -> bool:
            if done:
                over.set()
            return bool(over.is_set())

        results.put(await _drain_bare(connection, worker, 0, batch, finished))
        await connection.close()

    uvloop.run(main())


# -- a database to measure in


@dataclass(slots=True)
class Place:
    """A database with the schema and the suites."""

    dsn: str
    connection: Connection
    worker: int
    suites: set[str] = field(default_factory=set)

    @classmethod
    async def make(cls, admin: str, name: str, sql: Path | None) -> Place:
        from orbit_runner import migrate

        owner = await asyncpg.connect(admin)
        await owner.execute(f"drop database if exists {name} with (force)")
        await owner.execute(f"create database {name} template template0")
        await owner.close()
        dsn = urlunsplit(urlsplit(admin)._replace(path=f"/{name}"))
        connection = await asyncpg.connect(dsn)
        await migrate.push(connection, sql)
        worker = await connection.fetchval("select orbit_runner.register_worker('bench', 500)")
        return cls(dsn, connection, worker)

    async def drop(self, admin: str) -> None:
        await self.connection.close()
        owner = await asyncpg.connect(admin)
        await owner.execute(f"drop database if exists {urlsplit(self.dsn).path[1:]} with (force)")
        await owner.close()

    async def start(self, shape: str, tests: int, connection: Connection | None = None) -> tuple[dict[str, Any], float]:
        """A new run, and what start_run took."""
        suite = f"{shape}-{tests}"
        if suite not in self.suites:
            await _call(self.connection, "save_suite", _suite(shape, tests))
            await self.connection.execute("analyze orbit.test_cases, orbit.test_dependencies")
            self.suites.add(suite)
        began = time.perf_counter()
        run = await _call(connection or self.connection, "start_run", {"suite": suite})
        return run, time.perf_counter() - began

    async def settle(self) -> None:
        """What autovacuum would have done by now."""
        await self.connection.execute("vacuum analyze orbit_private.job, orbit_private.ready")

    async def wal(self) -> int:
        return int(await self.connection.fetchval("select pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))

    async def drain(
        self, shape: str, tests: int, batch: int, *, processes: int = 1, gateway: bool = False, settle: bool = True
    ) -> Drained:
        """Starts a run, drains it, checks it."""
        run, _ = await self.start(shape, tests)
        before, cpu = await self.wal(), time.process_time()
        server = math.nan
        if processes > 1:
            seconds, calls = await self._drain_processes(batch, processes)
        else:
            client = RunnerGateway(self.dsn)
            pid = (await client.connection() if gateway else self.connection).get_server_pid()
            server = _process_cpu(pid)
            began, cpu = time.perf_counter(), time.process_time()
            if gateway:
                _, calls = await _drain_gateway(client, self.worker, 0, batch)
            else:
                _, calls = await _drain_bare(self.connection, self.worker, 0, batch, lambda done: done)
            seconds = time.perf_counter() - began
            server = _process_cpu(pid) - server
            await client.close()
        cpu = time.process_time() - cpu
        wal = await self.wal() - before
        if not await self.connection.fetchval(_CHECK, uuid.UUID(run["id"]), tests, _GROUP, shape):
            raise SystemExit(
                f"the history of {shape}, batch {batch}, {processes} process(es) is wrong: run {run['id']}"
            )
        if settle:
            await self.settle()
        return Drained(tests, seconds, calls, wal, cpu, server)

    async def _drain_processes(self, batch: int, processes: int) -> tuple[float, list[float]]:
        context = multiprocessing.get_context("spawn")
        ready, results = context.Queue(), context.Queue()
        go, over = context.Event(), context.Event()
        workers = [
            context.Process(target=_process, args=(self.dsn, batch, ready, go, over, results)) for _ in range(processes)
        ]
        for worker in workers:
            worker.start()
        for _ in workers:
            await asyncio.to_thread(ready.get, timeout=60)
        began = time.perf_counter()
        go.set()
        await asyncio.to_thread(over.wait, 120)
        seconds = time.perf_counter() - began
        calls: list[float] = []
        for _ in workers:
            calls += (await asyncio.to_thread(results.get, timeout=60))[1]
        for worker in workers:
            worker.join()
        return seconds, calls

    async def add_past(self, results: int) -> None:
        """Results of runs of this week, as if they had been there; a thousand to each test."""
        await self.connection.execute(
            """
            insert into orbit.test_results (run_id, position, created_at, status, project_id, test_case_id,
                                            duration_ms, attempts, started_at, worker_id)
              select r.id, n, now() - make_interval(secs => ($1 - r.k) * 1e-3),
                     case when n % 20 = 0 then 'failed' else 'passed' end, s.project_id,
                     v.test_case_ids[1 + n % 1000], 12, 1, now() - interval '1 minute', 1
                from (select g as k, gen_random_uuid() as id from generate_series(1, $1::int / 10000) g) r
                cross join generate_series(0, 9999) n,
                (select project_id, id from orbit.test_suites limit 1) s,
                lateral (select test_case_ids from orbit.test_suite_versions where suite_id = s.id limit 1) v
            """,
            results,
            timeout=600,
        )
        await self.connection.execute("vacuum analyze orbit.test_results", timeout=600)


# -- what is printed


def _spread(values: list[float], form: str = ",.0f") -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}}–{max(values):{form}})"


def _show(rows: dict[str, list[Drained]], against: str | None = None) -> None:
    print(
        f"  {'':<34}{'tests/s':>26}{'ms a call':>11}{'longest':>9}{'WAL B/test':>11}{'CPU µs: client':>15}{'server':>8}"
    )
    base = statistics.median(drained.rate for drained in rows[against]) if against else 0.0
    for name, rounds in rows.items():
        calls = [call for drained in rounds for call in drained.calls]
        ratio = f"  {statistics.median(d.rate for d in rounds) / base:.2f} ×" if against else ""
        print(
            f"  {name:<34}{_spread([d.rate for d in rounds]):>26}{statistics.median(calls) * 1e3:>11.2f}{max(calls) * 1e3:>9.1f}"
            f"{statistics.median(d.wal / d.tests for d in rounds):>11.0f}"
            f"{statistics.median(d.cpu / d.tests for d in rounds) * 1e6:>15.2f}"
            f"{statistics.median(d.server_cpu / d.tests for d in rounds) * 1e6:>8.1f}{ratio}",
            flush=True,
        )


async def _measure_start(place: Place, rounds: int) -> None:
    """start_run by size, in a session that has called it before and in one that has not."""
    for tests in (1, 1000, 10_000):
        await place.start("flat", tests)
        warm, cold = [], []
        for _ in range(max(rounds, 5)):
            warm.append((await place.start("flat", tests))[1] * 1e3)
            fresh = await asyncpg.connect(place.dsn)
            cold.append((await place.start("flat", tests, fresh))[1] * 1e3)
            await fresh.close()
        print(
            f"  start_run, {tests:>6,} tests: {_spread(warm, '.1f')} ms; first call of a session {_spread(cold, '.1f')} ms"
        )
    await place.connection.execute(
        "truncate orbit_private.job, orbit_private.ready, orbit_private.run_progress, orbit_private.run_event"
    )
    await place.settle()


async def _snapshot(dsn: str) -> Connection:
    """A transaction that has looked at the database and stays open."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("begin isolation level repeatable read")
    await connection.fetchval("select count(*) from orbit_private.worker")
    return connection


async def _run(options: argparse.Namespace, admin: str, admin_unsafe: str | None) -> None:
    tests, rounds = options.tests, options.rounds
    batches = [int(batch) for batch in options.batch.split(",")]
    places = {"": await Place.make(admin, "orbit_bench_queue", None)}
    if options.sql:
        places[f" [{options.sql.name}]"] = await Place.make(admin, "orbit_bench_queue_other", options.sql)
    place = places[""]
    version, fsync = await place.connection.fetchrow(
        "select current_setting('server_version'), current_setting('fsync')"
    )
    print(
        f"PostgreSQL {version}, fsync {fsync}, {os.cpu_count()} cores, {tests:,} tests a run, {rounds} rounds",
        flush=True,
    )
    for here in places.values():
        await here.drain("flat", tests, 200)  # the first of a database is slower: files grow, caches fill

    def turns(*names: str) -> Iterator[tuple[dict[str, list[Drained]], int]]:
        rows: dict[str, list[Drained]] = {}
        for turn in range(rounds):
            yield rows, turn
        _show(rows, names[0] if names else None)

    if "start" in options.only:
        print("\nStarting a run")
        await _measure_start(place, rounds)
    if "drain" in options.only:
        print("\nOne process, one connection")
        for rows, _ in turns():
            for shape in ("flat", "chain", "fan-in"):
                for batch in batches:
                    for name, here in places.items():
                        label = f"{shape}, batch {batch}{name}"
                        rows.setdefault(label, []).append(await here.drain(shape, tests, batch))
    if "gateway" in options.only:
        print("\nThe driver alone, and the SDK's RunnerGateway")
        for rows, _ in turns("flat, batch 200, bare asyncpg"):
            for label, through in (("bare asyncpg", False), ("RunnerGateway", True)):
                name = f"flat, batch 200, {label}"
                rows.setdefault(name, []).append(await place.drain("flat", tests, 200, gateway=through))
    if "processes" in options.only:
        print("\nFour processes on one run (client and server share the cores)")
        for rows, _ in turns("flat, batch 100, 1 process"):
            rows.setdefault("flat, batch 100, 1 process", []).append(await place.drain("flat", tests, 100))
            for shape in ("flat", "chain", "fan-in"):
                label = f"{shape}, batch 100, 4 processes"
                rows.setdefault(label, []).append(await place.drain(shape, tests, 100, processes=4))
    if "past" in options.only:
        print(f"\nWith {options.past:,} results of this week already there")
        full = await Place.make(admin, "orbit_bench_queue_past", None)
        await full.start("flat", tests)
        await full.connection.execute("truncate orbit_private.job, orbit_private.ready, orbit_private.run_progress")
        await full.add_past(options.past)
        await full.drain("flat", tests, 200)
        for rows, _ in turns("flat, batch 200, none"):
            rows.setdefault("flat, batch 200, none", []).append(await place.drain("flat", tests, 200))
            rows.setdefault("flat, batch 200, past", []).append(await full.drain("flat", tests, 200))
        await full.drop(admin)
    if "snapshot" in options.only:
        print("\nUnder a snapshot that stays open (REPEATABLE READ), run after run")
        for rows, _ in turns("flat, batch 200, none"):
            rows.setdefault("flat, batch 200, none", []).append(await place.drain("flat", tests, 200))
            snapshot = await _snapshot(place.dsn)
            for n in (1, 2, 3, 4):
                label = f"flat, batch 200, run {n} under it"
                rows.setdefault(label, []).append(await place.drain("flat", tests, 200, settle=False))
            await snapshot.close()
            await place.settle()
    if "fsync" in options.only and admin_unsafe:
        print("\nWithout fsync (a power cut may lose everything), for comparison")
        unsafe = await Place.make(admin_unsafe, "orbit_bench_queue", None)
        await unsafe.drain("flat", tests, 200)
        for rows, _ in turns("flat, batch 200, fsync on"):
            for label, here in (("on", place), ("off", unsafe)):
                rows.setdefault(f"flat, batch 200, fsync {label}", []).append(await here.drain("flat", tests, 200))
        await unsafe.drop(admin_unsafe)
    for here in places.values():
        await here.drop(admin)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queue", description="Measure the queue alone.")
    parser.add_argument("--tests", type=int, default=10_000, help="of a run; a multiple of 100")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", default="50,100,200,500")
    parser.add_argument("--past", type=int, default=1_000_000)
    parser.add_argument("--only", default=",".join(_SECTIONS), help=f"of {', '.join(_SECTIONS)}")
    parser.add_argument("--sql", type=Path, help="another directory of migrations, measured beside this one's (drain)")
    options = parser.parse_args()
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(_SECTIONS):
        parser.error(f"there is no section {min(unknown)!r}; there are {', '.join(_SECTIONS)}")
    if given := os.environ.get("ORBIT_DATABASE_URL"):
        uvloop.run(_run(options, given, None))
        return 0
    from orbit_runner.local import DURABLE, Server

    with tempfile.TemporaryDirectory(prefix="orbit-bench-") as directory:
        Path(directory).chmod(0o755)  # as root, the server runs as an unprivileged account that must pass through
        servers = [Server(Path(directory) / "durable", DURABLE)]
        if "fsync" in options.only:
            servers.append(Server(Path(directory) / "unsafe", {**DURABLE, "fsync": "off"}))
        try:
            for server in servers:
                server.start()
            uvloop.run(_run(options, servers[0].dsn(), servers[1].dsn() if len(servers) > 1 else None))
        finally:
            for server in servers:
                server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
