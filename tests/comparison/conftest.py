"""A queue of the test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.queue import Queue

if TYPE_CHECKING:
    import asyncpg


@pytest.fixture
def queue(connection: asyncpg.Connection[Any]) -> Queue:
    """On a connection of its own, as the database's owner."""
    return Queue(connection)
