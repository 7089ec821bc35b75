"""`orbit search`: questions that are asked again."""

from __future__ import annotations

from typing import Any

import click

from orbit_runner.cli import options

__all__ = ["search"]

_filters = click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="K=V",
    help="A field and its value; K:=V takes V as JSON. May be repeated.",
)
_ENTITIES = click.Choice(["runs", "results", "suites", "tests", "fixtures"])


@click.group()
def search() -> None:
    """Find runs, results, suites, tests and data sets; keep the question."""


@search.command("save")
@click.argument("name", metavar="NAME")
@click.option(
    "--entity", metavar="KIND", required=True, type=_ENTITIES, help="runs, results, suites, tests or fixtures."
)
@_filters
@click.option("--shared", is_flag=True, help="Everybody who sees the project may run it; takes --project.")
@options.any_project
@options.organization
@options.as_json
def save(name: str, **given: Any) -> int:
    """Keep a search under a name; saved again, it is replaced."""
    from orbit_runner.cli.library import searches

    return searches.save(name, **given)


@search.command("list")
@options.any_project
@options.organization
@options.as_json
def list_(**given: Any) -> int:
    """List your searches, and those that are shared with a project you see."""
    from orbit_runner.cli.library import searches

    return searches.list_(**given)


@search.command("run")
@click.argument("name", metavar="[NAME]", default="")
@click.option(
    "--entity", metavar="KIND", type=_ENTITIES, help="Instead of a name: runs, results, suites, tests or fixtures."
)
@_filters
@click.option("--limit", metavar="N", type=options.COUNT, default=50, show_default=True, help="So many rows at most.")
@options.any_project
@options.organization
@options.as_json
def run(name: str, **given: Any) -> int:
    """Print what a search finds: one that was saved, or one of an entity and filters."""
    from orbit_runner.cli.library import searches

    return searches.run(name, **given)


@search.command("rm")
@click.argument("name", metavar="NAME")
@options.organization
@options.as_json
def rm(name: str, **given: Any) -> int:
    """Delete a search of yours."""
    from orbit_runner.cli.library import searches

    return searches.rm(name, **given)
