"""`orbit db push` and the real Supabase CLI on one database: each sees what the other did."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from orbit_runner import migrate

if TYPE_CHECKING:
    from migrate.conftest import Files
    from support.postgres import Database

CLI = os.environ.get("ORBIT_TEST_SUPABASE_CLI") or shutil.which("supabase")
pytestmark = pytest.mark.skipif(
    not CLI, reason="no Supabase CLI: `npm install supabase`, then ORBIT_TEST_SUPABASE_CLI=…/node_modules/.bin/supabase"
)
PROJECT = Path(__file__).parents[2] / "supabase"


async def supabase(*arguments: str, project: Path, database: Database) -> str:
    """Run the CLI on a test's database; what it printed."""
    argv = [str(CLI), *arguments, f"--remote={database.dsn}?sslmode=disable", "--agent", "no", "--yes"]
    done = await asyncio.to_thread(
        subprocess.run,
        argv,
        cwd=project.parent,
        env=os.environ | {"DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout + done.stderr)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of our CLI project; its `migrations` leads to our files."""
    project = tmp_path / "supabase"
    shutil.copytree(PROJECT, project, symlinks=True, ignore=shutil.ignore_patterns(".temp", "migrations"))
    (project / "migrations").symlink_to(migrate.sql_directory() / "migrations")
    return project


async def history(database: Database) -> list[tuple[object, ...]]:
    async with database.connect() as conn:
        rows = await conn.fetch(
            "select version, name, statements from supabase_migrations.schema_migrations order by version"
        )
        return [tuple(row) for row in rows]


async def test_it_writes_exactly_what_we_write(database: Database, empty_database: Database, project: Path) -> None:
    async with empty_database.connect() as conn:
        await migrate.platform(conn)
        await supabase("db", "push", project=project, database=empty_database)
        assert await history(empty_database) == await history(database)
        assert (await migrate.status(conn)).current
        assert await migrate.is_current(conn)
        assert (await migrate.push(conn)).files == ()


async def test_it_sees_what_we_pushed(database: Database, project: Path) -> None:
    assert "up to date" in await supabase("db", "push", project=project, database=database)


async def test_each_goes_on_where_the_other_stopped(empty_database: Database, project: Path, files: Files) -> None:
    (project / "migrations").unlink()
    (project / "migrations").symlink_to(files.directory / "migrations")
    async with empty_database.connect() as conn:
        await migrate.push(conn, files.directory)
        files.write(
            "20260103000000_theirs.sql",
            "-- theirs\ncreate table orbit.theirs (a int, b text default 'x;y');\n-- the end\n",
        )
        assert "20260103000000_theirs.sql" in await supabase("db", "push", project=project, database=empty_database)
        files.write("20260104000000_ours.sql", "create table orbit.ours ();")
        assert (await migrate.push(conn, files.directory)).files == ("20260104000000_ours.sql",)
        assert "up to date" in await supabase("db", "push", project=project, database=empty_database)
        assert await migrate.is_current(conn, files.directory)
