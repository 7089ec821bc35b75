"""`orbit limits`"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from orbit_context.errors import DefinitionError
from orbit_runner.cli.answers import print_rows
from orbit_runner.cli.asking import asking

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orbit_context.client import Orbit
    from orbit_context.models.limits import Limit, Usage
    from orbit_runner.cli.exits import Exit

__all__ = ["limit_of", "set_", "show"]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RATE = re.compile(r"(\d{1,15})/(\d{0,9})([smhd])(?::(\d{1,9}))?")


def limit_of(text: str) -> Any:
    """A limit as SQL takes it: `10`, `60/m`, `5/10s:20` (60 a minute; 5 in ten seconds, 20 at once), `unlimited`, `default`.

    Raises DefinitionError.
    """
    if text == "default":
        return None
    if text == "unlimited":
        return text
    if re.fullmatch(r"\d{1,15}", text):
        return int(text)
    if rate := _RATE.fullmatch(text):
        limit = {"amount": int(rate[1]), "per": int(rate[2] or 1) * _SECONDS[rate[3]]}
        return limit | ({"burst": int(rate[4])} if rate[4] else {})
    raise DefinitionError(f"{text!r} is no limit", hint="write 10, 60/m, 5/10s:20 (20 at once), unlimited or default")


def set_(assignments: Sequence[str], *, organization: str | None, defaults: bool, as_json: bool) -> Exit:
    """Sets limits and prints what holds then."""
    limits = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise DefinitionError(f"{assignment!r} sets nothing", hint="write NAME=LIMIT: concurrent_runs=10")
        limits[name] = limit_of(text)
    held = asking(lambda orbit: orbit.limits.set(limits, organization=organization, defaults=defaults))
    return _print(held, [], as_json=as_json)


def show(*, organization: str | None, defaults: bool, as_json: bool) -> Exit:
    """Prints what is allowed and, of an organisation, what is used."""

    async def ask(orbit: Orbit) -> tuple[Sequence[Limit], Sequence[Usage]]:
        limits = await orbit.limits.get(organization=organization, defaults=defaults)
        return limits, [] if defaults else await orbit.limits.usage(organization=organization)

    limits, usage = asking(ask)
    return _print(limits, usage, as_json=as_json)


def _print(limits: Sequence[Limit], usage: Sequence[Usage], *, as_json: bool) -> Exit:
    used = {one.name: one.used for one in usage}
    rows = [
        limit.model_dump(mode="json") | ({"used": used[limit.name]} if limit.name in used else {}) for limit in limits
    ]
    columns = ("name", "allowed", "used", "origin", "description")
    return print_rows(rows, columns, as_json=as_json, nothing="there are no limits", shown=_shown)


def _shown(limit: Mapping[str, Any]) -> dict[str, str]:
    if limit["amount"] is None:
        return {"allowed": "unlimited"}
    if limit["per"] is None:
        return {"allowed": str(limit["amount"])}
    return {"allowed": f"{limit['amount']} in {limit['per']:g} s, {limit['burst']} at once"}
