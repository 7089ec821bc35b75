"""One assertion, compiled: each looks at a response and says what does not hold, if anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.errors import ExpressionError, TemplateError
from orbit_context.extract.evaluator import EvaluationError
from orbit_context.extract.view import BodyError, excerpt
from orbit_context.extract.wording import json_type, shape
from orbit_context.models.outcome import Failure
from orbit_runner.assertions.difference import MAX_DIFFERENCES, bounded, differences, equal, show
from orbit_runner.assertions.operation import QUANTIFIERS
from orbit_runner.assertions.operators import HOLDS, Unfit
from orbit_runner.assertions.status import StatusRule

if TYPE_CHECKING:
    from orbit_context.extract.answers import Answers
    from orbit_context.extract.view import ResponseView
    from orbit_runner.assertions.operation import Expected, Operation, Render
    from orbit_runner.assertions.subjects import Subject

__all__ = ["CompiledCheck", "JsonBodyCheck", "NotCheck", "SchemaCheck", "StatusCheck", "ValueCheck"]


class CompiledCheck:
    """One assertion. Immutable."""

    needs_evaluator = False
    """Whether some responses need an evaluator."""
    where = ""

    def evaluate(self, view: ResponseView, render: Render | None, answers: Answers) -> Failure | None:
        """What does not hold; also that it cannot be told, in the category `expression` or `template`.

        Raises:
            orbit_context.extract.answers.Pending: an evaluator was asked.
        """
        try:
            return self.judge(view, render, answers)
        except BodyError as error:
            return Failure(f"{self.where}: {error.message}", self.where, hint=error.hint)
        except EvaluationError as error:
            category = "assertion" if error.code == "body" else "expression"
            return Failure(f"{self.where}: {error.message}", self.where, category=category, hint=error.hint)
        except ExpressionError as error:
            return Failure(f"{self.where}: {error.message}", self.where, category="expression", hint=error.hint)
        except TemplateError as error:
            return Failure(f"{self.where}: {error.message}", self.where, category="template", hint=error.hint)

    def judge(self, view: ResponseView, render: Render | None, answers: Answers) -> Failure | None:
        """What does not hold.

        Raises:
            BodyError: the body cannot be read as what is looked for in it.
            EvaluationError: an expression could not be evaluated.
            ExpressionError: an expression made by a template does not compile.
            TemplateError: an expected value cannot be rendered.
        """
        raise NotImplementedError

    def describe(self, render: Render | None) -> str:
        """The assertion in words, for `not`: `json $.id is 1`."""
        raise NotImplementedError


class ValueCheck(CompiledCheck):
    """Operators asked of a value that was looked up in the response."""

    def __init__(self, subject: Subject, operations: list[Operation]) -> None:
        self.where = subject.where
        self._subject = subject
        self._operations = operations
        self.needs_evaluator = subject.source.needs_evaluator or any(item.needs_evaluator for item in operations)

    def judge(self, view: ResponseView, render: Render | None, answers: Answers) -> Failure | None:
        found = self._subject.source.find(view, answers)
        if not found:
            return self._absent(view, render)
        for operation in self._operations:
            try:
                if operation.holds(found, render, answers):
                    continue
                message, hint = self._explain(operation, self._actual(found), render)
            except Unfit as why:
                message, hint = f"expected {operation.phrase(render)}, got {why}", None
            expected, actual = operation.expected(render), self._actual(found)
            return Failure(f"{self.where}: {message}", self.where, bounded(expected), bounded(actual), hint=hint)
        return None

    def _actual(self, found: list[Any]) -> Any:
        return found[0] if self._subject.source.is_single or len(found) == 1 else found

    def _absent(self, view: ResponseView, render: Render | None) -> Failure | None:
        """Nothing was found: that is what `exists: false` wants, and it settles whatever stands beside it."""
        operations = sorted(self._operations, key=lambda operation: operation.name != "exists")
        for operation in operations:
            if operation.name == "exists" and not operation.expected(render):
                return None
            reason, hint = self._subject.source.explain(view)
            message = f"{self.where}: expected {operation.phrase(render)}, found nothing: {reason}"
            return Failure(message, self.where, bounded(operation.expected(render)), None, hint=hint)
        return None

    def _explain(self, operation: Operation, actual: Any, render: Render | None) -> tuple[str, str | None]:
        """What was expected and what is there, and perhaps a hint."""
        name = operation.name
        shown = self._subject.show(actual)
        expected = operation.expected(render)
        wanted = operation.phrase(render)
        if name == "equals":
            if isinstance(expected, dict | list) and type(expected) is type(actual):
                return _list_differences("differs", expected, actual, self._subject.path), None
            if types_matter(actual, expected):
                return f"expected {wanted} ({json_type(expected)}), got {shown} ({json_type(actual)})", None
            return f"expected {wanted}, got {shown}", _near_miss(expected, actual)
        if name == "type":
            return f"expected {wanted}, got {shown} ({json_type(actual)})", None
        if name == "length" and isinstance(actual, str | list | dict):
            return f"expected {wanted}, got {len(actual)}: {shown}", None
        if name == "includes" and isinstance(actual, dict) and isinstance(expected, dict):
            there = {key: actual[key] for key in expected if key in actual}
            return _list_differences("lacks what it should include", expected, there, self._subject.path), None
        if name in QUANTIFIERS:
            return f"expected {wanted}, got {operation.example(actual, render)}", None
        return f"expected {wanted}, got {shown}", None

    def describe(self, render: Render | None) -> str:
        return f"{self.where} is {' and '.join(operation.phrase(render) for operation in self._operations)}"


def types_matter(actual: Any, expected: Any) -> bool:
    """Whether two values that differ are better told with their types."""
    kinds = {json_type(actual), json_type(expected)}
    if len(kinds) == 1 or kinds == {"integer", "number"} or "null" in kinds:
        return False
    return not isinstance(actual, dict | list) and not isinstance(expected, dict | list)


def _list_differences(verb: str, expected: Any, actual: Any, path: str) -> str:
    listed = differences(expected, actual, path)
    more = "; and more" if len(listed) > MAX_DIFFERENCES else ""
    return f"{verb}: {'; '.join(listed[:MAX_DIFFERENCES])}{more}"


def _near_miss(expected: Any, actual: Any) -> str | None:
    if isinstance(expected, str) and isinstance(actual, str):
        if expected.strip() == actual.strip():
            return "They differ in white space at an end only."
        if expected.lower() == actual.lower():
            return "They differ in upper and lower case only."
    return None


class JsonBodyCheck(CompiledCheck):
    """The whole body compared as JSON: `body: {…}`."""

    where = "body"

    def __init__(self, expected: Expected, *, negative: bool = False, includes: bool = False) -> None:
        self._expected = expected
        self._negative = negative
        self._includes = includes

    def judge(self, view: ResponseView, render: Render | None, answers: Answers) -> Failure | None:
        actual = view.json
        expected = self._expected.get(render)
        there = actual
        if self._includes:
            try:
                holds = HOLDS["includes"](actual, expected, answers)
            except Unfit as why:
                return Failure(f"body: expected at least {shape(expected)}, got {why}", "body", bounded(expected))
            if isinstance(actual, dict):
                there = {key: actual[key] for key in expected if key in actual}
        else:
            holds = equal(actual, expected)
        if holds is not self._negative:
            return None
        if self._negative:
            return Failure("body: expected anything but what it is", "body", bounded(expected), bounded(actual))
        message = f"body: {_list_differences('differs', expected, there, '$')}"
        return Failure(message, "body", bounded(expected), bounded(actual))

    def describe(self, render: Render | None) -> str:
        how = "includes" if self._includes else "is not" if self._negative else "is"
        return f"body {how} {show(self._expected.get(render))}"


class StatusCheck(CompiledCheck):
    """The status is one of those expected. A status that is not is told with the beginning of the body."""

    where = "status"

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self._rule = StatusRule(expected.get(None)) if expected.is_static else None

    def judge(self, view: ResponseView, render: Render | None, answers: Answers) -> Failure | None:
        rule = self._rule or self._rendered(render)
        status = view.status
        if rule.holds(status):
            return None
        hint = None
        if view.body:
            is_readable = view.media_type.startswith("text/plain") or "json" in view.media_type or not view.media_type
            hint = (
                f"The body begins {excerpt(view.text[:201], 200)}."
                if is_readable
                else f"The body is {view.media_type} of {len(view.body):,} bytes."
            )
        category = "auth" if status in (401, 403) else f"status_{status // 100}xx" if status >= 400 else "assertion"
        reason = f" {view.reason}" if view.reason else ""
        message = f"status: expected {rule.phrase}, got {status}{reason}"
        return Failure(message, "status", rule.expected, status, category, hint)

    def _rendered(self, render: Render | None) -> StatusRule:
        try:
            return StatusRule(self._expected.get(render))
        except ValueError as error:
            raise TemplateError(str(error)) from None

    def describe(self, render: Render | None) -> str:
        return f"status is {(self._rule or self._rendered(render)).phrase}"


class SchemaCheck(CompiledCheck):
    """The body conforms to a JSON Schema."""

    needs_evaluator = True

    def __init__(self, bundle: str, name: str | None) -> None:
        self._bundle = bundle
        self.where = f"schema {name}" if name else "schema"

    def judge(self, view: ResponseView, render: Render | None, answers: Answers) -> Failure | None:
        try:
            violations = answers.ask("schema", self._bundle, view.body)
        except EvaluationError as error:
            if error.code == "body":
                _ = view.json  # says the same, and what the response claims to be
            raise
        if not violations:
            return None
        first, more = violations[0], len(violations) - 1
        rest = "" if not more else f" (and {more} more)"
        listed = [f"{violation['path']}: {violation['message']}" for violation in violations]
        message = f"{self.where}: {first['path']}: {first['message']}{rest}"
        return Failure(message, self.where, first["schema_path"], listed, "schema")

    def describe(self, render: Render | None) -> str:
        return f"{self.where} is met"


class NotCheck(CompiledCheck):
    """Fails where the assertion inside holds; where that cannot be told, it fails as that one does."""

    def __init__(self, inner: CompiledCheck) -> None:
        self._inner = inner
        self.where = f"not {inner.where}"
        self.needs_evaluator = inner.needs_evaluator

    def judge(self, view: ResponseView, render: Render | None, answers: Answers) -> Failure | None:
        if self._inner.judge(view, render, answers) is not None:
            return None
        return Failure(f"{self.where}: this should not hold, but does: {self._inner.describe(render)}", self.where)

    def describe(self, render: Render | None) -> str:
        return f"not: {self._inner.describe(render)}"
