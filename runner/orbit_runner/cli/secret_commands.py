"""`orbit secret`: secret variables, and the key that seals them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["secret"]

_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
_organization = click.option(
    "--org", "organization", metavar="NAME", envvar="ORBIT_ORGANIZATION", help="The organisation; yours unless given."
)
_name = click.argument("name", metavar="NAME")


def _where(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what a variable belongs to."""
    for option in (
        _organization,
        click.option("--test", metavar="KEY", help="Of this test of the suite."),
        click.option("--suite", metavar="KEY", help="Of this suite."),
        click.option("--environment", metavar="NAME", help="Of this environment."),
        click.option("--project", metavar="NAME", help="Of this project; `default` unless given."),
        click.option("--business-unit", metavar="NAME", help="Of this business unit."),
        click.option("--global", "is_global", is_flag=True, help="Of the whole organisation."),
    ):
        command = option(command)
    return command


@click.group()
def secret() -> None:
    """Secret variables, and the key that seals them."""


@secret.command("set")
@click.argument("name", metavar="[NAME]", required=False)
@click.option(
    "--from-file", "file", type=click.Path(path_type=Path), metavar="FILE", help="NAME=VALUE lines: sets each."
)
@_where
@_json
def set_(name: str | None, file: Path | None, as_json: bool, **where: Any) -> int:
    """Set a secret, new or not: its value is asked for, or read from standard input; it is never an argument."""
    from orbit_runner.cli import secrets

    return secrets.set_secret(name, file, where, as_json=as_json)


@secret.command("get")
@_name
@_where
@_json
def get(name: str, as_json: bool, **where: Any) -> int:
    """Print a secret's value; each look is in the audit log."""
    from orbit_runner.cli import secrets

    return secrets.get_secret(name, where, as_json=as_json)


@secret.command("list")
@click.option("--project", metavar="NAME", help="Of this project; of all that you see unless given.")
@_organization
@_json
def list_(project: str | None, organization: str | None, as_json: bool) -> int:
    """List secrets: names, places, keys and ages, never values."""
    from orbit_runner.cli import secrets

    return secrets.list_secrets(project, organization, as_json=as_json)


@secret.command("rm")
@_name
@_where
@_json
def rm(name: str, as_json: bool, **where: Any) -> int:
    """Delete a secret with its value."""
    from orbit_runner.cli import secrets

    return secrets.delete_secret(name, where, as_json=as_json)


@secret.command("rotate")
@_organization
@_json
def rotate(organization: str | None, as_json: bool) -> int:
    """Seal every secret anew with the first key of ORBIT_SECRET_KEY; those after it open what is there."""
    from orbit_runner.cli import secrets

    return secrets.rotate_secrets(organization, as_json=as_json)


@secret.command("key")
def key() -> int:
    """Print a new key for ORBIT_SECRET_KEY."""
    from orbit_context.seal import generate_key

    click.echo(generate_key())
    return 0
