"""No tool: a bare table, which is as little as a queue on Postgres can do. No attempts, no priorities, nobody who has died.

A job is a number; to work off is to delete a hundred and write them into a second table, one statement, one round trip.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import asyncpg

from benchmarks.queue_peers.serve import Handled, Started, latencies, serve

_TAKE = """
with taken as (
  delete from job where id = any (array(select id from job order by id limit $1 for update skip locked)) returning id)
insert into done select id, now() from taken returning id
"""


class Floor:
    """See the module."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._handled = Handled()

    async def setup(self) -> None:
        self._connection = await asyncpg.connect(self._dsn)
        await self._connection.execute(
            "create table job (id bigint generated always as identity primary key, n bigint not null);"
            "create table done (id bigint primary key, at timestamptz not null)"
        )

    async def enqueue(self, jobs: int) -> float:
        began = time.perf_counter()
        await self._connection.execute("insert into job (n) select generate_series(1, $1::int)", jobs)
        return time.perf_counter() - began

    async def drain(self, jobs: int, how: str) -> tuple[float, float]:
        del how
        await self._connection.execute("vacuum analyze job")
        self._handled.reset(jobs)
        began = self._handled.first = time.perf_counter()
        while rows := await self._connection.fetch(_TAKE, 100):
            for row in rows:
                self._handled.one(row[0])
        seconds = time.perf_counter() - began
        if self._handled.calls != jobs:
            raise RuntimeError(f"{self._handled.calls} of {jobs}")
        return seconds, seconds

    async def pickup(self, jobs: int) -> list[float]:
        listening, started, wake = await asyncpg.connect(self._dsn), Started(), asyncio.Event()
        await listening.add_listener("job", lambda *_: wake.set())

        async def work() -> None:
            while True:
                await wake.wait()
                wake.clear()
                for _ in await listening.fetch(_TAKE, 1):
                    started.now()

        async def insert(_: int) -> None:
            await self._connection.execute("with new as (insert into job (n) values (1)) select pg_notify('job', '')")

        task = asyncio.create_task(work())
        found = await latencies(jobs, insert, started.wait)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await listening.close()
        return found


if __name__ == "__main__":
    serve(Floor)
