"""Templates compiled once into closures, and rendered many times."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, TypeAlias

from orbit_context.errors import TemplateError
from orbit_context.names import did_you_mean, near
from orbit_context.template.conversion import MAX_OUTPUT, PLAIN_TYPES, describe, to_text
from orbit_context.template.failure import ExpressionFailure, NoValue
from orbit_context.template.filters import FILTERS
from orbit_context.template.functions import FUNCTIONS
from orbit_context.template.missing import MissingName, missing_in_scope
from orbit_context.template.scope import NAMESPACES, Scope
from orbit_context.template.syntax import (
    Call,
    Default,
    Expression,
    Filtered,
    Literal,
    Name,
    Node,
    Step,
    parse_text,
    spell_path,
)

__all__ = ["MAX_VALUE_DEPTH", "JSONValue", "Reference", "Template", "compile_value"]

JSONValue: TypeAlias = Any
"""null, true or false, a number, text, a list or an object with text keys: what JSON can say."""

MAX_VALUE_DEPTH = 100
"""Lists and objects inside each other."""

_Evaluate: TypeAlias = Callable[[Scope], Any]
# Makes one part of a value from the scope and the characters that the output may still have (one item, counted down).
_Make: TypeAlias = Callable[[Scope, list[int]], Any]


class Reference:
    """One name in a template: `captured_data.login.token`."""

    __slots__ = ("column", "field", "has_default", "path", "root", "source")

    def __init__(self, name: Name, field: str, *, has_default: bool) -> None:
        self.root: str = name.root
        """The first word: one of `NAMESPACES`, or a bare name."""
        self.path: tuple[Step, ...] = name.path
        """What follows it: texts for names, whole numbers for positions in lists."""
        self.source: str = name.source
        """The name as written."""
        self.column: int = name.column
        """Where it begins in its string, from 1."""
        self.field: str = field
        """Where that string is: the field given to `compile_value` and the path below it."""
        self.has_default: bool = has_default

    @property
    def is_bare(self) -> bool:
        return self.root not in NAMESPACES

    def __repr__(self) -> str:
        return f"Reference({self.source!r}, field={self.field!r}, column={self.column})"


class Template:
    """A compiled JSON value. Immutable; may be shared between tests, tasks and threads."""

    __slots__ = ("_make", "field", "file", "is_static", "references")

    def __init__(
        self, make: _Make, references: tuple[Reference, ...], *, is_static: bool, field: str, file: str | None
    ) -> None:
        self._make = make
        self.references = references
        """Every name, in the order of the value."""
        self.is_static = is_static
        """Whether every rendering is the same: there are neither names nor generated values."""
        self.field = field
        self.file = file

    def render(self, scope: Scope) -> JSONValue:
        """The value with every expression replaced, in a single pass: what comes from the scope is no template.

        Lists and objects of the template are made anew each time; those of the scope are handed on as they are.

        Raises:
            TemplateError: a name is missing, a filter does not fit its value, or the text exceeds `MAX_OUTPUT`.
        """
        return self._make(scope, [MAX_OUTPUT])

    def __repr__(self) -> str:
        return f"Template(field={self.field!r}, references={[reference.source for reference in self.references]})"


def compile_value(value: JSONValue, *, field: str = "", file: str | None = None) -> Template:
    """Compile every `{{ … }}` in the strings and keys of `value`, at any depth.

    Args:
        field: where the value stands (`tests.login.request`); the path below it is added in errors and references.
        file: the suite file, for errors.

    Raises:
        TemplateError: an expression does not parse, a function or filter does not exist, or the value is not JSON.
    """
    compiler = _Compiler(file)
    made = compiler.value(value, field, 0)
    return Template(
        _always(made.value) if isinstance(made, _Scalar) else made,
        tuple(compiler.references),
        is_static=not compiler.varies,
        field=field,
        file=file,
    )


class _Scalar:
    """A part that is always the same null, boolean, number or text: it can be put into place when compiling."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def _always(value: Any) -> _Make:
    return lambda _scope, _left: value


class _Compiler:
    """Walks one value; collects its references and whether anything in it varies."""

    def __init__(self, file: str | None) -> None:
        self.file = file
        self.references: list[Reference] = []
        self.varies = False

    def value(self, value: Any, field: str, depth: int) -> _Scalar | _Make:
        if isinstance(value, str):
            return self.text(value, field) if "{{" in value else _Scalar(value)
        if value is None or isinstance(value, (bool, int, float)):
            return _Scalar(value)
        if depth == MAX_VALUE_DEPTH:
            raise TemplateError(
                f"lists and objects are nested deeper than {MAX_VALUE_DEPTH}", field=field, file=self.file
            )
        if isinstance(value, (list, tuple)):
            return self.list(value, field, depth)
        if isinstance(value, Mapping):
            return self.object(value, field, depth)
        raise TemplateError(f"the value is {describe(value)}", field=field, file=self.file)

    def list(self, items: Any, field: str, depth: int) -> _Make:
        base: list[Any] = []
        made: list[tuple[int, _Make]] = []
        for position, item in enumerate(items):
            part = self.value(item, f"{field}[{position}]", depth + 1)
            if isinstance(part, _Scalar):
                base.append(part.value)
            else:
                base.append(None)
                made.append((position, part))
        if not made:
            return lambda _scope, _left: base.copy()

        def make_list(scope: Scope, left: list[int]) -> list[Any]:
            result = base.copy()
            for position, make in made:
                result[position] = make(scope, left)
            return result

        return make_list

    def object(self, members: Mapping[Any, Any], field: str, depth: int) -> _Make:
        base: dict[str, Any] = {}
        made: list[tuple[str, _Make]] = []
        keyed: list[tuple[_Make, _Make]] = []
        for key, member in members.items():
            if not isinstance(key, str):
                raise TemplateError(f"the name of a field is {describe(key)}, not text", field=field, file=self.file)
            place = join_field(field, key)
            name = self.text(key, place, whole=False) if "{{" in key else _Scalar(key)
            part = self.value(member, place, depth + 1)
            if not isinstance(name, _Scalar):
                keyed.append((name, _always(part.value) if isinstance(part, _Scalar) else part))
            elif name.value in base:
                raise TemplateError("two fields have the same name", field=place, file=self.file)
            elif isinstance(part, _Scalar):
                base[name.value] = part.value
            else:
                base[name.value] = None
                made.append((name.value, part))
        if not made and not keyed:
            return lambda _scope, _left: base.copy()

        def make_object(scope: Scope, left: list[int]) -> dict[str, Any]:
            result = base.copy()
            for key, make in made:
                result[key] = make(scope, left)
            for make_key, make in keyed:
                key = make_key(scope, left)
                if key in result:
                    raise TemplateError("two fields get the same name", field=field or None, file=self.file)
                result[key] = make(scope, left)
            return result

        return make_object

    def text(self, text: str, field: str, *, whole: bool = True) -> _Scalar | _Make:
        """A string with braces in it; `whole` keeps the type of a value that is all there is."""
        try:
            parts = parse_text(text)
        except ExpressionFailure as failure:
            raise self.error(failure, field, None) from None
        if whole and len(parts) == 1 and isinstance(parts[0], Expression):
            return self.whole(parts[0], field)
        pieces: list[str] = []
        made: list[tuple[int, _Evaluate, Expression]] = []
        for part in parts:
            if isinstance(part, str):
                pieces.append(part)
                continue
            evaluate = self.expression(part, field)
            if isinstance(evaluate, _Scalar):
                try:
                    pieces.append(to_text(evaluate.value))
                except ExpressionFailure as failure:
                    raise self.error(failure, field, part) from None
            else:
                made.append((len(pieces), evaluate, part))
                pieces.append("")
        if not made:
            return _Scalar("".join(pieces))

        def make_text(scope: Scope, left: list[int]) -> str:
            result = pieces.copy()
            for position, evaluate, part in made:
                try:
                    value = evaluate(scope)
                    result[position] = value if type(value) is str else to_text(value)
                except ExpressionFailure as failure:
                    raise self.error(failure, field, part, scope) from None
            # Counted before anything is joined: a few names of large values must not fill the memory.
            left[0] -= sum(map(len, result))
            if left[0] < 0:
                raise TemplateError(
                    f"the text would be larger than {MAX_OUTPUT // 1024**2} MiB", field=field or None, file=self.file
                )
            return "".join(result)

        return make_text

    def whole(self, part: Expression, field: str) -> _Scalar | _Make:
        evaluate = self.expression(part, field)
        if isinstance(evaluate, _Scalar):
            return evaluate

        def make_whole(scope: Scope, _left: list[int]) -> Any:
            try:
                return evaluate(scope)
            except ExpressionFailure as failure:
                raise self.error(failure, field, part, scope) from None

        return make_whole

    def expression(self, part: Expression, field: str) -> _Scalar | _Evaluate:
        try:
            made = self.node(part.node, field, has_default=False)
        except ExpressionFailure as failure:
            raise self.error(failure, field, part) from None
        if not isinstance(made, _Scalar):
            self.varies = True
        return made

    def node(self, node: Node, field: str, *, has_default: bool) -> _Scalar | _Evaluate:
        match node:
            case Literal():
                return _Scalar(node.value)
            case Name():
                check_name(node)
                self.references.append(Reference(node, field, has_default=has_default))
                return _lookup(node)
            case Default():
                return self.default(node, field, has_default=has_default)
            case Filtered():
                return self.filtered(node, field, has_default=has_default)
            case Call():
                return self.call(node, field, has_default=has_default)

    def default(self, node: Default, field: str, *, has_default: bool) -> _Scalar | _Evaluate:
        operand = self.node(node.operand, field, has_default=True)
        other = self.node(node.other, field, has_default=has_default)
        if isinstance(operand, _Scalar):
            return other if operand.value is None else operand
        if isinstance(other, _Scalar):
            constant = other.value

            def constant_default(scope: Scope) -> Any:
                try:
                    value = operand(scope)
                except NoValue:
                    return constant
                return constant if value is None else value

            return constant_default

        def default(scope: Scope) -> Any:
            try:
                value = operand(scope)
            except NoValue:
                value = None
            return other(scope) if value is None else value

        return default

    def filtered(self, node: Filtered, field: str, *, has_default: bool) -> _Scalar | _Evaluate:
        known = FILTERS.get(node.filter)
        if known is None:
            raise ExpressionFailure(
                f"there is no filter called {node.filter!r}",
                column=node.column,
                detail=f"Filters: {', '.join(sorted([*FILTERS, 'default']))}",
                hint=did_you_mean(near(node.filter, [*FILTERS, "default"])),
            )
        apply, most = known
        if len(node.arguments) > most:
            takes = f"at most {most} argument{'s' if most > 1 else ''}" if most else "no arguments"
            raise ExpressionFailure(f"the filter {node.filter} takes {takes}", column=node.column)
        operand = self.node(node.operand, field, has_default=has_default)
        arguments = [self.node(argument, field, has_default=has_default) for argument in node.arguments]
        column = node.column
        evaluate_operand = _evaluation(operand)
        evaluate_arguments = [_evaluation(argument) for argument in arguments]

        def filtered(scope: Scope) -> Any:
            value = evaluate_operand(scope)
            try:
                result = apply(value, *[evaluate(scope) for evaluate in evaluate_arguments])
            except ExpressionFailure as failure:
                failure.column = failure.column or column
                raise
            if type(result) is str and len(result) > MAX_OUTPUT:
                raise ExpressionFailure(f"the text would be larger than {MAX_OUTPUT // 1024**2} MiB", column=column)
            return result

        if all(isinstance(part, _Scalar) for part in (operand, *arguments)):
            return _Scalar(filtered(Scope()))
        return filtered

    def call(self, node: Call, field: str, *, has_default: bool) -> _Evaluate:
        known = FUNCTIONS.get(node.function)
        if known is None:
            hint: str | None
            if node.function in FILTERS:
                hint = f"{node.function} is a filter: write … | {node.function}."
            else:
                hint = did_you_mean([f"{name}()" for name in near(node.function, FUNCTIONS)])
            raise ExpressionFailure(
                f"there is no function called {node.function!r}",
                column=node.column,
                detail=f"Functions: {', '.join(f'{name}()' for name in sorted(FUNCTIONS))}",
                hint=hint,
            )
        function, names, fewest = known
        self.check_arguments(node, names, fewest)
        positional = [self.node(argument, field, has_default=has_default) for argument in node.arguments]
        named = {name: self.node(argument, field, has_default=has_default) for name, argument in node.keywords}
        column = node.column
        evaluate_positional = [_evaluation(argument) for argument in positional]
        evaluate_named = [(name, _evaluation(argument)) for name, argument in named.items()]

        def call(scope: Scope) -> Any:
            arguments = [evaluate(scope) for evaluate in evaluate_positional]
            try:
                return function(scope, *arguments, **{name: evaluate(scope) for name, evaluate in evaluate_named})
            except ExpressionFailure as failure:
                failure.column = failure.column or column
                raise

        if all(isinstance(part, _Scalar) for part in (*positional, *named.values())):
            call(Scope())  # its arguments will never change: what is wrong with them is said when compiling
        if not positional and not named:
            return function
        return call

    def check_arguments(self, node: Call, names: tuple[str, ...], fewest: int) -> None:
        spelt = f"{node.function}({', '.join(names) if names else '…' if fewest else ''})"
        given = {*names[: len(node.arguments)]}
        for name, _argument in node.keywords:
            if name not in names:
                raise ExpressionFailure(f"{spelt} has no argument called {name!r}", column=node.column)
            if name in given:
                raise ExpressionFailure(f"{spelt} gets its argument {name} twice", column=node.column)
            given.add(name)
        any_number = not names and fewest > 0
        if not any_number and len(node.arguments) > len(names):
            raise ExpressionFailure(f"{spelt} gets too many arguments", column=node.column)
        if (len(node.arguments) if any_number else len(given & {*names[:fewest]})) < fewest:
            raise ExpressionFailure(f"{spelt} gets too few arguments", column=node.column)

    def error(
        self, failure: ExpressionFailure, field: str, part: Expression | None, scope: Scope | None = None
    ) -> TemplateError:
        if isinstance(failure, MissingName) and scope is not None:
            failure = missing_in_scope(failure.name, scope)
        error = TemplateError(
            failure.message, file=self.file, field=field or None, detail=failure.detail, hint=failure.hint
        )
        error.source = part.source if part else None
        error.source_column = failure.column or (part.column if part else None)
        return error


def join_field(field: str, key: str) -> str:
    """`field.key`, or `field["a key"]` where the key is no plain word."""
    spelt = spell_path((key,))
    return f"{field}{spelt}" if spelt.startswith("[") else f"{field}.{spelt}" if field else spelt


def check_name(name: Name) -> None:
    """Refuse what can be seen to be no name of a value: a whole namespace.

    Raises:
        ExpressionFailure: it is one.
    """
    if name.root in NAMESPACES and name.root != "row" and not (name.path and isinstance(name.path[0], str)):
        example = {"captured_data": "captured_data.<test>.<name>", "run": "run.id", "test": "test.key"}
        raise ExpressionFailure(
            f"{name.root} stands for no value of its own",
            column=name.column,
            hint=f"Say which: {example.get(name.root, f'{name.root}.<name>')}.",
        )


def _evaluation(made: _Scalar | _Evaluate) -> _Evaluate:
    if isinstance(made, _Scalar):
        value = made.value
        return lambda _scope: value
    return made


def _lookup(name: Name) -> _Evaluate:
    """The closure that walks a name's path.

    A step by name is tried without looking at the type first: of all JSON values only objects take a text in brackets;
    lists and texts raise TypeError. A step by position must look, for text would give a character.
    """
    root, path = name.root, name.path
    if root not in NAMESPACES:
        return _bare_lookup(name)
    namespace = attrgetter(root)
    if len(path) == 2 and isinstance(path[0], str) and isinstance(path[1], str):
        first, second = path

        def lookup_two(scope: Scope) -> Any:
            try:
                value = namespace(scope)[first][second]
            except (KeyError, TypeError):
                raise MissingName(name) from None
            return value if type(value) in PLAIN_TYPES else _checked(value, name)

        return lookup_two
    if len(path) == 1:
        only = path[0]

        def lookup_one(scope: Scope) -> Any:
            try:
                value = namespace(scope)[only]
            except (KeyError, TypeError):
                raise MissingName(name) from None
            return value if type(value) in PLAIN_TYPES else _checked(value, name)

        return lookup_one
    return lambda scope: _walk(namespace(scope), path, name)


def _bare_lookup(name: Name) -> _Evaluate:
    root, path = name.root, name.path

    def lookup_bare(scope: Scope) -> Any:
        for place in (scope.row, scope.vars, scope.env):
            if root in place:
                return _walk(place[root], path, name)
        absolute = scope.bare.get(root)
        if absolute is None:
            raise MissingName(name)
        return _walk(getattr(scope, str(absolute[0])), (*absolute[1:], *path), name)

    return lookup_bare


def _walk(value: Any, path: tuple[Step, ...], name: Name) -> Any:
    for step in path:
        if type(step) is int and not isinstance(value, (list, tuple)):
            raise MissingName(name)
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            raise MissingName(name) from None
    return value if type(value) in PLAIN_TYPES else _checked(value, name)


def _checked(value: Any, name: Name) -> Any:
    """`value`, if it is JSON after all: a subclass of a JSON type, a tuple, another mapping."""
    if isinstance(value, (str, int, float, list, tuple, Mapping)):
        return value
    raise ExpressionFailure(f"{name.source} is {describe(value)}", column=name.column)
