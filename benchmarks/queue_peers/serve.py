"""What the drivers in Python have in common: orders come as lines of JSON, each is answered by one.

    {"do": "setup"}              makes the tables                          {}
    {"do": "enqueue", "jobs": n} puts jobs into the queue                  {"seconds": …}
    {"do": "drain", "jobs": n, "how": …}  works them off                   {"seconds": …, "recorded": …}
    {"do": "pickup", "jobs": n}  one after the other, the tool being idle  {"latencies": [seconds, …]}

`seconds` of a drain are from the first job that is handed to a handler to the last; `recorded` until the database knows the
last of them as done. A driver refuses to answer where a job was handed out twice or left over.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

import uvloop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

GAP = (0.25, 0.45)
"""Seconds of rest before each job of a pick-up: a tool that polls faster after a job has calmed down by then."""


class Tool(Protocol):
    """A queue, as the orders see it."""

    async def setup(self) -> None: ...

    async def enqueue(self, jobs: int) -> float: ...

    async def drain(self, jobs: int, how: str) -> tuple[float, float]: ...

    async def pickup(self, jobs: int) -> list[float]: ...


class Handled:
    """What the handler was given: each job once, in what time."""

    def __init__(self) -> None:
        self.reset(0)

    def reset(self, jobs: int) -> None:
        self.jobs = jobs
        self.seen: set[int] = set()
        self.calls = 0
        self.first = self.last = 0.0
        self.all = asyncio.Event()

    def one(self, job: int) -> None:
        self.last = time.perf_counter()
        if not self.calls:
            self.first = self.last
        self.calls += 1
        self.seen.add(job)
        if len(self.seen) == self.jobs:
            self.all.set()

    async def recorded(self, left: Callable[[], Awaitable[int]]) -> tuple[float, float]:
        """Waits for the last job and until the database has none left; what that took from the first job."""
        async with asyncio.timeout(120):
            await self.all.wait()
            while await left():  # noqa: ASYNC110 - another process is waited for
                await asyncio.sleep(0.002)
        ended = time.perf_counter()
        if self.calls != self.jobs:
            raise RuntimeError(f"{self.calls} calls of the handler for {self.jobs} jobs")
        return self.last - self.first, ended - self.first


async def latencies(
    jobs: int, insert: Callable[[int], Awaitable[object]], handled: Callable[[int], Awaitable[float]]
) -> list[float]:
    """From the call that inserts a job to the start of its handler, whose moment `handled` waits for."""
    chance, found = random.Random(7), []
    for number in range(jobs):
        await asyncio.sleep(chance.uniform(*GAP))
        began = time.perf_counter()
        await insert(number)
        async with asyncio.timeout(30):
            found.append(await handled(number) - began)
    return found


class Started:
    """When the handler of each job began, for `latencies`."""

    def __init__(self) -> None:
        self.at: asyncio.Queue[float] = asyncio.Queue()

    def now(self) -> None:
        self.at.put_nowait(time.perf_counter())

    async def wait(self, _: int) -> float:
        return await self.at.get()


async def _serve(make: Callable[[str], Tool]) -> None:
    tool = make(sys.argv[1])
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        answer: dict[str, Any] = {}
        if order["do"] == "setup":
            await tool.setup()
        elif order["do"] == "enqueue":
            answer["seconds"] = await tool.enqueue(order["jobs"])
        elif order["do"] == "drain":
            answer["seconds"], answer["recorded"] = await tool.drain(order["jobs"], order["how"])
        else:
            answer["latencies"] = await tool.pickup(order["jobs"])
        print(json.dumps(answer), flush=True)


def serve(make: Callable[[str], Tool]) -> None:
    """Does as it is told until there are no more orders. `make` is given the address of the database."""
    uvloop.run(_serve(make))
