"""`orbit var`: what its commands do."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from orbit_context.errors import NotFoundError
from orbit_context.suite.variables import parse_overrides
from orbit_runner.cli.asking import asking, print_answer, print_rows
from orbit_runner.cli.exits import Exit
from orbit_runner.cli.project import find_database, find_sealer
from orbit_runner.report.wording import plural, visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orbit_context.models.variables import VariableScope

__all__ = ["get", "list_", "resolve", "rm", "set_"]

_FIELDS = {"org": "organization", "unit": "business_unit", "env": "environment"}


def _where(options: Mapping[str, Any]) -> dict[str, Any]:
    named = {_FIELDS.get(name, name): value for name, value in options.items() if value is not None}
    return {name: value for name, value in named.items() if name in {*_FIELDS.values(), "project", "suite", "test"}}


def _shown(value: Any, *, secret: bool) -> str:
    return "(secret)" if secret else json.dumps(value, ensure_ascii=False)


def set_(
    settings: tuple[str, ...], *, scope: VariableScope, secret: bool, kind: str | None, priority: int | None,
    description: str | None, as_json: bool, **options: Any,
) -> Exit:  # fmt: skip
    values = parse_overrides(settings)
    more = {"type": kind, "priority": priority, "description": description}
    entries = [
        {"name": name}
        | ({} if secret else {"value": value})
        | {key: said for key, said in more.items() if said is not None}
        for name, value in values.items()
    ]
    sealer = find_sealer(find_database()) if secret else None
    answer = asking(
        lambda orbit: orbit.variables.sealing_with(sealer).set(
            scope, entries, secrets=values if secret else None, **_where(options)
        )
    )
    if as_json:
        return print_answer(answer.model_dump(mode="json"))
    sys.stdout.write(f"{plural(answer.changed, 'variable')} of {scope.replace('_', ' ')} {visible(answer.of)} set\n")
    return Exit.PASSED


def list_(*, scope: VariableScope | None, as_json: bool, **options: Any) -> Exit:
    found = asking(lambda orbit: orbit.variables.list(scope, limit=10_000, **_where(options)))
    rows = [one.model_dump(mode="json") for one in found]
    if not as_json:
        rows = [row | {"value": _shown(row["value"], secret=row["secret"])} for row in rows]
    columns = ("name", "value", "type", "scope", "of", "priority", "description")
    return print_rows(rows, columns, as_json=as_json, nothing="no variables")


def get(name: str, *, as_json: bool, **options: Any) -> Exit:
    answer = asking(lambda orbit: orbit.variables.resolve(names=[name], **_where(options)))
    if not answer.variables:
        raise NotFoundError(f"no variable {name} holds there", hint="see which do: orbit var resolve")
    found = answer.variables[0]
    if as_json:
        return print_answer(found.model_dump(mode="json"))
    text = found.value if isinstance(found.value, str) else json.dumps(found.value, ensure_ascii=False)
    sys.stdout.write(f"{'(secret)' if found.secret else text}\n")
    return Exit.PASSED


def rm(name: str, *, scope: VariableScope, as_json: bool, **options: Any) -> Exit:
    asking(lambda orbit: orbit.variables.delete(scope, name, **_where(options)))
    if as_json:
        return print_answer({"deleted": True})
    sys.stdout.write(f"{visible(name)} of scope {scope} is deleted\n")
    return Exit.PASSED


def resolve(names: tuple[str, ...], *, as_json: bool, **options: Any) -> Exit:
    answer = asking(lambda orbit: orbit.variables.resolve(names=list(names) or None, **_where(options)))
    if as_json:
        return print_answer(answer.model_dump(mode="json"))
    rows = []
    for found in answer.variables:
        hides = [
            f"{shadow.scope}{f' (priority {shadow.priority})' if shadow.priority else ''}" for shadow in found.shadows
        ]
        rows.append(
            {
                "name": found.name,
                "value": _shown(found.value, secret=found.secret),
                "from": f"{found.scope} {found.of or ''}".strip(),
                "priority": found.priority or None,
                "hides": ", ".join(hides),
            }
        )
    return print_rows(rows, ("name", "value", "from", "priority", "hides"), as_json=False, nothing="no variables")
