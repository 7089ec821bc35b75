"""`orbit project`: systems under test."""

from __future__ import annotations

import click

__all__ = ["project"]

_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
_org = click.option(
    "--org",
    "organization",
    metavar="NAME",
    envvar="ORBIT_ORGANIZATION",
    help="Of which organisation; yours, if it is one.",
)
_project = click.argument("project", metavar="PROJECT")


@click.group()
def project() -> None:
    """Projects: suites, environments and their history."""


@project.command("list")
@click.option("--unit", metavar="UNIT", help="Those of this business unit.")
@click.option(
    "--org",
    "organization",
    metavar="NAME",
    envvar="ORBIT_ORGANIZATION",
    help="Of which organisation; of all unless given.",
)
@_json
def list_(unit: str | None, organization: str | None, as_json: bool) -> int:
    """List the projects that you see."""
    from orbit_runner.cli import membership

    return membership.list_projects(unit, organization, as_json=as_json)


@project.command("create")
@_project
@click.option("--name", metavar="NAME", help="As people read it.")
@click.option("--unit", metavar="UNIT", help="The business unit that it belongs to; none unless given.")
@_org
@_json
def create(project: str, name: str | None, unit: str | None, organization: str | None, as_json: bool) -> int:
    """Make a project. Saving a suite makes its project, too."""
    from orbit_runner.cli import membership

    return membership.save_project(project, organization, name=name, unit=unit, as_json=as_json)


@project.command("rename")
@_project
@click.option("--name", metavar="NAME", help="As people read it.")
@click.option("--slug", metavar="SLUG", help="How commands and suites name it from now on.")
@_org
@_json
def rename(project: str, name: str | None, slug: str | None, organization: str | None, as_json: bool) -> int:
    """Give a project another name."""
    from orbit_runner.cli import membership

    return membership.save_project(project, organization, name=name, slug=slug, as_json=as_json)


@project.command("move")
@_project
@click.option("--unit", metavar="UNIT", help="The business unit it goes to; out of all unless given.")
@_org
@_json
def move(project: str, unit: str | None, organization: str | None, as_json: bool) -> int:
    """Move a project to another business unit, or out of all."""
    from orbit_runner.cli import membership

    return membership.move_project(project, unit, organization, as_json=as_json)


@project.command("delete")
@_project
@click.option("--confirm", metavar="PROJECT", required=True, help="Its slug once more.")
@_org
def delete(project: str, confirm: str, organization: str | None) -> int:
    """Delete a project with all it holds; it does not come back."""
    from orbit_runner.cli import membership

    return membership.delete_project(project, confirm, organization)
