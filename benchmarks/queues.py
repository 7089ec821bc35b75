"""Orbit's queue beside others on Postgres: putting in, working off, picking up.

    python -m benchmarks.queues [--jobs 5000] [--rounds 3] [--pickups 102] [--only enqueue,drain,pickup] [--tools orbit,pgqueuer]

All on one embedded server with Orbit's durable settings (fsync on), each tool in a database and a process of its own and in
turns: each round has every tool once, in an order that is shuffled anew. Only one of them works at a time. Figures are the
median of the rounds with the lowest and the highest, a pick-up's over all jobs of all rounds. Tools are installed, at fixed
versions, into `.bench/`; one that cannot be had is named and left out. The drivers are in benchmarks/queue_peers/; each refuses
to answer where a job was handled twice, lost or left over, and then the tool's figures are thrown away.

Alike: the server, uvloop for whoever is written in Python, no-op jobs, one call that puts all of them in, the tables freshly
vacuumed, one process that works off, the insert and the handler of a pick-up in one process by one clock.

Not alike, for Orbit: its jobs carry ids, no payload (the test is in the saved suite, which is saved before); start_run makes them
on the server from that suite, so that no row crosses the wire, where the others' payloads do. `batch 100` and `batch 10` are bare
claims and reports through RunnerGateway, with no executor, no tasks and no heartbeat: what the queue can do. `worker, 100 slots`
is a real worker with an executor that does nothing: that is the line to hold beside the others' workers.
Not alike, against Orbit: with each job it keeps a result for good, counters, events, what depends on it and the run's context;
each of its pick-ups starts a whole run, which the worker has to load. Of the others Procrastinate keeps the job's row and its
events, pg-boss the job's row, PgQueuer a row in its log, Graphile Worker nothing.
Not alike, for the others: a drain ends for them when the last handler was called (first column of the table), for Orbit's gateway
when the last result is recorded. The second column has it recorded for all; it may hold a wait of theirs before the last write.
pg-boss is drained by fetch() and complete(), without a worker, which would rest between two batches.

Versions are the newest that the Node of this machine runs (20): pg-boss 11 and Graphile Worker 0.18 ask for 22. pg-boss 12 can
notify; 10 looks twice a second, which is all that its pick-up says. The floor is no tool: a bare table, see its driver.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / ".bench"
SECTIONS = ("enqueue", "drain", "pickup")
PIP = {
    "pgqueuer": ["pgqueuer==1.6.0", "asyncpg==0.32.0", "uvloop==0.23.0"],
    "procrastinate": ["procrastinate==3.10.0", "psycopg[binary,pool]==3.3.9", "uvloop==0.23.0"],
}
NPM = {
    "graphile-worker": ["graphile-worker@0.17.3", "pg@8.16.3"],
    "pg-boss": ["pg-boss@10.4.2", "pg@8.16.3"],
}
WAYS = {
    "floor": ("batch 100",),
    "orbit": ("batch 100", "batch 10", "worker, 100 slots"),
    "pgqueuer": ("batch 500", "batch 10"),
    "procrastinate": ("concurrency 10", "concurrency 10, deleting"),
    "graphile-worker": ("local queue", "no batching"),
    "pg-boss": ("batch 500, 4 loops",),
}
"""How each is drained: its best setting first, for some their default beside it."""
BASES = ("orbit, batch 100", "orbit, worker, 100 slots")
PATIENCE = 600.0


@dataclass(slots=True)
class Figures:
    """What was measured of one tool. Seconds."""

    enqueue: list[float] = field(default_factory=list)
    drain: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    pickup: list[float] = field(default_factory=list)
    middle: list[float] = field(default_factory=list)
    """The median pick-up of each round."""


class DriverError(Exception):
    """A driver ended, or does not answer."""


# -- the tools


def _install(name: str, command: list[str]) -> bool:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{name}: {done.stderr.strip()[-300:]}", file=sys.stderr)
    return done.returncode == 0


def _installed(name: str, folder: Path, packages: list[str], commands: list[list[str]]) -> bool:
    """Whether these packages are there, or are now. What the last installation gave is written beside it."""
    note = folder / "orbit-bench-versions"
    if note.exists() and note.read_text().split() == packages:
        return True
    print(f"{name}: installing into .bench/", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if not all(_install(name, command) for command in commands):
        return False
    note.write_text("\n".join(packages))
    return True


def _tools(chosen: list[str]) -> dict[str, list[str]]:
    """Tool to the command of its driver, which the database's address is inserted into; installs what is missing."""
    found: dict[str, list[str]] = {}
    for name in chosen:
        folder = BENCH / f"queue-{name}"
        if name in PIP:
            python = str(folder / "bin" / "python")
            commands = [[sys.executable, "-m", "venv", str(folder)], [python, "-m", "pip", "install", *PIP[name]]]
            if _installed(name, folder, PIP[name], commands):
                found[name] = [python, "-m", f"benchmarks.queue_peers.{name}", "{dsn}"]
        elif name in NPM:
            command = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", *NPM[name]]
            there = shutil.which("node") and shutil.which("npm")
            if there and _installed(name, folder, NPM[name], [command]):
                driver = str(ROOT / "benchmarks" / "queue_peers" / f"{name}.mjs")
                found[name] = ["node", driver, "{dsn}", str(folder)]
        else:
            found[name] = [sys.executable, "-m", f"benchmarks.queue_peers.{name}", "{dsn}"]
        if name not in found:
            print(f"{name}: not here and not to be had; left out")
    return found


class Driver:
    """The process of one tool, and its database."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log

    @classmethod
    async def start(cls, name: str, command: list[str], admin: str, folder: Path) -> Driver:
        database = f"orbit_bench_{name.replace('-', '_')}"
        owner = await asyncpg.connect(admin)
        await owner.execute(f"drop database if exists {database} with (force)")
        await owner.execute(f"create database {database} template template0")
        await owner.close()
        dsn = urlunsplit(urlsplit(admin)._replace(path=f"/{database}"))
        hidden = ("ORBIT_", "SUPABASE_", "PG", "PYTHONDONTWRITEBYTECODE")
        environment = {key: text for key, text in os.environ.items() if not key.startswith(hidden)}
        log = folder / f"{name}.log"
        with log.open("wb") as said:
            process = await asyncio.create_subprocess_exec(
                *(part.replace("{dsn}", dsn) for part in command),
                cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, limit=2**24,
            )  # fmt: skip
        driver = cls(name, process, log)
        try:
            await driver.ask(do="setup")
        except DriverError:
            await driver.close()
            raise
        return driver

    async def ask(self, **order: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            await self._process.stdin.drain()
            async with asyncio.timeout(PATIENCE):
                line = await self._process.stdout.readline()
        except (OSError, TimeoutError) as error:
            raise DriverError(f"{type(error).__name__}: {self._said()}") from error
        if not line:
            raise DriverError(self._said())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _said(self) -> str:
        return " ".join(self._log.read_text(errors="replace").split())[-400:]

    async def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


# -- measuring


async def _round(driver: Driver, options: argparse.Namespace, jobs: int, pickups: int, figures: Figures | None) -> None:
    """Everything of one tool once. Without figures it is a warm-up."""
    if {"enqueue", "drain"} & set(options.only):
        for way in WAYS[driver.name] if "drain" in options.only else WAYS[driver.name][:1]:
            put = await driver.ask(do="enqueue", jobs=jobs)
            done = await driver.ask(do="drain", jobs=jobs, how=way)
            if figures:
                figures.enqueue.append(put["seconds"])
                figures.drain.setdefault(way, []).append((done["seconds"], done["recorded"]))
    if "pickup" in options.only:
        found = (await driver.ask(do="pickup", jobs=pickups))["latencies"]
        if figures:
            figures.pickup += found
            figures.middle.append(statistics.median(found))


async def _run(options: argparse.Namespace, commands: dict[str, list[str]], admin: str, folder: Path) -> int:
    owner = await asyncpg.connect(admin)
    version, fsync = await owner.fetchrow("select current_setting('server_version'), current_setting('fsync')")
    await owner.close()
    print(
        f"PostgreSQL {version}, fsync {fsync}, {os.cpu_count()} cores, {options.jobs:,} jobs, {options.rounds} rounds,"
        f" Python {sys.version.split()[0]}"
    )
    print("  " + ", ".join(package for name in commands for package in (PIP | NPM).get(name, [])[:1]), flush=True)
    drivers: dict[str, Driver] = {}
    figures = {name: Figures() for name in commands}
    failed = False

    async def attempt(name: str, jobs: int, pickups: int, into: Figures | None) -> None:
        nonlocal failed
        try:
            if name not in drivers:
                drivers[name] = await Driver.start(name, commands[name], admin, folder)
            await _round(drivers[name], options, jobs, pickups, into)
        except DriverError as error:
            print(f"{name}: left out, its driver failed: {error}", flush=True)
            failed = True
            del figures[name]
            if driver := drivers.pop(name, None):
                await driver.close()

    try:
        for name in commands:
            await attempt(name, min(options.jobs, 1000), 1, None)
        order = random.Random(1)  # the same order for whoever repeats this
        for number in range(options.rounds):
            names = list(figures)
            order.shuffle(names)
            for name in names:
                print(f"  round {number + 1}: {name}", file=sys.stderr, flush=True)
                await attempt(name, options.jobs, math.ceil(options.pickups / options.rounds), figures[name])
    finally:
        for driver in drivers.values():
            await driver.close()
    _report(options, figures)
    return 1 if failed else 0


# -- what is printed


def _spread(values: list[float], form: str = ",.0f") -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}}–{max(values):{form}})"


def _table(title: str, head: list[str], rows: list[list[str]]) -> None:
    print(f"\n{title}\n\n| {' | '.join(head)} |\n|---{'|---:' * (len(head) - 1)}|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def _ratio(base: list[float] | None, values: list[float]) -> str:
    return f"{statistics.median(base) / statistics.median(values):.2f} ×" if base else "-"


def _late(values: list[float]) -> float:
    return sorted(values)[math.ceil(len(values) * 0.95) - 1]


def _by_speed(rows: dict[str, list[float]]) -> list[str]:
    return sorted(rows, key=lambda name: -statistics.median(rows[name]))


def _report(options: argparse.Namespace, figures: dict[str, Figures]) -> None:
    if "enqueue" in options.only:
        rates = {name: [options.jobs / seconds for seconds in one.enqueue] for name, one in figures.items()}
        rows = [[name, _spread(rates[name]), _ratio(rates.get("orbit"), rates[name])] for name in _by_speed(rates)]
        _table(f"Putting in {options.jobs:,} jobs by one call", ["", "jobs/s", "orbit ÷ it"], rows)
    if "drain" in options.only:
        ways = {f"{name}, {way}": rounds for name, one in figures.items() for way, rounds in one.drain.items()}
        handled = {way: [options.jobs / seconds for seconds, _ in rounds] for way, rounds in ways.items()}
        recorded = {way: [options.jobs / seconds for _, seconds in rounds] for way, rounds in ways.items()}
        rows = [
            [way, _spread(handled[way]), _spread(recorded[way]), *(_ratio(handled.get(b), handled[way]) for b in BASES)]
            for way in _by_speed(handled)
        ]
        head = ["", "jobs/s to the last handler", "jobs/s until recorded", "orbit batch 100 ÷ it", "orbit worker ÷ it"]
        _table(f"Working off {options.jobs:,} no-op jobs by one process", head, rows)
    if "pickup" in options.only:
        waits = {name: [1e3 * seconds for seconds in one.pickup] for name, one in figures.items()}
        rows = [
            [
                name,
                f"{len(waits[name])}",
                _spread([1e3 * seconds for seconds in figures[name].middle], ".1f"),
                f"{_late(waits[name]):.1f}",
                f"{max(waits[name]):.1f}",
                f"{statistics.median(waits[name]) / statistics.median(waits['orbit']):.2f} ×"
                if "orbit" in waits
                else "-",
            ]
            for name in reversed(_by_speed(waits))
        ]
        head = ["", "jobs", "p50 ms of the rounds", "p95 ms", "longest ms", "its p50 ÷ orbit's"]
        _table("Picking up: from the call that puts in one job to its handler, nothing else to do", head, rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queues", description="Orbit's queue beside others.")
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pickups", type=int, default=102, help="of each tool in all rounds together")
    parser.add_argument("--only", default=",".join(SECTIONS), help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--tools", default=",".join(WAYS), help=f"of {', '.join(WAYS)}")
    options = parser.parse_args()
    for given, there in (("only", SECTIONS), ("tools", tuple(WAYS))):
        chosen = getattr(options, given).split(",")
        if unknown := set(chosen) - set(there):
            parser.error(f"--{given}: there is no {min(unknown)!r}; there are {', '.join(there)}")
        setattr(options, given, chosen)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server does not outlive this
    commands = _tools(options.tools)
    from orbit_runner.local import DURABLE, Server

    with tempfile.TemporaryDirectory(prefix="orbit-bench-") as directory:
        Path(directory).chmod(0o755)  # as root, the server runs as an unprivileged account that must pass through
        server = Server(Path(directory) / "durable", DURABLE)
        try:
            server.start()
            return asyncio.run(_run(options, commands, server.dsn(), Path(directory)))
        finally:
            server.stop()


if __name__ == "__main__":
    sys.exit(main())
