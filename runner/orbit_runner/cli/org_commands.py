"""`orbit org`: organisations, who belongs to them, and who is asked in."""

from __future__ import annotations

import click

__all__ = ["org"]

_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
_org = click.option(
    "--org",
    "organization",
    metavar="NAME",
    envvar="ORBIT_ORGANIZATION",
    help="Which; yours, if you belong to one only.",
)
_user = click.argument("user", metavar="USER")


@click.group()
def org() -> None:
    """Organisations and their members. USER is an e-mail address, an id, or `me`."""


@org.command("list")
@_json
def list_(as_json: bool) -> int:
    """List the organisations that you see."""
    from orbit_runner.cli import membership

    return membership.list_organizations(as_json=as_json)


@org.command("create")
@click.argument("name", metavar="NAME")
@click.option("--slug", metavar="SLUG", help="How commands name it; made of the name unless given.")
@_json
def create(name: str, slug: str | None, as_json: bool) -> int:
    """Make an organisation; you become its owner."""
    from orbit_runner.cli import membership

    return membership.create_organization(name, slug, as_json=as_json)


@org.command("rename")
@click.argument("name", metavar="NAME")
@click.option("--slug", metavar="SLUG", help="How commands name it from now on; as before unless given.")
@_org
@_json
def rename(name: str, slug: str | None, organization: str | None, as_json: bool) -> int:
    """Give an organisation another name."""
    from orbit_runner.cli import membership

    return membership.rename_organization(name, slug, organization, as_json=as_json)


@org.command("delete")
@click.argument("organization", metavar="ORG")
@click.option("--confirm", metavar="ORG", required=True, help="Its slug once more.")
def delete(organization: str, confirm: str) -> int:
    """Delete an organisation with all it holds; it does not come back."""
    from orbit_runner.cli import membership

    return membership.delete_organization(organization, confirm)


@org.command("members")
@_org
@_json
def members(organization: str | None, as_json: bool) -> int:
    """List who belongs to an organisation."""
    from orbit_runner.cli import membership

    return membership.list_members(organization, as_json=as_json)


@org.command("invite")
@click.argument("email", metavar="EMAIL")
@click.option("--role", metavar="ROLE", help="viewer, editor, admin or owner; viewer unless given.")
@click.option("--unit", metavar="UNIT", help="A business unit that it leads into as well.")
@click.option("--unit-role", metavar="ROLE", help="viewer, editor or admin of that unit; viewer unless given.")
@click.option("--days", type=float, metavar="N", help="How long it holds; 7 unless given.")
@_org
@_json
def invite(email: str, as_json: bool, **options: str | float | None) -> int:
    """Ask somebody in; prints the token for them, this once."""
    from orbit_runner.cli import membership

    return membership.invite(email, as_json=as_json, **options)  # type: ignore[arg-type]


@org.command("invitations")
@_org
@_json
def invitations(organization: str | None, as_json: bool) -> int:
    """List who was asked in."""
    from orbit_runner.cli import membership

    return membership.list_invitations(organization, as_json=as_json)


@org.command("revoke-invitation")
@click.argument("invitation", metavar="ID")
def revoke_invitation(invitation: str) -> int:
    """Take an invitation back."""
    from orbit_runner.cli import membership

    return membership.revoke_invitation(invitation)


@org.command("role")
@_user
@click.argument("role", metavar="ROLE")
@_org
def role(user: str, role: str, organization: str | None) -> int:
    """Give a member another role: viewer, editor, admin or owner."""
    from orbit_runner.cli import membership

    return membership.set_role(user, role, organization)


@org.command("remove")
@_user
@_org
def remove(user: str, organization: str | None) -> int:
    """Take somebody out, of units and grants as well."""
    from orbit_runner.cli import membership

    return membership.remove_member(user, organization)


@org.command("leave")
@_org
def leave(organization: str | None) -> int:
    """Leave an organisation. Its last owner cannot."""
    from orbit_runner.cli import membership

    return membership.remove_member("me", organization)
