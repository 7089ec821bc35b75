"""JSONPath: RFC 9535 (jsonpath-rfc9535), or the dialect `ng` (jsonpath-ng with its extensions).

Paths of names, positions and wildcards, which is most of what tests use, are walked directly: 20 times faster than the
library, and without loading it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from orbit_context.errors import ExpressionError
from orbit_context.extract.wording import below, shape, shorten
from orbit_context.names import suggest

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Dialect", "JsonPath", "compile_jsonpath"]

Dialect = Literal["rfc9535", "ng"]
_Step: TypeAlias = str | int | None
"""A member's name, a position in an array, or None for a wildcard."""

MAX_EXPRESSION = 4096
"""Characters of one query."""

# What can be walked directly, spelt exactly as RFC 9535 has it: no blanks, no escapes.
_WALKABLE = re.compile(
    r"""\.(?P<name>(?:[A-Za-z_]|[^\x00-\x7f])(?:[0-9A-Za-z_]|[^\x00-\x7f])*)
      | \[(?P<index>0|-?[1-9][0-9]{0,14})\]
      | \['(?P<single>[^'\\\x00-\x1f]*)'\]
      | \["(?P<double>[^"\\\x00-\x1f]*)"\]
      | (?P<wildcard>\.\*|\[\*\])""",
    re.VERBOSE,
)
_DOTTED = re.compile(r"(\.\.?)((?:[A-Za-z_]|[^\x00-\x7f])(?:[0-9A-Za-z_]|[^\x00-\x7f])*)")
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)

# A query that needs the library is evaluated in place up to this many bytes of document times its weight; beyond, in an
# evaluator. The dearest document of that size takes about 60 ms, a usual one less than 2 ms.
_INLINE_BYTES = 64 * 1024


class JsonPath:
    """A compiled query. Immutable; shared by everything that uses the same text."""

    __slots__ = ("_find", "_prefix", "_steps", "_weight", "dialect", "expression", "is_singular", "needs_evaluator")

    def __init__(
        self,
        expression: str,
        dialect: Dialect,
        *,
        steps: tuple[_Step, ...] | None = None,
        prefix: tuple[_Step, ...] = (),
        find: Callable[[Any], list[Any]] | None = None,
        is_singular: bool = False,
        weight: int | None = 0,
    ) -> None:
        self.expression = expression
        self.dialect: Dialect = dialect
        self.is_singular = is_singular
        """Whether it can find one value at most."""
        self._steps = steps
        self._prefix = prefix
        self._find = find
        self._weight = weight
        self.needs_evaluator = weight != 0
        """Whether some documents are too large for it to be evaluated in place."""

    def is_bounded(self, size: int) -> bool:
        """Whether evaluating it on a document of `size` bytes takes a few milliseconds at most."""
        return self._weight is not None and self._weight * size <= _INLINE_BYTES

    def find(self, document: Any) -> list[Any]:
        """The values found, in document order.

        Raises:
            ExpressionError: the query cannot be evaluated on this document (nested too deeply, a bad pattern).
        """
        steps = self._steps
        if steps is None:
            assert self._find is not None  # noqa: S101 - one of the two is always given
            return self._find(document)
        if self.is_singular:
            value = document
            for step in steps:
                kind = type(value)
                if type(step) is str:
                    if kind is not dict or step not in value:
                        return []
                    value = value[step]
                else:
                    if kind is not list or not -len(value) <= step < len(value):  # type: ignore[operator]
                        return []
                    value = value[step]
            return [value]
        return _walk(document, steps)

    def explain_missing(self, document: Any) -> tuple[str, str | None]:
        """Why nothing was found: a clause about where the path ends and what is there, and perhaps a hint."""
        value = document
        path = "$"
        for step in self._prefix:
            if step is None:
                break
            if type(step) is str:
                if not isinstance(value, dict):
                    return f"{path} is {shape(value)}, not an object", None
                if step not in value:
                    return _no_member(path, step, value)
                value = value[step]
                path = below(path, step)
            else:
                if not isinstance(value, list):
                    return f"{path} is {shape(value)}, not an array", None
                assert isinstance(step, int)  # noqa: S101
                if not -len(value) <= step < len(value):
                    return f"{path} is {shape(value)}", None
                value = value[step]
                path = below(path, step)
        return f"nothing matches below {path}, which is {shape(value)}", None


def _walk(document: Any, steps: tuple[_Step, ...]) -> list[Any]:
    nodes = [document]
    for step in steps:
        if step is None:
            found: list[Any] = []
            for node in nodes:
                kind = type(node)
                if kind is list:
                    found += node
                elif kind is dict:
                    found += node.values()
            nodes = found
        elif type(step) is str:
            nodes = [node[step] for node in nodes if type(node) is dict and step in node]
        else:
            assert isinstance(step, int)  # noqa: S101
            nodes = [node[step] for node in nodes if type(node) is list and -len(node) <= step < len(node)]
    return nodes


@lru_cache(maxsize=4096)
def compile_jsonpath(expression: str, dialect: Dialect = "rfc9535") -> JsonPath:
    """Compile a query; the same text gives the same object.

    Raises:
        ExpressionError: it does not compile; says where. The caller sets `field`.
    """
    if len(expression) > MAX_EXPRESSION:
        raise ExpressionError(f"the JSONPath is longer than {MAX_EXPRESSION} characters")
    if not expression.isascii() and any("\ud800" <= character <= "\udfff" for character in expression):
        raise ExpressionError("the JSONPath holds half a character (a lone surrogate)")
    if dialect == "ng":
        return JsonPath(expression, dialect, prefix=_prefix(expression)[0], find=_compile_ng(expression), weight=None)
    prefix, is_whole = _prefix(expression)
    if is_whole:
        return JsonPath(expression, dialect, steps=prefix, prefix=prefix, is_singular=None not in prefix)
    find = _compile_rfc9535(expression)
    bare = _QUOTED.sub("s", expression)
    if _names_root_in_inner_filter(bare):
        raise ExpressionError(
            f"the JSONPath {shorten(expression)} names $ in a filter inside a filter, which is not supported",
            hint="Capture what $ should give there first, or filter in two steps.",
        )
    is_singular = ".." not in bare and not any(sign in bare for sign in "*?:,")
    weight = 0 if is_singular else _weigh(bare)
    return JsonPath(expression, dialect, prefix=prefix, find=find, is_singular=is_singular, weight=weight)


def _prefix(expression: str) -> tuple[tuple[_Step, ...], bool]:
    """The steps at the beginning that can be walked, and whether that is the whole query."""
    if not expression.startswith("$"):
        return (), False
    steps: list[_Step] = []
    position = 1
    while match := _WALKABLE.match(expression, position):
        kind = match.lastgroup
        text = match[kind or 0]
        steps.append(None if kind == "wildcard" else int(text) if kind == "index" else text)
        position = match.end()
    return tuple(steps), position == len(expression)


def _weigh(bare: str) -> int | None:
    """How many times dearer a query (without its quoted texts) is than a plain walk; None where no bound is known.

    Everything below is linear in the document's size: one descendant segment, one filter (two where nothing descends)
    that looks at its own element only, unions of a few selectors. `match` and `search` run a backtracking engine.
    """
    descents, filters, unions = bare.count(".."), bare.count("?"), bare.count(",")
    if descents > 1 or filters > (1 if descents else 2) or unions > 3 or bare.count("$") > 1:
        return None
    if "match(" in bare or "search(" in bare:
        return None
    length = 1 + len(bare) // 40
    return length * (1 << unions) * (3 if descents else 1) * (2 if filters else 1)


def _names_root_in_inner_filter(bare: str) -> bool:
    """Whether `$` stands two filters deep: there the library takes it for the outer filter's element, and is wrong."""
    filters: list[bool] = []
    for character in bare:
        if character == "[":
            filters.append(False)
        elif character == "]":
            filters.pop()
        elif character == "?":
            filters[-1] = True
        elif character == "$" and sum(filters) > 1:
            return True
    return False


def _compile_rfc9535(expression: str) -> Callable[[Any], list[Any]]:
    import jsonpath_rfc9535

    try:
        query = jsonpath_rfc9535.compile(expression if expression.isascii() else _bracketed(expression))
    except (jsonpath_rfc9535.JSONPathError, RecursionError) as error:
        raise ExpressionError(
            f"the JSONPath {shorten(expression)} is not valid: {_first_line(error)}", hint=_hint(expression)
        ) from None

    def find(document: Any) -> list[Any]:
        try:
            return query.find(document).values()
        except (jsonpath_rfc9535.JSONPathError, RecursionError) as error:
            reason = "the document is nested too deeply for it" if _is_recursion(error) else _first_line(error)
            raise ExpressionError(f"the JSONPath {shorten(expression)} cannot be evaluated: {reason}") from None

    return find


def _bracketed(expression: str) -> str:
    """The query with its names beyond ASCII in brackets: the library does not read all that may stand after a dot."""
    pieces: list[str] = []
    position = 0
    for quoted in _QUOTED.finditer(expression):
        pieces += [_DOTTED.sub(_in_brackets, expression[position : quoted.start()]), quoted[0]]
        position = quoted.end()
    return "".join([*pieces, _DOTTED.sub(_in_brackets, expression[position:])])


def _in_brackets(match: re.Match[str]) -> str:
    return match[0] if match[2].isascii() else f"{'..' if match[1] == '..' else ''}['{match[2]}']"


def _compile_ng(expression: str) -> Callable[[Any], list[Any]]:
    from jsonpath_ng.exceptions import JSONPathError
    from jsonpath_ng.ext.parser import parse

    try:
        query = parse(expression)
    except (JSONPathError, RecursionError, ValueError, AttributeError, TypeError) as error:
        message = f"the JSONPath {shorten(expression)} is not valid in the dialect ng: {_first_line(error)}"
        raise ExpressionError(message) from None

    def find(document: Any) -> list[Any]:
        try:
            return [match.value for match in query.find(document)]
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - the library raises whatever its operators run into
            message = f"the JSONPath {shorten(expression)} cannot be evaluated: {_first_line(error)}"
            raise ExpressionError(message) from None

    return find


def _is_recursion(error: BaseException) -> bool:
    return "ecursion" in type(error).__name__


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _hint(expression: str) -> str | None:
    if not expression.startswith("$"):
        return "A JSONPath begins with $, the whole document."
    if re.search(r"\.[A-Za-z_]\w*-", expression):
        return "A name with a hyphen stands in brackets: $['user-id']."
    if re.search(r"\?\(?@\.[\w.]+\s*=~", expression) or "`" in expression:
        return "This looks like jsonpath-ng: set dialect: ng."
    return None


def _no_member(path: str, name: str, value: dict[str, Any]) -> tuple[str, str | None]:
    return f"{path} has no {name[:80]!r}; it is {shape(value)}", suggest(name, value)
