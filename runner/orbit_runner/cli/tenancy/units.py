"""`orbit unit`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from orbit_runner.cli.answers import print_rows, told
from orbit_runner.cli.asking import asking

if TYPE_CHECKING:
    from orbit_context.models.tenancy import BusinessUnitRole
    from orbit_runner.cli.exits import Exit

__all__ = ["delete", "list_", "members", "remove_member", "save", "set_member"]


def list_(*, organization: str | None, as_json: bool) -> Exit:
    found = asking(lambda orbit: orbit.business_units.find(organization=organization))
    columns = ("slug", "name", "role", "members", "projects", "description")
    nothing = "no business unit yet; make one: orbit unit save UNIT"
    return print_rows(found, columns, as_json=as_json, nothing=nothing)


def save(business_unit: str, *, as_json: bool, **given: Any) -> Exit:
    saved = asking(lambda orbit: orbit.business_units.save(business_unit, **given))
    return told(saved, f"saved {saved.slug}", as_json=as_json)


def delete(business_unit: str, *, organization: str | None, as_json: bool) -> Exit:
    asking(lambda orbit: orbit.business_units.delete(business_unit, organization=organization))
    return told({"slug": business_unit}, f"deleted {business_unit}", as_json=as_json)


def members(business_unit: str, *, organization: str | None, as_json: bool) -> Exit:
    found = asking(lambda orbit: orbit.business_units.members(business_unit, organization=organization))
    return print_rows(
        found,
        ("email", "name", "role", "since"),
        as_json=as_json,
        nothing=f"nobody works in it; take somebody in: orbit unit add {business_unit} USER",
        shown=lambda row: {"email": row["email"] or row["user_id"]},
    )


def set_member(business_unit: str, user: str, *, role: str, organization: str | None, as_json: bool) -> Exit:
    changed = asking(
        lambda orbit: orbit.business_units.set_member(
            business_unit, user, cast("BusinessUnitRole", role), organization=organization
        )
    )
    sentence = f"{user} is {role} in {business_unit}{'' if changed else ' already'}"
    return told({"changed": changed}, sentence, as_json=as_json)


def remove_member(business_unit: str, user: str, *, organization: str | None, as_json: bool) -> Exit:
    asking(lambda orbit: orbit.business_units.remove_member(business_unit, user, organization=organization))
    return told({"user": user}, f"{user} is out of {business_unit}", as_json=as_json)
