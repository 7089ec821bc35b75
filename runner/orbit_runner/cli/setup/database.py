"""`orbit db …` and `orbit local …`"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from orbit_context.errors import ConflictError
from orbit_context.gateway.postgres import connect, translated
from orbit_runner import local, migrate
from orbit_runner.cli.answers import print_answer, say, told
from orbit_runner.cli.exits import Exit
from orbit_runner.cli.messages import tell
from orbit_runner.cli.target import find_database

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["install", "push", "reset", "start", "status", "stop", "uninstall", "url"]

_T = TypeVar("_T")


def push(*, as_json: bool) -> Exit:
    target = find_database()
    applied = _with_connection(target.dsn, migrate.push)
    if as_json:
        print_answer({"applied": list(applied.files), "already": applied.already})
        return Exit.PASSED
    for file in applied.files:
        sys.stdout.write(f"applied {file}\n")
    sys.stdout.write(f"{target.shown} is up to date ({len(applied.files) + applied.already} migrations)\n")
    return Exit.PASSED


def status(*, as_json: bool) -> Exit:
    """Exit code 3 where something is pending, changed, unknown or altered by hand."""
    target = find_database()
    found = _with_connection(target.dsn, migrate.status)
    if as_json:
        print_answer(
            {
                "database": target.shown,
                "origin": target.origin,
                "current": found.current,
                **{
                    name: list(getattr(found, name)) for name in ("applied", "pending", "changed", "unknown", "altered")
                },
            }
        )
    else:
        sys.stdout.write(f"{target.shown} ({target.origin})\n")
        for name in ("applied", "pending", "changed", "unknown"):
            for file in getattr(found, name):
                sys.stdout.write(f"  {name:8} {file}\n")
        for difference in found.altered:
            sys.stdout.write(f"  by hand  {difference}\n")
        if found.pending:
            sys.stdout.write("next: orbit db push\n")
    return Exit.PASSED if found.current else Exit.INFRASTRUCTURE


def url(*, as_json: bool) -> Exit:
    address = find_database().dsn
    return told({"url": address}, address, as_json=as_json)


def reset(*, yes: bool, as_json: bool) -> Exit:
    target = find_database()
    embedded = target.kind == "embedded"
    applied = _with_connection(target.dsn, lambda connection: migrate.reset(connection, embedded=embedded, yes=yes))
    answer = {"database": target.shown, "applied": list(applied.files)}
    sentence = f"dropped and made anew: {len(applied.files)} migrations in {target.shown}"
    return told(answer, sentence, as_json=as_json)


def uninstall(*, yes: bool, as_json: bool) -> Exit:
    target = find_database()
    found = _with_connection(target.dsn, migrate.removal)
    if found.nothing:
        if as_json:
            print_answer(asdict(found))
        else:
            sys.stdout.write(f"there is no Orbit in {target.shown}\n")
        return Exit.PASSED
    if not as_json:
        sys.stdout.write(f"from {target.shown}:\n")
        for schema in found.schemas:
            sys.stdout.write(f"  schema {schema} with all it holds\n")
        for described in found.outside:
            sys.stdout.write(f"  {described}\n")
        sys.stdout.write(f"  {found.migrations} rows of supabase_migrations.schema_migrations\n")
        sys.stdout.write(f"  role {found.role}\n" if found.role else "")
    if not yes:
        _ask_before_removing()
    removed = _with_connection(target.dsn, migrate.uninstall)
    if as_json:
        print_answer(asdict(removed))
        return Exit.PASSED
    sys.stdout.write("removed\n")
    if removed.role_kept:
        sys.stdout.write(f"the role orbit_runner stays: {removed.role_kept}\n")
    return Exit.PASSED


def _ask_before_removing() -> None:
    import click

    if not sys.stdin.isatty():
        raise ConflictError(
            "an uninstall drops every suite, run and result of this database",
            hint="if that is what you want: `orbit db uninstall --yes`",
        )
    if not click.confirm("Remove all this?", err=True):
        raise ConflictError("nothing was removed")


def start(*, as_json: bool) -> Exit:
    server = local.server()
    server.start(tell)
    return told({"data": str(server.directory)}, f"running, data in {server.directory}", as_json=as_json)


def stop(*, as_json: bool) -> Exit:
    stopped = local.server().stop()
    return told({"stopped": stopped}, "stopped" if stopped else "was not running", as_json=as_json)


def install(*, as_json: bool) -> Exit:
    """Prints where PostgreSQL lies and where the REST server's packages do."""
    from orbit_runner.local.rest import packages

    postgres = str(local.install(tell=tell).root)
    rest = str(packages.install(tell))
    if as_json:
        return print_answer({"postgres": postgres, "rest": rest})
    say(postgres)
    return say(rest)


def _with_connection(dsn: str, use: Callable[[Any], Awaitable[_T]]) -> _T:
    async def main() -> _T:
        connection = await connect(dsn)
        try:
            async with translated(dsn):
                return await use(connection)
        finally:
            await connection.close()

    return asyncio.run(main())
