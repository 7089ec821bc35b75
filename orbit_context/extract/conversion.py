"""What was found in a response, as a value of the type that is wanted."""

from __future__ import annotations

import re
from typing import Any

from orbit_context.extract.view import BodyError, parse_json
from orbit_context.extract.wording import shape

__all__ = ["convert", "number_of"]

_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]{1,400}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?\s*")


def number_of(text: str) -> int | float | None:
    """The number that a text spells; None where it spells none."""
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return int(text)
    except ValueError:
        return float(text)


def convert(value: Any, kind: str) -> Any:
    """`value` as a string, integer, number or boolean, or read as JSON.

    Raises:
        ValueError: it is no such thing; says what it is, and not the value.
    """
    if kind == "json":
        if not isinstance(value, str):
            return value
        try:
            return parse_json(value.encode(errors="replace"))
        except BodyError:
            raise ValueError("the text found is not JSON") from None
    if kind == "string":
        if isinstance(value, str):
            return value
        if value is None:
            raise ValueError("null cannot be made a string")
        import json

        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if kind == "boolean":
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.strip().lower() in ("true", "false"):
            return value.strip().lower() == "true"
    elif isinstance(value, int) and not isinstance(value, bool):
        return value
    elif isinstance(value, float) and (kind == "number" or value.is_integer()):
        return value if kind == "number" else int(value)
    elif isinstance(value, str):
        number = number_of(value)
        if type(number) is int or (number is not None and kind == "number"):
            return number
    article = "an" if kind == "integer" else "a"
    raise ValueError(f"what was found is {shape(value)} and cannot be made {article} {kind}")
