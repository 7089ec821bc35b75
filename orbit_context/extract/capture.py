"""Captures: named values taken from a response."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from orbit_context.errors import ExpressionError
from orbit_context.extract.answers import NO_EVALUATOR, gather
from orbit_context.extract.conversion import convert
from orbit_context.extract.evaluator import EvaluationError
from orbit_context.extract.source import (
    BodySource,
    CookieSource,
    HeaderSource,
    JsonSource,
    RegexSource,
    StatusSource,
    UrlSource,
    XPathSource,
)
from orbit_context.extract.view import BodyError
from orbit_context.models.outcome import Captured, Failure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orbit_context.extract.answers import Answers
    from orbit_context.extract.evaluator import Evaluator
    from orbit_context.extract.source import Source
    from orbit_context.extract.view import ResponseView
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

    __slots__ = ("_every", "_share", "_source", "capture", "is_secret", "name", "needs_evaluator")

    def __init__(self, name: str, capture: Capture, source: Source) -> None:
        self.name = name
        self.capture = capture
        self.is_secret = capture.is_secret
        self.needs_evaluator: bool = source.needs_evaluator
        """Whether some responses need an evaluator; where none does, `take` is all there is to it."""
        self._source = source
        self._every = capture.all
        self._share = capture.share

    def take(self, view: ResponseView) -> Captured:
        """The value, at once.

        Raises:
            CaptureError: nothing is there and there is no default, it cannot be converted, or an evaluator is needed.
        """
        return self._take(view, NO_EVALUATOR)

    async def take_with(self, view: ResponseView, evaluator: Evaluator | None) -> Captured:
        """The value, through `evaluator` where the expression could take long on this response.

        Raises:
            CaptureError: as `take`.
        """
        captured, failures = await take_all([self], view, evaluator)
        if failures:
            raise CaptureError(failures[0])
        return captured[0]

    def _take(self, view: ResponseView, answers: Answers) -> Captured:
        capture = self.capture
        try:
            found = self._source.find(view, answers)
        except BodyError as error:
            if not capture.has_default:
                raise self._error(view, error.message, error.hint) from None
            found = []
        except EvaluationError as error:
            raise self._error(view, error.message, error.hint, category="expression") from None
        if not found:
            if not capture.has_default:
                reason, hint = self._source.explain(view)
                raise self._error(view, f"found nothing: {reason}", hint)
            # A default is written as it is meant: it is not converted.
            return Captured(self.name, capture.default, self._share, self.is_secret)
        value: Any
        if self._every:
            value = [self._convert(view, item) for item in found] if capture.type else list(found)
        else:
            value = self._convert(view, found[0]) if capture.type else found[0]
        return Captured(self.name, value, self._share, self.is_secret)

    def _convert(self, view: ResponseView, value: Any) -> Any:
        assert self.capture.type is not None  # noqa: S101
        try:
            return convert(value, self.capture.type)
        except ValueError as error:
            raise self._error(view, str(error), None) from None

    def _error(
        self, view: ResponseView, message: str, hint: str | None, *, category: str = "capture_missing"
    ) -> CaptureError:
        status = f" (status {view.status})" if view.status >= 400 else ""
        where = self._source.where
        return CaptureError(
            Failure(f"capture {self.name}: {where}{status}: {message}", where=where, category=category, hint=hint)
        )


def compile_capture(name: str, capture: Capture, field: str = "capture") -> CompiledCapture:
    """Compile one capture; `field` is where it stands (`tests.login.capture.token`), for errors.

    Raises:
        ExpressionError: the JSONPath, regular expression or XPath does not compile.
    """
    try:
        return CompiledCapture(name, capture, _source(capture))
    except ExpressionError as error:
        key = "json" if capture.json_path is not None else "regex" if capture.regex is not None else "xpath"
        error.field = f"{field}.{key}"
        raise


def _source(capture: Capture) -> Source:
    if capture.json_path is not None:
        return JsonSource(capture.json_path, capture.dialect or "rfc9535")
    if capture.regex is not None:
        group = capture.group if "group" in capture.model_fields_set else None
        return RegexSource(capture.regex, group, every=capture.all)
    if capture.xpath is not None:
        return XPathSource(capture.xpath)
    if capture.header is not None:
        return HeaderSource(capture.header)
    if capture.cookie is not None:
        return CookieSource(capture.cookie)
    if capture.body is not None:
        return BodySource()
    return StatusSource() if capture.status is not None else UrlSource()


def compile_captures(captures: Mapping[str, Capture], field: str = "capture") -> list[CompiledCapture]:
    """All captures of a test."""
    return [compile_capture(name, capture, f"{field}.{name}") for name, capture in captures.items()]


async def take_all(
    captures: Sequence[CompiledCapture], view: ResponseView, evaluator: Evaluator | None = None
) -> tuple[list[Captured], list[Failure]]:
    """What was captured and what could not be; one failure keeps no other capture from being taken."""
    taken: list[Captured] = []
    failures: list[Failure] = []

    def attempt(capture: CompiledCapture, answers: Answers) -> Captured | Failure:
        try:
            return capture._take(view, answers)  # noqa: SLF001 - its own module
        except CaptureError as error:
            return error.failure

    results = await gather([partial(attempt, capture) for capture in captures], evaluator)
    for result in results:
        if isinstance(result, Failure):
            failures.append(result)
        else:
            taken.append(result)
    return taken, failures
