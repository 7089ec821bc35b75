"""`orbit limits`: rates and quotas."""

from __future__ import annotations

from typing import Any

import click

from orbit_runner.cli import options

__all__ = ["limits"]

_all = click.option(
    "--all", "defaults", is_flag=True, help="The defaults, for organisations that have none of their own."
)


@click.group()
def limits() -> None:
    """How much may be done in a time, and used at all.

    Nothing is limited until somebody says so.
    """


@limits.command("show")
@_all
@options.organization
@options.as_json
def show(**given: Any) -> int:
    """Show what is allowed, and what is used of it."""
    from orbit_runner.cli.oversight import limits as commands

    return commands.show(**given)


@limits.command("set")
@click.argument("assignments", metavar="NAME=LIMIT...", nargs=-1, required=True)
@_all
@options.organization
@options.as_json
def set_(assignments: tuple[str, ...], **given: Any) -> int:
    """Set limits, as who runs the database: concurrent_runs=10, start_run=60/m, start_run=60/m:20, unlimited, default."""
    from orbit_runner.cli.oversight import limits as commands

    return commands.set_(assignments, **given)
