"""One PostgreSQL server per project: started, found again, stopped.

How it is known to be alive: `postmaster.pid` names a process, and that process is a postmaster on this data directory (a number
alone can name anybody: process ids begin anew in every container). How it is known that nothing of it lives any more: the
postmaster and its children hold an advisory lock (flock) on `alive.lock`, which they inherited; the kernel drops it with the last
of them, and other containers that share the directory see it too.

The server is nobody's child: it outlives the program that started it. It listens on a loopback port of its own, which it keeps
over restarts where it can, and asks for a password (scram-sha-256) that only the owner of the project can read.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from orbit_context.errors import EmbeddedPostgresError
from orbit_runner.local.failure import from_os_error, from_output
from orbit_runner.local.installation import MAJOR, Installation, install
from orbit_runner.local.place import Account, account_for, found_directory, server_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["DURABLE", "EPHEMERAL", "Server", "ServerStatus"]

_COMMON = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "dynamic_shared_memory_type": "mmap",  # a container's /dev/shm is 64 MB
    "max_locks_per_transaction": "256",  # a run touches many partitions
    "min_wal_size": "80MB",
    "max_wal_size": "1GB",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "logging_collector": "off",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",  # a failing statement may hold a secret
    "log_line_prefix": "%m [%p] %d ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
DURABLE: Mapping[str, str] = MappingProxyType(
    # A user's history: what was committed is on the disk, also after a power cut. Measured on an SSD: a commit of one row 0.25 ms
    # instead of 0.1 ms, of a thousand 0.8 instead of 0.5. synchronous_commit stays on: without it, kill -9 of the server loses
    # the last commits, and it saves nothing that batching outcomes does not save already.
    _COMMON | {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "wal_level": "replica"}
)
EPHEMERAL: Mapping[str, str] = MappingProxyType(
    # Tests: survives a killed server (the kernel still has the pages), not a power cut.
    _COMMON
    | {
        "fsync": "off",
        "synchronous_commit": "on",
        "full_page_writes": "off",
        "wal_level": "minimal",
        "max_wal_senders": "0",
    }
)
_START_SECONDS = 120.0
_STOP_SECONDS = 60.0
_ORPHAN_SECONDS = 20.0
_LOG_LIMIT = 10_000_000


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """`state` is absent (no data yet), stopped, starting, running or stopping; `pid` and `port` only while it lives."""

    state: str
    directory: Path
    account: str
    version: str | None = None
    pid: int | None = None
    port: int | None = None


@dataclass(frozen=True, slots=True)
class _Postmaster:
    """What `postmaster.pid` says: line 1, 4 and 8."""

    pid: int
    port: int
    state: str


class Server:
    """The embedded server whose things lie in `home` (see `orbit_runner.local.place`).

    `settings` are PostgreSQL's; DURABLE is for data that matter, EPHEMERAL for tests. Nothing happens before `start`.
    """

    def __init__(self, home: Path, settings: Mapping[str, str] = DURABLE) -> None:
        self.home = home
        self.settings = settings

    @property
    def directory(self) -> Path:
        """Holds `data/`, `password`, `postgres.log`, `port` and the locks."""
        return found_directory(self.home)

    @property
    def log(self) -> Path:
        """The server's log; statements are never written to it."""
        return self.directory / "postgres.log"

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.directory / "data"

    def start(self, tell: Callable[[str], None] = lambda _: None) -> None:
        """Start the server, or find that it runs already (0.1 ms).

        The first start fetches PostgreSQL where no cache holds it, and makes the data directory (0.7 s); `tell` is given a
        line for people before each of them begins. Two processes may do this at once. Raises EmbeddedPostgresError that
        names what failed, where, and the next step.
        """
        running = self._postmaster()
        if running and running.state == "ready":
            return
        directory = server_directory(self.home)
        account = account_for(directory / "data")
        try:
            with _exclusive(directory / "start.lock"):
                if not self._wait_for_another():
                    self._refuse_other_major()
                    installation = install(account, tell)
                    if not (self.data / "PG_VERSION").exists():
                        tell(f"making a database in {directory} (once)")
                        self._make_data(installation, account)
                    self._launch(installation, account)
        except OSError as error:
            raise from_os_error("start the embedded Postgres", directory, error) from error

    def stop(self) -> bool:
        """Stop the server after its sessions have been ended; whether one ran. What was committed is on the disk."""
        directory = self.directory
        if not directory.is_dir():
            return False
        try:
            with _exclusive(directory / "start.lock"):
                postmaster = self._postmaster()
                if postmaster is None:
                    if not _until(lambda: not self._is_alive(), _ORPHAN_SECONDS):
                        raise self._held_by_others()
                    return False
                with suppress(ProcessLookupError):
                    os.kill(postmaster.pid, signal.SIGINT)
                if not _until(lambda: not self._is_alive(), _STOP_SECONDS):
                    raise EmbeddedPostgresError(
                        f"the embedded Postgres in {directory} has not stopped in {_STOP_SECONDS:.0f} s",
                        hint=f"its process is {postmaster.pid}, its log {self.log}",
                    )
        except OSError as error:
            raise from_os_error("stop the embedded Postgres", directory, error) from error
        return True

    def dsn(self, database: str = "postgres") -> str:
        """`postgresql://…` of the running server, with its password. Raises EmbeddedPostgresError where it does not run."""
        from urllib.parse import quote

        postmaster = self._postmaster()
        if postmaster is None:
            raise EmbeddedPostgresError(
                f"the embedded Postgres in {self.directory} does not run", hint="`orbit db start`"
            )
        try:
            password = (self.directory / "password").read_text().strip()
        except OSError as error:
            raise from_os_error("read the embedded Postgres' password", self.directory, error) from error
        return f"postgresql://postgres:{password}@127.0.0.1:{postmaster.port}/{quote(database, safe='')}"

    def status(self) -> ServerStatus:
        """What is there, without changing anything."""
        directory = self.directory
        try:
            account = account_for(self.data).name
            postmaster = self._postmaster()
            version = self._major()
        except OSError as error:
            raise from_os_error("look at the embedded Postgres", directory, error) from error
        if postmaster:
            state = "running" if postmaster.state == "ready" else postmaster.state
            return ServerStatus(state, directory, account, version, postmaster.pid, postmaster.port)
        return ServerStatus("stopped" if version else "absent", directory, account, version)

    # -- is it alive?

    def _postmaster(self) -> _Postmaster | None:
        """The living server that `postmaster.pid` names; None where none lives. About 0.05 ms."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise from_os_error("look at the embedded Postgres", self.directory, error) from error
        if len(lines) < 4 or not lines[0].isdecimal() or not self._is_ours(int(lines[0])):
            return None
        return _Postmaster(int(lines[0]), int(lines[3] or 0), lines[7].strip() if len(lines) > 7 else "starting")

    def _is_ours(self, pid: int) -> bool:
        """Whether process `pid` is a postmaster on our data directory."""
        return f"postgres -D {self.data} -c" in _command_line(pid)

    def _is_alive(self) -> bool:
        """Whether any process of a server on this directory lives, here or in another container."""
        import fcntl

        try:
            lock = os.open(self.directory / "alive.lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            held = not _lock(lock, fcntl.LOCK_SH)
        finally:
            os.close(lock)
        return held or self._postmaster() is not None  # the second for file systems that do not pass locks on (NFS)

    def _wait_for_another(self) -> bool:
        """True once a server that another process started is ready; False when nothing of a server lives any more."""
        patience = _ORPHAN_SECONDS
        began = time.monotonic()
        while self._is_alive():
            if postmaster := self._postmaster():
                if postmaster.state == "ready":
                    return True
                patience = _START_SECONDS
            if time.monotonic() > began + patience:
                raise self._held_by_others()
            time.sleep(0.005)
        return False

    def _held_by_others(self) -> EmbeddedPostgresError:
        return EmbeddedPostgresError(
            f"processes that are not seen from here use the data in {self.directory}",
            detail="another container or machine runs a server on them, or sessions of a server that was killed still work",
            hint="run `orbit db stop` where the server was started, or end those processes",
        )

    # -- making and launching

    def _major(self) -> str | None:
        try:
            return (self.data / "PG_VERSION").read_text().strip()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _refuse_other_major(self) -> None:
        """A data directory of another major version is never touched; a newer minor of ours reads the same files."""
        found = self._major()
        if found is not None and found != str(MAJOR):
            raise EmbeddedPostgresError(
                f"the data in {self.data} were written by PostgreSQL {found}; this Orbit runs {MAJOR} and left them alone",
                hint=f"use the Orbit that wrote them, or PostgreSQL {found}; to begin anew, move {self.directory} away",
            )

    def _make_data(self, installation: Installation, account: Account) -> None:
        """initdb under a temporary name, then rename: half a cluster is never taken for one."""
        import secrets
        import shutil

        directory, work = self.directory, self.directory / "new"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o700)
        password = secrets.token_urlsafe(24)
        for path in (work / "password", directory / "password"):
            path.unlink(missing_ok=True)
            with os.fdopen(_open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "w") as file:
                file.write(password)
        if account.drop:
            os.chown(work / "password", account.uid, account.gid)
            os.chown(work, account.uid, account.gid)
        argv = ["initdb", f"--pgdata={work / 'data'}", "--username=postgres", f"--pwfile={work / 'password'}"]
        argv += [
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--locale=C.UTF-8",
            "--no-instructions",
            "--set=dynamic_shared_memory_type=mmap",  # as the server: /dev/shm is small in containers
        ]
        if self.settings.get("fsync") == "off":
            argv.append("--no-sync")
        failed, output = self._run(installation, account, argv)
        try:
            if failed or not (work / "data/PG_VERSION").exists():
                raise from_output("make the embedded Postgres' data directory", directory, output)
            (work / "data").rename(self.data)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _run(self, installation: Installation, account: Account, argv: list[str]) -> tuple[bool, str]:
        import subprocess

        done = subprocess.run(
            [installation.program(argv[0]), *argv[1:]],
            cwd=self.directory,
            env=installation.environment(self.directory),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            umask=0o077,
            check=False,
            **account.popen_arguments(),
        )
        return done.returncode != 0, done.stdout

    def _launch(self, installation: Installation, account: Account) -> None:
        """Start the postmaster and wait until it takes connections; another port where ours was taken meanwhile."""
        self._remove_foreign_pid_file()
        kept = _last_port(self.directory)
        for attempt in range(5):
            port = kept if attempt == 0 and kept and _is_free(kept) else _free_port()
            output = self._try_launch(installation, account, port)
            if output is None:
                with (
                    suppress(OSError),
                    os.fdopen(_open(self.directory / "port", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "w") as file,
                ):
                    file.write(str(port))  # only a wish for the next start
                return
            if "could not bind" not in output and "pre-existing shared memory block" not in output:
                break
        raise from_output("start the embedded Postgres", self.directory, output or "", log=self.log)

    def _try_launch(self, installation: Installation, account: Account, port: int) -> str | None:
        """None when the server is ready, else what it printed before it ended."""
        import fcntl
        import select
        import subprocess

        argv = [installation.program("postgres"), "-D", str(self.data), "-c", f"port={port}"]
        for name, value in self.settings.items():
            argv += ["-c", f"{name}={value}"]
        with _appending(self.log) as log:
            written = os.fstat(log).st_size
            alive = _open(self.directory / "alive.lock", os.O_RDWR | os.O_CREAT)
            death, life = os.pipe()  # the server inherits `life`; `death` reads its end when the last process is gone
            try:
                if not _until(lambda: _lock(alive, fcntl.LOCK_EX), 5.0):
                    return "the lock on alive.lock is held"
                # A shell in between puts the server in the background and ends: it is not our child, so not our zombie.
                subprocess.run(
                    ["/bin/sh", "-c", '"$@" &', "sh", *argv],
                    cwd=self.directory,
                    env=installation.environment(self.directory),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    umask=0o077,
                    start_new_session=True,
                    pass_fds=(alive, life),
                    check=True,
                    **account.popen_arguments(),
                )
                os.close(life)
                life = -1
                deadline = time.monotonic() + _START_SECONDS
                while not select.select([death], [], [], 0.002)[0]:
                    postmaster = self._postmaster()
                    if postmaster and postmaster.state == "ready" and postmaster.port == port:
                        return None
                    if time.monotonic() > deadline:
                        return f"it is still recovering after {_START_SECONDS:.0f} s, and goes on; try again in a while"
            finally:
                for descriptor in (alive, death, life):
                    if descriptor >= 0:
                        os.close(descriptor)
        with self.log.open("rb") as file:
            file.seek(written)
            return file.read().decode(errors="replace") or "the server ended without a word"

    def _remove_foreign_pid_file(self) -> None:
        """Remove a `postmaster.pid` that is empty (a disk was full) or names a live process that is no server of ours.

        PostgreSQL deals with a dead one itself (and then still looks for the old shared memory), but refuses these for ever.
        Nothing of the old server lives here: the caller saw that the lock is free.
        """
        pid_file = self.data / "postmaster.pid"
        try:
            pid = pid_file.read_text().split("\n", 1)[0].strip()
        except FileNotFoundError:
            return
        if not pid.isdecimal() or _exists(int(pid)):
            pid_file.unlink(missing_ok=True)


def _last_port(directory: Path) -> int | None:
    """The port that the server in `directory` had last; None where it never ran."""
    try:
        return int((directory / "port").read_text())
    except (OSError, ValueError):
        return None


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; others wait."""
    import fcntl

    descriptor = _open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _appending(log: Path) -> Iterator[int]:
    """The log, open for appending; begun anew when it has grown past 10 MB."""
    with suppress(OSError):
        if log.stat().st_size > _LOG_LIMIT:
            log.replace(log.with_suffix(".log.1"))
    descriptor = _open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open(path: Path, flags: int) -> int:
    """Open a file of the server's directory: no link is followed, and what root makes belongs to the directory's owner."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def _lock(descriptor: int, operation: int) -> bool:
    import fcntl

    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:  # a look by another process lasts microseconds
        return False
    return True


def _until(condition: Callable[[], object], seconds: float) -> bool:
    """Wait until `condition()` is true, at most `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _command_line(pid: int) -> str:
    """The arguments of process `pid`, separated by blanks; empty where it does not exist, is a zombie or is hidden from us."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        if Path("/proc/self").exists():
            return ""
    import subprocess

    shown = subprocess.run(
        ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
