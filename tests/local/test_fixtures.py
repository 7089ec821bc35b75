"""The fixtures keep their promises: a database of one's own, and nothing left behind however pytest ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

if TYPE_CHECKING:
    from support.postgres import Cluster, Database

TESTS = Path(__file__).parents[1]
HANGING = """
import os, pathlib, time
def test_it(cluster, database, request):
    pid = database.fetch("select pg_read_file('postmaster.pid')")[0][0].split()[0]
    out = pathlib.Path(os.environ["TELL"])
    out.with_suffix(".new").write_text(f"{pid} {os.environ['ORBIT_HOME']}")
    out.with_suffix(".new").rename(out)
    time.sleep(600)
"""


async def test_each_test_has_a_database_of_its_own(cluster: Cluster, template: str, database: Database) -> None:
    with cluster.database(template) as other:
        async with database.connect() as conn, other.connect() as elsewhere:
            await conn.execute("create table public.mine ()")
            assert await elsewhere.fetchval("select to_regclass('public.mine')") is None
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        async with other.connect():
            pass


def test_a_database_goes_even_with_somebody_connected(cluster: Cluster) -> None:
    with cluster.database("template0") as gone:
        left_open = cluster.wait_for(asyncpg.connect(gone.dsn))
    assert not cluster.wait_for(cluster.exists(gone.name))
    left_open.terminate()


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "xdist"])
def test_nothing_stays_when_pytest_is_killed(workers: list[str], tmp_path: Path) -> None:
    (tmp_path / "test_hanging.py").write_text(HANGING)
    told = tmp_path / "told"
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--confcutdir", str(TESTS), *workers]
    argv += ["-c", str(TESTS.parent / "pyproject.toml"), "-p", "conftest", str(tmp_path / "test_hanging.py")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "ORBIT_"))}
    environment |= {"TELL": str(told), "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    with subprocess.Popen(
        argv, cwd=TESTS.parent, env=environment, start_new_session=True, stdout=subprocess.DEVNULL
    ) as program:
        try:
            wait_for(told.exists)
            pid, home = told.read_text().split()
            assert is_running(int(pid))
            assert Path(home).parent.is_dir()
        finally:
            program.send_signal(signal.SIGKILL)
    wait_for(lambda: not Path(home).parent.exists())
    assert not is_running(int(pid))


def is_running(pid: int) -> bool:
    """Whether process `pid` still does anything; a zombie that nobody has asked after does not."""
    if sys.platform == "linux":  # a small system has no ps
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
    else:
        shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
        state = shown.stdout.strip()[:1]
    return state not in {"", "Z", "X"}


def wait_for(condition, seconds: float = 60) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)
