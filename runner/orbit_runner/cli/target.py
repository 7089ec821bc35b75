"""What every command that needs a database begins with: which one, its schema, and the key of its secrets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from orbit_context.errors import DefinitionError, SchemaMismatchError
from orbit_runner.cli.messages import tell
from orbit_runner.connection import DatabaseTarget, choose

if TYPE_CHECKING:
    from asyncpg import Connection

    from orbit_context.seal import Sealer
    from orbit_context.suite.data import FixtureRows

__all__ = ["ensure_schema", "fetch_fixtures", "find_database", "find_sealer", "has_database"]


def find_database() -> DatabaseTarget:
    """The database that the environment names, else the project's embedded one, started.

    Raises DefinitionError where a Supabase project is all there is: tests are run over Postgres itself.
    """

    def start_embedded() -> str:
        from orbit_runner import local
        from orbit_runner.cli.session import load

        if signed_in := load():
            raise DefinitionError(
                f"you are signed in at {signed_in.url}, but this needs Postgres itself, which a session does not open",
                hint="set ORBIT_DATABASE_URL to the project's connection string (dashboard: Connect, session pooler or direct); "
                "or `orbit logout` to use the embedded Postgres",
            )

        server = local.server()
        server.start(tell)
        return server.dsn()

    return choose(start_embedded)


def has_database() -> bool:
    """Whether there is one to ask, without setting one up."""
    if os.environ.get("ORBIT_DATABASE_URL"):
        return True
    from orbit_runner import local

    return local.data_home(Path.cwd()).exists()


async def ensure_schema(connection: Connection, target: DatabaseTarget) -> None:
    """The embedded database is kept up to date by whoever comes by; another one is its owner's to push.

    Raises SchemaMismatchError.
    """
    from orbit_runner import migrate

    if await migrate.is_current(connection):
        return
    if target.kind == "embedded":
        await migrate.push(connection)
        return
    status = await migrate.status(connection, by_hand=False)
    if not status.current:
        raise SchemaMismatchError(
            "the database does not hold this version of Orbit's schema",
            detail=f"pending: {', '.join(status.pending) or 'none'}; changed: {', '.join(status.changed) or 'none'}",
            hint="this program is older than the database: update Orbit" if status.unknown else "run: orbit db push",
        )


def find_sealer(target: DatabaseTarget) -> Sealer | None:
    """Seals and opens secrets: with ORBIT_SECRET_KEY, else with the key beside the embedded data, made at first use.

    None where the database is not the embedded one and no key is given: secrets are then refused.
    """
    from orbit_context.seal import KEY_VARIABLE, Sealer, create_key_file

    if os.environ.get(KEY_VARIABLE):
        return Sealer.from_environment()
    if target.kind != "embedded":
        return None
    from orbit_runner import local

    path = local.data_home(Path.cwd()) / "secret.key"
    create_key_file(path)
    return Sealer.from_file(path)


async def fetch_fixtures(target: DatabaseTarget, file: Path, organization: str | None = None) -> dict[str, FixtureRows]:
    """The data sets that a suite file names, for `load_suite`."""
    from orbit_context.client import Orbit
    from orbit_context.gateway.postgres import PostgresGateway

    gateway = PostgresGateway(target.dsn)
    async with Orbit(gateway) as orbit:
        await gateway.prepare(lambda connection: ensure_schema(connection, target))
        return await orbit.fixtures.for_suite(file, organization=organization)
