"""One operator, compiled: what it expects, and how it is asked of what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from orbit_context.errors import DefinitionError, ExpressionError, TemplateError
from orbit_context.extract.answers import NO_EVALUATOR
from orbit_context.extract.conversion import number_of
from orbit_context.extract.evaluator import EvaluationError
from orbit_context.extract.wording import shape
from orbit_context.names import suggest
from orbit_context.suite.checks import OPERATORS
from orbit_context.template import Scope, compile_value
from orbit_runner.assertions.operators import HOLDS, NEGATIVE, PHRASES, TYPES, Unfit
from orbit_runner.assertions.subjects import Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orbit_context.extract.answers import Answers
    from orbit_context.template import Template

    Render: TypeAlias = Callable[[Template], Any]
    """Makes an expected value: `lambda template: template.render(scope)`."""

__all__ = ["QUANTIFIERS", "Expected", "Operation", "compile_operations"]

QUANTIFIERS = ("any", "all")
# Asked of the list itself where one value was found for which they make no sense.
_OF_LISTS = ("length", "unique", "includes", "contains", "not_contains", "type", "empty")
# A text of all values would answer these with something that nobody asked.
_OF_LISTS_ALONE = ("length", "unique", "type", "empty")


class Expected:
    """An expected value: known when compiled, or rendered for each response."""

    __slots__ = ("_convert", "_template", "_value", "is_static")

    def __init__(self, value: Any, field: str, convert: Callable[[Any], Any] | None = None) -> None:
        template = compile_value(value, field=field)
        self.is_static = template.is_static
        self._template = template
        self._convert = convert
        self._value: Any = None
        if template.is_static:
            try:
                self._value = self._converted(template.render(Scope()))
            except ValueError as error:
                raise DefinitionError(str(error), field=field) from None

    def get(self, render: Render | None) -> Any:
        if self.is_static:
            return self._value
        if render is None:
            raise TemplateError("the expected value is a template, and there is nothing to render it with")
        try:
            return self._converted(render(self._template))
        except ValueError as error:
            raise TemplateError(f"the expected value does not fit: {error}", field=self._template.field) from None

    def _converted(self, value: Any) -> Any:
        if self._convert is None:
            return value
        if isinstance(value, list):
            return [self._convert(item) for item in value]
        return self._convert(value)


class Operation:
    """One operator and what it expects; perhaps of the value's length, or of any or all of its items."""

    __slots__ = ("_expected", "_holds", "_inner", "_negative", "_subject", "name", "needs_evaluator")

    def __init__(self, name: str, value: Any, subject: Subject, field: str) -> None:
        self.name = name
        self._subject = subject
        self._inner: list[Operation] = []
        self._negative = name in NEGATIVE
        self._holds = HOLDS.get(NEGATIVE.get(name, name))
        if name == "length":
            numbers = Subject(subject.source)
            mapping = value if isinstance(value, dict) else {"equals": value}
            self._inner = compile_operations(mapping, numbers, field)
            value = None
        elif name in QUANTIFIERS:
            self._inner = compile_operations(value, subject, field)
            value = None
        elif name == "type":
            _check_types(value, field)
        convert = subject.convert if name not in ("type", "exists", "empty", "unique") else None
        self._expected = Expected(value, field, convert)
        self.needs_evaluator: bool = name == "matches" or any(inner.needs_evaluator for inner in self._inner)
        """Whether some values are too long for it to be answered in place."""
        if name == "matches" and self._expected.is_static:
            from orbit_context.extract.regex import compile_regex

            try:
                compile_regex(value)
            except ExpressionError as error:
                error.field = field
                raise

    def holds(self, found: list[Any], render: Render | None, answers: Answers) -> bool:
        """Whether it is met by what was found, which is something.

        Raises:
            Unfit: it makes no sense for what was found.
        """
        name = self.name
        if name == "exists":
            return bool(self._expected.get(render))
        if name in QUANTIFIERS:
            return self._quantified(found, render, answers)
        source = self._subject.source
        if source.is_single:
            return self._asked_of(found[0], render, answers) is not self._negative
        # One value that was found may be meant itself, or as a list of one.
        if len(found) == 1:
            try:
                if self._asked_of(found[0], render, answers):
                    return not self._negative
            except Unfit:
                if self.name not in _OF_LISTS:
                    raise
        elif self._subject.joined and self.name not in _OF_LISTS_ALONE and self._of_joined(found, render, answers):
            return not self._negative
        try:
            return self._asked_of(found, render, answers) is not self._negative
        except Unfit:
            if len(found) == 1 or self._subject.joined:
                return self._negative
            raise Unfit(f"{len(found)} values, {self._subject.show(found)}; say any or all of them") from None

    def _of_joined(self, found: list[Any], render: Render | None, answers: Answers) -> bool:
        try:
            return self._asked_of(", ".join(found), render, answers)
        except Unfit:
            return False

    def _asked_of(self, value: Any, render: Render | None, answers: Answers) -> bool:
        if self.name == "length":
            if not isinstance(value, str | list | dict):
                raise Unfit(f"{self._subject.show(value)}, which is {shape(value)} and has no length")
            return all(inner.met_by_item(len(value), render, answers) for inner in self._inner)
        return self.holds_single(value, render, answers)

    def holds_single(self, value: Any, render: Render | None, answers: Answers) -> bool:
        """The positive form, asked of one value."""
        expected = self._expected.get(render)
        if self._subject.is_text and type(value) is str and type(expected) is not str:
            value = _as_expected(value, expected)
        assert self._holds is not None  # noqa: S101 - every other operator was dealt with
        return self._holds(value, expected, answers)

    def _quantified(self, found: list[Any], render: Render | None, answers: Answers) -> bool:
        values = found
        if self._subject.source.is_single:
            values = found[0]
            if not isinstance(values, list):
                raise Unfit(f"{self._subject.show(values)}, which is {shape(values)} and no array")
        if not values:
            raise Unfit(f"no values, so {self.name} of them cannot be right")
        for value in values:
            try:
                met = all(inner.met_by_item(value, render, answers) for inner in self._inner)
            except Unfit:
                met = False
            if met and self.name == "any":
                return True
            if not met and self.name == "all":
                return False
        return self.name == "all"

    def met_by_item(self, value: Any, render: Render | None, answers: Answers) -> bool:
        if self.name == "exists":
            return bool(self._expected.get(render))
        return self._asked_of(value, render, answers) is not self._negative

    def example(self, actual: Any, render: Render | None) -> str:
        """Of a failed `any` or `all`: what is there, the value that breaks it first if there is one."""
        show = self._subject.show
        if self.name == "all" and isinstance(actual, list):
            for index, value in enumerate(actual):
                try:
                    met = all(inner.met_by_item(value, render, NO_EVALUATOR) for inner in self._inner)
                except (Unfit, EvaluationError):
                    met = False
                if not met:
                    return f"{show(value)} (value {index + 1} of {len(actual)})"
        return show(actual)

    def phrase(self, render: Render | None) -> str:
        """What was expected, in words."""
        name = self.name
        show = self._subject.show
        if name == "length":
            return f"a length of {' and '.join(inner.phrase(render) for inner in self._inner)}"
        if name in QUANTIFIERS:
            words = " and ".join(inner.phrase(render) for inner in self._inner)
            return f"{'every value' if name == 'all' else 'at least one value'} to be {words}"
        expected = self.expected(render)
        if name == "exists":
            return "something" if expected else "nothing"
        if name == "empty":
            return "nothing in it" if expected else "something in it"
        if name == "unique":
            return "no value twice" if expected else "some value twice"
        if name == "between" and isinstance(expected, list):
            return PHRASES[name].format(show(expected[0]), show(expected[1]))
        if name == "type":
            return PHRASES[name].format(expected)
        return PHRASES[name].format(show(expected))

    def expected(self, render: Render | None) -> Any:
        """As a failure keeps it."""
        if self._inner:
            return {inner.name: inner.expected(render) for inner in self._inner}
        return self._expected.get(render)


def compile_operations(mapping: Mapping[str, Any], subject: Subject, field: str) -> list[Operation]:
    operations: list[Operation] = []
    for name, value in mapping.items():
        if name not in OPERATORS and name not in QUANTIFIERS:
            hint = suggest(name, OPERATORS)
            raise DefinitionError(f"unknown operator {name!r}", field=f"{field}.{name}", hint=hint)
        if name == "between" and not (isinstance(value, list) and len(value) == 2):
            raise DefinitionError("between takes a list of two values", field=f"{field}.{name}")
        if name == "in" and not (isinstance(value, list) or (isinstance(value, str) and "{{" in value)):
            raise DefinitionError("in takes a list", field=f"{field}.{name}")
        if name in ("exists", "empty", "unique") and not isinstance(value, bool):
            raise DefinitionError(f"{name} takes true or false", field=f"{field}.{name}")
        if name in ("starts_with", "ends_with", "matches") and not isinstance(value, str):
            raise DefinitionError(f"{name} takes text", field=f"{field}.{name}")
        if name in QUANTIFIERS and not isinstance(value, dict):
            raise DefinitionError(f"{name} takes operators", field=f"{field}.{name}")
        operations.append(Operation(name, value, subject, f"{field}.{name}"))
    return operations


def _check_types(value: Any, field: str) -> None:
    names = [name.strip() for name in value.split("|")] if isinstance(value, str) else []
    if isinstance(value, str) and "{{" in value:
        return
    unknown = [name for name in names if name not in TYPES]
    if not names or unknown:
        shown = unknown[0] if unknown else value
        hint = suggest(str(shown), TYPES)
        raise DefinitionError(f"unknown type {shown!r}; the types are {', '.join(TYPES)}", field=field, hint=hint)


def _as_expected(text: str, expected: Any) -> Any:
    """`text` as a number where a number is expected; itself otherwise."""
    wanted = expected[0] if isinstance(expected, list) and expected else expected
    if isinstance(wanted, int | float) and not isinstance(wanted, bool):
        number = number_of(text)
        if number is not None:
            return number
    return text
