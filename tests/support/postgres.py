"""One Postgres server for a whole test run, and a database of its own for each test.

The first test that needs a database starts the server (embedded by default, without fsync, under the run's own directory) and
builds a template: the platform's shim and all migrations. Every test then gets a clone of the template, which is dropped after
it. All xdist workers share server and template. The files of `sql/` are part of the template's name, so that a changed file
makes a new one.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import threading
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from orbit_runner import migrate
from orbit_runner.local import EPHEMERAL, Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator
    from pathlib import Path

T = TypeVar("T")
TEMPLATE_PREFIX = "orbit_test_template_"


@dataclass(frozen=True)
class Database:
    """A database that belongs to one test. `dsn` can be handed to anything that takes ORBIT_DATABASE_URL."""

    name: str
    dsn: str = field(repr=False)
    _cluster: Cluster = field(repr=False, compare=False)

    @asynccontextmanager
    async def connect(self, **options: Any) -> AsyncIterator[asyncpg.Connection[Any]]:
        """An asyncpg connection, closed at the end of the block; `options` are asyncpg.connect's."""
        connection = await asyncpg.connect(self.dsn, **options)
        try:
            yield connection
        finally:
            await connection.close()

    def fetch(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        """For tests that are not asynchronous: run one query over a connection of its own and wait for its rows."""

        async def query() -> list[asyncpg.Record]:
            async with self.connect() as connection:
                return list(await connection.fetch(sql, *arguments))

        return self._cluster.wait_for(query())


class Cluster:
    """The run's server as one worker sees it: an administrative connection in a thread of its own, so that making and dropping
    databases works the same from synchronous and asynchronous tests."""

    def __init__(self, admin_dsn: str, worker: str) -> None:
        self.admin_dsn = admin_dsn
        self._prefix = f"orbit_test_{os.getpid()}_{worker}"
        self._made = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="test-cluster", daemon=True)
        self._thread.start()
        self._admin: asyncpg.Connection[Any] = self.wait_for(asyncpg.connect(admin_dsn))

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the thread's loop; its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=100)

    def dsn(self, database: str) -> str:
        """The server's DSN with another database name."""
        return urlunsplit(urlsplit(self.admin_dsn)._replace(path=f"/{database}"))

    @contextmanager
    def database(self, template: str) -> Iterator[Database]:
        """A database cloned from `template`, dropped at the end with whoever is still connected."""
        self._made += 1
        name = f"{self._prefix}_{self._made}"
        self.wait_for(self._admin.execute(f"create database {name} template {template} strategy file_copy"))
        try:
            yield Database(name, self.dsn(name), self)
        finally:
            self.wait_for(self._admin.execute(f"drop database if exists {name} with (force)"))

    async def exists(self, name: str) -> bool:
        """Whether there is a database of that name."""
        return bool(await self._admin.fetchval("select exists (select from pg_database where datname = $1)", name))

    def template(self) -> str:
        """The name of the template that holds the present schema; built where it is missing."""
        return self.wait_for(self._build_template())

    async def _build_template(self) -> str:
        name = TEMPLATE_PREFIX + _sql_digest()
        await self._admin.execute("select pg_advisory_lock(hashtext($1))", TEMPLATE_PREFIX)
        try:
            if await self.exists(name):
                return name
            for row in await self._admin.fetch("select datname from pg_database where datname ^@ $1", TEMPLATE_PREFIX):
                with suppress(asyncpg.ObjectInUseError):
                    await self._admin.execute(f'drop database if exists "{row["datname"]}"')
            building = f"{self._prefix}_template"
            await self._admin.execute(f"drop database if exists {building}")
            await self._admin.execute(f"create database {building} template template0")
            connection = await asyncpg.connect(self.dsn(building))
            try:
                await migrate.push(connection)
                # Each migration takes rights from PUBLIC on every function anew: 5 MB of dead rows, which each clone would copy.
                await connection.execute("vacuum full")
            finally:
                await connection.close()
            await self._admin.execute(f"alter database {building} rename to {name}")
        finally:
            await self._admin.execute("select pg_advisory_unlock(hashtext($1))", TEMPLATE_PREFIX)
        return name

    def close(self) -> None:
        """End the connection and the thread."""
        self.wait_for(self._admin.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()


def _sql_digest() -> str:
    digest = sha256()
    for path in sorted(migrate.sql_directory().rglob("*.sql")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def admin_dsn(run_directory: Path, given: str | None, backend: str) -> str:
    """The DSN of an account that may make databases, on the run's server; started by whichever worker asks first.

    `backend` is ORBIT_TEST_BACKEND: `auto` (ORBIT_DATABASE_URL where it is set, else embedded), `url`, `embedded` or `docker`.
    A choice that cannot be met fails; nothing is tried instead.
    """
    if backend == "url" or (backend == "auto" and given):
        if not given:
            raise RuntimeError("ORBIT_TEST_BACKEND=url needs ORBIT_DATABASE_URL")
        return given
    with (run_directory / "server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = run_directory / "server.json"
        if known.exists():
            return str(json.loads(known.read_text())["dsn"])
        if backend in {"auto", "embedded"}:
            started = {"dsn": _start_embedded(run_directory)}
        elif backend == "docker":
            started = _start_container()
        else:
            raise RuntimeError(f"ORBIT_TEST_BACKEND={backend}: one of auto, url, embedded, docker")
        known.touch(mode=0o600)
        known.write_text(json.dumps(started))
        return started["dsn"]


def _start_embedded(run_directory: Path) -> str:
    server = Server(run_directory / "home", EPHEMERAL)
    server.start()
    return server.dsn()


def _start_container() -> dict[str, str]:
    """A throw-away container of the PostgreSQL that hosted Supabase runs; the guard removes it by its id."""
    os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"
    from testcontainers.postgres import PostgresContainer

    container = PostgresContainer(
        "postgres:17-alpine", username="postgres", password="postgres", dbname="postgres", driver=None
    )
    container.with_command("postgres -c fsync=off -c full_page_writes=off -c max_connections=200 -c jit=off").start()
    return {"dsn": container.get_connection_url(), "container": str(container.get_wrapped_container().id)}
