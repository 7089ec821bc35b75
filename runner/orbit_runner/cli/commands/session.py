"""`orbit login`, `orbit logout`, `orbit whoami`: as whom commands ask."""

from __future__ import annotations

from typing import Any

import click

from orbit_runner.cli import options

__all__ = ["login", "logout", "whoami"]


@click.command()
@click.option("--url", metavar="URL", help="The project's address; else SUPABASE_URL.")
@click.option("--key", metavar="KEY", help="Its publishable key; else SUPABASE_ANON_KEY or SUPABASE_KEY.")
@click.option("--email", metavar="EMAIL", help="Whose account.")
@options.as_json
def login(**given: Any) -> int:
    """Sign in to a Supabase project.

    The password is asked for, or read from ORBIT_PASSWORD or standard input.
    """
    from orbit_runner.cli.setup import login as commands

    return commands.login(**given)


@click.command()
@options.as_json
def logout(as_json: bool) -> int:
    """Sign out, here and at the server."""
    from orbit_runner.cli.setup import login as commands

    return commands.logout(as_json=as_json)


@click.command()
@options.as_json
def whoami(as_json: bool) -> int:
    """Tell who is signed in, where, and to which organisations they belong."""
    from orbit_runner.cli.setup import login as commands

    return commands.whoami(as_json=as_json)
