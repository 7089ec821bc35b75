"""`orbit db uninstall`: says what goes, asks, and refuses where nobody can be asked."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.postgres import Database

THERE = "select to_regnamespace('orbit') is not null as there"


def uninstall(database: Database, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orbit_runner", "db", "uninstall", *arguments],
        env=os.environ | {"ORBIT_DATABASE_URL": database.dsn},
        stdin=stdin, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_nobody_can_be_asked(database: Database) -> None:
    done = uninstall(database)
    assert done.returncode == 4
    assert "schema orbit_private with all it holds" in done.stdout
    assert "orbit db uninstall --yes" in done.stderr
    assert database.fetch(THERE)[0]["there"]


@pytest.mark.parametrize(("answer", "stays"), [("n", True), ("", True), ("y", False)])
def test_a_terminal_is_asked(answer: str, stays: bool, database: Database) -> None:
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        done = uninstall(database, stdin=theirs)
    finally:
        os.close(ours)
        os.close(theirs)
    assert "Remove all this?" in done.stderr
    assert done.returncode == (4 if stays else 0)
    assert database.fetch(THERE)[0]["there"] is stays


def test_yes_as_json_and_once_more(database: Database) -> None:
    done = uninstall(database, "--yes", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["schemas"] == ["orbit", "orbit_private", "orbit_runner"]
    again = uninstall(database)
    assert (again.returncode, "there is no Orbit" in again.stdout) == (0, True)
