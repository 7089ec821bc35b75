"""The `orbit` command as a process of its own, in a folder and on a database of the test's.

orbit = OrbitCommand(database.dsn, tmp_path)
suite = orbit.suite({"ping": {"request": "/ping", "expect": {"status": 200}}}, base_url=server.url(""))
done = await orbit("run", suite, "--json")
done.code, done.json["run"]["status"], done.stderr
process = await orbit.start("worker")      # stopped at the end of the test whatever happens
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orbit_context.seal import generate_key

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

Process = asyncio.subprocess.Process


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON document that it must be."""
        assert self.stdout, self.stderr
        return json.loads(self.stdout)

    def statuses(self) -> dict[str, str]:
        """Of `run --json` and `show --json`: the tests' statuses by key."""
        return {result["key"]: result["status"] for result in self.json["results"]}

    def result(self, key: str) -> dict[str, Any]:
        """Of `run --json` and `show --json`: one test's result."""
        (result,) = (result for result in self.json["results"] if result["key"] == key)
        return dict(result)


class OrbitCommand:
    """Starts `python -m orbit_runner` in `folder` with a database, a key, and nothing of the developer's own settings."""

    def __init__(self, dsn: str, folder: Path, *, key: str | None = None) -> None:
        self.dsn = dsn
        self.folder = folder
        self.key = key or generate_key()
        self._processes: list[Process] = []
        self._suites = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self._processes:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGCONT)
                    process.kill()
                await process.wait()

    def write(self, name: str, text: str) -> Path:
        """A file in the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def suite(self, tests: dict[str, Any], *, base_url: str = "http://127.0.0.1:9", **more: Any) -> Path:
        """A suite file (JSON is YAML). `more` are its other keys."""
        self._suites += 1
        name = more.pop("suite", f"suite {self._suites}")
        variables = {"base_url": base_url, **more.pop("variables", {})}
        defaults = {"base_url": "{{base_url}}", "timeout": "5s", **more.pop("defaults", {})}
        document = {"version": 1, "suite": name, "variables": variables, "defaults": defaults, "tests": tests, **more}
        return self.write(f"suite-{self._suites}.yaml", json.dumps(document, indent=1))

    async def start(self, *arguments: str | Path, listens: bool = False, **environment: str | None) -> Process:
        """A process under way; `environment` adds variables, None takes one away. `listens`: its standard input is a pipe."""
        given = {"ORBIT_DATABASE_URL": self.dsn, "ORBIT_SECRET_KEY": self.key, **environment}
        environ = {name: value for name, value in (dict(os.environ) | given).items() if value is not None}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "orbit_runner", *map(str, arguments)),
            cwd=self.folder,
            env=environ,
            stdin=asyncio.subprocess.PIPE if listens else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=2**26,
        )
        self._processes.append(process)
        return process

    async def __call__(
        self, *arguments: str | Path, within: float = 60, said: str | None = None, **environment: str | None
    ) -> Done:
        """Waits for the end. `said`: on its standard input."""
        process = await self.start(*arguments, listens=said is not None, **environment)
        return await finished(process, within, said)


async def finished(process: Process, within: float = 60, said: str | None = None) -> Done:
    """How a process that was started ended."""
    async with asyncio.timeout(within):
        out, err = await process.communicate(None if said is None else said.encode())
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


async def line_with(stream: asyncio.StreamReader | None, text: str, within: float = 30) -> str:
    """Reads lines up to the first that holds `text`."""
    assert stream is not None
    read = []
    async with asyncio.timeout(within):
        while line := (await stream.readline()).decode():
            if text in line:
                return line
            read.append(line)
    raise AssertionError(f"no line with {text!r} in: {''.join(read)}")
