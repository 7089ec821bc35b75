"""Splitting an SQL file into its statements, exactly as the Supabase CLI records them.

A statement runs to the `;` that ends it, without that `;` and without white space around it; comments before it belong to it; a
comment that nothing follows is an entry of its own. Quotes, dollar quotes, nested comments and `begin atomic … end` bodies are
respected.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Statement", "split"]

_TOKEN = re.compile(
    r"""
      --[^\n]*
    | (?P<comment>/\*)
    | (?<![\w$])(?P<dollar>\$(?:[^\W\d]\w*)?\$)
    | (?<![\w$])[eE]'(?:[^'\\]|\\.|'')*'
    | '(?:[^']|'')*'
    | "(?:[^"]|"")*"
    | (?P<atomic>\bbegin\s+atomic\b)
    | (?P<open>\bcase\b)
    | (?P<close>\bend\b)
    | (?P<left>\()
    | (?P<right>\))
    | (?P<end>;)
    """,
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_COMMENTS = re.compile(r"(?:\s+|--[^\n]*|/\*.*?\*/)*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Statement:
    """`text` as the Supabase CLI records it; `offset` is where it begins in the file, in characters."""

    text: str
    offset: int

    @property
    def bare(self) -> str:
        """The text from its first word on, without the comments before it; empty where there is nothing else."""
        match = _COMMENTS.match(self.text)
        return self.text[match.end() :] if match else self.text


def split(sql: str) -> list[Statement]:
    """The statements of `sql`, empty ones left out."""
    found: list[Statement] = []
    start = position = parentheses = 0
    atomic = False  # inside the body of an SQL-standard function, where `;` separates and `end` closes
    cases = 0
    while token := _TOKEN.search(sql, position):
        position = token.end()
        kind = token.lastgroup
        if kind == "comment":
            position = _after_comment(sql, position)
        elif kind == "dollar":
            closing = sql.find(token.group(), position)
            position = len(sql) if closing < 0 else closing + len(token.group())
        elif kind == "atomic":
            atomic = True
        elif kind == "open":
            cases += atomic
        elif kind == "close":
            cases, atomic = (cases - 1, atomic) if cases else (0, False)
        elif kind == "left":
            parentheses += 1
        elif kind == "right":
            parentheses = max(0, parentheses - 1)
        elif kind == "end" and not atomic and not parentheses:
            _add(found, sql, start, token.start())
            start = position
    _add(found, sql, start, len(sql))
    return found


def _add(found: list[Statement], sql: str, start: int, end: int) -> None:
    text = sql[start:end]
    if stripped := text.strip():
        found.append(Statement(stripped, start + len(text) - len(text.lstrip())))


def _after_comment(sql: str, position: int) -> int:
    depth = 1
    while depth and (edge := _COMMENT_EDGE.search(sql, position)):
        depth += 1 if edge.group() == "/*" else -1
        position = edge.end()
    return len(sql) if depth else position
