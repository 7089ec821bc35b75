"""Runs that end at the same moment: nothing is lost of what is known of their tests, and nobody waits for another crosswise."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from support.queue import Queue

if TYPE_CHECKING:
    from support.postgres import Database


async def test_transactions_that_end_runs_of_the_same_suites_in_another_order(database: Database) -> None:
    async with database.connect() as one, database.connect() as other:
        queue = Queue(one)
        await queue.save({"x": []}, key="x")
        await queue.save({"y": []}, key="y")
        for key in ("x", "y"):
            await queue.start(suite=key)
        await (await queue.worker()).run_to_end()
        here, there = await queue.worker("here"), await queue.worker("there", on=other)
        held = []
        for worker, key in ((here, "x"), (there, "y"), (here, "y"), (there, "x")):
            await queue.start(suite=key)
            [job] = await worker.claim(1)
            held.append((worker, job))
        transactions = [one.transaction(), other.transaction()]
        for transaction in transactions:
            await transaction.start()
        for worker, job in held:
            async with asyncio.timeout(10):
                assert (await worker.advance([job.ended("passed", 1.0)])).done
        async with asyncio.timeout(20):
            await asyncio.gather(*(transaction.commit() for transaction in transactions))
        runs = await one.fetch("select runs from orbit_private.test_pace")
    assert [row["runs"] for row in runs] == [3, 3]
