"""`orbit var`"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from orbit_context.errors import NotFoundError
from orbit_context.suite.variables import parse_overrides
from orbit_runner.cli.answers import print_answer, print_rows, say, told
from orbit_runner.cli.asking import asking
from orbit_runner.cli.configuration.place import place
from orbit_runner.report.wording import plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orbit_runner.cli.exits import Exit

__all__ = ["get", "list_", "resolve", "rm", "set_"]

_NONE = "no variables; define one: orbit var set NAME=VALUE"


def set_(
    settings: Sequence[str],
    *,
    secret: bool,
    kind: str | None,
    priority: int | None,
    description: str | None,
    as_json: bool,
    **where: Any,
) -> Exit:
    values = parse_overrides(settings)
    scope, named = place(where)
    more = {"type": kind, "priority": priority, "description": description}
    entries = [
        {"name": name}
        | ({} if secret else {"value": value})
        | {key: said for key, said in more.items() if said is not None}
        for name, value in values.items()
    ]
    saved = asking(
        lambda orbit: orbit.variables.set(scope or "project", entries, secrets=values if secret else None, **named),
        seals=secret,
    )
    of = f"{saved.scope.replace('_', ' ')} {saved.of}"
    return told(saved, f"{plural(saved.changed, 'variable')} of {of} set", as_json=as_json)


def list_(*, as_json: bool, **where: Any) -> Exit:
    scope, named = place(where)
    return print_rows(
        asking(lambda orbit: orbit.variables.list(scope, limit=10_000, **named)),
        ("name", "value", "type", "scope", "of", "priority", "description"),
        as_json=as_json,
        nothing=_NONE,
        shown=lambda row: {
            "value": _shown(row["value"], secret=row["secret"]),
            "type": None if row["type"] == "any" else row["type"],
            "priority": row["priority"] or None,
        },
    )


def get(name: str, *, as_json: bool, **where: Any) -> Exit:
    answer = asking(lambda orbit: orbit.variables.resolve(names=[name], **where))
    if not answer.variables:
        raise NotFoundError(f"no variable {name} holds there", hint="see which do: orbit var resolve")
    found = answer.variables[0]
    if as_json:
        return print_answer(found)
    return say("(secret)" if found.secret else found.value if isinstance(found.value, str) else _shown(found.value))


def rm(name: str, *, as_json: bool, **where: Any) -> Exit:
    scope, named = place(where)
    asking(lambda orbit: orbit.variables.delete(scope or "project", name, **named))
    of = (scope or "project").replace("_", " ")
    return told(
        {"deleted": True}, f"{name} of the {'organisation' if of == 'global' else of} is deleted", as_json=as_json
    )


def resolve(names: Sequence[str], *, as_json: bool, **where: Any) -> Exit:
    answer = asking(lambda orbit: orbit.variables.resolve(names=list(names) or None, **where))
    if as_json:
        return print_answer(answer)
    columns = ("name", "value", "from", "priority", "hides")
    return print_rows(answer.variables, columns, as_json=False, nothing=_NONE, shown=_resolved)


def _shown(value: Any, *, secret: bool = False) -> str:
    return "(secret)" if secret else json.dumps(value, ensure_ascii=False)


def _resolved(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "value": _shown(found["value"], secret=found["secret"]),
        "from": f"{found['scope']} {found['of'] or ''}".strip(),
        "priority": found["priority"] or None,
        "hides": [
            shadow["scope"] + (f" (priority {shadow['priority']})" if shadow["priority"] else "")
            for shadow in found["shadows"]
        ],
    }
