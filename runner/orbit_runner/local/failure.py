"""What the operating system or Postgres said, told as one EmbeddedPostgresError: what failed, where, and the next step."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from orbit_context.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from pathlib import Path

_ELSEWHERE = "set ORBIT_HOME to a directory on another disk"
_BY_ERRNO: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("the disk is full", f"free some space there, or {_ELSEWHERE}"),
    errno.EDQUOT: ("the disk quota is used up", f"free some space there, or {_ELSEWHERE}"),
    errno.EFBIG: ("a file-size limit was reached", "raise the limit (ulimit -f), or " + _ELSEWHERE),
    errno.EROFS: ("the file system is read-only", "set ORBIT_HOME to a directory that can be written to"),
    errno.EACCES: (
        "permission is denied",
        "run as the account that owns it, or set ORBIT_HOME to a directory of yours",
    ),
    errno.EPERM: ("permission is denied", "run as the account that owns it, or set ORBIT_HOME to a directory of yours"),
}
# Postgres and initdb speak English here (LC_ALL=C), with the C library's own words for an errno.
_BY_WORDS = {os.strerror(code): code for code in _BY_ERRNO} | {"File size limit exceeded": errno.EFBIG}


def from_os_error(doing: str, place: Path, error: OSError) -> EmbeddedPostgresError:
    """`doing` is what could not be done ("make the data directory"); `place` where."""
    why, hint = _BY_ERRNO.get(error.errno or 0, (error.strerror or str(error), "see the detail, or set ORBIT_HOME"))
    return EmbeddedPostgresError(f"cannot {doing} in {place}: {why}", detail=str(error), hint=hint)


def from_output(doing: str, place: Path, output: str, *, log: Path | None = None) -> EmbeddedPostgresError:
    """The same from what initdb or postgres printed; a full disk is recognised even when it left no words behind."""
    detail = "\n".join(output.strip().splitlines()[-12:]) or None
    for words, code in _BY_WORDS.items():
        if words in output:
            why, hint = _BY_ERRNO[code]
            return EmbeddedPostgresError(f"cannot {doing} in {place}: {why}", detail=detail, hint=hint)
    if is_full(place):
        why, hint = _BY_ERRNO[errno.ENOSPC]
        return EmbeddedPostgresError(f"cannot {doing} in {place}: {why}", detail=detail, hint=hint)
    if "could not look up effective user ID" in output:
        return EmbeddedPostgresError(
            f"cannot {doing} in {place}: user id {os.geteuid()} has no account on this machine",
            detail=detail,
            hint="run as a user that /etc/passwd lists (PostgreSQL's initdb needs a name for its owner)",
        )
    hint = f"the server's log is {log}" if log else "see the detail"
    last = next((line for line in reversed((detail or "").splitlines()) if "FATAL" in line or "error" in line), "")
    return EmbeddedPostgresError(
        f"cannot {doing} in {place}" + (f": {last.split('FATAL:')[-1].strip()}" if last else ""),
        detail=detail,
        hint=hint,
    )


def is_full(place: Path) -> bool:
    """Whether the file system that holds `place` has less than one database page left for this account."""
    try:
        stats = os.statvfs(place)
    except OSError:
        return False
    return stats.f_bavail * stats.f_frsize < 8192
