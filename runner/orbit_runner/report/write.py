"""Writes reports to files: whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from orbit_context.errors import DefinitionError, InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orbit_context.models.runs import Result, Run

__all__ = ["KINDS", "parse_report", "write_file", "write_report"]

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "junit": "orbit_runner.report.junit",
        "html": "orbit_runner.report.html",
        "json": "orbit_runner.report.json",
    }
)
"""The module that makes each kind of report: `render(run, results, places) -> bytes`. Imported when it is asked for."""

_OURS_TO_MEND = frozenset(
    {errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP}
)
"""What a wrong path looks like, as opposed to a disk that is full or broken."""


def parse_report(spec: str) -> tuple[str, Path]:
    """Kind and path of `junit=path`; to be called before a run starts, so that a slip does not cost a run.

    :raises DefinitionError: there is no such kind, or no path
    """
    kind, separator, path = spec.partition("=")
    known = ", ".join(KINDS)
    if kind not in KINDS:
        raise DefinitionError(
            f"There is no report of the kind {kind!r}",
            field="--report",
            hint=f"Write KIND=PATH; the kinds are {known}.",
        )
    if not separator or not path:
        raise DefinitionError(
            f"The report {kind!r} has no path",
            field="--report",
            hint=f"Write {kind}=PATH, for example {_example(kind)}.",
        )
    target = Path(path).expanduser()
    if target.is_dir():
        raise DefinitionError(
            f"The report cannot be written to {path}: it is a directory",
            field="--report",
            hint=f"Name a file in it, for example {kind}={target / _example(kind).partition('=')[2]}.",
        )
    return kind, target


def write_report(spec: str, run: Run, results: Sequence[Result], *, places: Mapping[str, str] | None = None) -> Path:
    """Writes the report that `spec` asks for (`junit=path`, `html=path`, `json=path`) and returns where it lies.

    Missing directories are made. Whoever reads the file sees the old content or the new one, never a part.

    :param places: where tests are defined, by key: `shop.yaml:12`
    :raises DefinitionError: no such kind, no path, or a path that cannot be written to
    :raises InfrastructureError: the disk is full or broken
    """
    from importlib import import_module

    kind, path = parse_report(spec)
    content: bytes = import_module(KINDS[kind]).render(run, results, places)
    return write_file(path, content)


def write_file(path: Path, content: bytes) -> Path:
    """Puts `content` in place of what is at `path`, in one step. A device or pipe is written to as it is.

    :raises DefinitionError: the path cannot be written to
    :raises InfrastructureError: the disk is full or broken
    """
    try:
        path = path.resolve()  # a symbolic link stays one; what it leads to is replaced
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return path
        beside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.tmp")
        try:
            with beside.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        message = f"The report cannot be written to {path}: {error.strerror or error}"
        if error.errno in _OURS_TO_MEND:
            raise DefinitionError(message, field="--report", hint="Choose a path that you may write to.") from error
        raise InfrastructureError(message, hint="Free some space, or choose another place.") from error
    return path


def _example(kind: str) -> str:
    return f"{kind}=report.{'xml' if kind == 'junit' else kind}"
