"""YAML and JSON files read into plain JSON data, and where each part of it stands in the file.

The file is read as events of the C parser, never as Python objects, and the limits hold while it is read: what is too
large, too deep or multiplies itself through aliases is refused before it takes memory.

A plain (unquoted) scalar is null, true, false or a number only where YAML 1.2 and JSON agree that it is; all else is
text: `on`, `yes`, `2026-01-31`, `12:30`, `1_000`, `007`, `+49123`, `0x1F`. Keys are text as written. `<<` merges.
"""

from __future__ import annotations

import json
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from orbit_context.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = [
    "MAX_ALIASES",
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_NODES",
    "ParsedDocument",
    "parse_document",
    "parse_json",
    "read_document",
    "read_text",
]

MAX_BYTES = 2**20
MAX_ALIASES = 50
MAX_DEPTH = 64
"""Lists and mappings inside each other."""
MAX_NODES = 200_000
"""Values of the document after its aliases are expanded."""

_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NUMBER_STARTS = frozenset("-.0123456789")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_NO_NUL = "text holds the character U+0000, which a database cannot keep"
_UNKEPT = re.compile("[\x00\ud800-\udfff]")
_STANDARD = "tag:yaml.org,2002:"


class ParsedDocument:
    """The data of one file, as JSON knows it, and the place of each part."""

    def __init__(self, data: Any, text: str, file: str | None) -> None:
        self.data = data
        self.file = file
        self._text = text

    def locate(self, path: Iterable[str | int], *, key: bool = False, offset: int | None = None) -> tuple[int, int]:
        """Line and column, from 1, of the value at `path`: the nearest thing above it where there is no such value.

        Args:
            key: the place of the last key instead of its value's.
            offset: the place of this character (from 0) of the value's text, as well as its quoting lets it be told.
        """
        node: Any = self._root
        place = node
        whole = True
        for part in path:
            found = _member(node, part)
            if found is None:
                whole = False
                break
            place, node = found
        if node is None:
            return (1, 1)
        if key or not whole:
            return _position(place)
        return _position(node) if offset is None else _position_in_text(node, offset)

    @cached_property
    def _root(self) -> Any:
        """The file's nodes: composed only when a place is asked for, which is rarely; the limits held before."""
        import yaml

        try:
            return yaml.compose(self._text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except yaml.YAMLError:
            return None  # JSON that YAML cannot say, such as escaped surrogate pairs


def _member(node: Any, part: str | int) -> tuple[Any, Any] | None:
    """The key's node and the value's node of a member; of a list, the item's node twice."""
    if node is None or node.id == "scalar":
        return None
    if node.id == "sequence":
        return (node.value[part],) * 2 if isinstance(part, int) and -1 < part < len(node.value) else None
    merged: list[Any] = []
    for key, value in node.value:
        if key.value == part and key.id == "scalar":
            return key, value
        if key.value == "<<":
            merged += value.value if value.id == "sequence" else [value]
    return next((found for other in merged if (found := _member(other, part))), None)


def _position(node: Any) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _position_in_text(node: Any, offset: int) -> tuple[int, int]:
    line, column = _position(node)
    if node.id != "scalar":
        return line, column
    if node.style in ("|", ">"):
        return line + 1 + node.value.count("\n", 0, offset), 1
    if node.start_mark.line != node.end_mark.line or "\\" in node.value[:offset]:
        return line, column
    return line, column + offset + (1 if node.style in ("'", '"') else 0)


def read_document(path: Path, *, max_bytes: int = MAX_BYTES) -> ParsedDocument:
    """Read a `.yaml`, `.yml` or `.json` file.

    Raises:
        DefinitionError: it cannot be read, is no YAML or JSON, or breaks a limit; with line and column.
    """
    return parse_document(read_text(path, max_bytes=max_bytes), file=str(path), is_json=path.suffix.lower() == ".json")


def read_text(path: Path, *, max_bytes: int) -> str:
    """The text of a UTF-8 file, with or without a byte order mark, of at most `max_bytes`.

    Raises:
        DefinitionError: it is missing, unreadable, too large, or not UTF-8.
    """
    file = str(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(max_bytes + 1)
    except FileNotFoundError:
        raise DefinitionError("there is no such file", file=file) from None
    except OSError as error:
        raise DefinitionError(f"cannot be read: {error.strerror}", file=file) from None
    if len(content) > max_bytes:
        raise DefinitionError(
            f"the file is larger than {max_bytes / 2**20:g} MiB",
            file=file,
            hint="Split it; rows of data-driven tests go into a data file.",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig")
        line, column = _line_and_column(before, len(before))
        raise DefinitionError(
            "the file is not UTF-8 text", file=file, line=line, column=column, hint="Save it as UTF-8."
        ) from None


def parse_document(text: str, *, file: str | None = None, is_json: bool = False) -> ParsedDocument:
    """Read YAML (or JSON) text of at most `MAX_BYTES`.

    Raises:
        DefinitionError: it is no YAML or JSON, or breaks a limit; with line and column.
    """
    if len(text) > MAX_BYTES:
        raise DefinitionError(f"the text is larger than {MAX_BYTES // 2**20} MiB", file=file)
    text = text.removeprefix("\ufeff")
    if is_json:
        return ParsedDocument(parse_json(text, file=file), text, file)
    if found := _UNPRINTABLE.search(text):
        line, column = _line_and_column(text, found.start())
        raise DefinitionError(
            f"the file holds a character that text has not (U+{ord(found[0]):04X})", file=file, line=line, column=column
        )
    return ParsedDocument(_YamlReader(text, file).read(), text, file)


def plain_scalar(text: str) -> Any:
    """What an unquoted scalar stands for: null, a boolean, a number, or the text itself.

    Raises:
        ValueError: it is a number that JSON's readers do not agree on: beyond 64 bits, or infinite.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_STARTS:
        return text
    if _INTEGER.fullmatch(text):
        number = int(text) if len(text) <= 20 else 2**64
        if not -(2**63) <= number < 2**64:
            raise ValueError("the whole number does not fit into 64 bits")
        return number
    if _FLOAT.fullmatch(text):
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise ValueError("the number is too large")
        return value
    return text


class _YamlReader:
    """One pass over the parser's events."""

    def __init__(self, text: str, file: str | None) -> None:
        import yaml

        self.yaml = yaml
        self.text = text
        self.file = file
        # Only the C parser is used of the C loader: its composer recurses in C, and 200,000 `[` end the process.
        parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        self.next = parser.get_event
        self.nodes = 0
        self.aliases = 0
        self.depth = 0
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.words: dict[str, Any] = {}

    def read(self) -> Any:
        yaml = self.yaml
        try:
            self.next()  # the stream begins
            event = self.next()
            if isinstance(event, yaml.StreamEndEvent):
                raise DefinitionError("the file is empty", file=self.file)
            data = self.value(self.next())
            self.next()  # the document ends
            event = self.next()
            if not isinstance(event, yaml.StreamEndEvent):
                self.refuse(event, "a second document begins here", "One file holds one document: take `---` out.")
        except yaml.YAMLError as error:
            self.refuse_syntax(error)
        return data

    def value(self, event: Any) -> Any:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self.refuse(event, f"the file holds more than {MAX_NODES:,} values", "Split it.")
        yaml = self.yaml
        kind = type(event)
        if kind is yaml.ScalarEvent:
            if event.anchor is None:
                return self.scalar(event)
            result = self.scalar(event)
            self.anchors[event.anchor] = (result, 1)
            return result
        if kind is yaml.AliasEvent:
            return self.alias(event)
        before = self.nodes
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.refuse(event, f"lists and mappings are nested deeper than {MAX_DEPTH}")
        if kind is yaml.MappingStartEvent:
            self.require_tag(event, "map")
            result = self.mapping(event)
        else:
            self.require_tag(event, "seq")
            result = self.sequence()
        self.depth -= 1
        if event.anchor is not None:
            self.anchors[event.anchor] = (result, self.nodes - before + 1)
        return result

    def sequence(self) -> list[Any]:
        end = self.yaml.SequenceEndEvent
        items = []
        while type(event := self.next()) is not end:
            items.append(self.value(event))
        return items

    def mapping(self, start: Any) -> dict[str, Any]:
        scalar, end = self.yaml.ScalarEvent, self.yaml.MappingEndEvent
        members: dict[str, Any] = {}
        merged: list[Any] = []
        while type(event := self.next()) is not end:
            if type(event) is not scalar:
                self.refuse(
                    event,
                    "a key is text, not a list, mapping or alias",
                    'Quote a value that begins with a brace: "{{name}}".',
                )
            key = event.value
            if key == "<<" and event.implicit[0]:
                merged.append(self.merge(self.next()))
                continue
            if key in members:
                self.refuse(event, f"the key {key!r} stands twice in one mapping")
            if event.anchor is not None:
                self.anchors[event.anchor] = (key, 1)
            if event.tag is not None:
                self.require_tag(event, "str")
            if "\x00" in key:
                self.refuse(event, _NO_NUL)
            members[key] = self.value(self.next())
        for mappings in merged:
            for mapping in mappings:
                members = {**mapping, **members}
        return members

    def merge(self, event: Any) -> list[dict[str, Any]]:
        value = self.value(event)
        mappings = value if isinstance(value, list) else [value]
        if not all(isinstance(mapping, dict) for mapping in mappings):
            self.refuse(event, "`<<` merges a mapping, or a list of mappings")
        return mappings

    def alias(self, event: Any) -> Any:
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            self.refuse(event, f"the file uses more than {MAX_ALIASES} aliases")
        if event.anchor not in self.anchors:
            self.refuse(event, f"no anchor &{event.anchor} ends above this alias")
        value, size = self.anchors[event.anchor]
        self.nodes += size - 1
        if self.nodes > MAX_NODES:
            self.refuse(event, f"the file holds more than {MAX_NODES:,} values once its aliases are expanded")
        return value

    def scalar(self, event: Any) -> Any:
        text = event.value
        tag = event.tag
        if tag is None:
            if not event.implicit[0]:
                if "\x00" in text:
                    self.refuse(event, _NO_NUL)
                return text
        elif tag in ("!", _STANDARD + "str"):
            return text
        try:
            value = plain_scalar(text)
        except ValueError as error:
            self.refuse(event, str(error), f'Write it as text: "{text[:40]}".' if len(text) <= 40 else "Quote it.")
        if tag is not None and (not tag.startswith(_STANDARD) or tag[len(_STANDARD) :] not in _tags_of(value)):
            self.refuse_tag(event)
        return float(value) if tag == _STANDARD + "float" else value

    def require_tag(self, event: Any, name: str) -> None:
        if event.tag not in (None, "!", _STANDARD + name):
            self.refuse_tag(event)

    def refuse_tag(self, event: Any) -> NoReturn:
        tag = event.tag.replace(_STANDARD, "!!")
        self.refuse(event, f"the tag {tag[:100]} is not allowed", "Only plain data: text, numbers, lists, mappings.")

    def refuse(self, event: Any, message: str, hint: str | None = None) -> NoReturn:
        mark = event.start_mark
        raise DefinitionError(message, file=self.file, line=mark.line + 1, column=mark.column + 1, hint=hint)

    def refuse_syntax(self, error: Any) -> NoReturn:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        hint = next((hint for words, hint in _SYNTAX_HINTS if words in problem), None)
        if mark is None:
            raise DefinitionError(f"this is not YAML: {problem}", file=self.file) from None
        line = self.text.split("\n")[mark.line] if mark.line <= self.text.count("\n") else ""
        if line[: mark.column + 1].strip() == "" and "\t" in line[: mark.column + 1]:
            problem, hint = "a line is indented with a tab", "Indent with spaces."
        raise DefinitionError(
            f"this is not YAML: {problem}", file=self.file, line=mark.line + 1, column=mark.column + 1, hint=hint
        ) from None


_SYNTAX_HINTS = (
    ("mapping values are not allowed", 'Quote text that contains ": ".'),
    ("cannot start any token", "Quote text that begins with @, `, % or a tab."),
    ("could not find expected ':'", "A key ends with a colon and a space; check the lines above, too."),
    ("did not find expected key", "Check the indentation and the quotes of this line and the one above."),
    ("did not find expected ',' or", "Check that brackets and braces are closed, and text with commas is quoted."),
    ("unexpected end of stream", "A quote is not closed."),
)


def _tags_of(value: Any) -> tuple[str, ...]:
    if value is None:
        return ("null",)
    if isinstance(value, bool):
        return ("bool",)
    return ("int", "float") if isinstance(value, int) else ("float",) if isinstance(value, float) else ()


def parse_json(text: str, *, file: str | None = None, max_values: int | None = MAX_NODES) -> Any:
    """Strict JSON: no key twice in an object, no NaN, whole numbers of at most 64 bits, at most `MAX_DEPTH` deep.

    Raises:
        DefinitionError: it is not.
    """

    def refuse(message: str) -> NoReturn:
        raise DefinitionError(message, file=file)

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                refuse(f"the key {key!r} stands twice in one object")
            result[key] = value
        return result

    def number(written: str) -> Any:
        try:
            return plain_scalar(written)
        except ValueError as error:
            refuse(f"{error}: {written[:40]}")

    try:
        data = json.loads(
            text,
            object_pairs_hook=members,
            parse_int=number,
            parse_float=number,
            parse_constant=lambda name: refuse(f"{name} is not JSON"),
        )
    except json.JSONDecodeError as error:
        raise DefinitionError(
            f"this is not JSON: {error.msg[0].lower()}{error.msg[1:]}", file=file, line=error.lineno, column=error.colno
        ) from None
    except RecursionError:
        refuse(f"lists and objects are nested deeper than {MAX_DEPTH}")
    _check_json_limits(data, refuse, max_values)
    if "\\u" in text and (found := _unkept_text(data)) is not None:
        refuse(
            _NO_NUL
            if found == "\x00"
            else "text holds half a character (a lone surrogate), which a database cannot keep"
        )
    return data


def _check_json_limits(data: Any, refuse: Any, max_values: int | None) -> None:
    level = [data]
    count = depth = 0
    while level:
        count += len(level)
        depth += 1
        inside: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inside += value.values()
            elif isinstance(value, list):
                inside += value
        if max_values is not None and count > max_values:
            refuse(f"the file holds more than {max_values:,} values")
        if depth > MAX_DEPTH and any(isinstance(value, dict | list) for value in level):
            refuse(f"lists and objects are nested deeper than {MAX_DEPTH}")
        level = inside


def _unkept_text(data: Any) -> str | None:
    """A character of the document's text that UTF-8 or the database has no place for."""
    if isinstance(data, str):
        match = _UNKEPT.search(data)
        return match[0] if match else None
    parts = (*data, *data.values()) if isinstance(data, dict) else data if isinstance(data, list) else ()
    return next((found for part in parts if (found := _unkept_text(part)) is not None), None)


def _line_and_column(text: str, position: int) -> tuple[int, int]:
    return text.count("\n", 0, position) + 1, position - (text.rfind("\n", 0, position) + 1) + 1
