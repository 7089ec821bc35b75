"""The variables of a run: the suite's, the environment's and those given on the command line, resolved once.

Precedence: suite < environment < overrides. A variable may refer to other variables (`{{user}}`, `{{vars.user}}`,
`{{env.host}}`) and to generated values (`{{uuid()}}`), which are made once per run. What refers to a secret is secret.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from graphlib import CycleError as GraphCycle
from graphlib import TopologicalSorter
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any

from orbit_context.errors import DefinitionError, TemplateError
from orbit_context.template import KnownNames, Scope, Template, check, compile_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from orbit_context.suite.document import EnvironmentDocument, Suite

__all__ = ["ResolvedVariables", "parse_overrides", "resolve_variables"]


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
    is_literal: bool = False


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
        try:
            values[name] = parse_json(text)
        except DefinitionError as error:
            raise DefinitionError(
                f"the value of {name!r} is not JSON", hint=f"Write {name}=… to give it as text."
            ) from error
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
    own: dict[str, _Definition] = {}
    if environment is not None:
        for name, variable in environment.variables.items():
            own[name] = _Definition(variable.value, variable.secret, ("variables", name))
        for name, value in environment.secrets.items():
            own[name] = _Definition(value, is_secret=True, path=("secrets", name))
    merged = {
        name: _Definition(variable.value, variable.secret, ("variables", name))
        for name, variable in suite.variables.items()
    } | own
    for name, value in (overrides or {}).items():
        is_secret = name in merged and merged[name].is_secret
        merged[name] = _Definition(value, is_secret, ("variables", name), is_literal=True)
    return _Resolver(merged, own, clock, random or SystemRandom()).resolve()


class _Resolver:
    """Nodes are ("vars", name) and ("env", name); the first stands for the second unless something overrides it."""

    def __init__(
        self,
        merged: dict[str, _Definition],
        own: dict[str, _Definition],
        clock: Callable[[], float],
        random: Random,
    ) -> None:
        self.definitions: dict[tuple[str, str], _Definition] = {("env", name): found for name, found in own.items()}
        self.definitions |= {("vars", name): found for name, found in merged.items() if own.get(name) is not found}
        self.names = frozenset(merged)
        self.known = KnownNames(
            captured_data={},
            shared_auth_tokens=(),
            shared_variables=(),
            vars=self.names,
            env=frozenset(own),
            row=(),
        )
        self.scope = Scope(vars={}, env={}, clock=clock, random=random)

    def node(self, root: str, name: str) -> tuple[str, str]:
        return (root, name) if (root, name) in self.definitions else ("env", name)

    def resolve(self) -> ResolvedVariables:
        values: dict[tuple[str, str], Any] = {}
        templates: dict[tuple[str, str], Template] = {}
        graph: dict[tuple[str, str], set[tuple[str, str]]] = {}
        for node, definition in self.definitions.items():
            template = None if definition.is_literal else self.compile(definition)
            if template is None:
                values[node] = definition.value
                graph[node] = set()
            else:
                templates[node] = template
                graph[node] = self.references(template)
        order = self.ordered(graph)
        secret: set[tuple[str, str]] = set()
        variables: dict[str, Any] = {}
        environment: dict[str, Any] = {}
        scope = Scope(vars=variables, env=environment, clock=self.scope.clock, random=self.scope.random)
        for node in order:
            if node in templates:
                values[node] = templates[node].render(scope)
            if self.definitions[node].is_secret or not secret.isdisjoint(graph[node]):
                secret.add(node)
            root, name = node
            if root == "env":
                environment[name] = values[node]
            if root == "vars" or ("vars", name) not in self.definitions:
                variables[name] = values[node]
        return ResolvedVariables(
            values={name: variables[name] for name in self.names_in_order()},
            environment=environment,
            secret_names=frozenset(name for _, name in secret),
        )

    def names_in_order(self) -> list[str]:
        return list(dict.fromkeys(name for _, name in self.definitions))

    def compile(self, definition: _Definition) -> Template | None:
        """The variable's template; None where its value holds none and stays as it is."""
        if not _may_hold_template(definition.value):
            return None
        template = compile_value(definition.value, field=".".join(definition.path))
        errors = check(template, self.known)
        if errors:
            error = errors[0]
            root = (error.source or "").partition(".")[0]
            if root in ("captured_data", "shared_auth_tokens", "shared_variables", "row", "run", "test"):
                raise TemplateError(
                    f"a variable is known before the run starts; {error.source} is not",
                    field=error.field,
                    hint="Refer to variables, to the environment, and to generated values.",
                )
            raise error
        return template

    def references(self, template: Template) -> set[tuple[str, str]]:
        found: set[tuple[str, str]] = set()
        for reference in template.references:
            if reference.is_bare:
                name, root = reference.root, "vars"
            elif reference.root in ("vars", "env") and reference.path:
                name, root = str(reference.path[0]), reference.root
            else:
                continue
            node = self.node(root, name)
            if node in self.definitions:
                found.add(node)
        return found

    def ordered(self, graph: dict[tuple[str, str], set[tuple[str, str]]]) -> list[tuple[str, str]]:
        try:
            return list(TopologicalSorter(graph).static_order())
        except GraphCycle as error:
            names = [name for _, name in error.args[1][::-1]]
            raise DefinitionError(
                f"these variables refer to each other: {' → '.join(names)}", field=f"variables.{names[0]}"
            ) from None


def _may_hold_template(value: Any) -> bool:
    if isinstance(value, str):
        return "{{" in value
    if isinstance(value, dict):
        return any("{{" in key or _may_hold_template(member) for key, member in value.items())
    return isinstance(value, list) and any(map(_may_hold_template, value))
