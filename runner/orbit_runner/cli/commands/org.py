"""`orbit org`: organisations, who belongs to them, and who is asked in."""

from __future__ import annotations

from typing import Any

import click

from orbit_runner.cli import options

__all__ = ["org"]

_user = click.argument("user", metavar="USER")


@click.group()
def org() -> None:
    """Organisations and their members. USER is an e-mail address, an id, or `me`."""


@org.command("list")
@options.as_json
def list_(as_json: bool) -> int:
    """List the organisations that you see."""
    from orbit_runner.cli.tenancy import organizations

    return organizations.list_(as_json=as_json)


@org.command("create")
@click.argument("name", metavar="NAME")
@click.option("--slug", metavar="SLUG", help="How commands name it; made of the name unless given.")
@options.as_json
def create(name: str, **given: Any) -> int:
    """Make an organisation; you become its owner."""
    from orbit_runner.cli.tenancy import organizations

    return organizations.create(name, **given)


@org.command("rename")
@click.argument("name", metavar="NAME")
@click.option("--slug", metavar="SLUG", help="How commands name it from now on; as before unless given.")
@options.organization
@options.as_json
def rename(name: str, **given: Any) -> int:
    """Give an organisation another name."""
    from orbit_runner.cli.tenancy import organizations

    return organizations.rename(name, **given)


@org.command("delete")
@click.argument("organization", metavar="ORG")
@click.option("--confirm", metavar="ORG", required=True, help="Its slug once more.")
@options.as_json
def delete(organization: str, **given: Any) -> int:
    """Delete an organisation with all it holds; it does not come back."""
    from orbit_runner.cli.tenancy import organizations

    return organizations.delete(organization, **given)


@org.command("members")
@options.organization
@options.as_json
def members(**given: Any) -> int:
    """List who belongs to an organisation."""
    from orbit_runner.cli.tenancy import organizations

    return organizations.members(**given)


@org.command("invite")
@click.argument("email", metavar="EMAIL")
@click.option("--role", metavar="ROLE", help="viewer, editor, admin or owner; viewer unless given.")
@click.option("--unit", "business_unit", metavar="NAME", help="A business unit that it leads into as well.")
@click.option("--unit-role", metavar="ROLE", help="viewer, editor or admin of that unit; viewer unless given.")
@click.option("--days", type=float, metavar="N", help="How long it holds; 7 unless given.")
@options.organization
@options.as_json
def invite(email: str, **given: Any) -> int:
    """Ask somebody in; prints the token for them, this once."""
    from orbit_runner.cli.tenancy import organizations

    return organizations.invite(email, **given)


@org.command("invitations")
@options.organization
@options.as_json
def invitations(**given: Any) -> int:
    """List who was asked in."""
    from orbit_runner.cli.tenancy import organizations

    return organizations.invitations(**given)


@org.command("revoke-invitation")
@click.argument("invitation", metavar="ID")
@options.as_json
def revoke_invitation(invitation: str, as_json: bool) -> int:
    """Take an invitation back."""
    from orbit_runner.cli.tenancy import organizations

    return organizations.revoke_invitation(invitation, as_json=as_json)


@org.command("role")
@_user
@click.argument("role", metavar="ROLE")
@options.organization
@options.as_json
def role(user: str, role: str, **given: Any) -> int:
    """Give a member another role: viewer, editor, admin or owner."""
    from orbit_runner.cli.tenancy import organizations

    return organizations.set_role(user, role, **given)


@org.command("remove")
@_user
@options.organization
@options.as_json
def remove(user: str, **given: Any) -> int:
    """Take somebody out, of units and grants as well."""
    from orbit_runner.cli.tenancy import organizations

    return organizations.remove(user, **given)


@org.command("leave")
@options.organization
@options.as_json
def leave(**given: Any) -> int:
    """Leave an organisation. Its last owner cannot."""
    from orbit_runner.cli.tenancy import organizations

    return organizations.remove("me", **given)
