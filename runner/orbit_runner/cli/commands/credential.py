"""`orbit credential`: what you sign in with to the systems you test."""

from __future__ import annotations

from typing import Any

import click

from orbit_runner.cli import options

__all__ = ["credential"]


@click.group()
def credential() -> None:
    """Your credentials for the systems you test.

    Nobody else sees them, and their secrets are told to nobody.
    """


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
@click.option("--expires", metavar="TIME", help="When it ends: 2030-01-31, or in how long: 30d; never unless given.")
@options.organization
@options.as_json
def add(name: str, **given: Any) -> int:
    """Save a credential, new or not: its secret is asked for, or read from standard input; it is never an argument."""
    from orbit_runner.cli.configuration import credentials

    return credentials.add(name, **given)


@credential.command("list")
@options.organization
@options.as_json
def list_(**given: Any) -> int:
    """List your own: names, kinds and ages, never secrets."""
    from orbit_runner.cli.configuration import credentials

    return credentials.list_(**given)


@credential.command("rm")
@click.argument("name", metavar="NAME")
@options.organization
@options.as_json
def rm(name: str, **given: Any) -> int:
    """Delete one of your own, its secret with it."""
    from orbit_runner.cli.configuration import credentials

    return credentials.rm(name, **given)
