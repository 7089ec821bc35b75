"""`orbit db`: the database."""

from __future__ import annotations

import click

from orbit_runner.cli import options

__all__ = ["db"]


@click.group()
def db() -> None:
    """The database: schema and address."""


@db.command("push")
@options.as_json
def push(as_json: bool) -> int:
    """Bring the database's schema up to this version."""
    from orbit_runner.cli.setup import database

    return database.push(as_json=as_json)


@db.command("status")
@options.as_json
def status(as_json: bool) -> int:
    """Tell which migrations the database holds."""
    from orbit_runner.cli.setup import database

    return database.status(as_json=as_json)


@db.command("url")
@options.as_json
def url(as_json: bool) -> int:
    """Print the address for psql and other tools, password included."""
    from orbit_runner.cli.setup import database

    return database.url(as_json=as_json)


@db.command("reset")
@click.option("--yes", is_flag=True, help="Also a database that is not the embedded one.")
@options.as_json
def reset(yes: bool, as_json: bool) -> int:
    """Drop Orbit's schemas with all they hold, and apply the migrations anew."""
    from orbit_runner.cli.setup import database

    return database.reset(yes=yes, as_json=as_json)


@db.command("uninstall")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.as_json
def uninstall(yes: bool, as_json: bool) -> int:
    """Remove Orbit from the database, with all its data, and nothing else."""
    from orbit_runner.cli.setup import database

    return database.uninstall(yes=yes, as_json=as_json)


@db.command("start")
@options.as_json
def start(as_json: bool) -> int:
    """Start the embedded Postgres."""
    from orbit_runner.cli.setup import database

    return database.start(as_json=as_json)


@db.command("stop")
@options.as_json
def stop(as_json: bool) -> int:
    """Stop the embedded Postgres; the data stay."""
    from orbit_runner.cli.setup import database

    return database.stop(as_json=as_json)
