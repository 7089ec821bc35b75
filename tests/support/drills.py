"""What the drills share: their two forms, what they say, and what must be true after each of them."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

from support.queue import check_invariants

if TYPE_CHECKING:
    from collections.abc import Iterable

    import asyncpg
    from support.bench import Bench

    from orbit_context.models.runs import Result, Run

LONG = os.environ.get("ORBIT_DRILLS") == "long"
"""Whether this is `make drills`, and not the short form that runs with all other tests."""

QUEUE_TABLES = ("job", "ready", "parked", "gate_use", "gate", "run_progress")


def tell(text: str) -> None:
    """A figure of the drill, shown by `make drills`."""
    print(f"  {text}", flush=True)


def some_tests(count: int, seconds: float, **more: Any) -> dict[str, Any]:
    """Tests that take so long, ten to a layer that needs the one before it here and there, and one that needs them all."""
    tests: dict[str, Any] = {}
    for number in range(count):
        needs = [f"t{number - 40}"] if number >= 40 and number % 5 == 0 else []
        tests[f"t{number}"] = {"request": f"/slow?seconds={seconds}&n={number}", "needs": needs} | more
    return tests | {"last": {"needs": list(tests), "request": "/item/1"}}


async def counted(connection: asyncpg.Connection[Any], query: str, number: int, *arguments: Any) -> None:
    """Waits until the query counts so many."""
    async with asyncio.timeout(60):
        while await connection.fetchval(query, *arguments) != number:  # noqa: ASYNC110 (another process changes it)
            await asyncio.sleep(0.02)


async def settled(bench: Bench, *runs: Run) -> list[Result]:
    """After a drill every test of each run has exactly one result, the counters are the recount, the events have no gap, and the
    queue is empty. Returns the results."""
    results: list[Result] = []
    async with bench.database.connect() as connection:
        await check_invariants(connection)
        for table in QUEUE_TABLES:
            assert await connection.fetchval(f"select count(*) from orbit_private.{table}") == 0, f"left in {table}"
    for run in runs:
        await bench.check_whole(run)
        done = await bench.orbit.runs.get(run.id)
        found = await bench.orbit.runs.results(run.id)
        assert len(found) == done.counts.total
        counts = Counter(result.status for result in found)
        assert all(getattr(done.counts, status) == number for status, number in counts.items())
        results += found
    return results


def worst(seconds: Iterable[float]) -> str:
    """`median 1.2 s, worst 3.4 s`."""
    ordered = sorted(seconds)
    return f"median {ordered[len(ordered) // 2]:.1f} s, worst {ordered[-1]:.1f} s" if ordered else "none"
