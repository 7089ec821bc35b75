"""Affinity groups: installs saved, and whether balance and priority suffer. A simulation on the real queue.

    python -m benchmarks.groups [--jobs 500] [--versions 20] [--workers 4] [--install 60] [--seed 1]

Each job is a run of one test that needs one version of an app on the device of whoever executes it; a worker has one device with
one version on it. Workers call the real `advance`; what an install and a test take is counted on a clock of the simulation's own,
on which the worker that is free first asks next. The same jobs three times:

    none     without groups: whoever is free takes what is next, and installs where the device has another version
    groups   as groups
    ideal    what no order can beat: each version installed once, and work shared out evenly

The jobs are there from the start, or arrive spread over five seconds each. Shares of versions: even, or as in real fleets (the
newest has half, the one before it half of the rest, …).
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from benchmarks.queue import Place, _call

if TYPE_CHECKING:
    from asyncpg import Connection

_ADVANCE = "select kind, job_id, attempt, rank, payload from orbit_runner.advance($1, 0, $2, $3, $4, $5, $6)"
_URGENT = 10


@dataclass(slots=True)
class Job:
    """One test: which version it needs, when it arrives, how long it takes, how urgent it is."""

    version: str
    arrives: float
    seconds: float
    priority: int


@dataclass(slots=True)
class Device:
    """A worker with one device."""

    key: int
    version: str | None = None
    busy: float = 0.0
    report: tuple[int, int, float] | None = None


@dataclass(slots=True)
class Outcome:
    """What one way of handing out came to."""

    installs: int = 0
    end: float = 0.0
    busy: list[float] = field(default_factory=list)
    waits: dict[bool, list[float]] = field(default_factory=lambda: {True: [], False: []})
    """Seconds from arrival to start, of urgent jobs and of the others."""


def _jobs(count: int, versions: int, skewed: bool, spread: float, seed: int) -> list[Job]:
    chance = random.Random(seed)
    weights = [0.5**n if skewed and n < 12 else (0.5**12 if skewed else 1.0) for n in range(versions)]
    names = [f"v{n:02}" for n in range(versions)]
    jobs = [
        Job(
            chance.choices(names, weights)[0],
            chance.uniform(0, spread),
            chance.uniform(5, 15),
            _URGENT if chance.random() < 0.05 else 0,
        )
        for _ in range(count)
    ]
    return sorted(jobs, key=lambda job: job.arrives)


async def _simulate(connection: Connection, jobs: list[Job], workers: int, install: float, grouped: bool) -> Outcome:
    outcome = Outcome()
    devices = [
        Device(
            await connection.fetchval(
                "select orbit_runner.register_worker($1, 1)", f"device-{grouped}-{n}-{random.random()}"
            )
        )
        for n in range(workers)
    ]
    of_job: dict[int, Job] = {}
    arriving = list(reversed(jobs))
    # (when, tie, device): when it asks next
    asking = [(0.0, n, device) for n, device in enumerate(devices)]
    heapq.heapify(asking)
    tie, left = len(devices), len(jobs)
    while left:
        now, _, device = heapq.heappop(asking)
        while arriving and arriving[-1].arrives <= now:
            job = arriving.pop()
            request: dict[str, Any] = {"suite": "one", "priority": job.priority}
            if grouped:
                request["group"] = job.version
            run = await _call(connection, "start_run", request)
            of_job[run["queue_no"] << 20] = job
        ended = [device.report] if device.report else []
        left -= len(ended)
        rows = await connection.fetch(
            _ADVANCE,
            device.key,
            1,
            [job_id for job_id, _, _ in ended],
            [attempt for _, attempt, _ in ended],
            ["passed"] * len(ended),
            [seconds for _, _, seconds in ended],
        )
        device.report = None
        then = now
        for row in rows:
            if row["kind"] == "group":
                group = json.loads(row["payload"])
                if group["key"] != device.version:
                    outcome.installs += 1
                    device.version, then = group["key"], now + install
                await connection.execute("select orbit_runner.group_ready($1, $2, true)", device.key, row["job_id"])
                device.busy += then - now
                then = max(then, now + 1e-6)
            elif row["kind"] == "job":
                job = of_job[row["job_id"]]
                begin = now
                if not grouped and device.version != job.version:
                    outcome.installs += 1
                    device.version, begin = job.version, now + install
                outcome.waits[job.priority > 0].append(begin - job.arrives)
                then = begin + job.seconds
                device.busy += then - now
                device.report = (row["job_id"], row["attempt"], job.seconds)
        if then == now:  # nothing for it: it looks again when something arrives or another one is done
            others = [when for when, _, other in asking if other.report or when > now + 1e-3]
            others += [arriving[-1].arrives] if arriving else []
            then = min(others, default=now) + 1e-3
        outcome.end = max(outcome.end, then if device.report else 0.0)
        tie += 1
        heapq.heappush(asking, (then, tie, device))
    outcome.busy = [device.busy for device in devices]
    for device in devices:
        await connection.execute("select orbit_runner.retire_worker($1)", device.key)
    await connection.execute("delete from orbit_private.lane where id <> 0")
    return outcome


def _show(name: str, outcome: Outcome, jobs: list[Job]) -> None:
    urgent, other = (sorted(outcome.waits[is_urgent]) for is_urgent in (True, False))
    unevenness = (max(outcome.busy) - min(outcome.busy)) / max(mean(outcome.busy), 1e-9)
    print(
        f"  {name:<8}{outcome.installs:>9}{outcome.end / 60:>11.1f}{unevenness:>13.1%}"
        f"{mean(urgent) / 60 if urgent else 0:>16.1f}{mean(other) / 60:>15.1f}{max(urgent + other) / 60:>10.1f}"
    )
    assert len(urgent) + len(other) == len(jobs)


async def _run(options: argparse.Namespace, dsn: str) -> None:
    place = await Place.make(dsn, "orbit_bench_groups", None)
    try:
        document = {"tests": [{"key": "t", "request": {"method": "GET", "url": "/"}}]}
        await _call(place.connection, "save_suite", {"key": "one", "document": document})
        await place.connection.execute("select orbit_runner.retire_worker($1)", place.worker)
        for skewed in (False, True):
            for spread in (0.0, options.jobs * 5.0):
                jobs = _jobs(options.jobs, options.versions, skewed, spread, options.seed)
                used = len({job.version for job in jobs})
                shares = "one is popular" if skewed else "even shares"
                arrival = "arriving over time" if spread else "all at once"
                print(f"{options.jobs} jobs of 5 to 15 s, {used} versions ({shares}), {arrival};", end=" ")
                print(f"{options.workers} workers, {options.install:.0f} s an install; waits in minutes")
                print("          installs    minutes   unevenness     urgent wait   others' wait   longest")
                plain = await _simulate(place.connection, jobs, options.workers, options.install, False)
                grouped = await _simulate(place.connection, jobs, options.workers, options.install, True)
                _show("none", plain, jobs)
                _show("groups", grouped, jobs)
                work = sum(job.seconds for job in jobs) + used * options.install
                print(f"  {'ideal':<8}{used:>9}{work / options.workers / 60:>11.1f}")
                saved, possible = 1 - grouped.installs / plain.installs, 1 - used / plain.installs
                print(f"  installs saved: {saved:.0%} of {possible:.0%} possible\n", flush=True)
    finally:
        await place.drop(dsn)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.groups", description="Installs saved by affinity groups."
    )
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--versions", type=int, default=20)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--install", type=float, default=60.0, help="seconds")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    from orbit_runner.local import DURABLE, Server

    with tempfile.TemporaryDirectory(prefix="orbit-bench-") as directory:
        Path(directory).chmod(0o755)  # as root, the server runs as an unprivileged account that must pass through
        server = Server(Path(directory) / "server", {**DURABLE, "fsync": "off"})
        try:
            server.start()
            asyncio.run(_run(options, server.dsn()))
        finally:
            server.stop()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
