"""What `orbit limits` does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from orbit_context.errors import DefinitionError
from orbit_runner.cli.asking import asking, print_answer, print_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orbit_context.client import Orbit
    from orbit_context.models.limits import Limit, Usage
    from orbit_runner.cli.exits import Exit

__all__ = ["limit_of", "set_limits", "show"]

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


def set_limits(assignments: Sequence[str], organization: str | None, *, defaults: bool, as_json: bool) -> Exit:
    """Sets limits and prints what holds then."""
    limits = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise DefinitionError(f"{assignment!r} sets nothing", hint="write NAME=LIMIT: concurrent_runs=10")
        limits[name] = limit_of(text)

    async def ask(orbit: Orbit) -> Exit:
        return _print(await orbit.limits.set(limits, organization=organization, defaults=defaults), [], as_json=as_json)

    return asking(ask)


def show(organization: str | None, *, defaults: bool, as_json: bool) -> Exit:
    """Prints what is allowed and, of an organisation, what is used."""

    async def ask(orbit: Orbit) -> Exit:
        limits = await orbit.limits.get(organization=organization, defaults=defaults)
        usage = [] if defaults else await orbit.limits.usage(organization=organization)
        return _print(limits, usage, as_json=as_json)

    return asking(ask)


def _print(limits: Sequence[Limit], usage: Sequence[Usage], *, as_json: bool) -> Exit:
    used = {one.name: one.used for one in usage}
    rows = [
        limit.model_dump(mode="json") | ({"used": used[limit.name]} if limit.name in used else {}) for limit in limits
    ]
    if as_json:
        return print_answer(rows)
    for row, limit in zip(rows, limits, strict=True):
        row["allowed"] = "unlimited" if limit.amount is None else str(limit.amount)
        if limit.per is not None:
            row["allowed"] = f"{limit.amount} in {limit.per:g} s, {limit.burst} at once"
    columns = ("name", "allowed", "used", "origin", "description")
    return print_rows(rows, [name for name in columns if usage or name != "used"], as_json=False, nothing="")
