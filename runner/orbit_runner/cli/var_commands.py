"""`orbit var`: variables of the database, by scope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["var"]

_SCOPES = click.Choice(["global", "business_unit", "project", "environment", "suite", "test"])
_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")


def _where(command: Callable[..., Any]) -> Callable[..., Any]:
    for name, text in (
        ("test", "The key of a test."),
        ("suite", "The key of a suite."),
        ("env", "The name of an environment."),
        ("project", "The project; `default` unless given."),
        ("unit", "A business unit."),
        ("org", "The organisation, where you belong to several."),
    ):
        command = click.option(f"--{name}", metavar="NAME", help=text)(command)
    return command


@click.group()
def var() -> None:
    """Variables by scope: global < business_unit < project < environment < suite < test."""


@var.command("set")
@click.argument("settings", nargs=-1, required=True, metavar="NAME=VALUE...")
@click.option("--scope", metavar="SCOPE", type=_SCOPES, default="project", show_default=True, help="Where it holds.")
@click.option("--secret", is_flag=True, help="Seal the values; they are masked everywhere.")
@click.option(
    "--type", "kind", metavar="TYPE", help="string, number, boolean, object, array or any: what values may be."
)
@click.option("--priority", type=int, metavar="N", help="Higher comes first, whatever the scope; 0 unless given.")
@click.option("--description", metavar="TEXT", help="What it is for.")
@_where
@_json
def set_(settings: tuple[str, ...], **options: Any) -> int:
    """Define variables of one scope, all or none. NAME:=JSON takes the value as JSON."""
    from orbit_runner.cli import variables

    return variables.set_(settings, **options)


@var.command("list")
@click.option(
    "--scope", metavar="SCOPE", type=_SCOPES, help="Of this scope only; else of all that hold for what is named."
)
@_where
@_json
def list_(**options: Any) -> int:
    """List definitions, those that come first before those they hide."""
    from orbit_runner.cli import variables

    return variables.list_(**options)


@var.command("get")
@click.argument("name", metavar="NAME")
@_where
@_json
def get(name: str, **options: Any) -> int:
    """Print the value that holds for what is named."""
    from orbit_runner.cli import variables

    return variables.get(name, **options)


@var.command("rm")
@click.argument("name", metavar="NAME")
@click.option(
    "--scope", metavar="SCOPE", type=_SCOPES, default="project", show_default=True, help="Where it was defined."
)
@_where
@_json
def rm(name: str, **options: Any) -> int:
    """Delete a variable of one scope."""
    from orbit_runner.cli import variables

    return variables.rm(name, **options)


@var.command("resolve")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@_where
@_json
def resolve(names: tuple[str, ...], **options: Any) -> int:
    """Tell what a test would get, where each value comes from, and what it hides."""
    from orbit_runner.cli import variables

    return variables.resolve(names, **options)
