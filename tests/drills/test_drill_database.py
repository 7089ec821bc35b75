"""The database is shot down and started again, ends every session, or loses its answers: workers come back by themselves."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from orbit_runner import migrate
from support.bench import Bench, until
from support.command import OrbitCommand
from support.drills import LONG, settled, some_tests, tell, worst
from support.fleet import Fleet
from support.postgres import Database

if TYPE_CHECKING:
    from orbit_runner.local import Server
    from support.line import DatabaseLine
    from support.postgres import Cluster
    from support.target import Target

_SEEN = "select count(distinct name) from orbit_private.worker where name = any ($1) and seen_at > $2"
NAMES = ("one", "two", "three", "four")


def shoot(server: Server) -> None:
    """What `pg_ctl stop -m immediate` does: nothing is finished, nothing is written."""
    pid = server.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGQUIT)
    while server.status().state != "stopped" or Path(f"/proc/{pid}").exists():
        time.sleep(0.01)


async def all_seen(database: Database, names: tuple[str, ...], times: int = 1) -> float:
    """Waits until every worker has been heard of so many times from now on; seconds."""
    began = time.monotonic()
    async with database.connect() as connection:
        for _ in range(times):
            now = await connection.fetchval("select clock_timestamp()")
            async with asyncio.timeout(60):
                while await connection.fetchval(_SEEN, names, now) < len(names):  # noqa: ASYNC110 (others are waited for)
                    await asyncio.sleep(0.02)
    return time.monotonic() - began


@pytest.mark.timeout(300 if LONG else 120)
async def test_postgres_is_shot_down_twice_and_ends_every_session_twenty_times(
    own_server: Server, cluster: Cluster, tmp_path: Path, target: Target
) -> None:
    admin = await asyncpg.connect(own_server.dsn())
    await migrate.push(admin)
    await admin.close()
    database = Database("postgres", own_server.dsn(), cluster)
    count, seconds, lease = (600, 0.5, None) if LONG else (160, 0.2, 4.0)
    back: list[float] = []
    async with OrbitCommand(database.dsn, tmp_path) as orbit:
        bench, fleet = Bench(database, orbit), Fleet(database.dsn, tmp_path, orbit.key)
        try:
            await fleet.start_many(*NAMES, slots=4, lease=lease)
            run = await bench.start(some_tests(count, seconds), base_url=target.url(""))
            for share in (0.15, 0.3):
                await until(lambda share=share: len(target.requests) > count * share, within=60)  # type: ignore[misc]
                shoot(own_server)
                await asyncio.to_thread(own_server.start)
                assert own_server.dsn() == database.dsn  # the same port: nobody has to be told
                back.append(await all_seen(database, NAMES))
            ended = 0
            async with database.connect() as connection:
                for _ in range(20):
                    ended += await connection.fetchval(
                        "with others as materialized (select pid from pg_stat_activity where pid <> pg_backend_pid()"
                        " and datname = current_database() and backend_type = 'client backend')"
                        " select count(*) filter (where pg_terminate_backend(pid)) from others"
                    )
                    await asyncio.sleep(0.1)
            await all_seen(database, NAMES, times=2)  # the heart beats on, not once
            done = await bench.finished(run, within=200)
            assert (done.status, done.counts.passed) == ("passed", count + 1)
            assert ended > 20
            results = await settled(bench, run)
            for name in NAMES:
                assert fleet.processes[name].poll() is None
                assert "Traceback" not in fleet.log(name)
            sent = Counter(request.target for request in target.requests)
            tell(
                f"R3: {count + 1} tests, 4 workers, 2 immediate restarts, {ended} sessions ended in 20 rounds: 0 lost, 0 twice;"
                f" {sum(result.attempts > 1 for result in results)} run again, {sum(n > 1 for n in sent.values())} sent twice;"
                f" all workers were heard of again after: {worst(back)}"
            )
            if LONG:
                assert max(back) <= 10
        finally:
            await fleet.close()
            await bench.close()


@pytest.mark.timeout(120)
async def test_what_was_committed_and_never_answered_is_neither_lost_nor_done_twice(
    bench: Bench, fleet: Fleet, target: Target, line: DatabaseLine
) -> None:
    """The line swallows the answers to commits of two workers: what they report again changes nothing."""
    count, losses = (600, 60) if LONG else (150, 15)
    tests: dict[str, Any] = {f"t{n}": {"request": f"/slow?seconds=0.05&n={n}"} for n in range(count)}
    tests |= {f"after{n}": {"needs": [f"t{n}"], "request": f"/item/{n}"} for n in range(0, count, 3)}
    for name in ("one", "two"):
        await fleet.start(name, slots=4, lease=10, dsn=line.dsn)
    run = await bench.start(tests, base_url=target.url(""))
    for loss in range(losses):
        await until(lambda loss=loss: len(target.requests) > loss * count / losses, within=60)  # type: ignore[misc]
        line.lose = 1
    done = await bench.finished(run, within=100)
    assert (done.status, done.counts.passed) == ("passed", len(tests))
    results = await settled(bench, run)
    assert {result.attempts for result in results} == {1}
    assert line.lost >= losses - 2
    sent = Counter(request.target for request in target.requests)
    assert set(sent.values()) == {1}, "a test was sent twice"
    assert len(sent) == len(tests)
    again = sum(fleet.log(name).count("came too late and was ignored") for name in ("one", "two"))
    assert again > 0, "no report was said twice: the line lost nothing that mattered"
    tell(f"R4: {line.lost} answers lost after their commit; {again} reports were said twice and changed nothing")
