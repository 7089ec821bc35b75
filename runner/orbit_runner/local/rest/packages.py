"""The npm packages that the REST server runs on: those of deno.lock, by its hashes, fetched once."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from orbit_context.errors import EmbeddedPostgresError
from orbit_runner.local.npm import Fetched, fetch, kept
from orbit_runner.local.place import Account, cache_directories

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SOURCES", "install"]

SOURCES = Path(__file__).parent
_LOCK = SOURCES / "deno.lock"

# Two faults of the driver, open in 3.4.9. It writes late to a connection that was lost in the meantime: an error that nobody
# can catch and that ends the process, or a query that is never answered (porsager/postgres issues 1154 and 1208). And a reserved
# connection that was lost counts as open again when it is released, so that every later query on it fails.
_DRIVER = "postgres/3.4.9/src"
_MENDED = (
    (
        "connection.js",
        "  function nextWrite(fn) {\n",
        """\
  function nextWrite(fn) {
    if (!socket) {
      chunk = nextWriteTimer = null
      error(Errors.connection('CONNECTION_CLOSED', options))
      return false
    }
""",
    ),
    (
        "connection.js",
        "    clearImmediate(nextWriteTimer)\n    socket.removeListener",
        "    clearImmediate(nextWriteTimer)\n    chunk = nextWriteTimer = null\n    socket.removeListener",
    ),
    (
        "index.js",
        "    sql.release = () => {\n",
        "    const mine = c.reserved\n    sql.release = () => {\n      if (c.reserved !== mine) return\n",
    ),
)


def install(tell: Callable[[str], None] = lambda _: None) -> Path:
    """The directory for DENO_DIR that holds them; fetched (35 MB over the wire) where no cache has it.

    Raises EmbeddedPostgresError, with the next step, where they cannot be had.
    """
    folder = f"rest-{sha256(_LOCK.read_bytes() + repr(_MENDED).encode()).hexdigest()[:16]}"
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
    _mend(public / _DRIVER)
    return work / "deno"


def _mend(driver: Path) -> None:
    for name, found, instead in _MENDED:
        text = (driver / name).read_text(encoding="utf-8")
        if text.count(found) != 1:
            raise EmbeddedPostgresError(f"{name} of the driver is not the one that is mended here")
        (driver / name).write_text(text.replace(found, instead), encoding="utf-8")
