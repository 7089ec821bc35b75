"""Workers, what they test, and the line to their database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.bench import Bench
from support.line import DatabaseLine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.command import OrbitCommand
    from support.postgres import Database


@pytest.fixture
async def bench(database: Database, orbit: OrbitCommand) -> AsyncIterator[Bench]:
    """See Bench."""
    bench = Bench(database, orbit)
    yield bench
    await bench.close()


@pytest.fixture
async def line(database: Database) -> AsyncIterator[DatabaseLine]:
    """The way to the test's database, to be cut."""
    async with DatabaseLine(database.dsn) as line:
        yield line
