"""`orbit env`: environments kept in the database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orbit_runner.cli import options

__all__ = ["env"]

_name = click.argument("name", metavar="NAME")


@click.group()
def env() -> None:
    """Environments kept in the database."""


@env.command("save")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@options.in_project
def save(file: Path, **given: Any) -> int:
    """Keep an environment file in the database, secrets sealed: then `--env NAME` finds it."""
    from orbit_runner.cli.configuration import environments

    return environments.save(file, **given)


@env.command("list")
@options.in_project
def list_(**given: Any) -> int:
    """List the environments of a project."""
    from orbit_runner.cli.configuration import environments

    return environments.list_(**given)


@env.command("show")
@_name
@options.in_project
def show(name: str, **given: Any) -> int:
    """Show an environment's variables; secrets by name only."""
    from orbit_runner.cli.configuration import environments

    return environments.show(name, **given)


@env.command("rm")
@_name
@options.in_project
def rm(name: str, **given: Any) -> int:
    """Delete an environment with its variables; its runs stay."""
    from orbit_runner.cli.configuration import environments

    return environments.rm(name, **given)
