"""`orbit fixture`: data sets that suites name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orbit_runner.cli import options

__all__ = ["fixture"]

_name = click.argument("name", metavar="NAME")


@click.group()
def fixture() -> None:
    """Data sets for data-driven tests."""


@fixture.command("add")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="How suites name it; the file's name without its ending unless given.")
@click.option("--description", metavar="TEXT", help="What the data are good for.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="To find it by; may be repeated.")
@options.in_project
def add(file: Path, **given: Any) -> int:
    """Keep the rows of a CSV, JSON or YAML file in the database; other rows make a new version."""
    from orbit_runner.cli.library import fixtures

    return fixtures.add(file, **given)


@fixture.command("list")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Those with this tag; repeated: with all of them.")
@options.any_project
@options.organization
@options.as_json
def list_(**given: Any) -> int:
    """List the data sets."""
    from orbit_runner.cli.library import fixtures

    return fixtures.list_(**given)


@fixture.command("show")
@_name
@options.in_project
def show(name: str, **given: Any) -> int:
    """Print a data set's rows as CSV; with --json, all there is to know of it."""
    from orbit_runner.cli.library import fixtures

    return fixtures.show(name, **given)


@fixture.command("usage")
@_name
@options.in_project
def usage(name: str, **given: Any) -> int:
    """Tell which suites were saved with a data set and which runs used it, and in which version."""
    from orbit_runner.cli.library import fixtures

    return fixtures.usage(name, **given)


@fixture.command("rm")
@_name
@click.option("--force", is_flag=True, help="Also where a suite's latest version uses it.")
@options.in_project
def rm(name: str, **given: Any) -> int:
    """Delete a data set; what it was used for stays in the history."""
    from orbit_runner.cli.library import fixtures

    return fixtures.rm(name, **given)
