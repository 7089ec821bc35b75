"""What is wrong with a document, gathered in one go: pydantic's findings and our own, each with its place in the file."""

from __future__ import annotations

import re
import types
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from orbit_context.errors import DefinitionError, DefinitionErrors
from orbit_context.names import did_you_mean, list_names, near
from orbit_context.suite.checks import shorthand_paths
from orbit_context.suite.request import METHODS
from orbit_context.template.syntax import spell_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from orbit_context.suite.yaml import ParsedDocument

__all__ = ["MAX_ERRORS", "DocumentPath", "Problems", "source_path"]

DocumentPath = tuple[str | int, ...]

MAX_ERRORS = 50
"""No more are gathered: whoever has fifty has one cause."""
_COMPARED = 20


class Problems:
    """Gathers errors of one document and raises them together."""

    def __init__(self, source: ParsedDocument | None = None) -> None:
        self.source = source
        self.file = source.file if source else None
        self._errors: list[DefinitionError] = []
        self._seen: set[tuple[Any, ...]] = set()

    def __len__(self) -> int:
        return len(self._errors)

    @property
    def is_full(self) -> bool:
        return len(self._errors) >= MAX_ERRORS

    def add(
        self,
        path: Sequence[str | int],
        message: str | DefinitionError,
        *,
        hint: str | None = None,
        detail: str | None = None,
        key: bool = False,
        offset: int | None = None,
    ) -> None:
        """Add one error about `path`: a message, or an error that does not know its place yet.

        Args:
            key: it is about the key at the end of the path, not its value.
            offset: it is about this character (from 0) of the text there.
        """
        if self.is_full:
            return
        error = message if isinstance(message, DefinitionError) else DefinitionError(message, hint=hint, detail=detail)
        if error.file is None or error.line is None:
            error.file = error.file or self.file
            if self.source is not None and error.file == self.file:
                found = source_path(self.source.data, path)
                error.line, error.column = self.source.locate(found, key=key, offset=offset)
        error.field = error.field or spell_path(tuple(path)) or None
        identity = (error.file, error.line, error.column, error.field, error.message)
        if identity not in self._seen:
            self._seen.add(identity)
            self._errors.append(error)

    def line_of(self, path: Sequence[str | int], *, offset: int | None = None) -> int | None:
        """The line of a part of the document; None where there is no file."""
        if self.source is None:
            return None
        return self.source.locate(source_path(self.source.data, path), offset=offset)[0]

    def add_validation(self, error: ValidationError, model: type[BaseModel], data: Any) -> None:
        """Add what pydantic found in `data` when it made a `model` of it."""
        details = error.errors(include_url=False)
        paths = [_without_marks(detail["loc"], data) for detail in details]
        above = {path[:length] for path in paths for length in range(len(path))}
        unknown: dict[DocumentPath, list[str]] = {}
        for path, detail in zip(paths, details, strict=True):
            if detail["type"] == "extra_forbidden" and len(found := unknown.setdefault(path[:-1], [])) < _COMPARED:
                found.append(str(path[-1]))
        groups: dict[DocumentPath, list[ErrorDetails]] = {}
        for path, detail in zip(paths, details, strict=True):
            if path in above and (detail["type"] in _KINDS or detail["type"] == "literal_error"):
                continue  # a deeper error says which of the allowed forms was meant
            if detail["type"] == "missing" and _is_misspelt(str(path[-1]), unknown.get(path[:-1], ())):
                continue  # said once, with the key that was meant
            groups.setdefault(path, []).append(detail)
        for path, alike in groups.items():
            if self.is_full:
                break
            self._add_group(path, alike, model, data)

    def _add_group(self, path: DocumentPath, found: list[ErrorDetails], model: type[BaseModel], data: Any) -> None:
        # Of the forms that a value may have, one that fits but for its content says more than those that do not fit.
        first = next((detail for detail in found if detail["type"] not in _KINDS), found[0])
        kind = first["type"]
        if kind == "extra_forbidden":
            known = _known_keys(model, first["loc"][:-1])
            name = str(path[-1])
            self.add(
                path,
                f"there is no key {name[:100]!r} here",
                key=True,
                hint=did_you_mean(near(name, known)) or f"The keys here are: {list_names(known)}.",
            )
        elif kind == "missing":
            self.add(path, f"`{path[-1]}` is missing", key=True)
        elif kind in _KINDS or (kind == "literal_error" and len(found) > 1):
            wanted = list(dict.fromkeys(_wanted(detail) for detail in found))
            if "a number" in wanted and "a whole number" in wanted:
                wanted.remove("a whole number")
            value = first["input"]
            self.add(
                path,
                f"expected {_or(wanted)}, found {_describe(value)}",
                hint="Quote it to make it text." if "text" in wanted and isinstance(value, int | float) else None,
            )
        elif kind == "literal_error":
            value = first["input"]
            choices = [choice.strip("'") for choice in first["ctx"]["expected"].replace(" or ", ", ").split(", ")]
            matches = near(str(value), choices) if isinstance(value, str) else []
            self.add(
                path,
                f"expected {first['ctx']['expected']}, found {_describe(value, show=True)}",
                hint=did_you_mean(matches[:1]),
            )
        else:
            is_key = first["loc"][-1] == "[key]"
            self.add(path, _sentence(first, is_key=is_key), key=is_key)

    def raise_if_any(self) -> None:
        """Raise what was gathered, in the order of the file.

        Raises:
            DefinitionError: one error, as it is; several as `DefinitionErrors`.
        """
        if not self._errors:
            return
        self._errors.sort(key=lambda error: (error.file != self.file, error.line or 0, error.column or 0))
        raise self._errors[0] if len(self._errors) == 1 else DefinitionErrors(self._errors)


def source_path(data: Any, path: Iterable[str | int]) -> DocumentPath:
    """Where in the written document that is which the models know as `path`: shorthands are undone.

    Parts of the path that are not written (`url` of a plain request) are left out.
    """
    found: list[str | int] = []
    value = data
    parts = list(path)
    for position, part in enumerate(parts):
        if isinstance(value, dict):
            key = _written_key(value, part)
            if key is None:
                if position == len(parts) - 1 and isinstance(part, str):
                    found.append(part)  # a key that is missing: the nearest thing above it is its place
                continue
            found.append(key)
            value = value[key]
            if key in ("expect", "until") and isinstance(value, dict):
                following = parts[position + 1 : position + 2]
                written = shorthand_paths(value)
                if following and isinstance(following[0], int) and following[0] < len(written):
                    inner = written[following[0]]
                    for step in inner:
                        found.append(step)
                        value = value[step]
                    rest = parts[position + 2 :]
                    return (*found, *_inside(value, rest))
        elif isinstance(value, list) and isinstance(part, int) and -1 < part < len(value):
            found.append(part)
            value = value[part]
    return tuple(found)


def _inside(value: Any, path: list[str | int]) -> DocumentPath:
    return source_path(value, path) if isinstance(value, dict | list) else ()


def _written_key(value: dict[str, Any], part: str | int) -> str | None:
    if part in value:
        return str(part)
    if part in ("url", "method"):
        return next((method for method in METHODS if method in value), None)
    if part == "json" and "jsonpath" in value:
        return "jsonpath"
    if isinstance(part, str) and part.endswith("]") and (base := part.partition("[")[0]) in value:
        return base  # a row's test: the data-driven test it was made from
    return None


def _without_marks(loc: tuple[str | int, ...], data: Any) -> DocumentPath:
    """pydantic's path without the names of the union members and validators it went through."""
    path: list[str | int] = []
    value = data
    for part in loc:
        if part in _TAGS and path[-1:] == ["auth"]:
            path.append("")  # the tag; the key of the same name follows
            continue
        if isinstance(part, int):
            value = value[part] if isinstance(value, list) and part < len(value) else value
        elif isinstance(value, dict) and part in value:
            value = value[part]
        elif _MARK.fullmatch(part):
            continue
        else:
            key = _written_key(value, part) if isinstance(value, dict) else None
            value = value[key] if key is not None and isinstance(value, dict) else None
        path.append(part)
    return tuple(part for part in path if part != "")


def _is_misspelt(missing: str, unknown: Sequence[str]) -> bool:
    """Whether a key that is missing is there under a name much like it."""
    wanted = [missing, *(METHODS if missing == "url" else ())]
    return any(near(name, wanted) for name in unknown)


# `[key]`, `list[union[…]]`, `function-before[…]`, `str`, and the names of classes.
_MARK = re.compile(r"\[key\]|[a-z-]+\[.*\]|str|int|float|bool|none|[A-Z][a-z]\w*", re.DOTALL)
_TAGS = frozenset({"basic", "bearer", "api_key", "none"})
_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "none_required": "null",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def _wanted(detail: ErrorDetails) -> str:
    return (
        detail["ctx"]["expected"] if detail["type"] == "literal_error" else _KINDS.get(detail["type"], "another form")
    )


def _describe(value: Any, *, show: bool = False) -> str:
    """Kinds, not values: a value may be a secret. Only words from a closed choice are shown."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if show:
        return repr(value)[:100]
    return "text" if isinstance(value, str) else "a number"


def _or(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def _sentence(detail: ErrorDetails, *, is_key: bool) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_pattern_mismatch" and is_key:
        return f"{str(detail['input'])[:100]!r} is no name: dots, brackets, braces, quotes and bars are not allowed"
    if kind == "string_pattern_mismatch":
        return f"{str(detail['input'])[:100]!r} does not have the form {context['pattern']}"
    if kind == "string_too_short" and is_key:
        return "a key is empty"
    if kind == "union_tag_not_found":
        return (
            f"expected one of {context['discriminator']}"
            if "'" in context["discriminator"]
            else "expected another form"
        )
    message = detail["msg"].removeprefix("Input ").removeprefix("Value ")
    return message[0].lower() + message[1:] if message else kind


def _known_keys(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """The keys of the part of `model` that pydantic's path `loc` leads to."""
    kinds: list[Any] = [model]
    for part in loc:
        if isinstance(part, str) and _MARK.fullmatch(part):
            continue
        inside: list[Any] = []
        for kind in _unwrapped(kinds):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                for name, field in kind.model_fields.items():
                    if part in (field.alias or name, name):
                        inside.append(field.annotation)
            elif get_origin(kind) is dict:
                inside.append(get_args(kind)[1])
            elif get_origin(kind) is list:
                inside.append(get_args(kind)[0])
        kinds = inside or kinds  # the tag of a union leads nowhere
    keys: list[str] = []
    for kind in _unwrapped(kinds):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys += [field.alias or name for name, field in kind.model_fields.items() if not field.exclude]
            keys += getattr(kind, "shorthand_keys", {})
    return list(dict.fromkeys(keys))


def _unwrapped(kinds: Iterable[Any]) -> list[Any]:
    flat: list[Any] = []
    for kind in kinds:
        if get_origin(kind) is Annotated:
            flat += _unwrapped(get_args(kind)[:1])
        elif get_origin(kind) in (Union, types.UnionType):
            flat += _unwrapped(get_args(kind))
        else:
            flat.append(kind)
    return flat
