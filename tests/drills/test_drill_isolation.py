"""Races of the queue in every order that matters, by PostgreSQL's isolationtester: isolation/*.spec, and what each prints.

`ORBIT_DRILLS=accept` writes what was printed to isolation/expected: read the difference before you commit it.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from support.postgres import Database

HERE = Path(__file__).parent / "isolation"
SPECS = sorted(path.stem for path in HERE.glob("*.spec"))
TESTERS = sorted(
    Path("/usr/lib/postgresql").glob("*/lib/pgxs/src/test/isolation/isolationtester"),
    key=lambda path: int(path.parts[4]),
)


@pytest.mark.skipif(not TESTERS, reason="no isolationtester (Debian: postgresql-client-15)")
@pytest.mark.parametrize("name", SPECS)
async def test_every_order_ends_as_it_must(database: Database, name: str) -> None:
    async with database.connect() as connection:
        await connection.execute((HERE / "prelude.sql").read_text())
    place = urlsplit(database.dsn)
    environ = os.environ | {
        "PGISOLATIONTIMEOUT": "30",
        "PGHOST": place.hostname or "",
        "PGPORT": str(place.port),
        "PGUSER": place.username or "",
        "PGPASSWORD": place.password or "",
        "PGDATABASE": database.name,
    }
    process = await asyncio.create_subprocess_exec(
        TESTERS[-1], f"dbname={database.name}",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environ,
    )  # fmt: skip
    out, error = await process.communicate((HERE / f"{name}.spec").read_bytes())
    assert process.returncode == 0, out.decode() + error.decode()
    expected = HERE / "expected" / f"{name}.out"
    if os.environ.get("ORBIT_DRILLS") == "accept":
        expected.write_bytes(out)
        pytest.fail(f"{expected.name} was written anew: read what has changed")
    assert out.decode() == expected.read_text()
    assert "GONE" not in out.decode()
    assert "TWICE" not in out.decode()
    assert "LISTED" not in out.decode()
