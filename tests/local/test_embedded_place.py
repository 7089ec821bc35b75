"""Where data lie, who owns them, and what is said when they cannot lie there."""

from __future__ import annotations

import os
import pwd
import resource
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from local.conftest import is_root
from orbit_runner.local import EPHEMERAL, Server, data_home, project_root, server

from orbit_context.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from collections.abc import Iterator
from contextlib import suppress

as_root = pytest.mark.skipif(not is_root(), reason="needs root")


def owner_of_process(pid: int | None) -> int:
    if sys.platform == "linux":  # a small system has no ps
        return Path(f"/proc/{pid}").stat().st_uid
    return int(subprocess.run(["ps", "-o", "uid=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout)


@pytest.fixture
def small_disk(open_directory: Path) -> Iterator[Path]:
    """A file system of 64 MB."""
    disk = open_directory / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m,mode=755", "tmpfs", str(disk)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a file system here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    Server(disk / ".orbit").stop()
    subprocess.run(["umount", str(disk)], check=True)


def test_the_project_is_the_nearest_directory_with_orbit_or_git(open_directory: Path) -> None:
    deep = open_directory / "a/b/c"
    deep.mkdir(parents=True)
    assert project_root(deep) == deep
    (open_directory / "a/.git").mkdir()
    assert project_root(deep) == open_directory / "a"
    (deep.parent / ".orbit").mkdir()
    assert project_root(deep) == deep.parent
    assert server(deep).home == deep.parent / ".orbit"


def test_orbit_home_moves_the_data(open_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORBIT_HOME", str(open_directory / "elsewhere"))
    assert data_home(open_directory) == open_directory / "elsewhere"
    monkeypatch.setenv("ORBIT_HOME", "relative")
    monkeypatch.chdir(open_directory)
    assert data_home(open_directory) == open_directory / "relative"


@as_root
def test_root_hands_the_server_to_an_unprivileged_account(server: Server) -> None:
    server.start()
    account = pwd.getpwnam(server.status().account)
    assert account.pw_uid != 0
    assert owner_of_process(server.status().pid) == account.pw_uid
    assert server.data.stat().st_uid == account.pw_uid
    assert server.data.stat().st_mode & 0o077 == 0


@as_root
def test_root_runs_it_as_whoever_owns_the_data(server: Server) -> None:
    server.start()
    server.stop()
    owner = pwd.getpwnam("daemon")
    for directory, _, files in os.walk(server.data):
        os.chown(directory, owner.pw_uid, owner.pw_gid)
        for name in files:
            os.chown(Path(directory, name), owner.pw_uid, owner.pw_gid)
    server.start()
    assert server.status().account == "daemon"
    assert owner_of_process(server.status().pid) == owner.pw_uid


@as_root
def test_the_account_can_be_chosen(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORBIT_PG_USER", "daemon")
    server.start()
    assert owner_of_process(server.status().pid) == pwd.getpwnam("daemon").pw_uid


@as_root
def test_an_account_that_does_not_exist_is_an_error(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORBIT_PG_USER", "nobody-by-that-name")
    with pytest.raises(EmbeddedPostgresError, match="nobody-by-that-name"):
        server.start()


@as_root
def test_the_data_of_a_closed_project_lie_elsewhere_and_are_found_again(
    open_directory: Path, shared_data: Path
) -> None:
    closed = open_directory / "closed"
    closed.mkdir(mode=0o700)
    server = Server(closed / "project/.orbit", EPHEMERAL)
    server.start()
    try:
        assert server.directory.parent == shared_data
        assert server.directory.name.startswith("project-")
        pid = server.status().pid
        assert owner_of_process(pid) != 0
        (closed / "project").rename(closed / "moved")
        moved = Server(closed / "moved/.orbit", EPHEMERAL)
        moved.start()
        assert moved.status().pid == pid
    finally:
        assert moved.stop()


@as_root
def test_an_orbit_home_that_the_account_cannot_reach_is_an_error(
    open_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = open_directory / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setenv("ORBIT_HOME", str(closed / "home"))
    with pytest.raises(EmbeddedPostgresError, match="ORBIT_HOME") as caught:
        server(open_directory).start()
    assert "ORBIT_PG_USER" in (caught.value.hint or "")


def test_an_orbit_home_that_is_a_file_is_an_error(open_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (open_directory / "file").write_text("")
    monkeypatch.setenv("ORBIT_HOME", str(open_directory / "file"))
    with pytest.raises(EmbeddedPostgresError, match=str(open_directory / "file")):
        server(open_directory).start()


def run_as_nobody(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python code as `nobody`, with an interpreter of our version that this account can reach."""
    nobody = pwd.getpwnam("nobody")
    root = Path(__file__).parents[2]
    path = [str(root), str(root / "runner"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for interpreter in (sys.executable, f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        become: dict[str, Any] = {
            "cwd": "/",
            "env": {"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(path), "PYTHONDONTWRITEBYTECODE": "1"},
            "user": nobody.pw_uid,
            "group": nobody.pw_gid,
            "extra_groups": [],
        }
        with suppress(OSError):
            argv = [interpreter, "-c", "import asyncpg, orbit_runner"]
            if subprocess.run(argv, check=False, capture_output=True, **become).returncode == 0:
                argv = [interpreter, "-c", code, *arguments]
                return subprocess.run(argv, check=False, capture_output=True, text=True, **become)
    pytest.skip("this checkout, or every Python of this version, is closed to other accounts")


START = "import sys; from pathlib import Path; from orbit_runner.local import Server; Server(Path(sys.argv[1])).start()"
ORDINARY_USER = """
import asyncio, sys, asyncpg
from pathlib import Path
from orbit_runner.local import EPHEMERAL, Server
server = Server(Path(sys.argv[1]), EPHEMERAL)
server.start()
async def ask():
    connection = await asyncpg.connect(server.dsn())
    print(await connection.fetchval("select 'answered'"))
    await connection.close()
asyncio.run(ask())
print(server.status().account, server.stop())
"""


@as_root
def test_an_ordinary_user_runs_it_as_themselves(open_directory: Path) -> None:
    home = open_directory / "nobodys"
    home.mkdir()
    os.chown(home, pwd.getpwnam("nobody").pw_uid, -1)
    done = run_as_nobody(ORDINARY_USER, str(home / ".orbit"))
    assert done.stdout == "answered\nnobody True\n", done.stderr


@as_root
def test_an_ordinary_user_may_not_use_what_belongs_to_somebody_else(server: Server) -> None:
    server.start()
    done = run_as_nobody(
        START,
        str(server.home),
    )
    assert "EmbeddedPostgresError" in done.stderr
    assert f"in {server.directory}: permission is denied" in done.stderr


@as_root
def test_a_directory_that_may_not_be_written_to(open_directory: Path) -> None:
    done = run_as_nobody(
        START,
        str(open_directory / ".orbit"),
    )
    assert "EmbeddedPostgresError" in done.stderr
    assert f"in {open_directory}/.orbit/postgres: permission is denied" in done.stderr


@pytest.mark.skipif(is_root(), reason="root may write everywhere")
def test_a_directory_that_we_may_not_write_to(open_directory: Path) -> None:
    closed = open_directory / "closed"
    closed.mkdir(mode=0o555)
    with pytest.raises(EmbeddedPostgresError, match="permission is denied") as caught:
        Server(closed / ".orbit").start()
    assert "ORBIT_HOME" in (caught.value.hint or "")


@as_root
@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare")
def test_a_small_dev_shm(server: Server) -> None:
    """Containers give 64 MB of /dev/shm, or less: neither initdb nor the server uses it."""
    small = 'mount -t tmpfs -o size=64k tmpfs /dev/shm || exit 42; exec "$@"'
    argv = ["unshare", "--mount", "sh", "-c", small, "sh", sys.executable, "-c", START, str(server.home)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode == 42 or done.stderr.startswith("unshare:"):
        pytest.skip(f"cannot mount a file system here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert server.status().state == "running"


@as_root
def test_a_full_disk_at_the_first_start(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(b"\0" * 40_000_000)
    with pytest.raises(EmbeddedPostgresError, match="the disk is full") as caught:
        Server(small_disk / ".orbit", EPHEMERAL).start()
    assert str(small_disk) in str(caught.value)
    assert "ORBIT_HOME" in (caught.value.hint or "")
    (small_disk / "ballast").unlink()
    Server(small_disk / ".orbit", EPHEMERAL).start()  # nothing half-made is in the way


@as_root
def test_a_disk_that_became_full(small_disk: Path) -> None:
    server = Server(small_disk / ".orbit", EPHEMERAL)
    server.start()
    server.stop()
    with suppress(OSError), (small_disk / "ballast").open("wb", buffering=0) as ballast:
        while ballast.write(b"\0" * 4096):
            pass
    with pytest.raises(EmbeddedPostgresError, match="the disk is full"):
        server.start()
    (small_disk / "ballast").unlink()
    server.start()


@as_root
def test_a_read_only_disk(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(EmbeddedPostgresError, match="read-only") as caught:
        Server(small_disk / ".orbit", EPHEMERAL).start()
    assert str(small_disk) in str(caught.value)


@as_root
def test_a_disk_that_became_read_only(small_disk: Path) -> None:
    server = Server(small_disk / ".orbit", EPHEMERAL)
    server.start()
    server.stop()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(EmbeddedPostgresError, match="read-only"):
        server.start()


def test_a_file_size_limit(server: Server) -> None:
    """What a full disk looks like where nothing can be mounted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    server_from_here = Server(server.home, EPHEMERAL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(EmbeddedPostgresError, match="file-size limit"):
            server_from_here.start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not server.data.exists()
    assert not shutil.which("pg_ctl", path=str(server.directory))
