"""The embedded Postgres: a real PostgreSQL 17 without Docker, without an account and without an administrator.

One server per project, its data in the project's `.orbit/` (or in ORBIT_HOME), started on first use and left running
when the program ends. Only the command line and the tests know that this package exists; importing it costs nothing.
"""

from __future__ import annotations

from pathlib import Path

from orbit_runner.local.installation import Installation, install
from orbit_runner.local.place import data_home, project_root
from orbit_runner.local.postgres import DURABLE, EPHEMERAL, Server, ServerStatus

__all__ = [
    "DURABLE",
    "EPHEMERAL",
    "Installation",
    "Server",
    "ServerStatus",
    "data_home",
    "install",
    "project_root",
    "server",
]


def server(project_dir: Path | None = None) -> Server:
    """The embedded server of the project that `project_dir` (default: the working directory) lies in; not started yet.

    Raises EmbeddedPostgresError where ORBIT_HOME is set and cannot be used.
    """
    return Server(data_home(project_dir or Path.cwd()))
