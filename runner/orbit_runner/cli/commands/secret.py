"""`orbit secret`: secret variables, and the key that seals them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orbit_runner.cli import options

__all__ = ["secret"]

_name = click.argument("name", metavar="NAME")


@click.group()
def secret() -> None:
    """Secret variables, and the key that seals them."""


@secret.command("set")
@click.argument("name", metavar="[NAME]", required=False)
@click.option(
    "--from-file", "file", type=click.Path(path_type=Path), metavar="FILE", help="NAME=VALUE lines: sets each."
)
@options.place_of_variable
@options.as_json
def set_(name: str | None, file: Path | None, **given: Any) -> int:
    """Set a secret, new or not: its value is asked for, or read from standard input; it is never an argument."""
    from orbit_runner.cli.configuration import secrets

    return secrets.set_(name, file, **given)


@secret.command("get")
@_name
@options.place_of_variable
@options.as_json
def get(name: str, **given: Any) -> int:
    """Print a secret's value; each look is in the audit log."""
    from orbit_runner.cli.configuration import secrets

    return secrets.get(name, **given)


@secret.command("list")
@options.any_project
@options.organization
@options.as_json
def list_(**given: Any) -> int:
    """List secrets: names, places, keys and ages, never values."""
    from orbit_runner.cli.configuration import secrets

    return secrets.list_(**given)


@secret.command("rm")
@_name
@options.place_of_variable
@options.as_json
def rm(name: str, **given: Any) -> int:
    """Delete a secret with its value."""
    from orbit_runner.cli.configuration import secrets

    return secrets.rm(name, **given)


@secret.command("rotate")
@options.organization
@options.as_json
def rotate(**given: Any) -> int:
    """Seal every secret anew with the first key of ORBIT_SECRET_KEY; those after it open what is there."""
    from orbit_runner.cli.configuration import secrets

    return secrets.rotate(**given)


@secret.command("key")
@options.as_json
def key(as_json: bool) -> int:
    """Print a new key for ORBIT_SECRET_KEY."""
    from orbit_runner.cli.configuration import secrets

    return secrets.key(as_json=as_json)
