"""A suite file (or a suite made by a program) checked, expanded and joined up: ready to be saved and run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orbit_context.suite.infer import Edge

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from orbit_context.suite.document import EnvironmentDocument, Suite
    from orbit_context.suite.expressions import Expression
    from orbit_context.suite.yaml import ParsedDocument

__all__ = ["Edge", "LoadedSuite", "build_suite", "load_environment", "load_suite"]


@dataclass(frozen=True, slots=True)
class LoadedSuite:
    """A suite whose tests are expanded and whose names are all known."""

    document: Suite
    """Data-driven tests are replaced by one test for each row."""
    edges: list[Edge]
    """Stated and inferred; at most one for two tests."""
    bare: dict[str, dict[str, tuple[str | int, ...]]]
    """Test key → bare name of a capture → its absolute path, as in `Scope.bare`. Tests that use none are left out."""
    expressions: list[Expression]
    """JSONPaths, regular expressions, XPaths and schemas that the runner compiles before anything is sent."""
    base_dir: Path
    """What paths in the suite are relative to."""
    file: str | None = None
    _source: ParsedDocument | None = field(default=None, repr=False)

    def locate(self, path: Sequence[str | int]) -> tuple[int, int] | None:
        """Line and column, from 1, of a part of the document (`("tests", "item[2]", "request")`); None without a file."""
        raise NotImplementedError


def load_suite(
    path: str | Path, *, environment: EnvironmentDocument | None = None, overrides: Collection[str] = ()
) -> LoadedSuite:
    """Read and check a suite file.

    Args:
        environment: what the suite will run in; its variables are known names.
        overrides: names of further variables that the run is given (`--var`).

    Raises:
        DefinitionError: it is wrong; `errors` lists all that was found.
    """
    raise NotImplementedError


def build_suite(
    suite: Suite | Mapping[str, Any],
    *,
    base_dir: str | Path | None = None,
    environment: EnvironmentDocument | None = None,
    overrides: Collection[str] = (),
) -> LoadedSuite:
    """Check a suite that a program made. `base_dir` is the working directory unless given. Raises as `load_suite`."""
    raise NotImplementedError


def load_environment(path: str | Path) -> EnvironmentDocument:
    """Read and check an environment file. Raises as `load_suite`."""
    raise NotImplementedError
