"""How a rendered value becomes the text of a header, a query parameter, a form field or a cookie."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from orbit_context.errors import DefinitionError
from orbit_context.template import compile_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orbit_context.template import Scope, Template

__all__ = ["Pair", "Pairs", "compile_pairs", "refuse_line_breaks", "scalar_text"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]").search
_WORD = re.compile(r"[\w-]+\Z")


def scalar_text(value: Any, where: str) -> str:
    """`value` as it is sent: numbers and booleans as in JSON.

    Raises:
        DefinitionError: null, a list, an object or a number that is not finite; none of them has one spelling.
    """
    if type(value) is str:
        return value
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and value - value == 0:
        return repr(value)
    if isinstance(value, str):
        return str(value)
    what = "null" if value is None else "a list" if isinstance(value, list) else "an object"
    what = "a number that is not finite" if isinstance(value, float) else what
    raise DefinitionError(
        f"{what} cannot be sent as text",
        field=where,
        hint="Choose one value, or write it as text with {{… | json}} or {{… | join}}.",
    )


def refuse_line_breaks(text: str, where: str, what: str) -> None:
    """Raises DefinitionError if `text` holds a line break or another control character; a tab may stand."""
    if (found := _CONTROL(text)) and (found[0] != "\t" or _CONTROL(text.replace("\t", ""))):
        raise DefinitionError(
            f"{what} holds a line break or another control character, which would change the request",
            field=where,
            hint="If it comes from a response or a file, trim it with {{… | trim}} or encode it with {{… | urlencode}}.",
        )


class Pair:
    """A name and its value, each perhaps a template; a value that is null stands for nothing, a list for several."""

    __slots__ = ("_fixed", "_name", "_value", "is_static", "key", "refers", "where")

    def __init__(self, key: str, value: Any, where: str) -> None:
        self.key = key
        self.where = f"{where}.{key}" if _WORD.match(key) else f'{where}["{key}"]'
        self._value: Template = compile_value(value, field=self.where)
        self._name: Template | None = compile_value(key, field=self.where) if "{{" in key else None
        self.is_static = self._value.is_static and self._name is None
        self.refers = any(reference.root not in ("row", "run", "test") for reference in self._value.references)
        """Whether a variable or a capture is part of the value."""
        self._fixed: list[tuple[str, str]] | None = None

    def render(self, scope: Scope) -> list[tuple[str, str]]:
        """The texts to send: none, one or several. Not to be changed by the caller."""
        fixed = self._fixed
        if fixed is not None:
            return fixed
        value = self._value.render(scope)
        name = self.key if self._name is None else scalar_text(self._name.render(scope), self.where)
        if type(value) is str:
            pairs = [(name, value)]
        elif isinstance(value, list):
            pairs = [(name, scalar_text(item, self.where)) for item in value if item is not None]
        else:
            pairs = [] if value is None else [(name, scalar_text(value, self.where))]
        if self.is_static:
            self._fixed = pairs
        return pairs


class Pairs:
    """Pairs in their order."""

    __slots__ = ("is_static", "items")

    def __init__(self, items: list[Pair]) -> None:
        self.items = items
        self.is_static = all(item.is_static for item in items)

    def render(self, scope: Scope) -> Iterator[tuple[str, str]]:
        for item in self.items:
            yield from item.render(scope)


def compile_pairs(given: Mapping[str, Any], where: str, *, defaults: Mapping[str, Any] | None = None) -> Pairs:
    """`given` on top of `defaults`: a name of both keeps the default's place and takes the given value; null removes it."""
    merged = {**(defaults or {}), **given}
    items = [
        Pair(key, value, where if key in given else where.replace("request", "defaults", 1))
        for key, value in merged.items()
        if value is not None
    ]
    return Pairs(items)
