"""`orbit prefs`: what the person at the keyboard likes."""

from __future__ import annotations

import click

__all__ = ["prefs"]

_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")


@click.group()
def prefs() -> None:
    """Your preferences, kept in the database: organization, project, theme, time_zone, colour, notify, rows."""


@prefs.command("list")
@_json
def list_(as_json: bool) -> int:
    """List those that are set."""
    from orbit_runner.cli import library

    return library.list_preferences(as_json=as_json)


@prefs.command("set")
@click.argument("settings", nargs=-1, required=True, metavar="KEY=VALUE...")
@_json
def set_(settings: tuple[str, ...], as_json: bool) -> int:
    """Set some of them."""
    from orbit_runner.cli import library

    return library.set_preferences(settings, as_json=as_json)


@prefs.command("unset")
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@_json
def unset(keys: tuple[str, ...], as_json: bool) -> int:
    """Take some of them away."""
    from orbit_runner.cli import library

    return library.unset_preferences(keys, as_json=as_json)
