"""The SQL files are found by all who look for them: the installed program and the Supabase CLI."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from orbit_runner import migrate

ROOT = Path(__file__).parents[2]


def test_the_wheel_carries_every_sql_file(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    code = "from orbit_runner.migrate import *; print(sql_directory(), *(m.path.name for m in migrations()), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "installed")},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == [
        str(tmp_path / "installed/orbit_runner/sql"),
        *(migration.path.name for migration in migrate.migrations()),
    ]
    assert list((tmp_path / "installed/orbit_runner/sql/platform").glob("*.sql"))


def test_the_supabase_project_leads_to_the_same_files() -> None:
    assert (ROOT / "supabase/migrations").resolve() == (migrate.sql_directory() / "migrations").resolve()
