"""`orbit agent-token`: what a worker shows to register."""

from __future__ import annotations

from typing import Any

import click

from orbit_runner.cli import options

__all__ = ["agent_token"]

_name = click.argument("name", metavar="NAME")
_any_org = click.option("--any-org", "any_organization", is_flag=True, help="Of workers that serve every organisation.")


@click.group()
def agent_token() -> None:
    """Worker tokens: with one, a worker on any machine runs an organisation's tests, and nobody else's."""


@agent_token.command("create")
@_name
@click.option(
    "--capability",
    "capabilities",
    multiple=True,
    metavar="NAME",
    help="What its workers may say they can, beside http. May be repeated.",
)
@click.option("--expires", metavar="TIME", help="When it ends: 2030-01-31, or in how long: 30d; never unless given.")
@_any_org
@options.organization
@options.as_json
def create(name: str, **given: Any) -> int:
    """Make a token and print it, this once."""
    from orbit_runner.cli.oversight import agent_tokens

    return agent_tokens.create(name, **given)


@agent_token.command("list")
@options.organization
@options.as_json
def list_(**given: Any) -> int:
    """List the tokens, the newest first, revoked ones included."""
    from orbit_runner.cli.oversight import agent_tokens

    return agent_tokens.list_(**given)


@agent_token.command("revoke")
@_name
@_any_org
@options.organization
@options.as_json
def revoke(name: str, **given: Any) -> int:
    """Take a token back, for good: its workers end, and what they held goes to others."""
    from orbit_runner.cli.oversight import agent_tokens

    return agent_tokens.revoke(name, **given)


@agent_token.command("require")
@click.argument("switch", metavar="ON|OFF", type=click.Choice(["on", "off"]), required=False)
@options.as_json
def require(switch: str | None, **given: Any) -> int:
    """Say whether a worker needs a token at all, as who runs the database; without ON or OFF, show it."""
    from orbit_runner.cli.oversight import agent_tokens

    return agent_tokens.require(switch, **given)
