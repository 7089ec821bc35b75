"""Projects of a test's own, whose servers are stopped and whose data are removed."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from orbit_runner.local import EPHEMERAL, Server, place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True)
def no_orbit_home(monkeypatch: pytest.MonkeyPatch, shared_data: Path) -> None:
    """These tests decide themselves where data lie; what root cannot keep in a closed project goes to a place of the test's."""
    monkeypatch.delenv("ORBIT_HOME", raising=False)
    monkeypatch.setattr(place, "_SHARED_DATA", shared_data)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A temporary directory that every account can pass through (pytest's own are closed, which counts as root)."""
    directory = Path(tempfile.mkdtemp(prefix="orbit-local-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def shared_data(open_directory: Path) -> Path:
    """Stands for /var/lib/orbit."""
    return open_directory / "shared"


@pytest.fixture
def make_project(open_directory: Path) -> Iterator[Callable[[str], Server]]:
    """Makes a project directory by name and gives its server, not started."""
    servers: list[Server] = []

    def make(name: str = "project") -> Server:
        directory = open_directory / name
        (directory / ".orbit").mkdir(parents=True)
        servers.append(Server(directory / ".orbit", EPHEMERAL))
        return servers[-1]

    yield make
    for server in servers:
        if server.directory.is_dir():
            server.stop()


@pytest.fixture
def server(make_project: Callable[[str], Server]) -> Server:
    """The server of a new project, not started."""
    return make_project("project")


def is_root() -> bool:
    """Whether the tests run as root."""
    return os.geteuid() == 0
