"""The order of a run's tests: when its bad news and its end come, and what knowing them costs.

    python -m benchmarks.order [--tests 300] [--past 20] [--runs 40] [--seed 1] [--only news,cost]

news   A suite whose tests need each other here and there, take 20 ms to some seconds (log-normal), and now and then fail, for
       several runs in a row. After a past of some runs, each further one is put in the suite's order and in that of its impact by
       the database, and played on 4 and on 20 slots in time that is only reckoned: the same tests fail in both and take as long.
       Then it ends, and is part of the past. A test whose requirement failed is skipped.
cost   10,000 tests of which the past is known, flat, as chains, and at random: what order_of_tests takes of a start, and
       what remembering a run takes of its end.

Runs on an embedded server of its own, or with ORBIT_DATABASE_URL on that one, in a database that is thrown away.
"""

from __future__ import annotations

import argparse
import heapq
import os
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from benchmarks.queue import Place, _call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncpg import Connection

_SLOTS = (4, 20)
_ADVANCE = "select kind, job_id, attempt from orbit_runner.advance($1, $2, $3, $4, $5, $6, $7)"


@dataclass
class Model:
    """A suite and how its tests behave."""

    tests: int
    rng: random.Random
    needs: list[list[int]] = field(init=False)
    usual: list[float] = field(init=False)
    failing: list[bool] = field(init=False)

    def __post_init__(self) -> None:
        rng = self.rng
        self.needs = [
            rng.sample(range(max(0, n - 40), n), k=min(n, rng.choice((0, 0, 1, 1, 2)))) for n in range(self.tests)
        ]
        self.usual = [min(8.0, max(0.02, rng.lognormvariate(-2.2, 1.1))) for _ in range(self.tests)]
        self.failing = [False] * self.tests

    def next_run(self) -> tuple[list[bool], list[float]]:
        """Which tests fail in the next run, and how long each takes. What failed goes on failing for about three runs."""
        self.failing = [self.rng.random() < (0.7 if was else 0.006) for was in self.failing]
        return self.failing, [usual * self.rng.uniform(0.8, 1.25) for usual in self.usual]

    def play(self, order: Sequence[int], slots: int, fails: Sequence[bool], takes: Sequence[float]) -> Played:
        """The tests handed out in this order as they become ready, on so many slots."""
        place = {test: n for n, test in enumerate(order)}
        below: list[list[int]] = [[] for _ in order]
        left = [len(needed) for needed in self.needs]
        for test, needed in enumerate(self.needs):
            for above in needed:
                below[above].append(test)
        ready = [(place[test], test) for test in order if left[test] == 0]
        heapq.heapify(ready)
        running: list[tuple[float, int]] = []
        now, bad, skipped = 0.0, [], [False] * len(left)

        def skip(test: int) -> None:
            for child in below[test]:
                if not skipped[child]:
                    skipped[child] = True
                    skip(child)

        while ready or running:
            while ready and len(running) < slots:
                test = heapq.heappop(ready)[1]
                heapq.heappush(running, (now + takes[test], test))
            now, test = heapq.heappop(running)
            if fails[test]:
                bad.append(now)
                skip(test)
                continue
            for child in below[test]:
                left[child] -= 1
                if left[child] == 0 and not skipped[child]:
                    heapq.heappush(ready, (place[child], child))
        return Played(bad[0] if bad else None, bad[-1] if bad else None, now)


@dataclass(frozen=True)
class Played:
    """Seconds after the start."""

    first_failure: float | None
    last_failure: float | None
    end: float


async def _save(connection: Connection, key: str, needs: Sequence[Sequence[int]]) -> None:
    request = {
        "key": key,
        "document": {"tests": [{"key": f"t{n:05}", "request": {"url": "/"}} for n in range(len(needs))]},
        "dependencies": [
            {"test": f"t{n:05}", "needs": f"t{above:05}", "kind": "order"}
            for n, needed in enumerate(needs) for above in needed
        ],
    }  # fmt: skip
    await _call(connection, "save_suite", request)


async def _order(connection: Connection, run: dict[str, Any]) -> list[int]:
    rows = await connection.fetch(
        "select (id & 1048575)::int from orbit_private.job where id >> 20 = $1 order by rank", run["queue_no"]
    )
    return [row[0] for row in rows]


async def _end(connection: Connection, run: dict[str, Any], fails: Sequence[bool], takes: Sequence[float]) -> None:
    """Every test of a private run is reported as it ends."""
    register = "select orbit_runner.register_worker($1, 10000)"
    worker = await connection.fetchval(register, f"bench-{run['queue_no']}")
    jobs: list[int] = []
    attempts: list[int] = []
    while True:
        positions = [job & 0xFFFFF for job in jobs]
        rows = await connection.fetch(
            _ADVANCE, worker, run["lane"], 1000, jobs, attempts,
            ["failed" if fails[n] else "passed" for n in positions], [takes[n] for n in positions],
        )  # fmt: skip
        if any(row[0] == "done" for row in rows):
            await connection.execute("select orbit_runner.retire_worker($1)", worker)
            return
        jobs = [row[1] for row in rows if row[0] == "job"]
        attempts = [row[2] for row in rows if row[0] == "job"]


async def _news(place: Place, options: argparse.Namespace) -> None:
    connection, model = place.connection, Model(options.tests, random.Random(options.seed))
    await _save(connection, "news", model.needs)
    start = {"suite": "news", "private": True}
    for _ in range(options.past):
        await _end(connection, await _call(connection, "start_run", start), *model.next_run())
    played: dict[tuple[str, int], list[Played]] = {}
    for _ in range(options.runs):
        fails, takes = model.next_run()
        runs = {order: await _call(connection, "start_run", start | {"order": order}) for order in ("suite", "impact")}
        for order, run in runs.items():
            positions = await _order(connection, run)
            for slots in _SLOTS:
                played.setdefault((order, slots), []).append(model.play(positions, slots, fails, takes))
        await connection.execute("delete from orbit.test_runs where id = $1", runs["suite"]["id"])
        await _end(connection, runs["impact"], fails, takes)
    failed = sum(1 for one in played["suite", _SLOTS[0]] if one.first_failure is not None)
    print(
        f"\n{options.tests} tests, {options.runs} runs after {options.past} ({failed} with failures), seed {options.seed}:"
    )
    print(f"{'mean seconds':24}{'suite':>10}{'impact':>10}")
    for slots in _SLOTS:
        for name in ("first_failure", "last_failure", "end"):
            means = []
            for order in ("suite", "impact"):
                values = [value for one in played[order, slots] if (value := getattr(one, name)) is not None]
                means.append(statistics.fmean(values))
            what = f"{name.replace('_', ' ')}, {slots} slots"
            print(f"{what:24}{means[0]:>10.2f}{means[1]:>10.2f}   {means[1] / means[0]:.2f} x")


def _shapes(tests: int) -> dict[str, list[list[int]]]:
    rng = random.Random(7)
    return {
        "flat": [[] for _ in range(tests)],
        "one chain": [[n - 1] if n else [] for n in range(tests)],
        "chains of 100": [[n - 1] if n % 100 else [] for n in range(tests)],
        "random, 2 each": [rng.sample(range(n), k=min(n, 2)) for n in range(tests)],
    }


async def _cost(place: Place, options: argparse.Namespace) -> None:
    connection = place.connection
    tests = options.many
    print(f"\n{tests:,} tests: milliseconds, the best of {options.rounds}; of an end microseconds a test")
    print(f"{'':16}{'start':>9}{'… impact':>10}{'order':>9}{'nothing known':>15}{'first end':>11}{'later ends':>12}")
    for shape, needs in _shapes(tests).items():
        await _save(connection, shape, needs)
        await connection.execute("analyze")

        async def timed(sql: str, *arguments: Any) -> float:
            began = time.perf_counter()
            await connection.fetchval(sql, *arguments)
            return (time.perf_counter() - began) * 1000

        async def start(shape: str, order: str) -> tuple[float, dict[str, Any]]:
            began = time.perf_counter()
            run = await _call(connection, "start_run", {"suite": shape, "private": True, "order": order})
            return (time.perf_counter() - began) * 1000, run

        order = (
            "select orbit_private.order_of_tests(v, array(select generate_series(0::bigint, cardinality(v.test_case_ids) - 1)))"
            " from orbit.test_suite_versions v join orbit.test_suites s on s.id = v.suite_id where s.key = $1"
        )
        nothing = min([await timed(order, shape) for _ in range(options.rounds)])
        run = (await start(shape, "suite"))[1]
        # The results as a drain would leave them; what is timed is the remembering alone.
        await connection.execute("delete from orbit_private.job where id >> 20 = $1", run["queue_no"])
        await connection.execute("delete from orbit_private.ready where job_id >> 20 = $1", run["queue_no"])
        await connection.execute(
            "insert into orbit.test_results"
            "   (run_id, position, created_at, status, project_id, test_case_id, duration_ms, attempts, started_at)"
            " select r.id, t.n - 1, now(), 'passed', r.project_id, t.id, 100 * random(), 1, now() from orbit.test_runs r"
            " join orbit.test_suite_versions v on v.id = r.version_id"
            " cross join unnest(v.test_case_ids) with ordinality t (id, n) where r.id = $1",
            run["id"],
        )
        await connection.execute(
            "update orbit.test_runs set finished_at = now(), started_at = created_at, status = 'passed', counts = '{}'"
            " where id = $1",
            run["id"],
        )
        await connection.execute("analyze")
        note = "select orbit_private.note_pace(r) from orbit.test_runs r where r.id = $1"
        first = await timed(note, run["id"])
        await connection.execute("vacuum analyze orbit_private.test_pace")
        later = min([await timed(note, run["id"]) for _ in range(options.rounds)])
        starts: dict[str, list[float]] = {"suite": [], "impact": []}
        for _ in range(options.rounds):
            for name in starts:
                took, made = await start(shape, name)
                starts[name].append(took)
                await connection.execute("delete from orbit.test_runs where id = $1", made["id"])
        known = min([await timed(order, shape) for _ in range(options.rounds)])
        print(
            f"{shape:16}{min(starts['suite']):>9.1f}{min(starts['impact']):>10.1f}{known:>9.1f}{nothing:>15.1f}"
            f"{first * 1000 / tests:>11.1f}{later * 1000 / tests:>12.1f}",
            flush=True,
        )


async def _run(options: argparse.Namespace, admin: str) -> None:
    place = await Place.make(admin, "orbit_bench_order", None)
    try:
        if "news" in options.only:
            await _news(place, options)
        if "cost" in options.only:
            await _cost(place, options)
    finally:
        await place.drop(admin)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.order", description="Measure the order of a run's tests."
    )
    parser.add_argument("--tests", type=int, default=300)
    parser.add_argument("--past", type=int, default=20, help="runs before those that are measured")
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--many", type=int, default=10_000, help="tests of which the cost is measured")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="news,cost")
    options = parser.parse_args()
    options.only = options.only.split(",")
    if unknown := set(options.only) - {"news", "cost"}:
        parser.error(f"there is no section {min(unknown)!r}; there are news and cost")
    if given := os.environ.get("ORBIT_DATABASE_URL"):
        uvloop.run(_run(options, given))
        return 0
    from orbit_runner.local import DURABLE, Server

    with tempfile.TemporaryDirectory(prefix="orbit-bench-") as directory:
        Path(directory).chmod(0o755)  # as root, the server runs as an unprivileged account that must pass through
        server = Server(Path(directory), DURABLE)
        try:
            server.start()
            uvloop.run(_run(options, server.dsn()))
        finally:
            server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
