"""`orbit unit`: business units."""

from __future__ import annotations

import click

__all__ = ["unit"]

_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
_org = click.option(
    "--org",
    "organization",
    metavar="NAME",
    envvar="ORBIT_ORGANIZATION",
    help="Of which organisation; yours, if it is one.",
)
_unit = click.argument("business_unit", metavar="UNIT")
_user = click.argument("user", metavar="USER")


@click.group()
def unit() -> None:
    """Parts of an organisation that do not see each other's projects. USER is an e-mail address, an id, or `me`."""


@unit.command("list")
@_org
@_json
def list_(organization: str | None, as_json: bool) -> int:
    """List the business units that you see."""
    from orbit_runner.cli import membership

    return membership.list_units(organization, as_json=as_json)


@unit.command("save")
@_unit
@click.option("--name", metavar="NAME", help="As people read it.")
@click.option("--description", metavar="TEXT", help="What it does.")
@click.option("--slug", metavar="SLUG", help="How commands name it from now on.")
@_org
@_json
def save(business_unit: str, as_json: bool, **options: str | None) -> int:
    """Make a business unit, or change what is given of it."""
    from orbit_runner.cli import membership

    return membership.save_unit(business_unit, as_json=as_json, **options)


@unit.command("delete")
@_unit
@_org
def delete(business_unit: str, organization: str | None) -> int:
    """Delete a business unit that has no projects."""
    from orbit_runner.cli import membership

    return membership.delete_unit(business_unit, organization)


@unit.command("members")
@_unit
@_org
@_json
def members(business_unit: str, organization: str | None, as_json: bool) -> int:
    """List who works in a business unit."""
    from orbit_runner.cli import membership

    return membership.list_unit_members(business_unit, organization, as_json=as_json)


@unit.command("add")
@_unit
@_user
@click.option("--role", metavar="ROLE", default="viewer", show_default=True, help="viewer, editor or admin.")
@_org
def add(business_unit: str, user: str, role: str, organization: str | None) -> int:
    """Take a member of the organisation in, or change their role."""
    from orbit_runner.cli import membership

    return membership.set_unit_member(business_unit, user, role, organization)


@unit.command("remove")
@_unit
@_user
@_org
def remove(business_unit: str, user: str, organization: str | None) -> int:
    """Take somebody out; they stay in the organisation."""
    from orbit_runner.cli import membership

    return membership.remove_unit_member(business_unit, user, organization)
