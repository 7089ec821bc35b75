"""Lets synchronous code ask for evaluations that happen elsewhere.

What needs one asks an `Answers` for it. If the answer is not there yet, `Pending` ends the attempt; the caller has the
evaluations that are pending done side by side and tries again. So all of extraction and assertion is written once, as
plain functions, and costs nothing where nothing is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from orbit_context.extract.evaluator import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from orbit_context.extract.evaluator import Evaluator, Kind

__all__ = ["NO_EVALUATOR", "Answers", "Pending", "gather"]

_Result = TypeVar("_Result")


_PENDING: Any = object()


class Pending(Exception):  # noqa: N818 - a signal, not an error
    """An answer is not there yet."""


class Answers:
    """The evaluations asked for on one response, and their results."""

    __slots__ = ("_asked", "_results", "has_evaluator")

    def __init__(self, *, has_evaluator: bool) -> None:
        self.has_evaluator = has_evaluator
        self._results: dict[tuple[Kind, str, bytes], Any] = {}
        self._asked: dict[tuple[Kind, str, bytes], None] = {}

    def ask(self, kind: Kind, expression: str, body: bytes) -> Any:
        """The result.

        Raises:
            Pending: it is not there yet.
            EvaluationError: there is none, or no evaluator to ask.
        """
        key = (kind, expression, body)
        if key in self._results:
            result = self._results[key]
            if isinstance(result, EvaluationError):
                raise result.with_traceback(None)
            return result
        if not self.has_evaluator:
            raise EvaluationError(
                "this expression could take long on this response and needs an evaluator",
                code="expression",
                hint="Give one: a runner's sandbox, or InProcessEvaluator for what you trust.",
            )
        self._asked[key] = None
        raise Pending

    async def fetch(self, evaluator: Evaluator) -> None:
        """Have everything evaluated that was asked for."""
        asked = list(self._asked)
        self._asked.clear()
        if len(asked) == 1:
            self._results[asked[0]] = await _outcome(evaluator, asked[0])
            return
        import asyncio

        results = await asyncio.gather(*(_outcome(evaluator, key) for key in asked))
        self._results.update(zip(asked, results, strict=True))


NO_EVALUATOR = Answers(has_evaluator=False)
"""For synchronous use: whatever is asked of it is refused, so it never changes."""


async def _outcome(evaluator: Evaluator, key: tuple[Kind, str, bytes]) -> Any:
    try:
        return await evaluator.evaluate(*key)
    except EvaluationError as error:
        return error


async def gather(attempts: Sequence[Callable[[Answers], _Result]], evaluator: Evaluator | None) -> list[_Result]:
    """The results of `attempts`, in their order, with whatever they ask for evaluated by `evaluator`."""
    if evaluator is None:
        return [attempt(NO_EVALUATOR) for attempt in attempts]
    answers = Answers(has_evaluator=True)
    results: list[Any] = [_PENDING] * len(attempts)
    waiting: Iterable[int] = range(len(attempts))
    while True:
        still: list[int] = []
        for index in waiting:
            try:
                results[index] = attempts[index](answers)
            except Pending:
                still.append(index)
        if not still:
            return results
        waiting = still
        await answers.fetch(evaluator)
