"""`orbit unit`: business units."""

from __future__ import annotations

from typing import Any

import click

from orbit_runner.cli import options

__all__ = ["unit"]

_unit = click.argument("business_unit", metavar="UNIT")
_user = click.argument("user", metavar="USER")


@click.group()
def unit() -> None:
    """Business units: parts of an organisation that do not see each other's projects.

    USER is an e-mail address, an id, or `me`.
    """


@unit.command("list")
@options.organization
@options.as_json
def list_(**given: Any) -> int:
    """List the business units that you see."""
    from orbit_runner.cli.tenancy import units

    return units.list_(**given)


@unit.command("save")
@_unit
@click.option("--name", metavar="NAME", help="As people read it.")
@click.option("--description", metavar="TEXT", help="What it does.")
@click.option("--slug", metavar="SLUG", help="How commands name it from now on.")
@options.organization
@options.as_json
def save(business_unit: str, **given: Any) -> int:
    """Make a business unit, or change what is given of it."""
    from orbit_runner.cli.tenancy import units

    return units.save(business_unit, **given)


@unit.command("delete")
@_unit
@options.organization
@options.as_json
def delete(business_unit: str, **given: Any) -> int:
    """Delete a business unit that has no projects."""
    from orbit_runner.cli.tenancy import units

    return units.delete(business_unit, **given)


@unit.command("members")
@_unit
@options.organization
@options.as_json
def members(business_unit: str, **given: Any) -> int:
    """List who works in a business unit."""
    from orbit_runner.cli.tenancy import units

    return units.members(business_unit, **given)


@unit.command("add")
@_unit
@_user
@click.option("--role", metavar="ROLE", default="viewer", show_default=True, help="viewer, editor or admin.")
@options.organization
@options.as_json
def add(business_unit: str, user: str, **given: Any) -> int:
    """Take a member of the organisation in, or change their role."""
    from orbit_runner.cli.tenancy import units

    return units.set_member(business_unit, user, **given)


@unit.command("remove")
@_unit
@_user
@options.organization
@options.as_json
def remove(business_unit: str, user: str, **given: Any) -> int:
    """Take somebody out; they stay in the organisation."""
    from orbit_runner.cli.tenancy import units

    return units.remove_member(business_unit, user, **given)
