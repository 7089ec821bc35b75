"""Where the templates of a document stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Templated", "find_templates"]

_HOLDING = frozenset({str, dict, list})


@dataclass(frozen=True, slots=True)
class Templated:
    """A string with a template in it."""

    path: tuple[str | int, ...]
    text: str
    is_key: bool = False
    """It is the key at the end of the path, not its value."""


def find_templates(value: Any, path: tuple[str | int, ...]) -> Iterator[Templated]:
    """Every string and key with `{{` in a JSON value that stands at `path`, in order."""
    if isinstance(value, str):
        if "{{" in value:
            yield Templated(path, value)
    elif isinstance(value, dict):
        for key, member in value.items():
            if "{{" in key:
                yield Templated((*path, key), key, is_key=True)
            if member.__class__ in _HOLDING:
                yield from find_templates(member, (*path, key))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            if item.__class__ in _HOLDING:
                yield from find_templates(item, (*path, position))
