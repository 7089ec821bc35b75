"""Text from JSON values, as it stands inside other text: numbers and true as in JSON, lists and objects compact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orbit_context.template.failure import ExpressionFailure

__all__ = ["MAX_OUTPUT", "PLAIN_TYPES", "describe", "to_json", "to_text"]

MAX_OUTPUT = 10 * 1024 * 1024
"""Characters of text that one rendering may make."""

PLAIN_TYPES = frozenset({str, int, float, bool, type(None), list, dict})
"""The types a JSON value has nearly always; their subclasses, tuples and other mappings are looked at more closely."""


def describe(value: Any) -> str:
    """What kind of value this is, without the value: `text`, `a number`, `a list`, …"""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "an object" if isinstance(value, Mapping) else f"no JSON value ({type(value).__name__})"


def to_text(value: Any) -> str:
    """`value` as it stands inside text.

    Raises:
        ExpressionFailure: null, a number that is not finite, or no JSON value.
    """
    if isinstance(value, str):
        return str(value)
    if value is None:
        raise ExpressionFailure("null cannot stand inside text", hint='Say what to write instead: ?? "" or | json.')
    return to_json(value)


def to_json(value: Any) -> str:
    """`value` as compact JSON, not escaped beyond need.

    Raises:
        ExpressionFailure: it holds something that JSON has no word for, or is nested too deeply.
    """
    import json

    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
    except (TypeError, ValueError, RecursionError):
        raise ExpressionFailure("the value cannot be written as JSON (not finite, too large or too deep)") from None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise ExpressionFailure(f"this is {describe(value)}")
