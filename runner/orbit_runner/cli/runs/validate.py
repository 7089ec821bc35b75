"""`orbit validate`: everything that can be known to be wrong before anything is sent."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from orbit_context.errors import DefinitionError
from orbit_context.suite.load import load_environment, load_suite
from orbit_context.suite.variables import parse_overrides, resolve_variables
from orbit_runner.cli.exits import Exit
from orbit_runner.cli.messages import describe
from orbit_runner.execute.suite import compile_suite

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from orbit_context.suite.data import FixtureRows
    from orbit_context.suite.load import LoadedSuite

__all__ = ["validate"]

_ENDINGS = (".yaml", ".yml", ".json")


def validate(
    paths: Sequence[Path],
    *,
    environment: Path | None,
    variables: Sequence[str],
    listing: bool,
    organization: str | None,
    as_json: bool,
) -> Exit:
    """Every file is looked at, whatever is wrong with another; exit code 4 if any is wrong, 5 if there is none."""
    overrides = parse_overrides(variables)
    document = load_environment(environment) if environment else None
    files = [file for path in paths for file in _suites(path)]
    if not files:
        sys.stderr.write(f"no suite file in {', '.join(map(str, paths))}\n")
        return Exit.NOTHING_SELECTED
    told: list[dict[str, Any]] = []
    for file in files:
        try:
            suite = load_suite(file, environment=document, overrides=overrides, fixtures=_fixtures(file, organization))
            resolve_variables(suite.document, document, overrides)
            compile_suite(suite)
        except DefinitionError as error:
            told.append({"file": str(file), "valid": False, "errors": [_as_json(one) for one in _each(error)]})
            if not as_json:
                sys.stderr.write("\n".join(describe(error)) + "\n")
            continue
        tests = _tests(suite)
        told.append(
            {"file": str(file), "valid": True, "suite": suite.document.suite, "tests": tests if listing else len(tests)}
        )
        if not as_json:
            sys.stdout.write(f"{file}: {suite.document.suite}, {len(tests)} tests, {len(suite.edges)} dependencies\n")
            if listing:
                _print_tests(tests)
    if as_json:
        sys.stdout.write(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    return Exit.PASSED if all(entry["valid"] for entry in told) else Exit.DEFINITION


def _fixtures(file: Path, organization: str | None) -> dict[str, FixtureRows] | None:
    """Of a suite that names data sets, those; only then is there a database to ask."""
    from orbit_context.suite.data import named_fixtures

    if not named_fixtures(file)[1]:
        return None
    import asyncio

    from orbit_runner.cli.target import fetch_fixtures, find_database

    return asyncio.run(fetch_fixtures(find_database(), file, organization))


def _suites(path: Path) -> list[Path]:
    """The file itself; of a folder, the files that name a suite."""
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.suffix in _ENDINGS and file.is_file())
    return [file for file in files if _names_a_suite(file)]


def _names_a_suite(file: Path) -> bool:
    with file.open("rb") as opened:
        head = opened.read(65536)
    return any(line.startswith((b"suite:", b'"suite"', b'  "suite"')) for line in head.splitlines())


def _each(error: DefinitionError) -> Sequence[DefinitionError]:
    return getattr(error, "errors", None) or [error]


def _as_json(error: DefinitionError) -> dict[str, Any]:
    names = ("message", "file", "line", "column", "field", "detail", "hint")
    return {name: getattr(error, name) for name in names if getattr(error, name) is not None}


def _tests(suite: LoadedSuite) -> list[dict[str, Any]]:
    needs: dict[str, list[str]] = {}
    for edge in suite.edges:
        needs.setdefault(edge.dependent_key, []).append(f"{edge.required_key} ({edge.kind})")
    return [
        {"key": key, "name": test.name or key, "tags": test.tags, "needs": needs.get(key, [])}
        for key, test in suite.document.tests.items()
    ]


def _print_tests(tests: list[dict[str, Any]]) -> None:
    for test in tests:
        parts = [f"  {test['key']}"]
        if test["tags"]:
            parts.append(f"[{', '.join(test['tags'])}]")
        if test["needs"]:
            parts.append(f"needs {', '.join(test['needs'])}")
        sys.stdout.write("  ".join(parts) + "\n")
