"""What tests of remote workers need: logins of the role orbit_runner."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.postgres import Database


@pytest.fixture
async def runner_login(database: Database) -> AsyncIterator[str]:
    """The address of the test's database for an account that is a runner's and nothing else."""
    name, password = f"runner_{secrets.token_hex(4)}", secrets.token_hex(8)
    place = urlsplit(database.dsn)
    async with database.connect() as connection:
        await connection.execute(f"create role {name} login password '{password}' in role orbit_runner")
        yield place._replace(netloc=f"{name}:{password}@{place.hostname}:{place.port}").geturl()
        await connection.execute(f"drop role {name}")
