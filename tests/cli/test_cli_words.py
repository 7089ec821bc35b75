"""What commands have in common: places, tables, and that they come at once."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from orbit_runner.cli.answers import print_rows
from orbit_runner.cli.configuration.place import place

from orbit_context.errors import DefinitionError


@pytest.mark.parametrize(
    ("where", "scope"),
    [
        ({}, None),
        ({"organization": "acme"}, None),
        ({"is_global": True}, "global"),
        ({"business_unit": "payments"}, "business_unit"),
        ({"project": "shop"}, "project"),
        ({"project": "shop", "environment": "staging"}, "environment"),
        ({"project": "shop", "suite": "cart"}, "suite"),
        ({"suite": "cart", "test": "add"}, "test"),
    ],
)
def test_the_scope_is_the_narrowest_place_that_is_named(where: dict[str, Any], scope: str | None) -> None:
    assert place({"is_global": False, "test": None, **where})[0] == scope


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"is_global": True, "project": "shop"}, "--global and --project"),
        ({"business_unit": "payments", "project": "shop"}, "--unit and --project"),
        ({"environment": "staging", "suite": "cart"}, "--env and --suite"),
        ({"test": "add"}, "a test is one of a suite"),
    ],
)
def test_two_places_are_refused(where: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        place(where)


def test_tables_for_people_and_documents_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {
            "name": "a\x1b[2J",
            "at": datetime(2026, 11, 21, 14, 55, 28, 123456, tzinfo=UTC),
            "tags": ["x", "y"],
            "none": None,
        },
        {"name": "long", "at": None, "tags": [], "none": None},
    ]
    print_rows(rows, ("name", "at", "none", "tags"), as_json=False, nothing="")
    at = datetime(2026, 11, 21, 14, 55, 28, tzinfo=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    assert capsys.readouterr().out.splitlines() == [
        "name      at                   tags",
        f"a\\x1b[2J  {at}  x, y",
        "long",
    ]
    print_rows(rows[:1], ("name",), as_json=True, nothing="")
    assert "2026-11-21T14:55:28.123456+00:00" in capsys.readouterr().out
    print_rows([], ("name",), as_json=False, nothing="nothing yet; make one")
    assert capsys.readouterr().out == "nothing yet; make one\n"


def test_help_reads_nothing_that_commands_do() -> None:
    """Declarations and click alone; what commands do is read when they are called."""
    program = """
import sys
from orbit_runner.cli.app import app
app(["--help"], standalone_mode=False)
heavy = {"pydantic", "asyncpg", "httpx", "jinja2", "lxml", "rich", "yaml", "orbit_context"}
print(sorted(heavy & {name.split(".")[0] for name in sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
