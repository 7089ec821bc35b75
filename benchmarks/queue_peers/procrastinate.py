"""Procrastinate: a worker of concurrency 10, which claims and ends its jobs one by one. Jobs carry their number."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import psycopg  # type: ignore[import-not-found]
from procrastinate import App, PsycopgConnector  # type: ignore[import-not-found]

from benchmarks.queue_peers.serve import Handled, Started, latencies, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Tool:
    """See the module."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._handled = Handled()
        self._call: Callable[[int], object] = self._handled.one
        self._app = App(connector=PsycopgConnector(conninfo=dsn, min_size=4, max_size=16))

        @self._app.task(name="noop")  # type: ignore[untyped-decorator]
        async def noop(n: int) -> None:
            self._call(n)

        self._task = noop

    async def setup(self) -> None:
        await self._app.open_async()
        await self._app.schema_manager.apply_schema_async()
        self._connection = await psycopg.AsyncConnection.connect(self._dsn, autocommit=True)

    async def enqueue(self, jobs: int) -> float:
        rows = [{"n": n} for n in range(jobs)]
        began = time.perf_counter()
        await self._task.batch_defer_async(*rows)
        return time.perf_counter() - began

    async def _left(self) -> int:
        query = "select count(*) from procrastinate_jobs where status in ('todo', 'doing')"
        row = await (await self._connection.execute(query)).fetchone()
        return int(row[0])

    @asynccontextmanager
    async def _working(self, how: str) -> AsyncIterator[None]:
        concurrency, _, deleting = how.removeprefix("concurrency ").partition(", ")
        task = asyncio.create_task(
            self._app.run_worker_async(
                concurrency=int(concurrency),
                delete_jobs="always" if deleting else "never",
                install_signal_handlers=False,
            )
        )
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def drain(self, jobs: int, how: str) -> tuple[float, float]:
        await self._connection.execute("vacuum analyze procrastinate_jobs")
        self._handled.reset(jobs)
        self._call = self._handled.one
        async with self._working(how):
            return await self._handled.recorded(self._left)

    async def pickup(self, jobs: int) -> list[float]:
        started = Started()
        self._call = lambda _: started.now()

        async def insert(number: int) -> None:
            await self._task.defer_async(n=number)

        async with self._working("concurrency 10"):
            await asyncio.sleep(1)
            await latencies(3, insert, started.wait)
            return await latencies(jobs, insert, started.wait)


if __name__ == "__main__":
    serve(Tool)
