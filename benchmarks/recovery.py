"""How long a test that was under way in a killed worker waits for another one.

    python -m benchmarks.recovery [--rounds 5] [--workers 4] [--slots 8] [--tests 400] [--kill 2]

Workers as users start them (`orbit worker`), with the defaults: a heartbeat every 2.5 s, a lease of 10 s. In the middle of a run
of tests that take 0.3 s each, some of them are killed with kill -9. Measured by the database's clock, from the kill: until each
test that they held was claimed again, and until the run was over. On an embedded server of its own with Orbit's durable settings.
Beside it stands what others document of their defaults; that is read, not measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import asyncpg
from orbit_runner import migrate
from orbit_runner.local import DURABLE, Server

from orbit_context.client import Orbit
from orbit_context.seal import generate_key
from orbit_context.suite.load import load_suite

DOCUMENTED = {
    "Hatchet": "30 s without a heartbeat",
    "PgQueuer": "30 s: a heartbeat for each job",
    "Chancy": "about 60 s: a leader sweeps",
    "Buildkite": "180 to 240 s",
    "Checkly agents": "300 s; lost at 360 s",
    "Oban for Python": "300 s, looked at every 60 s",
    "pg-boss": "15 min, unless heartbeats are asked for",
    "River": "1 h",
    "Oban": "1 h, by a plugin; at once in the paid edition",
    "Graphile Worker": "4 h",
    "pgmq": "the visibility timeout that each read names",
    "Procrastinate": "never, unless you schedule the task that looks for them",
    "DBOS": "when the same executor starts again",
}
TARGET_SECONDS = 15.0


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            await asyncio.sleep(0.3)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}")
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


class _Workers:
    def __init__(self, dsn: str, folder: Path, slots: int) -> None:
        self._environ = os.environ | {"ORBIT_DATABASE_URL": dsn, "ORBIT_SECRET_KEY": generate_key()}
        self._folder = folder
        self._slots = slots
        self._made = 0
        self.alive: list[tuple[str, subprocess.Popen[bytes]]] = []

    def _start(self, name: str, log: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "orbit_runner", "worker", "--name", name, "--slots", str(self._slots)]
        with log.open("wb") as said:
            return subprocess.Popen(
                command, cwd=self._folder, env=self._environ, stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )

    async def fill(self, count: int) -> None:
        """As many as that, all of which serve."""
        while len(self.alive) < count:
            self._made += 1
            name = f"worker-{self._made}"
            log = self._folder / f"{name}.log"
            process = await asyncio.to_thread(self._start, name, log)
            self.alive.append((name, process))
            async with asyncio.timeout(60):
                while " serves " not in log.read_text():
                    if process.poll() is not None:
                        raise RuntimeError(log.read_text())
                    await asyncio.sleep(0.02)

    def kill(self, count: int) -> list[str]:
        killed, self.alive = self.alive[:count], self.alive[count:]
        for _, process in killed:
            process.kill()
        for _, process in killed:
            process.wait()
        return [name for name, _ in killed]


async def _round(
    orbit: Orbit, connection: Any, workers: _Workers, suite: Any, options: argparse.Namespace
) -> dict[str, Any]:
    await workers.fill(options.workers)
    run = await orbit.runs.start(suite_id=suite.suite_id)
    done = "select count(*) from orbit.test_results where run_id = $1"
    while await connection.fetchval(done, run.id) < options.tests / 4:  # noqa: ASYNC110 - other processes are waited for
        await asyncio.sleep(0.02)
    names = workers.kill(options.kill)
    killed_at = await connection.fetchval("select clock_timestamp()")
    held = await connection.fetchval(
        "select count(*) from orbit_private.job j join orbit_private.worker w on w.id = j.worker_id where w.name = any ($1)",
        names,
    )
    over = await orbit.runs.wait(run.id, timeout=180)
    results = await orbit.runs.results(run.id)
    lost = {result.key for result in results if result.attempts > 1}
    claims: dict[str, float] = {}
    after = 0
    while events := [event async for event in orbit.runs.events(run.id, after=after)]:
        for event in events:
            if event.kind == "test_started" and event.key in lost and (event.attempt or 1) > 1:
                claims.setdefault(event.key or "", (event.at - killed_at).total_seconds())
        after = events[-1].seq
    if over.finished_at is None or over.status != "passed" or len(results) != options.tests or len(lost) != held:
        raise RuntimeError(f"{over.status}, {len(results)} results, {len(lost)} run again of {held} that were held")
    return {"held": held, "claims": sorted(claims.values()), "end": (over.finished_at - killed_at).total_seconds()}


async def _run(options: argparse.Namespace, dsn: str, folder: Path) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(dsn)
    await migrate.push(connection)
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    tests = {
        f"t{n}": {"request": f"http://127.0.0.1:{port}/{n}", "expect": {"status": 200}} for n in range(options.tests)
    }
    path = folder / "suite.yaml"
    path.write_text(json.dumps({"version": 1, "suite": "recovery", "tests": tests}))
    workers = _Workers(dsn, folder, options.slots)
    try:
        async with Orbit.connect(dsn) as orbit:
            suite = await orbit.suites.save(load_suite(path))
            rounds = []
            for number in range(options.rounds):
                rounds.append(one := await _round(orbit, connection, workers, suite, options))
                print(
                    f"  round {number + 1}: {one['held']} tests in hand; claimed again {one['claims'][0]:.1f} to"
                    f" {one['claims'][-1]:.1f} s after the kill; the run was over after {one['end']:.1f} s",
                    flush=True,
                )
            return rounds
    finally:
        workers.kill(len(workers.alive))
        server.close()
        await connection.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--kill", type=int, default=2, help="how many of them")
    parser.add_argument("--tests", type=int, default=400)
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="orbit-recovery-") as text:
        folder = Path(text)
        folder.chmod(0o755)  # as root, the server runs as an unprivileged account that must pass through
        server = Server(folder / "home", DURABLE)
        server.start()
        try:
            rounds = asyncio.run(_run(options, server.dsn(), folder))
        finally:
            server.stop()
    claims = [seconds for one in rounds for seconds in one["claims"]]
    print(f"{options.tests} tests, {options.kill} of {options.workers} workers killed, {options.rounds} rounds:")
    print(
        f"  Orbit             claimed again after {statistics.median(claims):.1f} s (median), {max(claims):.1f} s (the last)"
    )
    print(
        f"                    the run was over {statistics.median(one['end'] for one in rounds):.1f} s after the kill (median)"
    )
    print("as documented by others (defaults; not measured here):")
    for name, what in DOCUMENTED.items():
        print(f"  {name:<17} {what}")
    print(f"took {time.monotonic() - began:.0f} s")
    return 0 if max(claims) < TARGET_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
