"""Where the embedded Postgres keeps things, and which account runs it.

PostgreSQL refuses to run as root. An ordinary user runs it as themselves. Root hands it to an unprivileged account: the one
that already owns the data, else ORBIT_PG_USER, `postgres` or `nobody`.

The data of a project lie in `<home>/postgres`, where `<home>` is ORBIT_HOME or the `.orbit/` of the project root (the nearest
parent directory with `.orbit/` or `.git`, else the directory itself). Where root works in a directory that the unprivileged
account cannot reach (`/root` is usually closed), they lie in `/var/lib/orbit/<project>-<hash of its path>` and the file
`<home>/postgres.path` says so; that file decides from then on, also after the project has moved.
An ORBIT_HOME that cannot be used is an error, never passed over.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orbit_context.errors import EmbeddedPostgresError
from orbit_runner.local.failure import from_os_error

__all__ = ["Account", "account_for", "cache_directories", "can_enter", "data_home", "project_root", "server_directory"]

_SHARED_DATA = Path("/var/lib/orbit")
_SHARED_CACHE = Path("/var/cache/orbit")


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs the server; `drop` says that we are root and must become this account first."""

    uid: int
    gid: int
    name: str
    drop: bool

    def popen_arguments(self) -> dict[str, Any]:
        """What subprocess needs to become this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.drop else {}


def account_for(data: Path) -> Account:
    """The account to run the server of the data directory `data` with (which need not exist yet)."""
    import pwd

    uid = os.geteuid()
    if uid != 0:
        return Account(uid, os.getegid(), _name_of(uid), drop=False)
    with suppress(OSError):
        owner = data.stat()
        if owner.st_uid != 0:
            return Account(owner.st_uid, owner.st_gid, _name_of(owner.st_uid), drop=True)
    wanted = os.environ.get("ORBIT_PG_USER")
    for name in [wanted] if wanted else ["postgres", "nobody"]:
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            if entry.pw_uid != 0:
                return Account(entry.pw_uid, entry.pw_gid, name, drop=True)
    raise EmbeddedPostgresError(
        "PostgreSQL does not run as root, and there is no "
        + (
            f"unprivileged account {wanted!r} (ORBIT_PG_USER)"
            if wanted
            else "account `postgres` or `nobody` to give it to"
        ),
        hint="set ORBIT_PG_USER to an unprivileged account, or run as an ordinary user",
    )


def _name_of(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def can_enter(directory: Path, account: Account) -> bool:
    """Whether `account` may pass through to `directory`; asked of the kernel, so that ACLs and mounts count."""
    if not account.drop:
        return os.access(directory, os.X_OK)
    import subprocess

    argv = ["/bin/sh", "-c", 'cd -- "$1" 2>/dev/null', "sh", str(directory)]
    return subprocess.run(argv, cwd="/", check=False, **account.popen_arguments()).returncode == 0


def project_root(start: Path) -> Path:
    """The nearest directory at or above `start` that holds `.orbit/` or `.git`; `start` itself where none does."""
    start = Path(os.path.abspath(start))  # noqa: PTH100 - absolute as the user sees it, symlinks kept
    for directory in (start, *start.parents):
        if (directory / ".orbit").is_dir() or (directory / ".git").exists():
            return directory
    return start


def data_home(project_dir: Path) -> Path:
    """ORBIT_HOME, else `.orbit/` of the project that `project_dir` lies in. Makes nothing."""
    if explicit := os.environ.get("ORBIT_HOME"):
        return Path(os.path.abspath(Path(explicit).expanduser()))  # noqa: PTH100
    return project_root(project_dir) / ".orbit"


def found_directory(home: Path) -> Path:
    """Where the server of `home` keeps its things, as far as it has been decided: two system calls, nothing made."""
    try:
        return Path((home / "postgres.path").read_text().strip())
    except OSError:
        return home / "postgres"


def server_directory(home: Path) -> Path:
    """The directory of the server of `home`, made where it is missing and open to the server's account alone.

    Raises EmbeddedPostgresError where neither it nor the place for closed projects can be used.
    """
    place = found_directory(home)
    account = account_for(place / "data")
    explicit = bool(os.environ.get("ORBIT_HOME"))
    try:
        make_directory(home, 0o755)
        ignore = home / ".gitignore"
        if not explicit and not ignore.exists():
            ignore.write_text("*\n")
        if place.parent == home and not can_enter(home, account):
            if explicit:
                raise EmbeddedPostgresError(
                    f"ORBIT_HOME={home} cannot be reached by the account {account.name!r}, which runs PostgreSQL for root",
                    hint="open every directory above it (chmod o+x), choose another directory, or set ORBIT_PG_USER",
                )
            place = _closed_project_directory(home)
            pointer = home / f"postgres.path.{os.getpid()}"
            pointer.write_text(f"{place}\n")
            pointer.rename(home / "postgres.path")
        # Root keeps the directory itself, so that the server's account can plant nothing in it; it owns only `data/` inside.
        make_directory(place, 0o711 if account.drop else 0o700)
    except OSError as error:
        raise from_os_error("keep the embedded Postgres", place, error) from error
    if not can_enter(place, account):
        raise EmbeddedPostgresError(
            f"cannot use the embedded Postgres in {place}: it is closed to the account {account.name!r}",
            hint="run as the account that owns it, or set ORBIT_HOME to a directory of yours",
        )
    return place


def _closed_project_directory(home: Path) -> Path:
    from hashlib import sha256

    project = home.parent
    place = _SHARED_DATA / f"{project.name or 'root'}-{sha256(str(project).encode()).hexdigest()[:12]}"
    make_directory(_SHARED_DATA, 0o755)
    return place


def make_directory(directory: Path, mode: int) -> None:
    """Make `directory` where it is missing, with exactly `mode` from its first moment: several programs may do this at once."""
    import tempfile

    if directory.is_dir():
        return
    directory.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".orbit-", dir=directory.parent))
    made.chmod(mode)
    try:
        made.rename(directory)
    except OSError:
        made.rmdir()
        if not directory.is_dir():
            raise


def cache_directories() -> list[Path]:
    """Where a fetched PostgreSQL may lie, best first: the user's cache, the machine's, the temporary directory."""
    import sys
    import tempfile

    places = []
    if cache := os.environ.get("XDG_CACHE_HOME"):
        places.append(Path(cache) / "orbit")
    elif os.environ.get("HOME"):
        places.append(Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "orbit")
    return [*places, _SHARED_CACHE, Path(tempfile.gettempdir()) / f"orbit-{os.geteuid()}"]
