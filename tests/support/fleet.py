"""Worker processes of a test, which may be killed, frozen and replaced.

fleet = Fleet(database.dsn, folder, key)
await fleet.start("one", slots=5, lease=1.0)       # without a lease: `orbit worker`, which has the users' own
fleet.kill("one"); fleet.freeze("two"); fleet.thaw("two")
fleet.log("two")                                   # what it said so far
await fleet.close()                                # ends them all, whatever state they are in
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from support.bench import until

TESTS = Path(__file__).parents[1]


class Fleet:
    """See the module. `processes` by name."""

    def __init__(self, dsn: str, folder: Path, key: str | None) -> None:
        self.dsn = dsn
        self._folder = folder
        self._key = key
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    async def start(
        self,
        name: str,
        slots: int = 5,
        *,
        lease: float | None = None,
        dsn: str | None = None,
        keyless: bool = False,
        environ: dict[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """A worker of the shared lane that serves from now on."""
        assert name not in self.processes
        key = self._key if self._key and not keyless else ""
        given = os.environ | {"ORBIT_DATABASE_URL": dsn or self.dsn, "ORBIT_SECRET_KEY": key} | (environ or {})
        if lease is None:
            command, said, folder = (
                ["-m", "orbit_runner", "worker", "--name", name, "--slots", str(slots)],
                "serves",
                None,
            )
        else:
            command, said, folder = ["-m", "support.brief_worker", name, str(slots), str(lease)], name, TESTS
        with self._path(name).open("wb") as log:
            self.processes[name] = process = await asyncio.to_thread(
                subprocess.Popen,
                [sys.executable, *command],
                cwd=folder or self._folder,
                env=given,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        await until(lambda: said in self.log(name) or process.poll() is not None, within=30)
        assert process.poll() is None, self.log(name)
        return process

    async def start_many(self, *names: str, slots: int = 5, lease: float | None = None) -> None:
        await asyncio.gather(*(self.start(name, slots, lease=lease) for name in names))

    def _path(self, name: str) -> Path:
        return self._folder / f"worker-{name}.log"

    def log(self, name: str) -> str:
        return self._path(name).read_text(errors="replace")

    def kill(self, *names: str) -> None:
        for name in names:
            self.processes[name].kill()
        for name in names:
            self.processes[name].wait(timeout=10)

    def freeze(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGCONT)

    async def ended(self, name: str, within: float = 20) -> int:
        """The exit code of one that was told to go."""
        return await asyncio.to_thread(self.processes[name].wait, within)

    async def close(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            await asyncio.to_thread(process.wait, 10)
