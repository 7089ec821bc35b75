"""`orbit credential`: what you sign in with to the systems you test."""

from __future__ import annotations

from typing import Any

import click

__all__ = ["credential"]

_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
_organization = click.option(
    "--org", "organization", metavar="NAME", envvar="ORBIT_ORGANIZATION", help="The organisation; yours unless given."
)


@click.group()
def credential() -> None:
    """Your credentials for the systems you test: nobody else sees them, and their secrets are told to nobody."""


@credential.command("add")
@click.argument("name", metavar="NAME")
@click.option(
    "--type",
    type=click.Choice(["bearer", "basic", "api_key", "oauth2_client"]),
    default="bearer",
    show_default=True,
    help="What it is.",
)
@click.option("--description", metavar="TEXT", help="What it opens.")
@click.option("--username", metavar="NAME", help="Of basic.")
@click.option("--header", "header_name", metavar="NAME", help="Of api_key: the header that carries the key.")
@click.option("--token-url", metavar="URL", help="Of oauth2_client: where a token is asked for.")
@click.option("--client-id", metavar="ID", help="Of oauth2_client.")
@click.option("--scope", "scopes", multiple=True, metavar="NAME", help="Of oauth2_client; may be repeated.")
@click.option("--expires", metavar="TIME", help="When it ends: 2027-01-31, or with a time.")
@_organization
@_json
def add(name: str, as_json: bool, **options: Any) -> int:
    """Save a credential, new or not: its secret is asked for, or read from standard input; it is never an argument."""
    from orbit_runner.cli import credentials

    return credentials.add(name, as_json=as_json, **options)


@credential.command("list")
@_organization
@_json
def list_(organization: str | None, as_json: bool) -> int:
    """List your own: names, kinds and ages, never secrets."""
    from orbit_runner.cli import credentials

    return credentials.list_(organization, as_json=as_json)


@credential.command("rm")
@click.argument("name", metavar="NAME")
@_organization
@_json
def rm(name: str, organization: str | None, as_json: bool) -> int:
    """Delete one of your own, its secret with it."""
    from orbit_runner.cli import credentials

    return credentials.rm(name, organization, as_json=as_json)
