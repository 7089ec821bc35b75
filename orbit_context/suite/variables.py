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
    from collections.abc import Callable, Iterable, Mapping

    from orbit_context.suite.document import EnvironmentDocument, Suite

__all__ = ["ResolvedVariables", "find_variable_errors", "parse_overrides", "resolve_variables"]


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
        self.environment_file = f"environment {environment.environment}" if environment is not None else None
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

    def resolve(self, clock: Callable[[], float], random: Random) -> ResolvedVariables:
        variables: dict[str, Any] = {}
        environment: dict[str, Any] = {}
        secret: set[_Node] = set()
        scope = Scope(vars=variables, env=environment, clock=clock, random=random)
        for node in self.order:
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
            values={name: variables[name] for name in self.names},
            environment=environment,
            secret_names=frozenset(name for _, name in secret),
        )


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
