"""`orbit fixture`"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from orbit_context.errors import DefinitionError
from orbit_runner.cli.answers import print_answer, print_rows, told
from orbit_runner.cli.asking import asking
from orbit_runner.cli.exits import Exit
from orbit_runner.report.wording import plural, visible_block

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from orbit_context.client import Orbit
    from orbit_context.models.library import Fixture

__all__ = ["add", "list_", "rm", "show", "usage"]


def add(file: Path, *, name: str | None, tags: Sequence[str], as_json: bool, **given: Any) -> Exit:
    from orbit_context.suite.data import read_data_file

    rows = read_data_file(file)
    if not rows:
        raise DefinitionError("there are no rows", file=str(file))
    called = name or file.name.split(".", 1)[0]
    saved = asking(lambda orbit: orbit.fixtures.save(called, rows, tags=tags or None, **given))
    what = f"{'saved' if saved.changed else 'unchanged:'} {saved.name}, version {saved.version}"
    sentence = f"{what}: {plural(saved.row_count, 'row')}, {saved.bytes:,} bytes"
    return told(saved, sentence, as_json=as_json)


def list_(*, tags: Sequence[str], as_json: bool, **given: Any) -> Exit:
    async def ask(orbit: Orbit) -> list[Fixture]:
        found: list[Fixture] = []
        after = None
        while True:
            page = await orbit.fixtures.find(tags=tags or None, limit=500, after=after, **given)
            found += page.rows
            if (after := page.next) is None:
                return found

    rows = asking(ask)
    return print_rows(
        [row.model_dump(mode="json" if as_json else "python", exclude={"rows", "digest"}) for row in rows],
        ("project", "name", "version", "row_count", "bytes", "tags", "updated_at", "description"),
        as_json=as_json,
        nothing="no data set; keep one: orbit fixture add FILE",
    )


def show(name: str, *, as_json: bool, **given: Any) -> Exit:
    fixture = asking(lambda orbit: orbit.fixtures.get(name, **given))
    if as_json:
        return print_answer(fixture)
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(fixture.columns)
    for row in fixture.rows:
        cells = [row.get(column) for column in fixture.columns]
        writer.writerow([cell if isinstance(cell, str) else "" if cell is None else json.dumps(cell) for cell in cells])
    sys.stdout.write(visible_block(text.getvalue()))
    return Exit.PASSED


def usage(name: str, *, as_json: bool, **given: Any) -> Exit:
    uses = asking(lambda orbit: orbit.fixtures.usage(name, limit=500, **given))
    columns = ("used_at", "name", "version", "rows_used", "suite", "run_id")
    nothing = f"nothing has used {name}; a suite does with data: {{fixture: {name}}}"
    return print_rows(uses, columns, as_json=as_json, nothing=nothing)


def rm(name: str, *, force: bool, as_json: bool, **given: Any) -> Exit:
    gone = asking(lambda orbit: orbit.fixtures.delete(name, force=force, **given))
    used = f"; {', '.join(gone.suites)} named it" if gone.suites else ""
    return told(gone, f"deleted {gone.name}, version {gone.version}{used}", as_json=as_json)
