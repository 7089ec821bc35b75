"""`orbit prefs`: what the person at the keyboard likes."""

from __future__ import annotations

import click

from orbit_runner.cli import options

__all__ = ["prefs"]


@click.group()
def prefs() -> None:
    """Your preferences.

    Kept in the database: organization, project, theme, time_zone, colour, notify, rows.
    """


@prefs.command("list")
@options.as_json
def list_(as_json: bool) -> int:
    """List those that are set."""
    from orbit_runner.cli.library import preferences

    return preferences.list_(as_json=as_json)


@prefs.command("set")
@click.argument("settings", nargs=-1, required=True, metavar="KEY=VALUE...")
@options.as_json
def set_(settings: tuple[str, ...], as_json: bool) -> int:
    """Set some of them."""
    from orbit_runner.cli.library import preferences

    return preferences.set_(settings, as_json=as_json)


@prefs.command("unset")
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@options.as_json
def unset(keys: tuple[str, ...], as_json: bool) -> int:
    """Take some of them away."""
    from orbit_runner.cli.library import preferences

    return preferences.unset(keys, as_json=as_json)
