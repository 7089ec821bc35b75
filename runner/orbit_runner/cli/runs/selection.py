"""`-k EXPR`: tests by name, as pytest has it: words, `and`, `or`, `not`, parentheses."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from orbit_context.errors import DefinitionError

if TYPE_CHECKING:
    from orbit_context.suite.document import Suite, Test

__all__ = ["matching_tests"]

_WORD = re.compile(r"[^\s()]+")


def matching_tests(suite: Suite, expression: str) -> list[str]:
    """Keys of the tests whose key, name or a tag contains the words, in any case, as the expression combines them.

    Raises DefinitionError where the expression does not parse.
    """
    tree = _parse(expression)
    return [key for key, test in suite.tests.items() if _holds(tree, _haystack(key, test))]


def _haystack(key: str, test: Test) -> str:
    return "\n".join([key, test.name or "", *test.tags]).casefold()


def _parse(expression: str) -> ast.expr:
    # Words become string literals, so that names may hold hyphens, brackets and the like; what is left is Python's own grammar.
    quoted = _WORD.sub(lambda match: match[0] if match[0] in ("and", "or", "not") else repr(match[0]), expression)
    try:
        tree = ast.parse(quoted.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise _unreadable(expression) from None
    for node in ast.walk(tree):
        if not isinstance(node, ast.BoolOp | ast.UnaryOp | ast.Constant | ast.And | ast.Or | ast.Not):
            raise _unreadable(expression)
    return tree


def _holds(node: ast.expr, haystack: str) -> bool:
    if isinstance(node, ast.BoolOp):
        combine = all if isinstance(node.op, ast.And) else any
        return combine(_holds(value, haystack) for value in node.values)
    if isinstance(node, ast.UnaryOp):
        return not _holds(node.operand, haystack)
    assert isinstance(node, ast.Constant)  # noqa: S101 - _parse lets nothing else through
    return str(node.value).casefold() in haystack


def _unreadable(expression: str) -> DefinitionError:
    return DefinitionError(
        f"the expression {expression!r} cannot be read",
        field="-k",
        hint='write words with and, or, not: -k "cart and not coupon"',
    )
