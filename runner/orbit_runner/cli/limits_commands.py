"""`orbit limits`: rates and quotas."""

from __future__ import annotations

import click

__all__ = ["limits"]

_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
_organization = click.option(
    "--org",
    "organization",
    metavar="NAME",
    envvar="ORBIT_ORGANIZATION",
    help="Whose; yours, if you belong to one only.",
)
_all = click.option(
    "--all", "defaults", is_flag=True, help="The defaults, for organisations that have none of their own."
)


@click.group()
def limits() -> None:
    """How much an organisation may do in a time, and use at all; nothing is limited until somebody says so."""


@limits.command("show")
@_organization
@_all
@_json
def show(organization: str | None, defaults: bool, as_json: bool) -> int:
    """Show what is allowed, and what is used of it."""
    from orbit_runner.cli import limits as commands

    return commands.show(organization, defaults=defaults, as_json=as_json)


@limits.command("set")
@click.argument("assignments", metavar="NAME=LIMIT...", nargs=-1, required=True)
@_organization
@_all
@_json
def set_(assignments: tuple[str, ...], organization: str | None, defaults: bool, as_json: bool) -> int:
    """Set limits, as who runs the database: concurrent_runs=10, start_run=60/m, start_run=60/m:20, unlimited, default."""
    from orbit_runner.cli import limits as commands

    return commands.set_limits(assignments, organization, defaults=defaults, as_json=as_json)
