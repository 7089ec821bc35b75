"""Migrations of a test's own."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from orbit_runner import migrate

if TYPE_CHECKING:
    from pathlib import Path


class Files:
    """A directory shaped like `sql/`: the real platform's shim, and whatever migrations a test writes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        shutil.copytree(migrate.sql_directory() / "platform", directory / "platform")
        (directory / "migrations").mkdir()

    def write(self, name: str, text: str) -> None:
        (self.directory / "migrations" / name).write_text(text)

    def remove(self, name: str) -> None:
        (self.directory / "migrations" / name).unlink()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Two migrations that apply."""
    files = Files(tmp_path / "sql")
    files.write(
        "20260101000000_things.sql",
        "create schema orbit;\n\n-- All things.\ncreate table orbit.things (id int primary key);\n",
    )
    files.write(
        "20260102000000_more.sql",
        "alter table orbit.things add column name text;\ninsert into orbit.things values (1, 'a;b');\n",
    )
    return files
