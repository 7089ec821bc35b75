"""`orbit audit`: who did what."""

from __future__ import annotations

from typing import Any

import click

from orbit_runner.cli import options

__all__ = ["audit"]

_system = click.option("--system", is_flag=True, help="The log of what belongs to no organisation.")


@click.group()
def audit() -> None:
    """Who changed what, and whether the log of it is whole."""


@audit.command("list")
@click.option("--action", metavar="NAME", help="As in environment.update; environment means all done to one.")
@click.option("--who", metavar="NAME", help="An e-mail address, a database role or a user's id.")
@click.option("--resource", metavar="NAME", help="A kind (environment), an id or a name.")
@click.option("--since", metavar="TIME", help="A time, or how long ago: 2026-11-01, 90m, 7d.")
@click.option(
    "--limit", type=click.IntRange(1, 500), default=50, show_default=True, metavar="N", help="So many rows at most."
)
@click.option("--before", type=click.IntRange(1), metavar="NUMBER", help="Those before this one: the next page.")
@_system
@options.organization
@options.as_json
def list_(**given: Any) -> int:
    """List what was done, newest first."""
    from orbit_runner.cli.oversight import audit as commands

    return commands.list_(**given)


@audit.command("verify")
@click.option("--head", metavar="HASH", help="A head that was kept: NUMBER:HASH, or the hash alone.")
@_system
@options.organization
@options.as_json
def verify(**given: Any) -> int:
    """Walk along the chain of hashes; exit code 1 where an entry is not as it was written."""
    from orbit_runner.cli.oversight import audit as commands

    return commands.verify(**given)
