"""The life of an embedded server: started, found again, stopped, killed, started by several at once."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from orbit_runner.local import DURABLE, Server, postgres
from orbit_runner.local.place import account_for

from orbit_context.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

START = """
import sys
from pathlib import Path
from orbit_runner.local import Server
server = Server(Path(sys.argv[1]))
server.start()
print(server.status().pid)
"""


def query(server: Server, sql: str) -> Any:
    async def ask() -> Any:
        connection = await asyncpg.connect(server.dsn())
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_nothing_is_there_before_the_first_start(server: Server) -> None:
    assert server.status().state == "absent"
    assert server.stop() is False
    with pytest.raises(EmbeddedPostgresError, match="does not run"):
        server.dsn()
    assert list(server.home.iterdir()) == []  # looking changes nothing


def test_start_stop_and_start_again(server: Server) -> None:
    server.start()
    running = server.status()
    assert running.state == "running"
    assert running.version == "17"
    assert query(server, "show server_version").startswith("17.")
    query(server, "create table kept as select 42 as answer")

    assert server.stop() is True
    assert server.status().state == "stopped"
    assert server.stop() is False

    began = time.perf_counter()
    server.start()
    assert time.perf_counter() - began < 1.0, "a warm start is a matter of some 30 ms"
    assert query(server, "select answer from kept") == 42
    assert server.status().port == running.port, "a DSN that a user wrote down stays right"


def test_a_project_whose_name_is_awkward(make_project: Callable[[str], Server]) -> None:
    server = make_project('it\'s a -c "Größe" %20')
    server.start()
    assert query(server, "select 1") == 1
    assert server.stop() is True


def test_a_running_server_is_found_in_a_moment(server: Server) -> None:
    server.start()
    pid = server.status().pid
    durations = []
    for _ in range(20):
        again = Server(server.home)
        began = time.perf_counter()
        again.start()
        durations.append(time.perf_counter() - began)
    assert again.status().pid == pid
    assert min(durations) < 0.002


def test_it_outlives_the_program_that_started_it(server: Server) -> None:
    started = subprocess.run(
        [sys.executable, "-c", START, str(server.home)], capture_output=True, text=True, check=True
    )
    assert server.status().pid == int(started.stdout)
    assert query(server, "select 1") == 1
    assert os.getpgid(int(started.stdout)) != os.getpgrp(), "Ctrl-C in a terminal must not reach it"


def test_projects_do_not_see_each_other(make_project: Callable[[str], Server]) -> None:
    first, second = make_project("first"), make_project("second")
    first.start()
    second.start()
    query(first, "create table only_here ()")
    assert query(second, "select to_regclass('only_here')") is None
    assert first.dsn() != second.dsn()
    first.stop()
    assert query(second, "select 1") == 1


def test_four_programs_start_it_at_once(server: Server) -> None:
    programs = [
        subprocess.Popen([sys.executable, "-c", START, str(server.home)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    answers = {program.communicate(timeout=60)[0] for program in programs}
    assert [program.returncode for program in programs] == [0, 0, 0, 0]
    assert len(answers) == 1, "one server, seen by all"


def test_another_port_when_ours_was_taken(server: Server) -> None:
    server.start()
    port = server.status().port
    server.stop()
    with socket.create_server(("127.0.0.1", port)):
        server.start()
        assert server.status().port != port
        assert query(server, "select 1") == 1


def test_kill_9_loses_nothing_that_was_committed(server: Server) -> None:
    server = Server(server.home, DURABLE)
    server.start()
    query(server, "create table kept (n int)")

    async def commit_and_kill() -> None:
        connection = await asyncpg.connect(server.dsn())
        for n in range(200):
            await connection.execute("insert into kept values ($1)", n)
        os.kill(pid, signal.SIGKILL)
        connection.terminate()

    pid = server.status().pid
    assert pid is not None
    asyncio.run(commit_and_kill())
    assert postgres._until(lambda: not server._is_ours(pid), 20)  # the signal has arrived
    server.start()  # at once, while the processes of the old one are still going down
    assert server.status().pid != pid
    assert query(server, "select count(*) from kept") == 200


def test_a_stale_pid_file_that_names_somebody_else(server: Server) -> None:
    """Process ids begin at 1 in every container: after its restart the file names whatever runs now."""
    server.start()
    query(server, "create table kept ()")
    pid = server.status().pid
    assert pid is not None
    account = account_for(server.data)  # PostgreSQL itself passes over a process of another account
    with subprocess.Popen(["sleep", "600"], **account.popen_arguments()) as stranger:
        try:
            lines = (server.data / "postmaster.pid").read_text().splitlines()
            os.kill(pid, signal.SIGKILL)
            assert postgres._until(lambda: not server._is_alive(), 20)
            (server.data / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
            assert server.status().state == "stopped"
            server.start()
            assert query(server, "select to_regclass('kept')") == "kept"
            server.stop()
            assert stranger.poll() is None, "the stranger is left alone"
        finally:
            stranger.kill()


@pytest.mark.parametrize("content", ["", "\n", "not a number\n/data\n0\n1\n"])
def test_a_pid_file_that_was_never_finished(content: str, server: Server) -> None:
    """A full disk leaves it empty."""
    server.start()
    server.stop()
    (server.data / "postmaster.pid").write_text(content)
    assert server.status().state == "stopped"
    server.start()
    assert query(server, "select 1") == 1


def test_data_that_others_still_use_are_left_alone(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server in another container, or sessions that outlived a killed one: seen by the lock alone."""
    server.start()
    server.stop()
    monkeypatch.setattr(postgres, "_ORPHAN_SECONDS", 0.05)
    with (server.directory / "alive.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(EmbeddedPostgresError, match="not seen from here") as caught:
            server.start()
        assert caught.value.hint
        with pytest.raises(EmbeddedPostgresError, match="not seen from here"):
            server.stop()
    server.start()


def test_data_of_another_major_version_are_never_touched(server: Server) -> None:
    server.start()
    server.stop()
    (server.data / "PG_VERSION").write_text("16\n")
    before = {path: path.stat().st_mtime_ns for path in server.data.rglob("*")}
    with pytest.raises(EmbeddedPostgresError, match="PostgreSQL 16") as caught:
        server.start()
    assert "move" in (caught.value.hint or "")
    assert {path: path.stat().st_mtime_ns for path in server.data.rglob("*")} == before


def test_half_made_data_are_made_anew(server: Server) -> None:
    server.start()
    server.stop()
    (server.data / "PG_VERSION").unlink()
    server.data.rename(server.directory / "new")  # as an initdb that was killed leaves them
    server.start()
    assert server.status().state == "running"


def test_a_server_that_cannot_start_says_why(server: Server) -> None:
    broken = Server(server.home, {**DURABLE, "shared_buffers": "not a size"})
    with pytest.raises(EmbeddedPostgresError, match="shared_buffers") as caught:
        broken.start()
    assert str(broken.log) in (caught.value.hint or "")


def test_only_this_machine_and_only_with_the_password(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.start()
    assert query(server, "show listen_addresses") == "127.0.0.1"
    assert query(server, "show unix_socket_directories") == ""
    password = (server.directory / "password").read_text()
    assert (server.directory / "password").stat().st_mode & 0o777 == 0o600
    assert len(password) >= 32
    wrong = server.dsn().replace(password, "wrong")
    monkeypatch.setattr(Server, "dsn", lambda _: wrong)
    with pytest.raises(asyncpg.InvalidPasswordError):
        query(server, "select 1")


def test_a_failing_statement_is_not_written_to_the_log(server: Server) -> None:
    server.start()
    with pytest.raises(asyncpg.UndefinedTableError):
        query(server, "insert into nowhere values ('s3cr3t')")
    assert "nowhere" in server.log.read_text()
    assert "s3cr3t" not in server.log.read_text()


def test_what_is_committed_is_on_the_disk_by_default(server: Server) -> None:
    server = Server(server.home)
    server.start()
    assert [query(server, f"show {name}") for name in ("fsync", "synchronous_commit", "full_page_writes")] == ["on"] * 3


def test_a_large_log_is_begun_anew(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.start()
    server.stop()
    monkeypatch.setattr(postgres, "_LOG_LIMIT", 10)
    server.log.write_text("x" * 100)
    server.start()
    assert server.log.with_suffix(".log.1").read_text() == "x" * 100
    assert "xxx" not in server.log.read_text()


def test_the_data_are_kept_out_of_version_control(server: Server) -> None:
    server.start()
    assert (server.home / ".gitignore").read_text() == "*\n"


def test_a_link_in_place_of_a_file_is_not_followed(server: Server, open_directory: Path) -> None:
    """Root writes in a directory that others may have prepared."""
    victim = open_directory / "victim"
    victim.write_text("untouched")
    server.start()
    server.stop()
    (server.directory / "port").unlink()
    (server.directory / "port").symlink_to(victim)
    server.start()
    assert victim.read_text() == "untouched"
