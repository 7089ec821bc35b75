"""Exit codes, the same for every command. Never 0 unless everything that was selected passed."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from orbit_context.errors import (
    CycleError,
    DefinitionError,
    InfrastructureError,
    NothingSelectedError,
    OrbitError,
)

if TYPE_CHECKING:
    from orbit_context.models.runs import Run

__all__ = ["Exit", "of_error", "of_run"]


class Exit(IntEnum):
    """What the shell is told."""

    PASSED = 0
    FAILED = 1
    CANCELLED = 2
    INFRASTRUCTURE = 3
    DEFINITION = 4
    NOTHING_SELECTED = 5
    GATE = 6
    TIMED_OUT = 7


def of_run(run: Run) -> Exit:
    """The exit code of a run: what is not finished is no success."""
    if run.status == "passed":
        counts = run.counts
        return Exit.PASSED if counts.passed + counts.passed_on_retry > 0 else Exit.NOTHING_SELECTED
    return {
        "failed": Exit.FAILED,
        "errored": Exit.FAILED,
        "cancelled": Exit.CANCELLED,
        "timed_out": Exit.TIMED_OUT,
    }.get(run.status, Exit.INFRASTRUCTURE)


def of_error(error: OrbitError) -> Exit:
    """The exit code of an error that ended a command."""
    if isinstance(error, NothingSelectedError):
        return Exit.NOTHING_SELECTED
    if isinstance(error, DefinitionError | CycleError):
        return Exit.DEFINITION
    return Exit.INFRASTRUCTURE if isinstance(error, InfrastructureError) else Exit.DEFINITION
