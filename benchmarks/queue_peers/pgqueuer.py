"""PgQueuer: one manager with batches of 500, its fastest setting here. Jobs carry their number as payload."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
from pgqueuer import PgQueuer  # type: ignore[import-not-found]
from pgqueuer.db import AsyncpgDriver  # type: ignore[import-not-found]
from pgqueuer.queries import Queries  # type: ignore[import-not-found]

from benchmarks.queue_peers.serve import Handled, Started, latencies, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Tool:
    """See the module."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._handled = Handled()

    async def setup(self) -> None:
        self._connection = await asyncpg.connect(self._dsn)
        self._queries = Queries(AsyncpgDriver(self._connection))
        await self._queries.install()

    async def enqueue(self, jobs: int) -> float:
        payloads = [str(n).encode() for n in range(jobs)]
        began = time.perf_counter()
        await self._queries.enqueue(["noop"] * jobs, payloads, [0] * jobs)
        return time.perf_counter() - began

    async def _left(self) -> int:
        return int(await self._connection.fetchval("select count(*) from pgqueuer"))

    @asynccontextmanager
    async def _working(self, handler: Callable[[int], object], batch: int) -> AsyncIterator[None]:
        connection = await asyncpg.connect(self._dsn)
        queue = PgQueuer(AsyncpgDriver(connection))

        @queue.entrypoint("noop")  # type: ignore[untyped-decorator]
        async def noop(job: Any) -> None:
            handler(int(job.payload))

        task = asyncio.create_task(queue.run(batch_size=batch))
        yield
        queue.shutdown.set()
        await task
        await connection.close()

    async def drain(self, jobs: int, how: str) -> tuple[float, float]:
        await self._connection.execute("vacuum analyze pgqueuer")
        self._handled.reset(jobs)
        async with self._working(self._handled.one, int(how.removeprefix("batch "))):
            return await self._handled.recorded(self._left)

    async def pickup(self, jobs: int) -> list[float]:
        started = Started()

        async def insert(number: int) -> None:
            await self._queries.enqueue("noop", str(number).encode())

        async with self._working(lambda _: started.now(), 10):
            await asyncio.sleep(1)
            await latencies(3, insert, started.wait)
            return await latencies(jobs, insert, started.wait)


if __name__ == "__main__":
    serve(Tool)
