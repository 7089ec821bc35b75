"""The operators: what each asks of a value, and how a message says so.

A *holds* function gets the value that is there and what is expected. It answers True or False, or raises `Unfit` where
the question makes no sense for such a value (the length of a number): that fails the assertion too, with its own words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.extract.evaluator import EvaluationError
from orbit_context.extract.wording import shape
from orbit_runner.assertions.difference import equal, hashable, show

if TYPE_CHECKING:
    from collections.abc import Callable

    from orbit_context.extract.answers import Answers

    Holds = Callable[[Any, Any, Answers], bool]

__all__ = ["HOLDS", "NEGATIVE", "PHRASES", "TYPES", "Unfit"]

TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")
NEGATIVE = {"not_equals": "equals", "not_contains": "contains"}
"""Operators that are the contrary of another one."""


class Unfit(Exception):  # noqa: N818 - an answer, not an error
    """An operator makes no sense for the value; the text says why, to follow `got …`."""


def _equals(actual: Any, expected: Any, _: Answers) -> bool:
    return equal(actual, expected)


def _contains(actual: Any, expected: Any, _: Answers) -> bool:
    if isinstance(actual, str):
        if not isinstance(expected, str):
            raise Unfit(f"text, which cannot contain {shape(expected)}")
        return expected in actual
    if isinstance(actual, list):
        return any(equal(item, expected) for item in actual)
    if isinstance(actual, dict):
        if not isinstance(expected, str):
            raise Unfit(f"{shape(actual)}; an object contains names, and {shape(expected)} is none")
        return expected in actual
    raise Unfit(f"{show(actual)}, which contains nothing")


def _starts_with(actual: Any, expected: Any, _: Answers) -> bool:
    return _text(actual).startswith(_expected_text(expected))


def _ends_with(actual: Any, expected: Any, _: Answers) -> bool:
    return _text(actual).endswith(_expected_text(expected))


def _matches(actual: Any, expected: Any, answers: Answers) -> bool:
    from orbit_context.extract.regex import compile_regex

    text = _text(actual)
    regex = compile_regex(_expected_text(expected))
    if regex.is_bounded(len(text)):
        return regex.matches(text)
    import json

    question = json.dumps({"pattern": regex.pattern, "group": 0, "every": False})
    return bool(answers.ask("regex", question, text.encode(errors="replace")))


def _text(actual: Any) -> str:
    if not isinstance(actual, str):
        raise Unfit(f"{show(actual)}, which is {shape(actual)} and no text")
    return actual


def _expected_text(expected: Any) -> str:
    if not isinstance(expected, str):
        raise Unfit(f"nothing to compare: the expected value is {shape(expected)} and no text")
    return expected


def _type(actual: Any, expected: Any, _: Answers) -> bool:
    return any(_is_type(actual, name.strip()) for name in _expected_text(expected).split("|"))


def _is_type(value: Any, name: str) -> bool:
    """As JSON Schema has it: 1.0 is an integer, and every integer is a number."""
    kind = type(value)
    if name == "string":
        return kind is str
    if name == "integer":
        return kind is int or (kind is float and value.is_integer())
    if name == "number":
        return kind is int or kind is float
    if name == "boolean":
        return kind is bool
    if name == "array":
        return kind is list
    return kind is dict if name == "object" else value is None


def _ordered(actual: Any, expected: Any) -> tuple[Any, Any]:
    """Both, if one can be less than the other: two numbers, or two texts."""
    a, b = type(actual), type(expected)
    if (a is int or a is float) and (b is int or b is float):
        return actual, expected
    if a is str and b is str:
        return actual, expected
    raise Unfit(f"{show(actual)}: {shape(actual)} cannot be compared with {shape(expected)}")


def _gt(actual: Any, expected: Any, _: Answers) -> bool:
    a, b = _ordered(actual, expected)
    return bool(a > b)


def _gte(actual: Any, expected: Any, _: Answers) -> bool:
    a, b = _ordered(actual, expected)
    return bool(a >= b)


def _lt(actual: Any, expected: Any, _: Answers) -> bool:
    a, b = _ordered(actual, expected)
    return bool(a < b)


def _lte(actual: Any, expected: Any, _: Answers) -> bool:
    a, b = _ordered(actual, expected)
    return bool(a <= b)


def _between(actual: Any, expected: Any, answers: Answers) -> bool:
    low, high = expected
    return _gte(actual, low, answers) and _lte(actual, high, answers)


def _in(actual: Any, expected: Any, _: Answers) -> bool:
    if not isinstance(expected, list):
        raise Unfit(f"nothing to look in: the expected value is {shape(expected)} and no list")
    return any(equal(actual, item) for item in expected)


def _empty(actual: Any, expected: Any, _: Answers) -> bool:
    is_empty = actual is None or (isinstance(actual, str | list | dict) and not actual)
    return is_empty == bool(expected)


def _unique(actual: Any, expected: Any, _: Answers) -> bool:
    if not isinstance(actual, list):
        raise Unfit(f"{show(actual)}, which is {shape(actual)} and no array")
    try:
        is_unique = len({hashable(item) for item in actual}) == len(actual)
    except RecursionError:
        raise EvaluationError("the array is nested too deeply to be compared", code="expression") from None
    return is_unique == bool(expected)


def _includes(actual: Any, expected: Any, _: Answers) -> bool:
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            raise Unfit(f"{show(actual)}, which is {shape(actual)} and no object")
        return all(key in actual and equal(actual[key], value) for key, value in expected.items())
    if not isinstance(actual, list):
        raise Unfit(f"{show(actual)}, which is {shape(actual)} and no array")
    wanted = expected if isinstance(expected, list) else [expected]
    if len(wanted) < 8:
        return all(any(equal(item, value) for item in actual) for value in wanted)
    try:
        there = {hashable(item) for item in actual}
        return all(hashable(value) in there for value in wanted)
    except RecursionError:
        raise EvaluationError("the array is nested too deeply to be compared", code="expression") from None


HOLDS: dict[str, Holds] = {
    "equals": _equals,
    "contains": _contains,
    "starts_with": _starts_with,
    "ends_with": _ends_with,
    "matches": _matches,
    "type": _type,
    "gt": _gt,
    "gte": _gte,
    "lt": _lt,
    "lte": _lte,
    "between": _between,
    "in": _in,
    "empty": _empty,
    "unique": _unique,
    "includes": _includes,
}
"""`length`, `exists`, `any` and `all` look at more than one value and are the compiler's."""

PHRASES: dict[str, str] = {
    "equals": "{}",
    "not_equals": "anything but {}",
    "contains": "something that contains {}",
    "not_contains": "nothing that contains {}",
    "starts_with": "text that starts with {}",
    "ends_with": "text that ends with {}",
    "matches": "text that matches {}",
    "type": "type {}",
    "gt": "more than {}",
    "gte": "at least {}",
    "lt": "less than {}",
    "lte": "at most {}",
    "between": "between {} and {}",
    "in": "one of {}",
    "includes": "at least {}",
}
"""How what is expected reads after the word `expected`; `empty`, `unique` and `exists` depend on their value."""
