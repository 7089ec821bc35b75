"""`orbit search`: questions that are asked again."""

from __future__ import annotations

import click

__all__ = ["search"]

_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
_filters = click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="K=V",
    help="A field and its value; K:=V takes V as JSON. May be repeated.",
)
_ENTITIES = ("runs", "results", "suites", "tests", "fixtures")


@click.group()
def search() -> None:
    """Find runs, results, suites, tests and data sets; keep the question to ask it again."""


@search.command("save")
@click.argument("name", metavar="NAME")
@click.option(
    "--entity",
    metavar="KIND",
    required=True,
    type=click.Choice(_ENTITIES),
    help="runs, results, suites, tests or fixtures.",
)
@_filters
@click.option("--shared", is_flag=True, help="Everybody who sees the project may run it; takes --project.")
@click.option("--project", metavar="NAME", help="Look in this project only; in all that you see unless given.")
@_json
def save(name: str, entity: str, filters: tuple[str, ...], shared: bool, project: str | None, as_json: bool) -> int:
    """Keep a search under a name; saved again, it is replaced."""
    from orbit_runner.cli import library

    return library.save_search(name, entity, filters, shared=shared, project=project, as_json=as_json)


@search.command("list")
@_json
def list_(as_json: bool) -> int:
    """List your searches, and those that are shared with a project you see."""
    from orbit_runner.cli import library

    return library.list_searches(as_json=as_json)


@search.command("run")
@click.argument("name", metavar="[NAME]", default="")
@click.option(
    "--entity",
    metavar="KIND",
    type=click.Choice(_ENTITIES),
    help="Instead of a name: runs, results, suites, tests or fixtures.",
)
@_filters
@click.option("--project", metavar="NAME", help="Look in this project only.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(1, 10_000), default=50, show_default=True, help="So many rows at most."
)
@_json
def run(name: str, entity: str | None, filters: tuple[str, ...], project: str | None, limit: int, as_json: bool) -> int:
    """Print what a search finds: one that was saved, or one of an entity and filters."""
    from orbit_runner.cli import library

    return library.run_search(name, entity, filters, project=project, limit=limit, as_json=as_json)


@search.command("rm")
@click.argument("name", metavar="NAME")
@_json
def rm(name: str, as_json: bool) -> int:
    """Delete a search of yours."""
    from orbit_runner.cli import library

    return library.delete_search(name, as_json=as_json)
