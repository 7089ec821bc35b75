"""Executing the tests of a run over HTTP: compiled once per worker, at their first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orbit_context.errors import DefinitionError
from orbit_context.models.outcome import Outcome
from orbit_runner.execute.compile import CompiledTest, compile_test
from orbit_runner.execute.http import HttpExecutor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orbit_context.extract.evaluator import Evaluator
    from orbit_runner.transport.port import Transport
    from orbit_runner.worker.run_state import RunState

__all__ = ["HttpRuns"]


class HttpRuns:
    """Makes the executor of each run a worker meets; all share one transport and one sandbox."""

    def __init__(self, transport: Transport, evaluator: Evaluator | None) -> None:
        self._transport = transport
        self._evaluator = evaluator
        self._compiled: dict[int, Sequence[CompiledTest]] = {}

    def preload(self, queue_no: int, tests: Sequence[CompiledTest]) -> None:
        """Tests of a run that are compiled already, in the suite's order."""
        self._compiled[queue_no] = tests

    def __call__(self, state: RunState) -> _RunExecutor:
        executor = HttpExecutor(self._transport, state.redactor, self._evaluator)
        return _RunExecutor(state, executor, dict(enumerate(self._compiled.pop(state.queue_no, ()))))


class _RunExecutor:
    def __init__(self, state: RunState, executor: HttpExecutor, compiled: dict[int, CompiledTest]) -> None:
        self._state = state
        self._executor = executor
        self._compiled = compiled

    async def run(self, position: int, attempt: int) -> Outcome:
        test = self._compiled.get(position)
        if test is None:
            try:
                test = self._compiled[position] = self._compile(position)
            except DefinitionError as error:
                return Outcome("errored", 0.0, category="config", reason=self._state.redactor.redact_text(str(error)))
        return await self._executor.run(test, self._state.scope(position, attempt), attempt)

    def _compile(self, position: int) -> CompiledTest:
        key, test = self._state.tests[position]
        suite = self._state.suite
        return compile_test(key, test, suite.document.defaults, suite.bare.get(key, {}), suite.base_dir)
