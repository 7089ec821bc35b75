"""Untrusted expressions in child processes that can be killed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.extract.evaluator import DEFAULT_BUDGET

if TYPE_CHECKING:
    from orbit_context.extract.evaluator import Kind

__all__ = ["Sandbox"]


class Sandbox:
    """An :class:`orbit_context.extract.evaluator.Evaluator`: one or two child processes, started when first needed.

    Use it as `async with Sandbox() as sandbox`, or call `close`. It belongs to the event loop that first used it.
    """

    def __init__(self, *, processes: int = 2, memory: int = 256 * 2**20) -> None:
        self.processes = processes
        self.memory = memory

    async def evaluate(self, kind: Kind, expression: str, body: bytes, budget: float = DEFAULT_BUDGET) -> Any:
        """See :class:`orbit_context.extract.evaluator.Evaluator`."""
        raise NotImplementedError

    async def close(self) -> None:
        """End the children; evaluations under way fail."""

    async def __aenter__(self) -> Sandbox:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
