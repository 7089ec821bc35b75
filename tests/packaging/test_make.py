"""The developer's door: what `make help` lists is there, and `make clean` leaves a checkout as it was cloned."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from orbit_runner.local import EPHEMERAL, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make")


@pytest.fixture
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of what a newcomer has, in a folder whose name is not plain."""
    folder = tmp_path_factory.mktemp("made") / "Örbit, a copy"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "orbit_context", "runner", "sql"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    yield folder
    left = Server(folder / ".orbit")
    left.stop()
    shutil.rmtree(left.directory, ignore_errors=True)  # as root it lies outside a folder that is closed to others


def make(target: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    argv = ["make", "--no-print-directory", target]
    return subprocess.run(argv, cwd=folder, env=outer | environment, capture_output=True, text=True, check=False)


def test_help_lists_every_target() -> None:
    listed = re.findall(r"^  make (\S+) +\S", make("help", ROOT).stdout, re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    assert phony
    assert sorted(listed) == sorted(phony[1].split())


def test_clean_stops_the_server_and_leaves_nothing(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name for path in checkout.iterdir()}
    monkeypatch.delenv("ORBIT_HOME")
    server = Server(checkout / ".orbit", EPHEMERAL)
    server.start()
    directory = server.directory
    for name in (
        ".mypy_cache",
        ".ruff_cache",
        ".pytest_cache",
        ".hypothesis",
        "dist",
        "runner/orbit_runner/__pycache__",
    ):
        (checkout / name).mkdir()
    done = make("clean", checkout)
    assert done.returncode == 0, done.stderr
    assert "stopped the embedded Postgres" in done.stdout
    assert server.status().state == "absent"
    assert not directory.exists()
    assert {path.name for path in checkout.iterdir()} == before
    assert not list(checkout.rglob("__pycache__"))


def test_a_python_that_is_too_old_is_refused(checkout: Path) -> None:
    old = checkout / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = make("setup", checkout, PYTHON="./old-python")
    assert done.returncode != 0
    assert "Python 3.11 or newer" in done.stderr
    assert not (checkout / ".venv").exists()
