"""The body of a request, in each of its kinds: `json`, `form`, `multipart`, `body` (text) and `file`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote_plus

from orbit_context.errors import DefinitionError
from orbit_context.suite.request import FilePart as FilePartDefinition
from orbit_context.template import compile_value
from orbit_runner.execute.values import Pairs, compile_pairs, refuse_line_breaks, scalar_text
from orbit_runner.transport.port import FieldPart, FilePart, Multipart

if TYPE_CHECKING:
    from pathlib import Path

    from orbit_context.suite.request import Request
    from orbit_context.template import Scope, Template

__all__ = ["MAX_FILE", "Body", "CompiledFile", "compile_body"]

MAX_FILE = 100 * 2**20
"""Bytes of a file that is a whole body; the parts of a multipart body are streamed and have no such limit."""

_HALF_CHARACTER = re.compile(r"[\ud800-\udfff]").search


class Body(Protocol):
    """A kind of body, compiled."""

    content_type: str | None
    """Sent unless the test sets its own; None where the transport writes it (multipart)."""

    def render(self, scope: Scope) -> bytes | Multipart | Path:
        """What is sent; a path is a file that is still to be read.

        Raises:
            TemplateError: a name is missing.
            DefinitionError: the value cannot be sent.
        """
        ...


def compile_body(request: Request, base_dir: Path | None) -> Body | None:
    """The body of `request`; None where it has none."""
    if request.has_json:
        return JsonBody(request.json_body)
    if request.form is not None:
        return FormBody(request.form)
    if request.multipart is not None:
        return MultipartBody(request.multipart, base_dir)
    if request.body is not None:
        return TextBody(request.body)
    if request.file is not None:
        return FileBody(request.file, base_dir)
    return None


class JsonBody:
    """Any JSON value; numbers keep their type, keys their order."""

    content_type: str | None = "application/json"

    def __init__(self, value: Any) -> None:
        self._template = compile_value(value, field="request.json")
        self._fixed: bytes | None = None

    def render(self, scope: Scope) -> bytes:
        if self._fixed is not None:
            return self._fixed
        data = encode_json(self._template.render(scope), "request.json")
        if self._template.is_static:
            self._fixed = data
        return data


def encode_json(value: Any, where: str) -> bytes:
    """`value` as compact JSON in UTF-8, integers of any size included.

    Raises:
        DefinitionError: it holds a number that is not finite, half a character, or is nested too deeply.
    """
    import orjson

    try:
        data = orjson.dumps(value)
    except TypeError:  # an integer beyond 64 bits, half a character, too deep: the slow encoder tells which
        data = None
    if data is not None and b"null" not in data:
        return data
    import json

    # orjson writes NaN and the infinities as null: where a null came out, the strict encoder looks for them.
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return data if data is not None else text.encode()
    except (ValueError, RecursionError, TypeError) as error:
        what = "half a character (a lone surrogate)" if isinstance(error, UnicodeError) else "a value JSON cannot say"
        raise DefinitionError(
            f"the body holds {what}", field=where, detail=str(error) if type(error) is ValueError else None
        ) from None


class FormBody:
    """`application/x-www-form-urlencoded`: a list repeats its name, null is left out."""

    content_type: str | None = "application/x-www-form-urlencoded"

    def __init__(self, fields: dict[str, Any]) -> None:
        self._pairs = compile_pairs(fields, "request.form")

    def render(self, scope: Scope) -> bytes:
        return "&".join(
            [f"{quote_plus(name)}={quote_plus(value)}" for name, value in self._pairs.render(scope)]
        ).encode()


class TextBody:
    """Text as written, in UTF-8. Values are put in as they are: what the text means is the suite's business."""

    content_type: str | None = "text/plain; charset=utf-8"

    def __init__(self, text: str) -> None:
        self._template = compile_value(text, field="request.body")

    def render(self, scope: Scope) -> bytes:
        value = self._template.render(scope)
        if isinstance(value, (dict, list)):
            return encode_json(value, "request.body")
        return scalar_text(value, "request.body").encode()


class CompiledFile:
    """A path beside the suite file.

    What the suite itself writes may lead anywhere below or beside it; a path with a value in it must stay in the suite's
    folder, so that no response can name a file to be sent.
    """

    def __init__(self, path: str, base_dir: Path | None, where: str) -> None:
        self._template = compile_value(path, field=where)
        self._base_dir = base_dir
        self._where = where

    def render(self, scope: Scope) -> Path:
        """The file's path; it exists.

        Raises:
            DefinitionError: there is no such file, or it lies outside.
        """
        written = scalar_text(self._template.render(scope), self._where)
        if self._base_dir is None:
            raise DefinitionError(
                f"the file {written!r} is not at hand: the suite was saved without its folder",
                field=self._where,
                hint="Run the suite from its file, or write the content into the suite.",
            )
        path = self._base_dir / written
        if not self._template.is_static and not path.resolve().is_relative_to(self._base_dir.resolve()):
            raise DefinitionError(
                f"the file {written!r} lies outside the suite's folder",
                field=self._where,
                hint="A path that holds a value must stay below the suite's folder.",
            )
        if not path.is_file():
            raise DefinitionError(f"there is no file {written!r} in {self._base_dir}", field=self._where)
        return path


class FileBody:
    """A file as the whole body, with the type that its name suggests."""

    def __init__(self, path: str, base_dir: Path | None) -> None:
        import mimetypes

        self._file = CompiledFile(path, base_dir, "request.file")
        self.content_type: str | None = mimetypes.guess_type(path)[0] or "application/octet-stream"

    def render(self, scope: Scope) -> Path:
        path = self._file.render(scope)
        if (size := path.stat().st_size) > MAX_FILE:
            raise DefinitionError(
                f"the file {path.name!r} has {size:,} bytes; a body may have {MAX_FILE:,}",
                field="request.file",
                hint="Send it as a part of a multipart body, which is streamed.",
            )
        return path


class MultipartBody:
    """`multipart/form-data`: parts in the order they are written; a list repeats its name, null is left out."""

    content_type: str | None = None

    def __init__(self, parts: dict[str, Any], base_dir: Path | None) -> None:
        self._parts: list[Pairs | _File] = []
        for name, given in parts.items():
            for item in given if isinstance(given, list) else [given]:
                if isinstance(item, FilePartDefinition):
                    self._parts.append(_File(name, item, base_dir))
                else:
                    self._parts.append(compile_pairs({name: item}, "request.multipart"))

    def render(self, scope: Scope) -> Multipart:
        rendered: list[FieldPart | FilePart] = []
        for part in self._parts:
            if isinstance(part, _File):
                rendered.append(part.render(scope))
            else:
                rendered += [
                    FieldPart(_part_name(name, "request.multipart"), _sendable(value, f"request.multipart.{name}"))
                    for name, value in part.render(scope)
                ]
        return Multipart(rendered)


class _File:
    """A file part, from disk or from text in the suite."""

    def __init__(self, name: str, part: FilePartDefinition, base_dir: Path | None) -> None:
        self._where = where = f"request.multipart.{name}"
        self._name = compile_value(name, field=where)
        self._file = CompiledFile(part.file, base_dir, f"{where}.file") if part.file is not None else None
        self._content = _optional(part.content, f"{where}.content")
        self._filename = _optional(part.filename, f"{where}.filename")
        self._content_type = _optional(part.content_type, f"{where}.content_type")

    def render(self, scope: Scope) -> FilePart:
        content: bytes | Path
        if self._file is not None:
            content = self._file.render(scope)
        else:
            value = self._content.render(scope) if self._content is not None else ""
            where = f"{self._where}.content"
            text = value if isinstance(value, (dict, list)) else scalar_text(value, where)
            content = text.encode() if isinstance(text, str) else encode_json(text, where)
        return FilePart(
            _part_name(scalar_text(self._name.render(scope), self._where), self._where),
            content,
            self._text(self._filename, scope, "the file name"),
            self._text(self._content_type, scope, "the content type"),
        )

    @staticmethod
    def _text(template: Template | None, scope: Scope, what: str) -> str | None:
        if template is None:
            return None
        text = scalar_text(template.render(scope), template.field)
        refuse_line_breaks(text, template.field, what)
        return text


def _optional(text: str | None, where: str) -> Template | None:
    return None if text is None else compile_value(text, field=where)


def _part_name(name: str, where: str) -> str:
    refuse_line_breaks(name, where, "the name of the part")
    return _sendable(name, where)


def _sendable(text: str, where: str) -> str:
    """`text`, which libcurl must be able to take: no NUL."""
    if "\x00" in text or _HALF_CHARACTER(text):
        raise DefinitionError("the value holds a NUL or half a character", field=where)
    return text
