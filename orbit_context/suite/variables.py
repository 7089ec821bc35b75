"""The variables of a run: the suite's, the environment's and those given on the command line, resolved once.

Precedence: suite < environment < overrides. A variable may refer to other variables (`{{user}}`, `{{vars.user}}`,
`{{env.host}}`) and to generated values (`{{uuid()}}`), which are made once per run. What refers to a secret is secret.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from graphlib import CycleError as GraphCycle
from graphlib import TopologicalSorter
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any

from orbit_context.errors import DefinitionError, DefinitionErrors, TemplateError
from orbit_context.suite.templates import Templated, find_templates
from orbit_context.template import NAMESPACES, KnownNames, Scope, Template, check, compile_value
from orbit_context.template.syntax import spell_path

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from orbit_context.suite.document import EnvironmentDocument, Suite

__all__ = [
    "DatabaseVariable",
    "ResolvedVariables",
    "find_variable_errors",
    "parse_overrides",
    "resolve_at_execution",
    "resolve_at_start",
    "resolve_variables",
]


@dataclass(frozen=True, slots=True)
class ResolvedVariables:
    """The values of a run."""

    values: dict[str, Any] = field(repr=False)
    """All variables, merged: bare names and `vars.…`."""
    environment: dict[str, Any] = field(repr=False)
    """The environment's own values, whatever overrides them: `env.…`."""
    secret_names: frozenset[str]
    """Names, of either, whose values are sealed and masked."""

    def __repr__(self) -> str:
        return f"ResolvedVariables(names={sorted(self.values)}, secret_names={sorted(self.secret_names)})"


@dataclass(frozen=True, slots=True)
class DatabaseVariable:
    """A definition of one of the database's scopes, as a worker was given it."""

    value: Any = field(repr=False)
    is_secret: bool = False


class _Values(dict[str, Any]):
    """Values by name; asking for one that could not be made raises what was wrong with it."""

    def __init__(self) -> None:
        self.broken: dict[str, DefinitionError] = {}

    def __contains__(self, name: object) -> bool:
        return dict.__contains__(self, name) or name in self.broken

    def __missing__(self, name: str) -> Any:
        raise self.broken[name] if name in self.broken else KeyError(name)


@dataclass(frozen=True, slots=True)
class _Definition:
    value: Any = field(repr=False)
    is_secret: bool
    path: tuple[str, ...]
    """In its document; empty for an override, which is taken as it is."""
    in_suite: bool = False


def parse_overrides(arguments: Iterable[str]) -> dict[str, Any]:
    """`["user=demo", "retries:=3"]` → `{"user": "demo", "retries": 3}`: `=` gives text, `:=` JSON.

    Raises:
        DefinitionError: an argument has neither, or its JSON is broken. The value is not shown: it may be a secret.
    """
    from orbit_context.suite.yaml import parse_json

    values: dict[str, Any] = {}
    for argument in arguments:
        name, separator, text = argument.partition("=")
        is_json = name.endswith(":")
        name = name.removesuffix(":").strip()
        if not separator or not name:
            raise DefinitionError(
                "a variable is given as name=text or name:=JSON", hint='Example: user=demo, retries:=3, tags:=["a"].'
            )
        if not is_json:
            values[name] = text
            continue
        with suppress(DefinitionError):
            values[name] = parse_json(text)
            continue
        # Raised out here: the reader's error tells parts of the value.
        raise DefinitionError(f"the value of {name!r} is not JSON", hint=f"Write {name}=… to give it as text.")
    return values


def resolve_variables(
    suite: Suite,
    environment: EnvironmentDocument | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    clock: Callable[[], float] = time.time,
    random: Random | None = None,
) -> ResolvedVariables:
    """Every variable's value for one run. Overrides are taken as they are; all others may hold templates.

    Raises:
        DefinitionError: a variable refers to what does not exist, or to itself through others; `field` names it.
    """
    resolver = _Resolver(suite, environment, overrides or {})
    errors = [error for _, error in resolver.errors]
    if errors:
        raise errors[0] if len(errors) == 1 else DefinitionErrors(errors)
    return resolver.resolve(clock, random or SystemRandom())


def find_variable_errors(
    suite: Suite, environment: EnvironmentDocument | None, overrides: Mapping[str, Any]
) -> list[tuple[Templated | None, DefinitionError]]:
    """What `resolve_variables` would raise, each with its place in the suite; None if it is not about the suite."""
    return _Resolver(suite, environment, overrides).errors


def resolve_at_start(
    suite: Suite,
    environment: EnvironmentDocument | None,
    overrides: Mapping[str, Any],
    database: Collection[str],
    *,
    is_saved: bool = False,
) -> tuple[ResolvedVariables, dict[str, Any]]:
    """As `resolve_variables` where the database defines variables, too: what refers to none of them, and what is left as it is
    written, because it does. Such variables of the suite are in neither: they are filled in where they are used.

    Args:
        database: the names that the database defines.
        is_saved: the environment is the database's, and known by the names of its variables alone.

    Raises:
        DefinitionError: as resolve_variables; or a secret refers to what is only known later.
    """
    from orbit_context.suite.document import Variable

    names = {name: Variable() for name in database if name not in suite.variables}
    known = suite.model_copy(update={"variables": {**names, **suite.variables}})
    resolver = _Resolver(known, environment, overrides)
    if errors := [error for _, error in resolver.errors]:
        raise errors[0] if len(errors) == 1 else DefinitionErrors(errors)
    own = {name for root, name in resolver.definitions if root == "env"}
    given = {*overrides, *(() if is_saved else own)}
    roots = {("vars", name) for name in database if name not in given} | {("env", name) for name in own if is_saved}
    late: set[_Node] = set()
    templates: dict[str, Any] = {}
    for node in resolver.order:
        if not any(said in roots or said in late for said in resolver.graph.get(node, ())):
            continue
        late.add(node)
        definition = resolver.definitions[node]
        if definition.is_secret and (node not in roots):
            raise DefinitionError(
                "a secret refers to a variable that the database defines, which is only known when a test begins",
                field=spell_path(definition.path),
                hint="Save it in the database as well: orbit var set --secret, or orbit env save.",
            )
        if node[1] in given:
            templates[node[1]] = definition.value
    resolved = resolver.resolve(time.time, SystemRandom(), without=late)
    values = {
        name: value
        for name, value in resolved.values.items()
        if name not in names
        and name not in templates
        and ("vars", name) not in late
        and (name in given or ("env", name) not in roots)
    }
    environment_values = {} if is_saved else resolved.environment
    return ResolvedVariables(values, environment_values, resolved.secret_names), templates


def resolve_at_execution(
    suite: Suite,
    sent: Mapping[str, Any],
    *,
    defaults: Collection[str] = (),
    templates: Mapping[str, Any] | None = None,
    unopened: Collection[str] = (),
    database: Mapping[str, DatabaseVariable] | None = None,
    own: Mapping[str, DatabaseVariable] | None = None,
    seed: str,
    at: float,
) -> ResolvedVariables:
    """The values that a test gets when it begins: the suite's variables, over them the database's, over them what was given.

    Args:
        sent: values that came with the run; those of `defaults` are the suite's own, made when it was started.
        templates: given as well, but referring to others.
        unopened: names of secrets that came with the run and that no test here has used yet.
        database: by name, what holds of the database's definitions.
        own: those of the environment, whatever goes before them.
        seed: makes generated values the same on every worker and at every change.
        at: the time that generated values tell, in seconds since the epoch.

    What cannot be made raises where it is used: `values[name]`.
    """
    templates, database, own = templates or {}, database or {}, own or {}
    merged: dict[str, _Definition] = {
        name: _Definition(variable.value, is_secret=False, path=("variables", name))
        for name, variable in suite.variables.items()
        if not variable.secret
    }
    given = {*sent, *templates, *unopened}.difference(defaults)
    ours = {name: _of_database(name, variable) for name, variable in own.items()}
    for name, variable in database.items():
        if name not in given:
            same = ours.get(name)
            merged[name] = same if same is not None and same.value is variable.value else _of_database(name, variable)
    changed = {name for name in database if name not in given}
    for name in {*sent, *unopened}:
        if name in given or (name not in merged and name not in changed):
            merged[name] = _Definition(sent.get(name), is_secret=False, path=())
    for name, value in templates.items():
        merged[name] = _Definition(value, is_secret=False, path=("variables", name))
    resolver = _Resolver.of(merged, ours, "the variables of the run")
    # What the suite's variables were when the run was started stays, unless they refer to what the database says otherwise.
    moved = {*changed, *templates}
    for root, name in resolver.order:
        if any(node[1] in moved for node in resolver.graph.get((root, name), ())):
            moved.add(name)
    for name in defaults:
        if name in sent and name not in moved:
            resolver.definitions["vars", name] = _Definition(sent[name], is_secret=False, path=())
            resolver.templates.pop(("vars", name), None)
    return resolver.resolve_lazily(seed, at)


def _of_database(name: str, variable: DatabaseVariable) -> _Definition:
    return _Definition(variable.value, is_secret=variable.is_secret, path=("variables", name))


_Node = tuple[str, str]
_LATER = frozenset(NAMESPACES) - {"vars", "env"}


class _Resolver:
    """Nodes are ("vars", name) and ("env", name); the second stands for the first, too, unless it is overridden."""

    def __init__(self, suite: Suite, environment: EnvironmentDocument | None, overrides: Mapping[str, Any]) -> None:
        own: dict[str, _Definition] = {}
        if environment is not None:
            for name, variable in environment.variables.items():
                own[name] = _Definition(variable.value, variable.secret, ("variables", name))
            for name, value in environment.secrets.items():
                own[name] = _Definition(value, is_secret=True, path=("secrets", name))
        merged = {
            name: _Definition(variable.value, variable.secret, ("variables", name), in_suite=True)
            for name, variable in suite.variables.items()
        } | own
        for name, value in overrides.items():
            merged[name] = _Definition(value, is_secret=name in merged and merged[name].is_secret, path=())
        self.join(merged, own, f"environment {environment.environment}" if environment is not None else None)

    @classmethod
    def of(cls, merged: dict[str, _Definition], own: dict[str, _Definition], origin: str) -> _Resolver:
        """Of definitions that are joined already; `own` are the environment's, the same objects where nothing hides them."""
        resolver = cls.__new__(cls)
        resolver.join(merged, own, origin)
        return resolver

    def join(self, merged: dict[str, _Definition], own: dict[str, _Definition], origin: str | None) -> None:
        self.environment_file = origin
        self.names = list(merged)
        self.definitions: dict[_Node, _Definition] = {("env", name): found for name, found in own.items()}
        self.definitions |= {("vars", name): found for name, found in merged.items() if own.get(name) is not found}
        self.errors: list[tuple[Templated | None, DefinitionError]] = []
        self.templates: dict[_Node, Template] = {}
        self.graph: dict[_Node, set[_Node]] = {}
        self.order: list[_Node] = []
        known = KnownNames(vars=frozenset(merged), env=frozenset(own), row=frozenset())
        for node, definition in self.definitions.items():
            template = self.compiled(definition, known)
            self.graph[node] = self.references(template) if template else set()
            if template:
                self.templates[node] = template
        try:
            self.order = list(TopologicalSorter(self.graph).static_order())
        except GraphCycle as error:
            self.refuse_cycle(error.args[1][::-1])

    def compiled(self, definition: _Definition, known: KnownNames) -> Template | None:
        """The variable's template; None where its value holds none and stays as it is."""
        if not definition.path:
            return None
        found = list(find_templates(definition.value, definition.path))
        errors = [(one, error) for one in found for error in _errors_of(one, known)]
        for one, error in errors:
            self.add_error(definition, one, error)
        if not found or any(error.source is None for _, error in errors):
            return None
        try:
            return compile_value(definition.value, field=spell_path(definition.path))
        except TemplateError:
            if errors:
                return None
            raise

    def references(self, template: Template) -> set[_Node]:
        found: set[_Node] = set()
        for reference in template.references:
            if reference.is_bare:
                found.add(self.node("vars", reference.root))
            elif reference.root in ("vars", "env") and reference.path:
                found.add(self.node(reference.root, str(reference.path[0])))
        return found & self.definitions.keys()

    def said(self, template: Template) -> set[str]:
        """The names of variables that a template says, there or not."""
        bare = {reference.root for reference in template.references if reference.is_bare}
        roots = [reference for reference in template.references if reference.root in ("vars", "env") and reference.path]
        return bare | {str(reference.path[0]) for reference in roots}

    def node(self, root: str, name: str) -> _Node:
        return (root, name) if (root, name) in self.definitions else ("env", name)

    def refuse_cycle(self, nodes: list[_Node]) -> None:
        order = list(self.definitions)
        start = min(range(len(nodes) - 1), key=lambda position: order.index(nodes[position]))
        cycle = [*nodes[start:-1], *nodes[:start], nodes[start]]
        names = " → ".join(name for _, name in cycle)
        message = (
            "the variable refers to itself" if len(cycle) == 2 else f"these variables refer to each other: {names}"
        )
        definition = self.definitions[cycle[0]]
        error = DefinitionError(message, field=spell_path(definition.path))
        self.add_error(definition, Templated(definition.path, ""), error)

    def add_error(self, definition: _Definition, place: Templated, error: DefinitionError) -> None:
        if definition.in_suite:
            self.errors.append((place, error))
        else:
            error.file = self.environment_file
            self.errors.append((None, error))

    def resolve(
        self, clock: Callable[[], float], random: Random, *, without: Collection[_Node] = ()
    ) -> ResolvedVariables:
        variables: dict[str, Any] = {}
        environment: dict[str, Any] = {}
        secret: set[_Node] = set()
        scope = Scope(vars=variables, env=environment, clock=clock, random=random)
        for node in self.order:
            if node in without:
                continue
            template = self.templates.get(node)
            value = template.render(scope) if template else self.definitions[node].value
            if self.definitions[node].is_secret or not secret.isdisjoint(self.graph[node]):
                secret.add(node)
            root, name = node
            if root == "env":
                environment[name] = value
            if root == "vars" or ("vars", name) not in self.definitions:
                variables[name] = value
        return ResolvedVariables(
            values={name: variables[name] for name in self.names if name in variables},
            environment=environment,
            secret_names=frozenset(name for _, name in secret),
        )

    def resolve_lazily(self, seed: str, at: float) -> ResolvedVariables:
        """As `resolve`; generated values depend on seed and name alone, and what is broken raises when it is used."""
        variables, environment = _Values(), _Values()
        secret: set[_Node] = set()
        problems = {error.field: error for _, error in self.errors}
        for node in self.order or self.definitions:
            root, name = node
            definition = self.definitions[node]
            template = self.templates.get(node)
            error = problems.get(spell_path(definition.path)) if definition.path else None
            value = definition.value
            if error is None and template is not None:
                random = Random(f"{seed}:{name}")  # noqa: S311 - the same on every worker
                scope = Scope(vars=variables, env=environment, clock=lambda: at, random=random)
                try:
                    value = template.render(scope)
                except DefinitionError as failure:
                    error = failure
            if definition.is_secret or not secret.isdisjoint(self.graph.get(node, ())):
                secret.add(node)
            places = [environment] if root == "env" else []
            if root == "vars" or ("vars", name) not in self.definitions:
                places.append(variables)
            for place in places:
                if error is None:
                    place[name] = value
                else:
                    place.broken[name] = error
        return ResolvedVariables(variables, environment, frozenset(name for _, name in secret))


def _errors_of(templated: Templated, known: KnownNames) -> list[TemplateError]:
    field = spell_path(templated.path)
    try:
        template = compile_value(templated.text, field=field)
    except TemplateError as error:
        return [error]
    errors = [error for error in check(template, known) if _root(error.source) not in _LATER]
    for reference in template.references:
        if reference.root in _LATER:
            early = TemplateError(
                f"{reference.source} is not known yet when variables get their values",
                field=field,
                hint="A variable may refer to variables, to the environment and to generated values.",
            )
            early.source, early.source_column = reference.source, reference.column
            errors.append(early)
    return errors


def _root(source: str | None) -> str:
    return (source or "").partition(".")[0].partition("[")[0]
