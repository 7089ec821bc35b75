"""`orbit search`"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from orbit_context.errors import DefinitionError
from orbit_runner.cli.answers import moment, print_rows, told
from orbit_runner.cli.asking import asking
from orbit_runner.report.wording import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orbit_context.client import Orbit
    from orbit_context.models.library import Entity
    from orbit_runner.cli.exits import Exit

__all__ = ["list_", "rm", "run", "save"]

_COLUMNS = {
    "runs": ("id", "project", "suite", "environment", "status", "duration", "created_at"),
    "results": ("run_id", "suite", "test", "status", "duration", "created_at", "category", "reason"),
    "suites": ("project", "key", "version", "tests", "updated_at", "tags", "name"),
    "tests": ("project", "suite", "key", "method", "path", "off", "tags", "name"),
    "fixtures": ("project", "name", "version", "row_count", "bytes", "updated_at", "tags", "description"),
}


def save(name: str, *, entity: str, filters: Sequence[str], as_json: bool, **given: Any) -> Exit:
    wanted = _filter(filters)
    saved = asking(lambda orbit: orbit.searches.save(name, cast("Entity", entity), wanted, **given))
    return told({"name": saved, "entity": entity, "filter": wanted}, f"saved {saved}", as_json=as_json)


def list_(*, as_json: bool, **given: Any) -> Exit:
    return print_rows(
        asking(lambda orbit: orbit.searches.find(**given)),
        ("name", "entity", "project", "shared", "owner", "filter"),
        as_json=as_json,
        nothing="no search; keep one: orbit search save NAME --entity runs",
        shown=lambda row: {"filter": json.dumps(row["filter"], ensure_ascii=False)},
    )


def run(name: str, *, entity: str | None, filters: Sequence[str], limit: int, as_json: bool, **given: Any) -> Exit:
    if bool(name) == (entity is not None):
        raise DefinitionError(
            "a search has a name, or an entity", field="--entity", hint="See the names: orbit search list"
        )
    if name and filters:
        raise DefinitionError(
            "a saved search has its own filter", field="--filter", hint="Give --entity instead of the name."
        )
    wanted = _filter(filters) if entity else None

    async def ask(orbit: Orbit) -> tuple[str, list[dict[str, Any]]]:
        rows: list[dict[str, Any]] = []
        after, found = None, entity
        while len(rows) < limit:
            page = await orbit.searches.run(
                name or None,
                entity=cast("Entity | None", entity),
                filter=wanted,
                limit=min(limit - len(rows), 500),
                after=after,
                **given,
            )
            rows += page.rows
            found, after = page.entity, page.next
            if after is None:
                break
        return str(found), rows

    found, rows = asking(ask)
    return print_rows(rows, _COLUMNS[found], as_json=as_json, nothing="nothing found", shown=_shown)


def rm(name: str, *, organization: str | None, as_json: bool) -> Exit:
    asking(lambda orbit: orbit.searches.delete(name, organization=organization))
    return told({"name": name}, f"deleted {name}", as_json=as_json)


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """Rows come as JSON has them: times, durations and ids as people read them."""
    shown: dict[str, Any] = {
        name: moment(datetime.fromisoformat(row[name])) for name in ("created_at", "updated_at") if row.get(name)
    }
    shown |= {name: str(row[name])[:8] for name in ("id", "run_id") if row.get(name)}
    if row.get("duration") is not None:
        shown["duration"] = format_duration(row["duration"])
    return shown | {"off": row.get("enabled") is False}


def _filter(filters: Sequence[str]) -> dict[str, Any]:
    """`K=V` and `K:=JSON`; a field given twice is a list."""
    found: dict[str, Any] = {}
    for one in filters:
        key, equals, value = one.partition("=")
        if not equals or not key.removesuffix(":"):
            raise DefinitionError(f"{one[:100]!r} is not K=V", field="--filter")
        read: Any = value
        if key.endswith(":"):
            key = key[:-1]
            try:
                read = json.loads(value)
            except ValueError:
                raise DefinitionError(f"the value of {key} is not JSON", field="--filter") from None
        if key in found:
            earlier = found[key] if isinstance(found[key], list) else [found[key]]
            read = [*earlier, read]
        found[key] = read
    return found
