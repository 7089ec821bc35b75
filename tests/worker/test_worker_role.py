"""A worker whose role may call what a worker calls, and nothing else."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from support.command import OrbitCommand, line_with

if TYPE_CHECKING:
    from pathlib import Path

    from support.bench import Bench
    from support.database import Database
    from support.target import Target


async def test_the_role_of_a_runner_is_enough(
    bench: Bench, database: Database, target: Target, orbit: OrbitCommand, tmp_path: Path
) -> None:
    name, password = f"runner_{secrets.token_hex(4)}", secrets.token_hex(8)
    place = urlsplit(database.dsn)
    dsn = place._replace(netloc=f"{name}:{password}@{place.hostname}:{place.port}").geturl()
    async with database.connect() as connection:
        await connection.execute(f"create role {name} login password '{password}' in role orbit_runner")
        try:
            async with OrbitCommand(dsn, tmp_path, key=orbit.key) as runner:
                process = await runner.start("worker")
                await line_with(process.stderr, "serves")
                tests = {"ping": {"request": "/item/7", "capture": {"id": "$.id"}}}
                run = await bench.start(tests, base_url=target.url(""))
                finished = await bench.finished(run)
                assert finished.status == "passed", await bench.orbit.runs.results(run.id)
            refused = await runner("show")
            assert refused.code == 4
            assert "permission denied" in refused.stderr
        finally:
            await connection.execute(f"drop role {name}")
