"""The URL of a test: joined with the suite's base, and every value encoded for the place where it stands.

What an expression gives depends on its place, which the text around it decides when the test is compiled:

- at the very beginning (`{{base_url}}/items`, `{{next_page}}`) it is a URL or the beginning of one, and stands as it is;
- directly after that (`{{base_url}}{{path}}`) a value that begins with `/` is a path: its slashes stay, the rest is encoded;
- in the host and port (`https://{{host}}/`) it may hold what hosts are made of, and nothing else;
- anywhere else it is percent-encoded, all but letters, digits and `-._~`: no value can add a path, a query or a host.
  What ends with `| urlencode` is so encoded already, and is not encoded twice.

`{name}` in the path takes the value that `path` gives, encoded in the same way.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from orbit_context.errors import DefinitionError
from orbit_context.template import compile_value
from orbit_context.template.failure import ExpressionFailure
from orbit_context.template.syntax import Expression, Filtered, parse_text
from orbit_runner.execute.values import refuse_line_breaks, scalar_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orbit_context.template import Scope, Template

__all__ = ["CompiledUrl"]

_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE).match
_PLACEHOLDER = re.compile(r"\{([^{}/?#]*)\}")
_HOST_TEXT = re.compile(r"[\w.:\[\]-]*\Z").match
_PATH_BEGINS = re.compile(r"[/?#]").search
_DOTS = frozenset({".", ".."})

# Where in a URL the next character stands.
_START, _AFTER_START, _AUTHORITY, _PATH, _QUERY = range(5)


class CompiledUrl:
    """`url` below `base`, ready to be rendered.

    Args:
        base: the suite's `base_url`; a URL that is absolute by itself does without.
        path: the values of the `{name}` placeholders.

    Raises:
        TemplateError: an expression does not parse.
        DefinitionError: a placeholder without a value, or a value without a placeholder.
    """

    __slots__ = ("_base", "_base_fixed", "_fixed", "_parts")

    def __init__(self, base: str | None, url: str, path: Mapping[str, Any]) -> None:
        self._parts = _compile(url, "request.url", path)
        self._base = _compile(base, "defaults.base_url", None) if base else None
        self._fixed = _constant(self._parts)
        self._base_fixed = _constant(self._base) if self._base is not None else None

    def render(self, scope: Scope) -> str:
        """The URL without a fragment.

        Raises:
            TemplateError: a name is missing.
            DefinitionError: a value does not fit its place, or the URL is relative and there is no base.
        """
        url = self._fixed
        if url is None:
            url = _render(self._parts, scope)
        if not _ABSOLUTE(url):
            if self._base is None:
                raise DefinitionError(
                    "the URL is relative and the suite has no base_url",
                    field="request.url",
                    hint="Write an absolute URL, or set defaults.base_url.",
                )
            base = self._base_fixed
            if base is None:
                base = _render(self._base, scope)
            url = _join(base, url)
        return url.partition("#")[0]


class _Slot:
    """A value in a URL and how it is written there."""

    __slots__ = ("template", "where", "write")

    def __init__(self, template: Template, where: str, write: Callable[[str, str], str]) -> None:
        self.template = template
        self.where = where
        self.write = write


_Part = str | _Slot


def _compile(text: str, where: str, path: Mapping[str, Any] | None) -> list[_Part]:
    try:
        pieces = parse_text(text)
    except ExpressionFailure:
        compile_value(text, field=where)  # raises the same with its place
        raise
    parts: list[_Part] = []
    used: set[str] = set()
    state = _START
    for piece in pieces:
        if isinstance(piece, Expression):
            template = compile_value(f"{{{{{piece.source}}}}}", field=where)
            write = _WRITERS[state]
            if write is _write_encoded and isinstance(piece.node, Filtered) and piece.node.filter == "urlencode":
                write = _write_as_it_is
            parts.append(_Slot(template, where, write))
            state = _AFTER_START if state == _START else state
            continue
        head, rest, state = _advance(state, piece)
        # `{name}` is looked for in the path only: braces may stand in a query.
        parts.append(head)
        in_path, mark, after = (rest, "", "") if path is None else _split_path(rest)
        last = 0
        for found in _PLACEHOLDER.finditer(in_path) if path is not None else ():
            parts.append(in_path[last : found.start()])
            parts.append(_placeholder(found[1], path or {}))
            used.add(found[1])
            last = found.end()
        parts.append(in_path[last:] + mark + after)
    if path and (unused := [name for name in path if name not in used]):
        raise DefinitionError(
            f"the URL has no {{{unused[0]}}}",
            field=f"request.path.{unused[0]}",
            hint=f"Write {{{unused[0]}}} in the URL.",
        )
    return [part for part in parts if part != ""]


def _placeholder(name: str, path: Mapping[str, Any]) -> _Slot:
    if name not in path:
        raise DefinitionError(
            f"{{{name}}} has no value",
            field="request.url",
            hint=f"Give it under path: {{{name}: …}}, or write {{{{{name}}}}} for a variable; a brace itself is %7B.",
        )
    where = f"request.path.{name}"
    return _Slot(compile_value(path[name], field=where), where, _write_placeholder)


def _advance(state: int, text: str) -> tuple[str, str, int]:
    """What of `text` comes before the path, what is the path and beyond, and the state after it."""
    head = ""
    if state in (_START, _AFTER_START):
        scheme_end = text.find("://")
        begins = _PATH_BEGINS(text)
        if scheme_end >= 0 and begins is not None and begins.start() == scheme_end + 1:
            head, text, state = text[: scheme_end + 3], text[scheme_end + 3 :], _AUTHORITY
        elif state == _START and text:
            state = _PATH
    if state in (_AFTER_START, _AUTHORITY):
        begins = _PATH_BEGINS(text)
        if begins is None:
            return head + text, "", state
        head, text, state = head + text[: begins.start()], text[begins.start() :], _PATH
    if state == _PATH and ("?" in text or "#" in text):
        return head, text, _QUERY
    return (head + text, "", state) if state == _QUERY else (head, text, state)


def _split_path(text: str) -> tuple[str, str, str]:
    found = re.search(r"[?#]", text)
    return (text, "", "") if found is None else (text[: found.start()], found[0], text[found.end() :])


def _constant(parts: list[_Part]) -> str | None:
    """The text of parts that never vary; None where something varies."""
    return "".join(str(part) for part in parts) if all(isinstance(part, str) for part in parts) else None


def _render(parts: list[_Part], scope: Scope) -> str:
    written: list[str] = []
    only_dots: str | None = None
    for part in parts:
        if isinstance(part, str):
            written.append(part)
            continue
        text = scalar_text(part.template.render(scope), part.where)
        if text in _DOTS:
            only_dots = part.where
        written.append(part.write(text, part.where))
    url = "".join(written)
    if only_dots is not None and not _DOTS.isdisjoint(_split_path(url)[0].split("/")):
        raise _climbs(only_dots)
    return url


def _join(base: str, url: str) -> str:
    base, mark, query = base.partition("#")[0].partition("?")
    url = url.partition("#")[0]
    if url and url[0] != "?":
        base = base.rstrip("/") + ("" if url[0] == "/" else "/")
    if mark:  # the base's own parameters come first
        path, _, rest = url.partition("?")
        return f"{base}{path}?{query}&{rest}" if rest else f"{base}{path}?{query}"
    return base + url


def _climbs(where: str) -> DefinitionError:
    return DefinitionError(
        "a value of `.` or `..` would lead to another path",
        field=where,
        hint="Values cannot climb; write such a path in the suite itself.",
    )


def _write_start(text: str, where: str) -> str:
    refuse_line_breaks(text, where, "the URL")
    return text


def _write_after_start(text: str, where: str) -> str:
    if not text.startswith("/"):
        return quote(text, safe="")
    if not _DOTS.isdisjoint(text.split("/")):
        raise _climbs(where)
    return quote(text, safe="/")


def _write_authority(text: str, where: str) -> str:
    if not _HOST_TEXT(text):
        raise DefinitionError(
            "the value is no host or port",
            field=where,
            hint="In the host, letters, digits and `.-_:[]` may stand. Begin the URL with the value if it is a whole URL.",
        )
    return text


def _write_encoded(text: str, _where: str) -> str:
    return quote(text, safe="")


def _write_as_it_is(text: str, _where: str) -> str:
    return text


def _write_placeholder(text: str, where: str) -> str:
    if not text:
        raise DefinitionError("the value is empty, which would lead to another path", field=where)
    return quote(text, safe="")


_WRITERS = {
    _START: _write_start,
    _AFTER_START: _write_after_start,
    _AUTHORITY: _write_authority,
    _PATH: _write_encoded,
    _QUERY: _write_encoded,
}
