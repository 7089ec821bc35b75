"""The grammar of what stands between `{{` and `}}`, and of the text around it.

    text        = { characters | backslashes "{{" characters | "{{" expression "}}" }
    expression  = operand { "|" filter | "??" operand }              read strictly from left to right
    operand     = literal | call | name | "(" expression ")"
    filter      = word [ "(" arguments ")" ]
    call        = word "(" arguments ")"
    arguments   = [ argument { "," argument } ]
    argument    = [ word "=" ] expression
    name        = word { "." segment | "[" integer "]" | "[" string "]" }
    literal     = string | number | "true" | "false" | "null"
    word        = a letter or "_", then letters, digits, "_" and "-"        (there is no arithmetic, so "-" is free)
    segment     = letters, digits, "_" and "-"
    string      = '…' or "…" with \\\\ \\' \\" \\n \\r \\t \\uXXXX

Backslashes directly before `{{` are read in pairs: each pair is one backslash, and a single one left over makes the
`{{` plain text. Everywhere else a backslash is just a backslash.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TypeAlias

from orbit_context.template.failure import ExpressionFailure

__all__ = [
    "MAX_EXPRESSION_LENGTH",
    "MAX_EXPRESSION_NESTING",
    "Call",
    "Default",
    "Expression",
    "Filtered",
    "Literal",
    "Name",
    "Node",
    "Step",
    "escape",
    "parse_text",
    "spell_path",
]

MAX_EXPRESSION_LENGTH = 2000
"""Characters from `{{` to `}}`."""
MAX_EXPRESSION_NESTING = 16
"""Parentheses and arguments inside each other."""
_MAX_OPERATORS = 50

Step: TypeAlias = str | int
"""One step of a path: the name of a field, or a position in a list (negative from its end)."""


@dataclass(frozen=True, slots=True)
class Literal:
    value: Any


@dataclass(frozen=True, slots=True)
class Name:
    """`root.step[0]…`, as written in `source`, at `column` (from 1) of the whole string."""

    root: str
    path: tuple[Step, ...]
    source: str
    column: int


@dataclass(frozen=True, slots=True)
class Call:
    """A generated value: `random_int(1, 6)`."""

    function: str
    arguments: tuple[Node, ...]
    keywords: tuple[tuple[str, Node], ...]
    column: int


@dataclass(frozen=True, slots=True)
class Filtered:
    operand: Node
    filter: str
    arguments: tuple[Node, ...]
    column: int


@dataclass(frozen=True, slots=True)
class Default:
    """`operand ?? other`, also written `operand | default(other)`: `other` where `operand` is missing or null."""

    operand: Node
    other: Node


Node: TypeAlias = Literal | Name | Call | Filtered | Default


@dataclass(frozen=True, slots=True)
class Expression:
    """One `{{ … }}`: its tree, its text without the braces, and the column (from 1) of its first brace."""

    node: Node
    source: str
    column: int


_OPENING = re.compile(r"(\\*)\{\{")
_WORD = re.compile(r"[^\W\d][\w-]*")
_SEGMENT = re.compile(r"[\w][\w-]*")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"-?[0-9]+")
_SPACE = re.compile(r"\s*")
_CONSTANTS = {"true": True, "false": False, "null": None}
_ESCAPES = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "r": "\r", "t": "\t"}
_PLAIN_SEGMENT = re.compile(r"[\w][\w-]*\Z")


def escape(text: str) -> str:
    """`text` written so that, as a template, it means itself: for importers and recorders.

    >>> escape("Hello {{name}}")
    'Hello \\\\{{name}}'
    """
    return _OPENING.sub(lambda match: match[1] * 2 + r"\{{", text)


def spell_path(path: tuple[Step, ...]) -> str:
    """A path as it is written in an expression: `login.items[0]["a b"]`, without a dot in front."""
    spelt = ""
    for step in path:
        if isinstance(step, int):
            spelt += f"[{step}]"
        elif _PLAIN_SEGMENT.match(step):
            spelt += f".{step}"
        else:
            quoted = step.replace("\\", "\\\\").replace('"', '\\"')
            for letter, character in (("n", "\n"), ("r", "\r"), ("t", "\t")):
                quoted = quoted.replace(character, f"\\{letter}")
            spelt += f'["{quoted}"]'
    return spelt.removeprefix(".")


def parse_text(text: str) -> list[str | Expression]:
    """The parts of a string in order: plain text (unescaped) and expressions; adjoining text is one part.

    Raises:
        ExpressionFailure: it does not parse; `column` says where.
    """
    parts: list[str | Expression] = []
    plain = ""
    position = 0
    while opening := _OPENING.search(text, position):
        backslashes = len(opening[1])
        plain += text[position : opening.start()] + "\\" * (backslashes // 2)
        if backslashes % 2:
            plain += "{{"
            position = opening.end()
            continue
        if plain:
            parts.append(plain)
            plain = ""
        expression, position = _Parser(text, opening.end()).expression_in_braces()
        parts.append(expression)
    plain += text[position:]
    if plain or not parts:
        parts.append(plain)
    return parts


class _Parser:
    """Reads one expression by recursive descent, straight from the string: `position` is where it has got to."""

    def __init__(self, text: str, position: int) -> None:
        self.text = text
        self.start = self.position = position
        self.limit = min(len(text), position + MAX_EXPRESSION_LENGTH)
        self.nesting = 0
        self.operators = 0

    def expression_in_braces(self) -> tuple[Expression, int]:
        self.skip_space()
        if self.text.startswith("}}", self.position):
            raise self.failure(
                "there is nothing between {{ and }}", hint=r"Write \{{ where the two braces themselves are meant."
            )
        node = self.expression()
        if not self.accept("}}"):
            raise self.unexpected("}}")
        source = self.text[self.start : self.position - 2].strip()
        return Expression(node, source, self.start - 1), self.position

    def expression(self) -> Node:
        self.nesting += 1
        if self.nesting > MAX_EXPRESSION_NESTING:
            raise self.failure(f"the expression is nested deeper than {MAX_EXPRESSION_NESTING} levels")
        node = self.operand()
        while True:
            if self.accept("??"):
                node = Default(node, self.operand())
            elif self.accept("|"):
                node = self.filtered(node)
            else:
                break
            self.operators += 1
            if self.operators > _MAX_OPERATORS:
                raise self.failure(f"the expression has more than {_MAX_OPERATORS} operators")
        self.nesting -= 1
        return node

    def filtered(self, operand: Node) -> Node:
        self.skip_space()
        column = self.column
        word = self.match(_WORD)
        if word is None:
            raise self.unexpected("the name of a filter")
        arguments, keywords = self.arguments() if self.accept("(") else ((), ())
        if keywords:
            raise self.failure(f"the filter {word} takes no named arguments", column=column)
        if word == "default":
            if len(arguments) != 1:
                raise self.failure("default takes one argument", column=column, hint='Write default("…").')
            return Default(operand, arguments[0])
        return Filtered(operand, word, arguments, column)

    def arguments(self) -> tuple[tuple[Node, ...], tuple[tuple[str, Node], ...]]:
        positional: list[Node] = []
        named: dict[str, Node] = {}
        if self.accept(")"):
            return (), ()
        while True:
            self.skip_space()
            before = self.position
            word = self.match(_WORD)
            if word is not None and self.accept("="):
                if word in named:
                    raise self.failure(f"the argument {word} is given twice")
                named[word] = self.expression()
            else:
                self.position = before
                if named:
                    raise self.failure("an argument without a name follows one with a name")
                positional.append(self.expression())
            if self.accept(")"):
                return tuple(positional), tuple(named.items())
            if not self.accept(","):
                raise self.unexpected(", or )")

    def operand(self) -> Node:
        self.skip_space()
        character = self.peek()
        if character in ("'", '"'):
            return Literal(self.string())
        if character == "(":
            self.position += 1
            node = self.expression()
            if not self.accept(")"):
                raise self.unexpected(")")
            return node
        if character == "-" or (character.isascii() and character.isdigit()):
            return Literal(self.number())
        column, start = self.column, self.position
        word = self.match(_WORD)
        if word is None:
            raise self.unexpected("a name, a value or a function")
        if self.accept("("):
            arguments, keywords = self.arguments()
            return Call(word, arguments, keywords, column)
        path = self.path()
        if not path and word in _CONSTANTS:
            return Literal(_CONSTANTS[word])
        return Name(word, path, self.text[start : self.position].strip(), column)

    def path(self) -> tuple[Step, ...]:
        steps: list[Step] = []
        while True:
            if self.accept("."):
                self.skip_space()
                segment = self.match(_SEGMENT)
                if segment is None:
                    raise self.unexpected("a name after the dot")
                steps.append(segment)
            elif self.accept("["):
                self.skip_space()
                if self.peek() in ("'", '"'):
                    steps.append(self.string())
                elif (digits := self.match(_INTEGER)) is not None and len(digits) <= 10:
                    steps.append(int(digits))
                else:
                    raise self.unexpected('a position such as 0 or -1, or a quoted name such as "create order"')
                if not self.accept("]"):
                    raise self.unexpected("]")
            else:
                return tuple(steps)
            if self.peek() == "(":
                raise self.failure("a value cannot be called", hint="Filters follow a bar: name | upper")

    def number(self) -> int | float:
        column = self.column
        digits = self.match(_NUMBER)
        if digits is None or _WORD.match(self.text, self.position):
            raise self.failure("this is not a number", column=column)
        if digits.lstrip("-").isdigit():
            if len(digits) > 400:
                raise self.failure("the number is too long", column=column)
            return int(digits)
        number = float(digits)
        if number in (float("inf"), float("-inf")):
            raise self.failure("the number is too large", column=column)
        return number

    def string(self) -> str:
        column = self.column
        quote = self.text[self.position]
        self.position += 1
        characters: list[str] = []
        while True:
            character = self.peek()
            if not character:
                raise self.failure(f"the text that begins here is not closed by {quote}", column=column)
            self.position += 1
            if character == quote:
                return "".join(characters)
            if character == "\\":
                character = self.escaped()
            characters.append(character)

    def escaped(self) -> str:
        letter = self.peek()
        self.position += 1
        if letter == "u":
            digits = self.text[self.position : self.position + 4]
            if not re.fullmatch(r"[0-9a-fA-F]{4}", digits):
                raise self.failure(r"\u wants four hexadecimal digits")
            self.position += 4
            return chr(int(digits, 16))
        if letter not in _ESCAPES:
            raise self.failure(f"\\{letter} means nothing here", hint=r"Write \\ for a backslash.")
        return _ESCAPES[letter]

    @property
    def column(self) -> int:
        return self.position + 1

    def peek(self) -> str:
        return self.text[self.position] if self.position < self.limit else ""

    def skip_space(self) -> None:
        match = _SPACE.match(self.text, self.position, self.limit)
        if match:
            self.position = match.end()

    def accept(self, token: str) -> bool:
        self.skip_space()
        if self.text.startswith(token, self.position):
            self.position += len(token)
            return True
        return False

    def match(self, pattern: re.Pattern[str]) -> str | None:
        match = pattern.match(self.text, self.position, self.limit)
        if match is None:
            return None
        self.position = match.end()
        return match[0]

    def failure(self, message: str, *, column: int | None = None, hint: str | None = None) -> ExpressionFailure:
        return ExpressionFailure(message, column=self.column if column is None else column, hint=hint)

    def unexpected(self, wanted: str) -> ExpressionFailure:
        self.skip_space()
        if self.position >= self.limit:
            if self.limit < len(self.text):
                return self.failure(f"the expression is longer than {MAX_EXPRESSION_LENGTH} characters")
            return self.failure(
                "{{ is not closed by }}",
                column=self.start - 1,
                hint=r"Write \{{ where the two braces themselves are meant.",
            )
        found = self.text[self.position]
        shown = found if found.isprintable() else repr(found)[1:-1]
        hint = None
        if found in "+-*/%<>&^":
            hint = "Expressions do not calculate: they name values, generate them and filter them."
        elif found == "{":
            hint = r"Write \{{ where the two braces themselves are meant."
        elif found == "$":
            hint = "Names stand without $: {{user_id}}, {{uuid()}}."
        return self.failure(f"expected {wanted}, found {shown}", hint=hint)
