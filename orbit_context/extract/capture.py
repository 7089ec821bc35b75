"""Captures: named values taken from a response."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orbit_context.extract.evaluator import Evaluator
    from orbit_context.extract.view import ResponseView
    from orbit_context.models.outcome import Captured, Failure
    from orbit_context.suite.checks import Capture

__all__ = ["CaptureError", "CompiledCapture", "compile_capture", "compile_captures", "take_all"]


class CaptureError(Exception):
    """A capture found nothing, or something it cannot take; `failure` says what was there instead.

    Its category is `capture_missing`, or `expression` where the expression could not be evaluated.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class CompiledCapture:
    """One capture, compiled once and taken from many responses."""

    __slots__ = ("capture", "name", "needs_evaluator")

    def __init__(self, name: str, capture: Capture) -> None:
        self.name = name
        self.capture = capture
        self.needs_evaluator: bool = False
        """Whether an evaluator may be needed; where not, `take` is all there is to it."""

    def take(self, view: ResponseView) -> Captured:
        """The value, at once.

        Raises:
            CaptureError: nothing is there and there is no default, it cannot be converted, or an evaluator is needed.
        """
        raise NotImplementedError

    async def take_with(self, view: ResponseView, evaluator: Evaluator | None) -> Captured:
        """The value, through `evaluator` where the expression could take long on this response.

        Raises:
            CaptureError: as `take`.
        """
        raise NotImplementedError


def compile_capture(name: str, capture: Capture, field: str = "capture") -> CompiledCapture:
    """Compile one capture; `field` is where it stands (`tests.login.capture.token`), for errors.

    Raises:
        ExpressionError: the JSONPath, regular expression or XPath does not compile.
    """
    raise NotImplementedError


def compile_captures(captures: Mapping[str, Capture], field: str = "capture") -> list[CompiledCapture]:
    """All captures of a test."""
    return [compile_capture(name, capture, f"{field}.{name}") for name, capture in captures.items()]


async def take_all(
    captures: Sequence[CompiledCapture], view: ResponseView, evaluator: Evaluator | None = None
) -> tuple[list[Captured], list[Failure]]:
    """What was captured and what could not be; one failure keeps no other capture from being taken."""
    raise NotImplementedError
