"""A pooler between Orbit and Postgres, found out by itself or told in the address."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from support.pooler import pooler

from orbit_context.errors import DefinitionError
from orbit_context.gateway.pooler import Pooled
from orbit_context.gateway.postgres import PostgresGateway, connect

if TYPE_CHECKING:
    from pathlib import Path

    from support.postgres import Database


async def test_no_pooler_is_told_from_one(database: Database, tmp_path: Path) -> None:
    direct = await connect(database.dsn)
    await direct.close()
    assert type(direct) is not Pooled  # asyncpg's own isinstance sees a connection in each
    async with pooler(database.dsn, tmp_path, "transaction") as dsn:
        for _ in range(2):
            connection = await connect(dsn)
            assert type(connection) is Pooled
            await connection.close()


async def test_what_the_address_says_counts(database: Database, tmp_path: Path) -> None:
    connection = await connect(f"{database.dsn}?pooler=transaction&application_name=x")
    assert type(connection) is Pooled
    assert await connection.fetchval("show application_name") == "x"
    await connection.close()
    async with pooler(database.dsn, tmp_path, "session") as dsn:
        connection = await connect(f"{dsn}?pooler=session")
        assert type(connection) is not Pooled
        heard: asyncio.Queue[object] = asyncio.Queue()
        await connection.add_listener("told", lambda *notice: heard.put_nowait(notice[-1]))
        async with database.connect() as other:
            await other.execute("notify told, 'hello'")
        async with asyncio.timeout(10):
            assert await heard.get() == "hello"
        await connection.close()
    with pytest.raises(DefinitionError, match="pooler=statement"):
        await connect(f"{database.dsn}?pooler=statement")


async def test_calls_share_few_backends(database: Database, tmp_path: Path) -> None:
    """Twenty clients over two backends: nobody meets a statement that another one has prepared, or misses one of its own."""
    async with pooler(database.dsn, tmp_path, "transaction", size=2) as dsn:

        async def client(number: int) -> None:
            async with PostgresGateway(dsn) as gateway:
                for _ in range(10):
                    assert await gateway.call("list_runs", {"limit": number + 1}) == []
                    assert (await gateway.call("whoami", {}))["is_administrative"]

        await asyncio.gather(*(client(number) for number in range(20)))
        async with database.connect() as connection:
            left = (
                "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
            )
            assert 1 <= await connection.fetchval(left) <= 2
