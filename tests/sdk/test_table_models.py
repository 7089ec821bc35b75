"""The models of the tables are those of the catalog."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orbit_context.models import tables

if TYPE_CHECKING:
    import asyncpg

_ROOT = Path(__file__).parents[2]


async def test_the_models_of_the_tables_are_those_of_the_catalog(connection: asyncpg.Connection[Any]) -> None:
    spec = importlib.util.spec_from_file_location("table_models", _ROOT / "tools/table_models.py")
    assert spec
    assert spec.loader
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    text = await tool.render(connection)
    assert (_ROOT / "orbit_context/models/tables.py").read_text() == formatted(text), "run: make types"


def formatted(text: str) -> str:
    command = [
        Path(sys.executable).parent / "ruff",
        "format",
        "--stdin-filename",
        "orbit_context/models/tables.py",
        "-",
    ]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True, cwd=_ROOT).stdout


async def test_a_row_fits_its_model(connection: asyncpg.Connection[Any]) -> None:
    await connection.execute("insert into orbit.organizations (slug, name) values ('acme', 'Acme')")
    row = await connection.fetchrow("select * from orbit.organizations")
    assert row is not None
    organization = tables.Organization.model_validate(dict(row))
    assert (organization.slug, organization.name, organization.created_by) == ("acme", "Acme", None)
