"""`orbit access`: grants, and why somebody may do something."""

from __future__ import annotations

from typing import Any

import click

from orbit_runner.cli import options

__all__ = ["access"]


@click.group()
def access() -> None:
    """Who may do what, and why. Without a place: the organisation as a whole."""


@access.command("grant")
@click.argument("user", metavar="USER")
@click.argument("permission", metavar="PERMISSION")
@click.option("--expires", metavar="TIME", help="When it ends: 2030-01-31, or in how long: 30d; never unless given.")
@click.option("--system", is_flag=True, help="For everything there is; administrative roles only.")
@options.any_place
@options.as_json
def grant(user: str, permission: str, **given: Any) -> int:
    """Give USER a role (viewer, editor, admin) or one action somewhere."""
    from orbit_runner.cli.tenancy import access as commands

    return commands.grant(user, permission, **given)


@access.command("revoke")
@click.argument("grant_id", metavar="ID")
@options.as_json
def revoke(grant_id: str, as_json: bool) -> int:
    """Take a grant back, at once."""
    from orbit_runner.cli.tenancy import access as commands

    return commands.revoke(grant_id, as_json=as_json)


@access.command("list")
@click.option("--user", metavar="USER", help="Of this person.")
@click.option("--history", is_flag=True, help="Also those that ended.")
@options.any_place
@options.as_json
def list_(**given: Any) -> int:
    """List the grants that hold: yours, and those you may change."""
    from orbit_runner.cli.tenancy import access as commands

    return commands.list_(**given)


@access.command("can")
@click.argument("action", metavar="ACTION")
@options.any_place
@options.as_json
def can(action: str, **given: Any) -> int:
    """Tell whether you may do ACTION (run.start, secret.read, …) somewhere. Exit code 0, or 1 for no."""
    from orbit_runner.cli.tenancy import access as commands

    return commands.can(action, **given)


@access.command("explain")
@click.argument("action", metavar="ACTION")
@click.option("--user", metavar="USER", help="Of this person; yourself unless given.")
@options.any_place
@options.as_json
def explain(action: str, **given: Any) -> int:
    """Tell why you, or USER, may do ACTION somewhere, or not."""
    from orbit_runner.cli.tenancy import access as commands

    return commands.explain(action, **given)
