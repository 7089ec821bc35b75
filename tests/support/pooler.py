"""PgBouncer in front of the test's database.

async with pooler(database.dsn, tmp_path, "transaction") as dsn: …      # skips, and says so, where there is no PgBouncer
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def find_pooler() -> str:
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("no PgBouncer on this machine (Debian: apt-get install pgbouncer)")
    return program


@asynccontextmanager
async def pooler(
    dsn: str, folder: Path, mode: str, *, size: int = 4, others: dict[str, str] | None = None
) -> AsyncIterator[str]:
    """The address through a pooler of so many backends for each account. `others`: accounts with their passwords."""
    program = find_pooler()
    place = urlsplit(dsn)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    accounts = {str(place.username): str(place.password)} | (others or {})
    (folder / "accounts").write_text("".join(f'"{name}" "{password}"\n' for name, password in accounts.items()))
    settings = {
        "listen_addr": "127.0.0.1", "listen_port": port, "unix_socket_dir": "", "auth_type": "plain",
        "auth_file": folder / "accounts", "pool_mode": mode, "default_pool_size": size, "max_client_conn": 1000,
        "server_login_retry": 1,
    }  # fmt: skip
    lines = [f"[databases]\n* = host={place.hostname} port={place.port}\n[pgbouncer]"]
    (folder / "pooler.ini").write_text("\n".join([*lines, *(f"{name} = {value}" for name, value in settings.items())]))
    as_nobody = ["-u", "nobody"] if os.geteuid() == 0 else []  # it refuses to run as root
    for path in (folder, *folder.parents[:2]):
        with suppress(PermissionError):
            path.chmod(path.stat().st_mode | 0o055)
    log = folder / "pooler.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            program, "-q", *as_nobody, str(folder / "pooler.ini"), stdout=out, stderr=out
        )
    try:
        async with asyncio.timeout(20):
            while True:
                assert process.returncode is None, log.read_text()
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.02)
        yield place._replace(netloc=f"{place.username}:{place.password}@127.0.0.1:{port}").geturl()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
