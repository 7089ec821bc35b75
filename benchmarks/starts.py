"""What the audit log and limits cost a start.

    python -m benchmarks.starts [--starts 300] [--rounds 5] [--sql DIR]

The same starts in three databases, turn about: with orbit_private.audit() replaced by one that does nothing, as it is, and with a
rate and a quota of runs set that are never reached. One connection, then eight at once; all in one organisation, which is where
they meet. Each figure is the median of the rounds, with the lowest and the highest. On an embedded server of its own with Orbit's
durable settings: a commit waits for the disk.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import uvloop

from benchmarks.queue import Place, _call, _process_cpu

if TYPE_CHECKING:
    from asyncpg import Connection

_VARIANTS = {
    "not audited": """
        create or replace function orbit_private.audit(
          p_organization_id uuid, p_action text, p_resource_type text, p_resource_id text,
          p_before jsonb default null, p_after jsonb default null, p_resource_name text default null)
        returns void language plpgsql set search_path = '' as $$ begin end $$""",
    "audited": "",
    "audited, limited": """select orbit.set_limits('{"all": true, "limits": {"concurrent_runs": 1000000000,
        "start_run": {"amount": 1000000, "per": 1, "burst": 1000000}}}')""",
}


async def _starts(connection: Connection, count: int) -> float:
    """Seconds of CPU that the server took for them."""
    before = _process_cpu(connection.get_server_pid())
    for _ in range(count):
        await _call(connection, "start_run", {"suite": "free-10", "private": True})
    return _process_cpu(connection.get_server_pid()) - before


async def _run(options: argparse.Namespace, admin: str) -> None:
    places = {}
    for number, (variant, statement) in enumerate(_VARIANTS.items()):
        place = await Place.make(admin, f"orbit_starts_{number}", options.sql)
        await place.start("free", 10)
        if statement:
            await place.connection.execute(statement)
        places[variant] = place
    for count in (1, 8):
        each = options.starts // count
        wall: dict[str, list[float]] = {variant: [] for variant in places}
        cpu: dict[str, list[float]] = {variant: [] for variant in places}
        pools = {variant: [await asyncpg.connect(place.dsn) for _ in range(count)] for variant, place in places.items()}
        for pool in pools.values():
            await asyncio.gather(*(_starts(connection, 20) for connection in pool))  # plans are made
        for _ in range(options.rounds):
            for variant, place in places.items():
                began = time.perf_counter()
                used = await asyncio.gather(*(_starts(connection, each) for connection in pools[variant]))
                wall[variant].append((time.perf_counter() - began) / (each * count) * 1000)
                cpu[variant].append(sum(used) / (each * count) * 1000)
                # What their end would do: the quota counts runs that are not finished.
                await place.connection.execute(
                    "truncate orbit_private.run_progress, orbit_private.job, orbit_private.ready, orbit_private.run_event"
                )
                await place.connection.execute("vacuum analyze orbit.test_runs, orbit_private.audit_pending")
        print(f"{count} connection{'s'[: count > 1]}, runs of 10 tests: ms a start, and of them CPU of the server")
        for variant, values in wall.items():
            median, busy = statistics.median(values), statistics.median(cpu[variant])
            print(f"  {variant:<18} {median:6.3f}  ({min(values):.3f} to {max(values):.3f})  CPU {busy:.3f}")
        for pool in pools.values():
            for connection in pool:
                await connection.close()
    for place in places.values():
        await place.drop(admin)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.starts", description="Measure what a start costs.")
    parser.add_argument("--starts", type=int, default=300, help="a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sql", type=Path, help="another directory of migrations")
    options = parser.parse_args()
    from orbit_runner.local import DURABLE, Server

    with tempfile.TemporaryDirectory(prefix="orbit-bench-") as directory:
        Path(directory).chmod(0o755)  # as root, the server runs as an unprivileged account that must pass through
        server = Server(Path(directory) / "durable", DURABLE)
        try:
            server.start()
            uvloop.run(_run(options, server.dsn()))
        finally:
            server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
