"""Data-driven tests: their rows, read from the suite or from a file beside it, and one test for each."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orbit_context.errors import DefinitionError
from orbit_context.names import did_you_mean, near

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orbit_context.suite.document import Data, Test

__all__ = [
    "MAX_DATA_BYTES",
    "MAX_ROWS",
    "FixtureRows",
    "expand",
    "named_fixtures",
    "read_data_file",
    "read_rows",
    "row_keys",
]

MAX_DATA_BYTES = 16 * 2**20
"""Of a CSV or JSON file; a YAML file has the limits of a suite file."""
MAX_ROWS = 100_000
_MAX_KEY = 100
_NOT_IN_KEYS = frozenset("[]{}\"'|\r\n\t")


@dataclass(frozen=True, slots=True)
class FixtureRows:
    """A version of a data set of the project, as `orbit.fixtures.for_suite` fetches it."""

    name: str
    version: int
    rows: list[dict[str, Any]] = field(repr=False)


def named_fixtures(path: str | Path) -> tuple[str | None, list[str]]:
    """The project that a suite file names, if any, and the data sets, each once. What else the file says is not looked at.

    Raises:
        DefinitionError: the file cannot be read.
    """
    from orbit_context.suite.yaml import read_document

    document = read_document(Path(path)).data
    if not isinstance(document, dict):
        return None, []
    tests = document.get("tests")
    data = [test.get("data") for test in tests.values() if isinstance(test, dict)] if isinstance(tests, dict) else []
    names = [one["fixture"] for one in data if isinstance(one, dict) and isinstance(one.get("fixture"), str)]
    project = document.get("project")
    return str(project) if project else None, list(dict.fromkeys(name for name in names if name))


def read_rows(data: Data, base_dir: Path, fixtures: Mapping[str, FixtureRows] | None = None) -> list[dict[str, Any]]:
    """The rows of `data`: objects, in order. Cells of a CSV file are text; a template's `| int` makes them numbers.

    Args:
        fixtures: the data sets at hand, by name; None where there is no database to ask.

    Raises:
        DefinitionError: the file cannot be read, or does not hold rows; there is no such data set.
    """
    if data.rows is not None:
        rows = data.rows
    elif data.fixture is not None:
        rows = _fixture(data.fixture, fixtures).rows
    else:
        rows = read_data_file(base_dir / str(data.file), shown=data.file)
    if not rows:
        raise DefinitionError("there are no rows", hint="A test without rows would pass by never running.")
    if len(rows) > MAX_ROWS:
        raise DefinitionError(f"there are {len(rows):,} rows; at most {MAX_ROWS:,} are allowed")
    return rows


def read_data_file(path: Path, *, shown: str | None = None) -> list[dict[str, Any]]:
    """The rows of a CSV, JSON or YAML file. `shown` is what it is called in an error.

    Raises:
        DefinitionError: the file cannot be read, or does not hold rows.
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return _read_csv(path)
    if suffix in (".json", ".yaml", ".yml"):
        return _read_list(path, is_json=suffix == ".json")
    raise DefinitionError(f"{shown or path} is no data file", hint="Data files end in .csv, .json, .yaml or .yml.")


def _fixture(name: str, fixtures: Mapping[str, FixtureRows] | None) -> FixtureRows:
    if fixtures is None:
        raise DefinitionError(
            f"the fixture {name!r} is in a database, and none was asked",
            hint="From a program: load_suite(path, fixtures=await orbit.fixtures.for_suite(path)).",
        )
    if name not in fixtures:
        raise DefinitionError(
            f"there is no fixture {name!r} in the suite's project",
            hint=did_you_mean(near(name, fixtures))
            or "Save it: orbit fixture add FILE. See those there are: orbit fixture list",
        )
    return fixtures[name]


def _read_csv(path: Path) -> list[dict[str, Any]]:
    import csv
    import io

    from orbit_context.suite.yaml import read_text

    text = read_text(path, max_bytes=MAX_DATA_BYTES)
    if "\x00" in text:
        raise DefinitionError(
            "the file holds the character U+0000, which a database cannot keep",
            file=str(path),
            line=text.count("\n", 0, text.index("\x00")) + 1,
        )
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[dict[str, Any]] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        if not header or "" in header or len(set(header)) < len(header):
            raise DefinitionError(
                "the first line of a CSV file names its columns, each differently", file=str(path), line=1
            )
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise DefinitionError(
                    f"the row has {len(cells)} cells and the header {len(header)}", file=str(path), line=reader.line_num
                )
            rows.append(dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise DefinitionError(f"this is not CSV: {error}", file=str(path), line=reader.line_num) from None
    return rows


def _read_list(path: Path, *, is_json: bool) -> list[dict[str, Any]]:
    from orbit_context.suite.yaml import parse_json, read_document, read_text

    if is_json:
        rows = parse_json(read_text(path, max_bytes=MAX_DATA_BYTES), file=str(path), max_values=None)
    else:
        rows = read_document(path).data
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DefinitionError("a data file holds a list of objects, one for each row", file=str(path))
    return rows


def row_keys(key: str, data: Data, rows: list[dict[str, Any]]) -> list[str]:
    """The keys of the tests that the rows make: `item[1]`, `item[2]`, or `item[<value of data.key>]`.

    Raises:
        DefinitionError: a row has no such value, or one that cannot stand in a key, or that an earlier row has.
    """
    if data.key is None:
        return [f"{key}[{number}]" for number in range(1, len(rows) + 1)]
    keys: dict[str, int] = {}
    for number, row in enumerate(rows, 1):
        value = row.get(data.key)
        if value is None or isinstance(value, dict | list):
            raise DefinitionError(f"row {number} has no text or number called {data.key!r}")
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if not text.strip() or len(text) > _MAX_KEY or not _NOT_IN_KEYS.isdisjoint(text):
            raise DefinitionError(
                f"the {data.key!r} of row {number} cannot stand in a key",
                hint=f"1 to {_MAX_KEY} characters, no brackets, braces, quotes or bars.",
            )
        if (first := keys.setdefault(f"{key}[{text}]", number)) != number:
            raise DefinitionError(f"rows {first} and {number} have the same {data.key!r}: {text}")
    return list(keys)


def expand(key: str, test: Test, keys: list[str], rows: list[dict[str, Any]]) -> dict[str, Test]:
    """One test for each row: `row` set, `data` gone, `id`, `name` and `renamed_from` told apart like the key."""
    values = {name: getattr(test, name) for name in type(test).model_fields}
    given = (test.model_fields_set - {"data"}) | {"row"}
    told_apart = [name for name in ("id", "name", "renamed_from") if values[name] is not None]
    tests = {}
    for row_key, row in zip(keys, rows, strict=True):
        suffix = row_key[len(key) :]
        changed = {name: f"{values[name]}{' ' if name == 'name' else ''}{suffix}" for name in told_apart}
        tests[row_key] = type(test).model_construct(
            _fields_set=given, **(values | changed | {"data": None, "row": row})
        )
    return tests
