"""How messages speak of what is in a response: kinds, places and short quotations."""

from __future__ import annotations

from typing import Any

__all__ = ["below", "json_type", "shape", "shorten"]


def json_type(value: Any) -> str:
    """`string`, `integer`, `number`, `boolean`, `null`, `array` or `object`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    return "array" if isinstance(value, list | tuple) else "object"


def shape(value: Any) -> str:
    """What a value is, without its contents: `an object with id, name`, `an array of 3`, `a string`."""
    if isinstance(value, dict):
        if not value:
            return "an empty object"
        keys = [shorten(str(key), 40) for key in list(value)[:5]]
        return f"an object with {', '.join(keys)}{', …' if len(value) > 5 else ''}"
    if isinstance(value, list):
        return f"an array of {len(value)}" if value else "an empty array"
    if value is None:
        return "null"
    kind = json_type(value)
    return f"{'an' if kind == 'integer' else 'a'} {kind}"


def below(path: str, step: str | int) -> str:
    """The JSONPath of a member or an item of what is at `path`."""
    if isinstance(step, int):
        return f"{path}[{step}]"
    return f"{path}.{step}" if step.isidentifier() else f"{path}[{shorten(step, 60)!r}]"


def shorten(text: str, limit: int = 120) -> str:
    """`text` cut to `limit` characters; `…` marks the cut."""
    return text if len(text) <= limit else f"{text[:limit]}…"
