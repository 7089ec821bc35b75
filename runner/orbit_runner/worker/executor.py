"""The port between a worker and what it executes tests with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from orbit_context.models.outcome import Outcome
    from orbit_runner.worker.run_state import RunState

__all__ = ["Executor", "ExecutorFactory"]


class Executor(Protocol):
    """Executes the tests of one run. May be asked for many at once."""

    async def run(self, position: int, attempt: int) -> Outcome:
        """One attempt of the test at that position of the suite. Never raises but on cancellation."""
        ...


ExecutorFactory = Callable[["RunState"], Executor]
