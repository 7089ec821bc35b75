"""Cleans up after a test run, however it ended: waits for the end of standard input, which comes with the end of pytest (also by
kill -9), then stops the run's servers and removes its directory. Run as `python guard.py RUN_DIRECTORY`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from orbit_runner.local import Server

from orbit_context.errors import EmbeddedPostgresError


def main(run_directory: Path) -> None:
    """Wait, stop, remove."""
    sys.stdin.buffer.read()
    for place in run_directory.glob("*/postgres"):  # the run's own, and what a test started by way of ORBIT_HOME
        with suppress(EmbeddedPostgresError):
            Server(place.parent).stop()
    with suppress(OSError, ValueError):
        if container := json.loads((run_directory / "server.json").read_text()).get("container"):
            subprocess.run(["docker", "rm", "--force", "--volumes", container], check=False, capture_output=True)
    shutil.rmtree(run_directory, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
