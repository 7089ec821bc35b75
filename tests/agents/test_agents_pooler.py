"""Workers whose way to Postgres is a pooler in transaction mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.command import OrbitCommand
from support.fleet import Fleet
from support.pooler import pooler

if TYPE_CHECKING:
    from pathlib import Path

    from support.bench import Bench
    from support.postgres import Database
    from support.target import Target


async def test_two_workers_run_a_suite_over_a_few_backends(
    bench: Bench, database: Database, target: Target, orbit: OrbitCommand, tmp_path: Path
) -> None:
    tests = {
        "login": {"request": "/login", "capture": {"token": {"json": "$.access_token", "share": "token"}}},
        **{
            f"me {number}": {
                "needs": ["login"],
                "request": {"GET": "/me?seconds=0.05", "auth": {"bearer": "{{shared_auth_tokens.token}}"}},
                "expect": {"status": 200},
            }
            for number in range(60)
        },
    }
    async with pooler(database.dsn, tmp_path, "transaction", size=3) as dsn:
        fleet = Fleet(dsn, tmp_path, orbit.key)
        try:
            await fleet.start_many("one", "two", slots=3)
            run = await bench.start(tests, base_url=target.url(""))
            done = await bench.finished(run)
            assert (done.status, done.counts.passed) == ("passed", 61), await bench.orbit.runs.results(run.id)
            await bench.check_whole(run)
            # While they still run: the idle ones poll, and have nothing to complain about.
            second = await bench.start({"ping": {"request": "/item/7"}}, base_url=target.url(""))
            assert (await bench.finished(second)).status == "passed"
            for name in ("one", "two"):
                lines = fleet.log(name).splitlines()
                assert not [line for line in lines if "rror" in line or "again" in line or "heartbeat" in line], lines
            async with database.connect() as connection:
                workers = "select count(distinct worker_id) from orbit.test_results where run_id = $1"
                assert await connection.fetchval(workers, run.id) == 2
            async with OrbitCommand(dsn, tmp_path, key=orbit.key) as command:  # a run that brings its own worker
                shown = await command("run", command.suite({"ping": {"request": "/item/7"}}, base_url=target.url("")))
                assert shown.code == 0, shown.stderr
        finally:
            await fleet.close()
