"""`orbit var`: variables of the database, by scope."""

from __future__ import annotations

from typing import Any

import click

from orbit_runner.cli import options

__all__ = ["var"]

_name = click.argument("name", metavar="NAME")
_where = options.together(
    options.project, options.environment, options.suite, options.test, options.organization, options.as_json
)


@click.group()
def var() -> None:
    """Variables by scope.

    The organisation < a business unit < a project < an environment < a suite < a test: the narrowest comes first.
    """


@var.command("set")
@click.argument("settings", nargs=-1, required=True, metavar="NAME=VALUE...")
@click.option("--secret", is_flag=True, help="Seal the values; they are masked everywhere.")
@click.option(
    "--type", "kind", metavar="TYPE", help="string, number, boolean, object, array or any: what values may be."
)
@click.option("--priority", type=int, metavar="N", help="Higher comes first, whatever the scope; 0 unless given.")
@click.option("--description", metavar="TEXT", help="What it is for.")
@options.place_of_variable
@options.as_json
def set_(settings: tuple[str, ...], **given: Any) -> int:
    """Define variables of the narrowest place that is named, all or none. NAME:=JSON takes the value as JSON."""
    from orbit_runner.cli.configuration import variables

    return variables.set_(settings, **given)


@var.command("list")
@options.place_of_variable
@options.as_json
def list_(**given: Any) -> int:
    """List the definitions of a place; without one, of all that hold for the project `default`."""
    from orbit_runner.cli.configuration import variables

    return variables.list_(**given)


@var.command("get")
@_name
@_where
def get(name: str, **given: Any) -> int:
    """Print the value that holds for what is named."""
    from orbit_runner.cli.configuration import variables

    return variables.get(name, **given)


@var.command("rm")
@_name
@options.place_of_variable
@options.as_json
def rm(name: str, **given: Any) -> int:
    """Delete a variable of the narrowest place that is named."""
    from orbit_runner.cli.configuration import variables

    return variables.rm(name, **given)


@var.command("resolve")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@_where
def resolve(names: tuple[str, ...], **given: Any) -> int:
    """Tell what a test would get, where each value comes from, and what it hides."""
    from orbit_runner.cli.configuration import variables

    return variables.resolve(names, **given)
