"""`orbit fixture`: data sets that suites name."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["fixture"]

_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
_project = click.option("--project", metavar="NAME", help="The project; your preferred one, else `default`.")
_name = click.argument("name", metavar="NAME")


@click.group()
def fixture() -> None:
    """Data sets of a project, for data-driven tests: `data: {fixture: NAME}`."""


@fixture.command("add")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--name", help="How suites name it; the file's name without its ending unless given.")
@click.option("--description", metavar="TEXT", help="What the data are good for.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="To find it by; may be repeated.")
@_project
@_json
def add(
    file: Path,
    name: str | None,
    description: str | None,
    tags: tuple[str, ...],
    project: str | None,
    as_json: bool,
) -> int:
    """Keep the rows of a CSV, JSON or YAML file in the database; other rows make a new version."""
    from orbit_runner.cli import library

    return library.add_fixture(file, name, description=description, tags=tags, project=project, as_json=as_json)


@fixture.command("list")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Those with this tag; repeated: with all of them.")
@click.option("--project", metavar="NAME", help="Of this project; of all that you see unless given.")
@_json
def list_(tags: tuple[str, ...], project: str | None, as_json: bool) -> int:
    """List the data sets."""
    from orbit_runner.cli import library

    return library.list_fixtures(tags, project, as_json=as_json)


@fixture.command("show")
@_name
@_project
@_json
def show(name: str, project: str | None, as_json: bool) -> int:
    """Print a data set's rows as CSV; with --json, all there is to know of it."""
    from orbit_runner.cli import library

    return library.show_fixture(name, project, as_json=as_json)


@fixture.command("usage")
@_name
@_project
@_json
def usage(name: str, project: str | None, as_json: bool) -> int:
    """Tell which suites were saved with a data set and which runs used it, and in which version."""
    from orbit_runner.cli import library

    return library.fixture_usage(name, project, as_json=as_json)


@fixture.command("rm")
@_name
@click.option("--force", is_flag=True, help="Also where a suite's latest version uses it.")
@_project
@_json
def rm(name: str, force: bool, project: str | None, as_json: bool) -> int:
    """Delete a data set; what it was used for stays in the history."""
    from orbit_runner.cli import library

    return library.delete_fixture(name, project, force=force, as_json=as_json)
