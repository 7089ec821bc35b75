"""Servers that look to a migration as hosted Supabase does: the platform belongs to others, `postgres` is no superuser.

    async with hosted.project() as project:             # a database of its own, as `supabase projects create` leaves it
        async with project.connect() as connection: …   # as postgres: createrole, createdb, replication, bypassrls
        async with project.connect("supabase_admin"): … # as the platform

What hosted Supabase does with its extension supautils (postgres may write policies on realtime.messages and the like) is not
here: what needs it fails here.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from orbit_runner.local import EPHEMERAL, Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

__all__ = ["POSTGRES_15", "Hosted", "Project", "hosted_15", "hosted_17"]

POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")

_SQL = Path(__file__).parent


@dataclass(frozen=True)
class Project:
    """One database of a hosted server; `parameters` are asyncpg.connect's, without the user."""

    name: str
    parameters: dict[str, Any]

    @asynccontextmanager
    async def connect(self, user: str = "postgres") -> AsyncIterator[asyncpg.Connection[Any]]:
        connection = await asyncpg.connect(**self.parameters, user=user, database=self.name)
        try:
            yield connection
        finally:
            await connection.close()

    @property
    def dsn(self) -> str:
        """As `postgres`; for servers that listen on a port."""
        place = f"{self.parameters['host']}:{self.parameters['port']}"
        return f"postgresql://postgres:{self.parameters['password']}@{place}/{self.name}"


class Hosted:
    """A server; `supabase_admin` is its only superuser."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.parameters = parameters
        self._made = 0

    @asynccontextmanager
    async def project(self) -> AsyncIterator[Project]:
        """A database as the platform makes it, dropped at the end, and the server-wide role that Orbit makes with it."""
        self._made += 1
        name = f"project_{self._made}"
        admin = await asyncpg.connect(**self.parameters, user="supabase_admin", database="postgres")
        try:
            if not await admin.fetchval("select exists (select from pg_database where datname = 'platform')"):
                await self._make_platform(admin)
            await admin.execute(f"create database {name} template platform")
            await admin.execute(f"grant all on database {name} to postgres")
            try:
                yield Project(name, self.parameters)
            finally:
                await admin.execute(f"drop database {name} with (force)")
                await admin.execute("drop role if exists orbit_runner")
        finally:
            await admin.close()

    async def _make_platform(self, admin: asyncpg.Connection[Any]) -> None:
        await admin.execute((_SQL / "hosted_roles.sql").read_text())
        if password := self.parameters.get("password"):
            await admin.execute(f"alter role postgres password '{password}'")
        # Since 16, whoever may make roles rules over those alone that were given them.
        option = " with admin option" if admin.get_server_version().major >= 16 else ""
        await admin.execute(f"grant anon, authenticated, service_role to postgres{option}")
        await admin.execute("create database platform")
        platform = await asyncpg.connect(**self.parameters, user="supabase_admin", database="platform")
        try:
            await platform.execute((_SQL / "hosted_platform.sql").read_text())
        finally:
            await platform.close()


@contextmanager
def hosted_17(home: Path) -> Iterator[Hosted]:
    """The embedded server, its superuser renamed; `home` lies in the run's directory, whose guard stops what is left."""
    server = Server(home, EPHEMERAL)
    server.start()
    try:
        dsn = server.dsn()
        place = urlsplit(dsn)
        password = place.password

        async def rename() -> None:
            first = await asyncpg.connect(dsn)
            try:
                await first.execute("create role passing login superuser")
                await first.execute(f"alter role passing password '{password}'")
            finally:
                await first.close()
            netloc = f"passing:{password}@{place.hostname}:{place.port}"
            second = await asyncpg.connect(urlunsplit(place._replace(netloc=netloc)))
            try:
                await second.execute("alter role postgres rename to supabase_admin")
            finally:
                await second.close()
            third = await asyncpg.connect(
                host=place.hostname, port=place.port, password=password, user="supabase_admin", database="postgres"
            )
            try:
                await third.execute("drop role passing")
            finally:
                await third.close()

        asyncio.run(rename())
        yield Hosted({"host": place.hostname, "port": place.port, "password": password})
    finally:
        server.stop()


@contextmanager
def hosted_15(note: Path) -> Iterator[Hosted]:
    """A throw-away server of the oldest supported version, on a socket alone. Skips where there is no PostgreSQL 15.

    `note` is written with its place, for the guard of the run: a run that is killed leaves no server behind.
    """
    if not (POSTGRES_15 / "initdb").exists():
        pytest.skip(f"no PostgreSQL 15 in {POSTGRES_15}")
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        pytest.skip("as root, and no runuser to start a server with")
    account = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []

    def run(*command: str) -> str:
        done = subprocess.run([*account, *command], check=True, capture_output=True, cwd="/", text=True, timeout=60)
        return done.stdout.strip()

    home = run("mktemp", "-d", "/tmp/orbit-pg15-XXXXXX")
    data = f"{home}/data"
    note.write_text(home)
    try:
        run(
            str(POSTGRES_15 / "initdb"),
            "-D",
            data,
            "-U",
            "supabase_admin",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
            "--locale=C",
        )
        options = (
            f"-c listen_addresses='' -c unix_socket_directories={home} -c fsync=off -c max_locks_per_transaction=256"
        )
        # The output of pg_ctl goes to a file: the server would inherit a pipe, and keep it open.
        subprocess.run(
            [*account, str(POSTGRES_15 / "pg_ctl"), "-D", data, "-w", "-s", "-l", f"{home}/log", "-o", options, "start"],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", timeout=60,
        )  # fmt: skip
        try:
            yield Hosted({"host": home})
        finally:
            run(str(POSTGRES_15 / "pg_ctl"), "-D", data, "-m", "immediate", "-s", "stop")
    finally:
        run("rm", "-rf", home)
        note.unlink()
