"""`orbit fixture`, `orbit template`, `orbit prefs`, `orbit search`: what a project and a person keep."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, cast

from orbit_context.errors import DefinitionError
from orbit_runner.cli.asking import asking, print_answer, print_rows
from orbit_runner.cli.exits import Exit
from orbit_runner.report.wording import plural, visible, visible_block

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from orbit_context.client import Orbit
    from orbit_context.models.library import Entity, TemplateKind

__all__ = [
    "add_fixture",
    "delete_fixture",
    "delete_search",
    "delete_template",
    "fixture_usage",
    "list_fixtures",
    "list_preferences",
    "list_searches",
    "list_templates",
    "run_search",
    "save_search",
    "save_template",
    "set_preferences",
    "show_fixture",
    "show_template",
    "unset_preferences",
]

_KINDS = {".html": "html", ".htm": "html", ".md": "md", ".txt": "text", ".text": "text"}
_ENDINGS = (".j2", ".jinja", ".jinja2")
_COLUMNS = {
    "runs": ("id", "project", "suite", "environment", "status", "triggered_by", "created_at", "duration"),
    "results": ("run_id", "suite", "test", "status", "category", "duration", "attempts", "created_at", "reason"),
    "suites": ("project", "key", "version", "tests", "tags", "updated_at", "name"),
    "tests": ("project", "suite", "key", "enabled", "tags", "method", "path", "name"),
    "fixtures": ("project", "name", "version", "row_count", "bytes", "tags", "updated_at", "description"),
}


def _told(answer: dict[str, Any], sentence: str, *, as_json: bool) -> Exit:
    if as_json:
        return print_answer(answer)
    sys.stdout.write(f"{visible(sentence)}\n")
    return Exit.PASSED


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    return {key: ", ".join(map(str, value)) if isinstance(value, list) else value for key, value in row.items()}


# Fixtures --------------------------------------------------------------------------------------------------------------


def add_fixture(
    file: Path,
    name: str | None,
    *,
    description: str | None,
    tags: Sequence[str],
    project: str | None,
    as_json: bool,
) -> Exit:
    from orbit_context.suite.data import read_data_file

    rows = read_data_file(file)
    if not rows:
        raise DefinitionError("there are no rows", file=str(file))

    async def ask(orbit: Orbit) -> Exit:
        saved = await orbit.fixtures.save(
            name or file.name.split(".", 1)[0], rows, description=description, tags=tags or None, project=project
        )
        what = "saved" if saved.changed else "unchanged:"
        sentence = (
            f"{what} {saved.name}, version {saved.version}: {plural(saved.row_count, 'row')}, {saved.bytes:,} bytes"
        )
        return _told(saved.model_dump(mode="json"), sentence, as_json=as_json)

    return asking(ask)


def list_fixtures(tags: Sequence[str], project: str | None, *, as_json: bool) -> Exit:
    async def ask(orbit: Orbit) -> Exit:
        rows: list[dict[str, Any]] = []
        after = None
        while True:
            page = await orbit.fixtures.find(tags=tags or None, project=project, limit=500, after=after)
            rows += [row.model_dump(mode="json", exclude={"rows", "digest"}) for row in page.rows]
            if (after := page.next) is None:
                break
        if not as_json:
            rows = [_cells(row) for row in rows]
        return print_rows(
            rows, _COLUMNS["fixtures"], as_json=as_json, nothing="no fixture; keep one: orbit fixture add FILE"
        )

    return asking(ask)


def show_fixture(name: str, project: str | None, *, as_json: bool) -> Exit:
    async def ask(orbit: Orbit) -> Exit:
        fixture = await orbit.fixtures.get(name, project=project)
        if as_json:
            return print_answer(fixture.model_dump(mode="json"))
        import csv
        import io

        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(fixture.columns)
        for row in fixture.rows:
            cells = [row.get(column) for column in fixture.columns]
            writer.writerow(
                [cell if isinstance(cell, str) else "" if cell is None else json.dumps(cell) for cell in cells]
            )
        sys.stdout.write(visible_block(text.getvalue()))
        return Exit.PASSED

    return asking(ask)


def fixture_usage(name: str, project: str | None, *, as_json: bool) -> Exit:
    async def ask(orbit: Orbit) -> Exit:
        rows = [use.model_dump(mode="json") for use in await orbit.fixtures.usage(name, project=project, limit=500)]
        columns = ("used_at", "name", "version", "rows_used", "suite", "run_id")
        return print_rows(rows, columns, as_json=as_json, nothing=f"nothing has used {visible(name)}")

    return asking(ask)


def delete_fixture(name: str, project: str | None, *, force: bool, as_json: bool) -> Exit:
    async def ask(orbit: Orbit) -> Exit:
        gone = await orbit.fixtures.delete(name, force=force, project=project)
        used = f"; {', '.join(gone.suites)} named it" if gone.suites else ""
        return _told(
            gone.model_dump(mode="json"), f"deleted {gone.name}, version {gone.version}{used}", as_json=as_json
        )

    return asking(ask)


# Report templates ------------------------------------------------------------------------------------------------------


def save_template(
    file: Path, name: str | None, kind: str | None, *, is_default: bool, project: str | None, as_json: bool
) -> Exit:
    from orbit_context.suite.yaml import read_text

    source = read_text(file, max_bytes=262_144)
    plain = file.name
    for ending in _ENDINGS:
        plain = plain.removesuffix(ending)
    kind = kind or _KINDS.get("." + plain.rpartition(".")[2].lower())
    if kind is None:
        raise DefinitionError(
            "what it makes is not to be seen from its name", file=str(file), hint="Give --kind html, md or text."
        )

    async def ask(orbit: Orbit) -> Exit:
        from orbit_runner.cli.report_template import check_template

        await check_template(source, file=str(file))
        saved = await orbit.report_templates.save(
            name or file.name.split(".", 1)[0],
            cast("TemplateKind", kind),
            source,
            default=is_default or None,
            project=project,
        )
        return _told({"name": saved, "kind": kind}, f"saved {saved} ({kind})", as_json=as_json)

    return asking(ask)


def list_templates(project: str | None, *, as_json: bool) -> Exit:
    async def ask(orbit: Orbit) -> Exit:
        templates = await orbit.report_templates.find(project=project)
        rows = [one.model_dump(mode="json", exclude={"source"}) for one in templates]
        columns = ("project", "name", "kind", "is_default", "bytes", "updated_at")
        return print_rows(
            rows, columns, as_json=as_json, nothing="no report template; keep one: orbit template save FILE"
        )

    return asking(ask)


def show_template(name: str, project: str | None, *, as_json: bool) -> Exit:
    async def ask(orbit: Orbit) -> Exit:
        template = await orbit.report_templates.get(name, project=project)
        if as_json:
            return print_answer(template.model_dump(mode="json"))
        sys.stdout.write(visible_block(template.source or ""))
        return Exit.PASSED

    return asking(ask)


def delete_template(name: str, project: str | None, *, as_json: bool) -> Exit:
    async def ask(orbit: Orbit) -> Exit:
        gone = await orbit.report_templates.delete(name, project=project)
        return _told({"name": gone.name, "kind": gone.kind}, f"deleted {gone.name}", as_json=as_json)

    return asking(ask)


# Preferences -----------------------------------------------------------------------------------------------------------


def _told_preferences(preferences: dict[str, Any], *, as_json: bool) -> Exit:
    if as_json:
        return print_answer(preferences)
    rows = [{"preference": key, "value": value} for key, value in sorted(preferences.items())]
    return print_rows(rows, ("preference", "value"), as_json=False, nothing="no preference is set")


def list_preferences(*, as_json: bool) -> Exit:
    async def ask(orbit: Orbit) -> Exit:
        return _told_preferences(await orbit.preferences.get(), as_json=as_json)

    return asking(ask)


def set_preferences(settings: Sequence[str], *, as_json: bool) -> Exit:
    given: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise DefinitionError(f"{setting[:100]!r} is not KEY=VALUE", field="KEY=VALUE")
        given[key] = int(value) if value.isascii() and value.isdigit() else value

    async def ask(orbit: Orbit) -> Exit:
        return _told_preferences(await orbit.preferences.set(given), as_json=as_json)

    return asking(ask)


def unset_preferences(keys: Sequence[str], *, as_json: bool) -> Exit:
    async def ask(orbit: Orbit) -> Exit:
        return _told_preferences(await orbit.preferences.set(dict.fromkeys(keys)), as_json=as_json)

    return asking(ask)


# Searches --------------------------------------------------------------------------------------------------------------


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


def save_search(
    name: str, entity: str, filters: Sequence[str], *, shared: bool, project: str | None, as_json: bool
) -> Exit:
    wanted = _filter(filters)

    async def ask(orbit: Orbit) -> Exit:
        saved = await orbit.searches.save(name, cast("Entity", entity), wanted, shared=shared, project=project)
        return _told({"name": saved, "entity": entity, "filter": wanted}, f"saved {saved}", as_json=as_json)

    return asking(ask)


def list_searches(*, as_json: bool) -> Exit:
    async def ask(orbit: Orbit) -> Exit:
        rows = [one.model_dump(mode="json") for one in await orbit.searches.find()]
        if not as_json:
            rows = [row | {"filter": json.dumps(row["filter"], ensure_ascii=False)} for row in rows]
        columns = ("name", "entity", "project", "shared", "owner", "filter")
        return print_rows(
            rows, columns, as_json=as_json, nothing="no search; keep one: orbit search save NAME --entity runs"
        )

    return asking(ask)


def run_search(
    name: str, entity: str | None, filters: Sequence[str], *, project: str | None, limit: int, as_json: bool
) -> Exit:
    if bool(name) == (entity is not None):
        raise DefinitionError(
            "a search has a name, or an entity", field="--entity", hint="See the names: orbit search list"
        )
    if name and filters:
        raise DefinitionError(
            "a saved search has its own filter", field="--filter", hint="Give --entity instead of the name."
        )
    wanted = _filter(filters) if entity else None

    async def ask(orbit: Orbit) -> Exit:
        rows: list[dict[str, Any]] = []
        after, found = None, entity
        while len(rows) < limit:
            page = await orbit.searches.run(
                name or None,
                entity=cast("Entity | None", entity),
                filter=wanted,
                project=project,
                limit=min(limit - len(rows), 500),
                after=after,
            )
            rows += page.rows
            found, after = page.entity, page.next
            if after is None:
                break
        if not as_json:
            rows = [_cells(row) for row in rows]
        return print_rows(rows, _COLUMNS[str(found)], as_json=as_json, nothing="nothing found")

    return asking(ask)


def delete_search(name: str, *, as_json: bool) -> Exit:
    async def ask(orbit: Orbit) -> Exit:
        await orbit.searches.delete(name)
        return _told({"name": name}, f"deleted {name}", as_json=as_json)

    return asking(ask)
