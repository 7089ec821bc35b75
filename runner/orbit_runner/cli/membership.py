"""`orbit org`, `orbit unit`, `orbit project`, `orbit access`: people, and what they may do."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from orbit_context.errors import DefinitionError
from orbit_runner.cli.asking import asking, print_answer, print_rows
from orbit_runner.cli.exits import Exit
from orbit_runner.report.wording import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from orbit_context.models.permissions import Explanation
    from orbit_context.models.tenancy import BusinessUnitRole, Role

__all__ = [
    "can",
    "create_organization",
    "delete_organization",
    "delete_project",
    "delete_unit",
    "explain",
    "grant",
    "invite",
    "list_grants",
    "list_invitations",
    "list_members",
    "list_organizations",
    "list_projects",
    "list_unit_members",
    "list_units",
    "move_project",
    "remove_member",
    "remove_unit_member",
    "rename_organization",
    "revoke",
    "revoke_invitation",
    "save_project",
    "save_unit",
    "set_role",
    "set_unit_member",
]


def _say(sentence: str) -> Exit:
    sys.stdout.write(f"{visible(sentence)}\n")
    return Exit.PASSED


def _told(answer: BaseModel, sentence: str, *, as_json: bool) -> Exit:
    return print_answer(answer.model_dump(mode="json")) if as_json else _say(sentence)


def _listed(answers: list[Any], columns: tuple[str, ...], nothing: str, *, as_json: bool) -> Exit:
    rows = [answer.model_dump(mode="json") for answer in answers]
    if not as_json:
        for row in rows:
            row["business_units"] = ", ".join(f"{one['slug']} ({one['role']})" for one in row.get("business_units", ()))
    return print_rows(rows, columns, as_json=as_json, nothing=nothing)


# Organisations ---------------------------------------------------------------------------------------------------------------


def list_organizations(*, as_json: bool) -> Exit:
    found = asking(lambda orbit: orbit.organizations.find())
    return _listed(found, ("slug", "name", "role", "created_at"), "no organisation yet", as_json=as_json)


def create_organization(name: str, slug: str | None, *, as_json: bool) -> Exit:
    made = asking(lambda orbit: orbit.organizations.create(name, slug=slug))
    return _told(made, f"made {made.slug}", as_json=as_json)


def rename_organization(name: str, slug: str | None, organization: str | None, *, as_json: bool) -> Exit:
    made = asking(lambda orbit: orbit.organizations.update(organization, name=name, slug=slug))
    return _told(made, f"{made.slug} is called {made.name}", as_json=as_json)


def delete_organization(organization: str, confirm: str) -> Exit:
    asking(lambda orbit: orbit.organizations.delete(organization, confirm=confirm))
    return _say(f"deleted {organization}")


def list_members(organization: str | None, *, as_json: bool) -> Exit:
    found = asking(lambda orbit: orbit.organizations.members(organization))
    columns = ("email", "name", "role", "business_units", "since", "user_id")
    return _listed(found, columns, "nobody", as_json=as_json)


def invite(
    email: str,
    *,
    role: Role | None,
    unit: str | None,
    unit_role: BusinessUnitRole | None,
    days: float | None,
    organization: str | None,
    as_json: bool,
) -> Exit:
    made = asking(
        lambda orbit: orbit.organizations.invite(
            email,
            role=role,
            business_unit=unit,
            business_unit_role=unit_role,
            expires_in_days=days,
            organization=organization,
        )
    )
    if as_json:
        return print_answer(made.model_dump(mode="json"))
    sys.stderr.write(f"{visible(made.email)} is asked in as {made.role}, until {made.expires_at:%Y-%m-%d %H:%M} UTC\n")
    return _say(made.token or "")


def list_invitations(organization: str | None, *, as_json: bool) -> Exit:
    found = asking(lambda orbit: orbit.organizations.invitations(organization))
    columns = ("id", "email", "role", "business_unit", "status", "invited_by", "expires_at")
    return _listed(found, columns, "nobody was asked in", as_json=as_json)


def revoke_invitation(invitation: str) -> Exit:
    changed = asking(lambda orbit: orbit.organizations.revoke_invitation(invitation))
    return _say("taken back" if changed else "it was taken back before")


def set_role(user: str, role: str, organization: str | None) -> Exit:
    changed = asking(lambda orbit: orbit.organizations.set_role(user, cast("Role", role), organization=organization))
    return _say(f"{user} is {role}{'' if changed else ' already'}")


def remove_member(user: str, organization: str | None) -> Exit:
    asking(lambda orbit: orbit.organizations.remove(user, organization=organization))
    return _say("you left" if user == "me" else f"{user} is out")


# Business units --------------------------------------------------------------------------------------------------------------


def list_units(organization: str | None, *, as_json: bool) -> Exit:
    found = asking(lambda orbit: orbit.business_units.find(organization=organization))
    columns = ("slug", "name", "role", "members", "projects", "description")
    return _listed(found, columns, "no business unit", as_json=as_json)


def save_unit(
    business_unit: str,
    *,
    name: str | None,
    description: str | None,
    slug: str | None,
    organization: str | None,
    as_json: bool,
) -> Exit:
    saved = asking(
        lambda orbit: orbit.business_units.save(
            business_unit, name=name, description=description, slug=slug, organization=organization
        )
    )
    return _told(saved, f"saved {saved.slug}", as_json=as_json)


def delete_unit(business_unit: str, organization: str | None) -> Exit:
    asking(lambda orbit: orbit.business_units.delete(business_unit, organization=organization))
    return _say(f"deleted {business_unit}")


def list_unit_members(business_unit: str, organization: str | None, *, as_json: bool) -> Exit:
    found = asking(lambda orbit: orbit.business_units.members(business_unit, organization=organization))
    return _listed(found, ("email", "name", "role", "since", "user_id"), "nobody", as_json=as_json)


def set_unit_member(business_unit: str, user: str, role: str, organization: str | None) -> Exit:
    changed = asking(
        lambda orbit: orbit.business_units.set_member(
            business_unit, user, cast("BusinessUnitRole", role), organization=organization
        )
    )
    return _say(f"{user} is {role} in {business_unit}{'' if changed else ' already'}")


def remove_unit_member(business_unit: str, user: str, organization: str | None) -> Exit:
    asking(lambda orbit: orbit.business_units.remove_member(business_unit, user, organization=organization))
    return _say(f"{user} is out of {business_unit}")


# Projects --------------------------------------------------------------------------------------------------------------------


def list_projects(unit: str | None, organization: str | None, *, as_json: bool) -> Exit:
    found = asking(lambda orbit: orbit.projects.find(organization=organization, business_unit=unit))
    columns = ("organization", "slug", "name", "business_unit", "created_at")
    return _listed(found, columns, "no project yet", as_json=as_json)


def save_project(
    project: str,
    organization: str | None,
    *,
    as_json: bool,
    name: str | None = None,
    slug: str | None = None,
    unit: str | None = None,
) -> Exit:
    saved = asking(
        lambda orbit: orbit.projects.save(project, name=name, slug=slug, business_unit=unit, organization=organization)
    )
    return _told(saved, f"saved {saved.slug}", as_json=as_json)


def move_project(project: str, unit: str | None, organization: str | None, *, as_json: bool) -> Exit:
    saved = asking(lambda orbit: orbit.projects.move(project, unit, organization=organization))
    where = f"in {saved.business_unit}" if saved.business_unit else "in no business unit"
    return _told(saved, f"{saved.slug} is {where}", as_json=as_json)


def delete_project(project: str, confirm: str, organization: str | None) -> Exit:
    asking(lambda orbit: orbit.projects.delete(project, confirm=confirm, organization=organization))
    return _say(f"deleted {project}")


# Grants ----------------------------------------------------------------------------------------------------------------------


def grant(
    user: str,
    permission: str,
    expires: str | None,
    where: Mapping[str, str | None],
    *,
    system: bool,
    as_json: bool,
) -> Exit:
    ends = _time(expires)
    made = asking(lambda orbit: orbit.permissions.grant(user, permission, system=system, expires_at=ends, **where))
    until = f" until {made.expires_at:%Y-%m-%d %H:%M} UTC" if made.expires_at else ""
    place = made.resource or "everything"
    return _told(made, f"{made.email or made.user_id} has {made.permission} on {place}{until}", as_json=as_json)


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise DefinitionError(
            f"{text} is no time", field="--expires", hint="it looks like 2030-01-31T18:00:00Z"
        ) from None
    return (time if time.tzinfo else time.astimezone()).astimezone(UTC)


def revoke(grant_id: str) -> Exit:
    changed = asking(lambda orbit: orbit.permissions.revoke(grant_id))
    return _say("taken back" if changed else "it was taken back before")


def list_grants(user: str | None, where: Mapping[str, str | None], *, history: bool, as_json: bool) -> Exit:
    found = asking(lambda orbit: orbit.permissions.find(user=user, history=history, system=False, **where))
    columns: tuple[str, ...] = ("id", "email", "permission", "resource_type", "resource", "granted_by", "granted_at")
    columns += ("expires_at",)
    if history:
        columns += ("revoked_by", "revoked_at")
    return _listed(found, columns, "no grant", as_json=as_json)


def can(action: str, where: Mapping[str, str | None], *, as_json: bool) -> Exit:
    told = asking(lambda orbit: orbit.permissions.can(action, **where))
    _told(told, f"{'yes' if told.allowed else 'no'}: {told.reason}", as_json=as_json)
    return Exit.PASSED if told.allowed else Exit.FAILED


def explain(action: str, user: str | None, where: Mapping[str, str | None], *, as_json: bool) -> Exit:
    told = asking(lambda orbit: orbit.permissions.explain(action, user=user, **where))
    if as_json:
        return print_answer(told.model_dump(mode="json"))
    for line in _explained(told, user):
        sys.stdout.write(f"{visible(line)}\n")
    return Exit.PASSED


def _explained(told: Explanation, user: str | None) -> list[str]:
    """As people read it: the verdict, then every way in, the strongest first."""
    place = f"{told.resource_type.replace('_', ' ')} {told.resource}" if told.resource else "the whole system"
    lines = [
        f"{user or 'you'} may {'' if told.allowed else 'NOT '}{told.action} in {place}; it takes {told.takes}",
        told.reason,
    ]
    for one in told.because:
        way = f"{one.permission} by {one.via.replace('_', ' ')}"
        if one.granted_at:
            way += f", granted {one.granted_at:%Y-%m-%d %H:%M} by {one.granted_by or 'an administrator'}"
            way += f", until {one.expires_at:%Y-%m-%d %H:%M}" if one.expires_at else ""
        lines.append(f"  {'+' if one.suffices else '-'} {way}")
    return lines
