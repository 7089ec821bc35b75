"""Cleans up after a test run, however it ended: waits for the end of standard input, which comes with the end of pytest (also by
kill -9), then stops the run's servers and removes its directory. Run as `python guard.py RUN_DIRECTORY`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
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
    for note in run_directory.glob("*.postgres-15"):  # throw-away servers of the oldest version
        home = Path(note.read_text())
        with suppress(OSError, ValueError, IndexError):
            server = int((home / "data/postmaster.pid").read_text().split()[0])
            os.kill(server, signal.SIGQUIT)
            for _ in range(100):  # what it still writes would be in the way
                os.kill(server, 0)
                time.sleep(0.1)
        shutil.rmtree(home, ignore_errors=True)
    with suppress(OSError, ValueError):
        if container := json.loads((run_directory / "server.json").read_text()).get("container"):
            subprocess.run(["docker", "rm", "--force", "--volumes", container], check=False, capture_output=True)
    shutil.rmtree(run_directory, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
