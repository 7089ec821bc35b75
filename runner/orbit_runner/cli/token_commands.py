"""`orbit token`: what a pipeline shows to start runs."""

from __future__ import annotations

import click

__all__ = ["token"]

_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
_project = click.option("--project", metavar="NAME", help="Of which project; default unless given.")
_organization = click.option(
    "--org",
    "organization",
    metavar="NAME",
    envvar="ORBIT_ORGANIZATION",
    help="Whose; yours, if you belong to one only.",
)


@click.group()
def token() -> None:
    """Trigger tokens: with one, a pipeline starts runs of a project, and does nothing else."""


@token.command("create")
@click.argument("name", metavar="NAME")
@click.option("--expires", metavar="TIME", help="Until when it holds: 2027-01-31, or a time. Else until it is revoked.")
@_project
@_organization
@_json
def create(name: str, expires: str | None, project: str | None, organization: str | None, as_json: bool) -> int:
    """Make a token and print it, this once."""
    from orbit_runner.cli import token as commands

    return commands.create(name, expires=expires, project=project, organization=organization, as_json=as_json)


@token.command("list")
@_project
@_organization
@_json
def list_(project: str | None, organization: str | None, as_json: bool) -> int:
    """List the tokens, the newest first, revoked ones included."""
    from orbit_runner.cli import token as commands

    return commands.list_tokens(project=project, organization=organization, as_json=as_json)


@token.command("revoke")
@click.argument("name", metavar="NAME")
@_project
@_organization
@_json
def revoke(name: str, project: str | None, organization: str | None, as_json: bool) -> int:
    """Take a token back, for good."""
    from orbit_runner.cli import token as commands

    return commands.revoke(name, project=project, organization=organization, as_json=as_json)
