"""A command and a system under test for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.command import OrbitCommand
from support.target import Target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.postgres import Database


@pytest.fixture
async def orbit(database: Database, tmp_path: Path) -> AsyncIterator[OrbitCommand]:
    """`orbit` on a database of the test's own, with the whole schema."""
    async with OrbitCommand(database.dsn, tmp_path) as command:
        yield command


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    """What is tested."""
    server = Target()
    async with server:
        yield server
