"""Supabase's REST and Auth API over one Postgres, without Docker: for laptops, CI and tests.

    server = RestServer(dsn, Keys.generate())
    url = server.start()          # http://127.0.0.1:…; /rest/v1, /auth/v1
    server.stop()

Inside is @supabase/lite under Deno (server.ts and its rooms). It listens on the loopback alone, answers nobody without one of its
keys, and grants nothing: what a caller may do is what the database's policies say. It carries some 150 requests a second.

What it does not do as PostgREST does: a JSON argument or column that is a bare true or false, functions with one unnamed
parameter, integers beyond 2^53.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from typing import IO, TYPE_CHECKING, Self, cast
from urllib.parse import urlsplit

from orbit_context.errors import EmbeddedPostgresError
from orbit_runner.local.rest.keys import Keys, sign

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["Keys", "RestServer", "sign"]

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0


class RestServer:
    """One server process, bound to one database; it ends with `stop`, or with the program that started it, however that ends.

    `schemas`: those that clients may name; `public` is meant where they name none. `token_seconds`: for how long an access token
    is good. `log`: the file its standard error is added to. `data_api`: where /rest/v1 is answered by a PostgREST, its address.
    Nothing happens before `start`.
    """

    def __init__(
        self,
        dsn: str,
        keys: Keys,
        *,
        schemas: Sequence[str] = ("public", "orbit"),
        port: int = 0,
        token_seconds: int = 3600,
        data_api: str | None = None,
        log: Path | None = None,
    ) -> None:
        self.keys = keys
        self._config = {
            "dsn": dsn,
            "schemas": list(schemas),
            "jwtSecret": keys.jwt_secret,
            "keys": keys.roles,
            "port": port,
            "tokenSeconds": token_seconds,
            "dataApi": data_api,
        }
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """Its address; EmbeddedPostgresError where it does not run."""
        if self._process is None or self._process.poll() is not None:
            raise EmbeddedPostgresError("the REST server does not run", hint="start it first")
        return self._url

    def start(self, tell: Callable[[str], None] = lambda _: None) -> str:
        """Start it and wait until it answers; its address. The first start makes the tables that Auth needs.

        Raises EmbeddedPostgresError, with what the server said last.
        """
        import subprocess

        from orbit_runner.local.rest.packages import install

        if self._process is not None and self._process.poll() is None:
            return self._url
        packages = install(tell)
        command = self._command(packages)
        # Kept until it answers: what it said last, where it does not.
        with self._log.open("a+b") if self._log else tempfile.TemporaryFile("a+b") as log:
            began = log.seek(0, os.SEEK_END)
            self._process = subprocess.Popen(
                command,
                env={"DENO_DIR": str(packages), "DENO_NO_UPDATE_CHECK": "1", "NO_COLOR": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C at a terminal is ours to hear
            )
            line = self._tell_and_hear(self._process)
            if not line:
                self.stop()
                log.seek(began)
                raise EmbeddedPostgresError(
                    "the REST server did not start",
                    detail="\n".join(log.read().decode(errors="replace").strip().splitlines()[-8:]) or None,
                    hint="see that the database can be reached",
                )
        self._url = f"http://127.0.0.1:{json.loads(line)['port']}"
        return self._url

    def _tell_and_hear(self, process: subprocess.Popen[bytes]) -> bytes:
        """Gives it its configuration; the line it says when it answers, empty where it ended before."""
        told, said = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
        # Over its input and not in its environment: there, other processes could read the password. The input stays open; its
        # end, which comes with ours, ends the server.
        timer = threading.Timer(_START_SECONDS, process.kill)
        timer.start()
        try:
            told.write(json.dumps(self._config).encode() + b"\n")
            told.flush()
            return said.readline()
        except BrokenPipeError:
            return b""
        finally:
            timer.cancel()

    def stop(self) -> None:
        """Stop it and wait for its end; nothing where it does not run."""
        import subprocess

        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _command(self, packages: Path) -> list[str]:
        """Deno, with no more than it needs: the loopback, the database, its packages."""
        from orbit_runner.local.npm import deno
        from orbit_runner.local.rest.packages import SOURCES

        database = urlsplit(str(self._config["dsn"]))
        host = database.hostname or "localhost"
        return [
            deno(),
            "run",
            "--quiet",
            "--no-prompt",
            "--no-check",
            "--cached-only",
            "--frozen",
            f"--config={SOURCES / 'deno.json'}",
            f"--lock={SOURCES / 'deno.lock'}",
            f"--allow-net=127.0.0.1,{f'[{host}]' if ':' in host else host}:{database.port or 5432}",
            "--allow-env",
            "--allow-sys=hostname,osRelease",
            f"--allow-read={packages},{SOURCES}",
            str(SOURCES / "server.ts"),
        ]
