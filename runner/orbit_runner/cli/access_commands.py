"""`orbit access`: grants, and why somebody may do something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["access"]

_C = TypeVar("_C", bound="Callable[..., Any]")

_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")


def _where(command: _C) -> _C:
    """The options that say where."""
    for option in (
        click.option(
            "--org", "organization", metavar="NAME", envvar="ORBIT_ORGANIZATION", help="In which organisation; yours, if one."
        ),
        click.option("--suite", metavar="SUITE", help="A suite of the project."),
        click.option("--env", "environment", metavar="NAME", help="An environment of the project."),
        click.option("--project", metavar="PROJECT", help="A project."),
        click.option("--unit", "business_unit", metavar="UNIT", help="A business unit."),
    ):  # fmt: skip
        command = option(command)
    return command


@click.group()
def access() -> None:
    """Who may do what, and why. Without a place: the organisation as a whole."""


@access.command("grant")
@click.argument("user", metavar="USER")
@click.argument("permission", metavar="PERMISSION")
@click.option("--expires", metavar="TIME", help="When it ends: 2030-01-31T18:00:00Z; never unless given.")
@click.option("--system", is_flag=True, help="For everything there is; administrative roles only.")
@_where
@_json
def grant(user: str, permission: str, expires: str | None, system: bool, as_json: bool, **where: str | None) -> int:
    """Give USER a role (viewer, editor, admin) or one action somewhere."""
    from orbit_runner.cli import membership

    return membership.grant(user, permission, expires, where, system=system, as_json=as_json)


@access.command("revoke")
@click.argument("grant_id", metavar="ID")
def revoke(grant_id: str) -> int:
    """Take a grant back, at once."""
    from orbit_runner.cli import membership

    return membership.revoke(grant_id)


@access.command("list")
@click.option("--user", metavar="USER", help="Of this person.")
@click.option("--history", is_flag=True, help="Also those that ended.")
@_where
@_json
def list_(user: str | None, history: bool, as_json: bool, **where: str | None) -> int:
    """List the grants that hold: yours, and those you may change."""
    from orbit_runner.cli import membership

    return membership.list_grants(user, where, history=history, as_json=as_json)


@access.command("can")
@click.argument("action", metavar="ACTION")
@_where
@_json
def can(action: str, as_json: bool, **where: str | None) -> int:
    """Tell whether you may do ACTION (run.start, secret.read, …) somewhere. Exit code 0, or 1 for no."""
    from orbit_runner.cli import membership

    return membership.can(action, where, as_json=as_json)


@access.command("explain")
@click.argument("action", metavar="ACTION")
@click.option("--user", metavar="USER", help="Somebody else.")
@_where
@_json
def explain(action: str, user: str | None, as_json: bool, **where: str | None) -> int:
    """Tell why you, or USER, may do ACTION somewhere, or not."""
    from orbit_runner.cli import membership

    return membership.explain(action, user, where, as_json=as_json)
