"""`orbit token`: what a pipeline shows to start runs."""

from __future__ import annotations

from typing import Any

import click

from orbit_runner.cli import options

__all__ = ["token"]


@click.group()
def token() -> None:
    """Trigger tokens: with one, a pipeline starts runs of a project, and no more."""


@token.command("create")
@click.argument("name", metavar="NAME")
@click.option("--expires", metavar="TIME", help="When it ends: 2030-01-31, or in how long: 30d; never unless given.")
@options.in_project
def create(name: str, **given: Any) -> int:
    """Make a token and print it, this once."""
    from orbit_runner.cli.oversight import tokens

    return tokens.create(name, **given)


@token.command("list")
@options.any_project
@options.organization
@options.as_json
def list_(**given: Any) -> int:
    """List the tokens, the newest first, revoked ones included."""
    from orbit_runner.cli.oversight import tokens

    return tokens.list_(**given)


@token.command("revoke")
@click.argument("name", metavar="NAME")
@options.in_project
def revoke(name: str, **given: Any) -> int:
    """Take a token back, for good."""
    from orbit_runner.cli.oversight import tokens

    return tokens.revoke(name, **given)
