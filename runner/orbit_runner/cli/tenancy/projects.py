"""`orbit project`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_runner.cli.answers import print_rows, told
from orbit_runner.cli.asking import asking

if TYPE_CHECKING:
    from orbit_runner.cli.exits import Exit

__all__ = ["delete", "list_", "move", "save"]


def list_(*, as_json: bool, **given: Any) -> Exit:
    found = asking(lambda orbit: orbit.projects.find(**given))
    columns = ("organization", "slug", "name", "business_unit", "created_at")
    nothing = "no project yet; make one: orbit project create PROJECT"
    return print_rows(found, columns, as_json=as_json, nothing=nothing)


def save(project: str, *, as_json: bool, **given: Any) -> Exit:
    saved = asking(lambda orbit: orbit.projects.save(project, **given))
    return told(saved, f"saved {saved.slug}", as_json=as_json)


def move(project: str, *, business_unit: str | None, organization: str | None, as_json: bool) -> Exit:
    saved = asking(lambda orbit: orbit.projects.move(project, business_unit, organization=organization))
    where = f"in {saved.business_unit}" if saved.business_unit else "in no business unit"
    return told(saved, f"{saved.slug} is {where}", as_json=as_json)


def delete(project: str, *, confirm: str, organization: str | None, as_json: bool) -> Exit:
    asking(lambda orbit: orbit.projects.delete(project, confirm=confirm, organization=organization))
    return told({"slug": project}, f"deleted {project}", as_json=as_json)
