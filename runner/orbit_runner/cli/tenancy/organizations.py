"""`orbit org`"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

from orbit_runner.cli.answers import moment, print_answer, print_rows, say, told
from orbit_runner.cli.asking import asking
from orbit_runner.report.wording import visible

if TYPE_CHECKING:
    from orbit_context.models.tenancy import Role
    from orbit_runner.cli.exits import Exit

__all__ = [
    "create",
    "delete",
    "invitations",
    "invite",
    "list_",
    "members",
    "remove",
    "rename",
    "revoke_invitation",
    "set_role",
]


def list_(*, as_json: bool) -> Exit:
    found = asking(lambda orbit: orbit.organizations.find())
    columns = ("slug", "name", "role", "created_at")
    nothing = "no organisation yet; make one: orbit org create NAME"
    return print_rows(found, columns, as_json=as_json, nothing=nothing)


def create(name: str, *, slug: str | None, as_json: bool) -> Exit:
    made = asking(lambda orbit: orbit.organizations.create(name, slug=slug))
    return told(made, f"made {made.slug}", as_json=as_json)


def rename(name: str, *, slug: str | None, organization: str | None, as_json: bool) -> Exit:
    made = asking(lambda orbit: orbit.organizations.update(organization, name=name, slug=slug))
    return told(made, f"{made.slug} is called {made.name}", as_json=as_json)


def delete(organization: str, *, confirm: str, as_json: bool) -> Exit:
    asking(lambda orbit: orbit.organizations.delete(organization, confirm=confirm))
    return told({"slug": organization}, f"deleted {organization}", as_json=as_json)


def members(*, organization: str | None, as_json: bool) -> Exit:
    found = asking(lambda orbit: orbit.organizations.members(organization))
    return print_rows(
        found,
        ("email", "name", "role", "business_units", "since"),
        as_json=as_json,
        nothing="nobody belongs to it; ask somebody in: orbit org invite EMAIL",
        shown=lambda row: {
            "email": row["email"] or row["user_id"],
            "business_units": [f"{one['slug']} ({one['role']})" for one in row["business_units"]],
        },
    )


def invite(email: str, *, as_json: bool, unit_role: Any, days: float | None, **given: Any) -> Exit:
    """The token alone on standard output."""
    made = asking(
        lambda orbit: orbit.organizations.invite(email, business_unit_role=unit_role, expires_in_days=days, **given)
    )
    if as_json:
        return print_answer(made)
    sys.stderr.write(f"{visible(made.email)} is asked in as {made.role}, until {moment(made.expires_at)}\n")
    return say(made.token or "")


def invitations(*, organization: str | None, as_json: bool) -> Exit:
    found = asking(lambda orbit: orbit.organizations.invitations(organization))
    columns = ("id", "email", "role", "business_unit", "status", "expires_at", "invited_by")
    nothing = "nobody was asked in; ask somebody: orbit org invite EMAIL"
    return print_rows(found, columns, as_json=as_json, nothing=nothing)


def revoke_invitation(invitation: str, *, as_json: bool) -> Exit:
    changed = asking(lambda orbit: orbit.organizations.revoke_invitation(invitation))
    return told({"changed": changed}, "taken back" if changed else "it was taken back before", as_json=as_json)


def set_role(user: str, role: str, *, organization: str | None, as_json: bool) -> Exit:
    changed = asking(lambda orbit: orbit.organizations.set_role(user, cast("Role", role), organization=organization))
    return told({"changed": changed}, f"{user} is {role}{'' if changed else ' already'}", as_json=as_json)


def remove(user: str, *, organization: str | None, as_json: bool) -> Exit:
    asking(lambda orbit: orbit.organizations.remove(user, organization=organization))
    return told({"user": user}, "you left" if user == "me" else f"{user} is out", as_json=as_json)
