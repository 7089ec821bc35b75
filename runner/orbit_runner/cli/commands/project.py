"""`orbit project`: systems under test."""

from __future__ import annotations

from typing import Any

import click

from orbit_runner.cli import options

__all__ = ["project"]

_project = click.argument("project", metavar="PROJECT")


@click.group()
def project() -> None:
    """Projects: suites, environments and their history."""


@project.command("list")
@click.option("--unit", "business_unit", metavar="NAME", help="Those of this business unit.")
@options.organization
@options.as_json
def list_(**given: Any) -> int:
    """List the projects that you see."""
    from orbit_runner.cli.tenancy import projects

    return projects.list_(**given)


@project.command("create")
@_project
@click.option("--name", metavar="NAME", help="As people read it.")
@click.option("--unit", "business_unit", metavar="NAME", help="The business unit it belongs to; none unless given.")
@options.organization
@options.as_json
def create(project: str, **given: Any) -> int:
    """Make a project. Saving a suite makes its project, too."""
    from orbit_runner.cli.tenancy import projects

    return projects.save(project, **given)


@project.command("rename")
@_project
@click.option("--name", metavar="NAME", help="As people read it.")
@click.option("--slug", metavar="SLUG", help="How commands and suites name it from now on.")
@options.organization
@options.as_json
def rename(project: str, **given: Any) -> int:
    """Give a project another name."""
    from orbit_runner.cli.tenancy import projects

    return projects.save(project, **given)


@project.command("move")
@_project
@click.option("--unit", "business_unit", metavar="NAME", help="The business unit it goes to; out of all unless given.")
@options.organization
@options.as_json
def move(project: str, **given: Any) -> int:
    """Move a project to another business unit, or out of all."""
    from orbit_runner.cli.tenancy import projects

    return projects.move(project, **given)


@project.command("delete")
@_project
@click.option("--confirm", metavar="PROJECT", required=True, help="Its slug once more.")
@options.organization
@options.as_json
def delete(project: str, **given: Any) -> int:
    """Delete a project with all it holds; it does not come back."""
    from orbit_runner.cli.tenancy import projects

    return projects.delete(project, **given)
