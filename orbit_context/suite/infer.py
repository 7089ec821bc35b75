"""Which test waits for which: stated by `needs`, and inferred from the names that templates use.

Rules, by the first word of a name:

- `captured_data.T…`: waits for test T (data).
- `shared_auth_tokens.X`: waits for every test that captures X with `share: token` (token).
- `shared_variables.X`: waits for every test that captures X with `share: variable` (data); without one, X is a
  variable of the run.
- a bare name: a field of the row; else a variable; else the capture of exactly one test, which is waited for.

A name with a default may be missing when the test runs: it orders the tests, and does not stop an `always` test.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field, replace
from graphlib import CycleError as GraphCycle
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any, Literal

from orbit_context.errors import CycleError, TemplateError
from orbit_context.names import did_you_mean, near
from orbit_context.suite.templates import find_templates
from orbit_context.template import NAMESPACES, KnownNames, Template, check, compile_value
from orbit_context.template.check import RUN_NAMES, TEST_NAMES
from orbit_context.template.syntax import spell_path

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from orbit_context.suite.document import Test
    from orbit_context.suite.problems import DocumentPath, Problems
    from orbit_context.suite.templates import Templated
    from orbit_context.template import Reference

__all__ = ["MAX_EDGES", "Edge", "EdgeKind", "Group", "Inference", "infer"]

EdgeKind = Literal["order", "data", "token"]

MAX_EDGES = 250_000
_STRENGTH: dict[EdgeKind, int] = {"order": 0, "data": 1, "token": 2}
_TEMPLATED = ("request", "poll", "expect")
_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_DEFAULTED = ("base_url", "headers", "query", "auth", "tls", "proxy")


@dataclass(frozen=True, slots=True)
class Edge:
    """`dependent_key` waits for `required_key`. Only an `order` need may fail before an `always` test."""

    dependent_key: str
    required_key: str
    kind: EdgeKind


@dataclass(slots=True)
class Group:
    """A test as it is written, and the tests that it becomes: one, or one for each row."""

    key: str
    test: Test
    written: Mapping[str, Any]
    """The test as JSON, shorthands and all: templates are found in it, and their place in the file."""
    keys: list[str]
    rows: list[dict[str, Any]] | None = None
    fields: frozenset[str] = frozenset()
    """Fields that every row has."""
    some_fields: frozenset[str] = frozenset()
    """Fields that any row has."""
    requires: dict[str, EdgeKind] = field(default_factory=dict)
    """Key of a group, or of one row of another, → the strongest reason to wait for it."""
    reasons: dict[str, tuple[str, DocumentPath, int | None]] = field(default_factory=dict)
    """Key of a group → why it is waited for, and where that is written."""
    bare: dict[str, tuple[str | int, ...]] = field(default_factory=dict)

    def set_rows(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows
        self.fields = frozenset(rows[0]).intersection(*rows)
        self.some_fields = frozenset().union(*rows)


@dataclass(frozen=True, slots=True)
class Inference:
    edges: list[Edge]
    bare: dict[str, dict[str, tuple[str | int, ...]]]


def infer(
    groups: Mapping[str, Group],
    *,
    defaults: Mapping[str, Any],
    variables: Collection[str],
    environment: Collection[str] | None,
    credentials: Mapping[str, Collection[str]] | None,
    problems: Problems,
) -> Inference:
    """The edges of a suite and the meaning of its bare names.

    Args:
        groups: by key, in the order of the document.
        defaults: the suite's defaults, as written.
        variables: the names of all variables: the suite's, the environment's and those given to the run.
        environment: the names of the environment's; None where none is given.
        credentials: those the run is given, name → fields; None where that is not known.
        problems: gets every name that nothing explains, every ambiguity, and a cycle.
    """
    inference = _Inference(groups, defaults, variables, environment, credentials, problems)
    for group in groups.values():
        if problems.is_full:
            break
        inference.add_needs(group)
        inference.add_references(group)
    inference.refuse_cycles()
    return inference.result() if not problems else Inference([], {})


class _Inference:
    def __init__(
        self,
        groups: Mapping[str, Group],
        defaults: Mapping[str, Any],
        variables: Collection[str],
        environment: Collection[str] | None,
        credentials: Mapping[str, Collection[str]] | None,
        problems: Problems,
    ) -> None:
        self.groups = groups
        self.variables = frozenset(variables)
        self.environment = environment
        self.problems = problems
        self.templates: dict[str, Template | TemplateError] = {}
        self.rows = {key: group for group in groups.values() for key in group.keys if key != group.key}
        self.bases: dict[str, list[Group]] = {}
        self.captures: dict[str, list[Group]] = {}
        self.shared: dict[str, dict[str, list[Group]]] = {"token": {}, "variable": {}}
        for group in groups.values():
            if group.key.endswith("]"):  # a row's test, in a document that was expanded before
                self.bases.setdefault(group.key.partition("[")[0], []).append(group)
            for name, capture in group.test.capture.items():
                self.captures.setdefault(name, []).append(group)
                if capture.share is not None:
                    self.shared[capture.share].setdefault(name, []).append(group)
        self.known = KnownNames(
            captured_data={key: group.test.capture for group in groups.values() for key in group.keys},
            shared_auth_tokens=self.shared["token"],
            shared_variables={*self.shared["variable"], *self.variables},
            vars=self.variables,
            env=frozenset(environment or ()),
            credentials=credentials,
            row=frozenset(),
            bare={name: ("captured_data", found[0].key, name) for name, found in self.captures.items()},
        )
        self.defaults = {
            name: list(find_templates(defaults[name], ("defaults", name))) for name in _DEFAULTED if name in defaults
        }

        self.auth_header = _auth_header(defaults.get("auth"))

    def add_needs(self, group: Group) -> None:
        for position, need in enumerate(group.test.needs):
            path = ("tests", group.key, "needs", position)
            if need.test == group.key or need.test in group.keys:
                self.problems.add(path, "a test cannot need itself")
            elif need.test in self.groups or need.test in self.rows:
                self.require(group, need.test, need.kind, "needs it", path, None)
            elif need.test in self.bases:
                for other in self.bases[need.test]:
                    self.require(group, other.key, need.kind, "needs it", path, None)
            else:
                self.problems.add(
                    path,
                    f"there is no test called {need.test!r}",
                    hint=did_you_mean(near(need.test, [*self.groups, *self.bases])),
                )

    def add_references(self, group: Group) -> None:
        for name in _TEMPLATED:
            if name in group.written:
                for templated in find_templates(group.written[name], ("tests", group.key, name)):
                    self.add_text(group, templated)
        if self.defaults:
            for templated in self.defaults_of(group):
                self.add_text(group, templated)

    def defaults_of(self, group: Group) -> Iterator[Templated]:
        """The templates of the suite's defaults that the test does not override."""
        request = group.test.request
        headers = {name.lower() for name in request.headers}
        for name, templates in self.defaults.items():
            if name == "base_url":
                if _ABSOLUTE.match(request.url):
                    continue
            elif name in ("headers", "query"):
                given = headers if name == "headers" else set(request.query)
                for templated in templates:
                    key = str(templated.path[2])
                    if (key.lower() if name == "headers" else key) not in given:
                        yield templated
                continue
            elif getattr(request, name) is not None or (name == "auth" and self.auth_header in headers):
                continue
            yield from templates

    def add_text(self, group: Group, templated: Templated) -> None:
        """Take in the names of one string."""
        path, text = templated.path, templated.text
        template = self.templates.get(text)
        if template is None:
            try:
                template = compile_value(text)
            except TemplateError as error:
                template = error
            self.templates[text] = template
        if isinstance(template, TemplateError):
            self.problems.add(path, _copy(template), key=templated.is_key, offset=(template.source_column or 1) - 1)
            return
        unknown = [reference for reference in template.references if not self.add_reference(group, path, reference)]
        if unknown:
            columns = {reference.column for reference in unknown}
            known = replace(self.known, row=group.fields)
            for missing in check(template, known):
                if missing.source_column in columns:
                    offset = (missing.source_column or 1) - 1
                    self.problems.add(path, self.with_hint(missing, group), key=templated.is_key, offset=offset)

    def with_hint(self, error: TemplateError, group: Group) -> TemplateError:
        root = (error.source or "").partition(".")[0]
        if root == "env" and self.environment is None:
            error.hint = "Its variables are known when an environment is given."
        elif root == "row" and group.rows is None:
            error.hint = "Only a test with `data` has a row."
        return error

    def add_reference(self, group: Group, path: DocumentPath, reference: Reference) -> bool:
        """Take in one name; False if nothing explains it."""
        root, steps = reference.root, reference.path
        if root not in NAMESPACES:
            return self.add_bare(group, path, reference)
        name = steps[0] if steps else None
        if root == "row" and group.rows is None and group.test.data is not None:
            return True  # its rows could not be read, which has been said
        if root == "row":
            if name in group.some_fields - group.fields and not reference.has_default:
                self.refuse_missing_field(group, path, reference, str(name))
                return True
            return name in group.fields if isinstance(name, str) else group.rows is not None
        if root in ("vars", "env"):
            return name in (self.variables if root == "vars" else self.environment or ())
        if root == "credentials":
            return False  # whatever is wrong with it is found by looking at its path
        if root in ("run", "test"):
            return name in (RUN_NAMES if root == "run" else TEST_NAMES)
        if not isinstance(name, str):
            return False
        if root == "captured_data":
            return self.add_captured(group, path, reference, name)
        kind: Literal["token", "variable"] = "token" if root == "shared_auth_tokens" else "variable"
        sharing = self.shared[kind].get(name, [])
        others = [other for other in sharing if other is not group]
        if sharing and not others:
            self.refuse_self(group, path, reference)
        for other in others:
            self.require(
                group, other.key, "token" if kind == "token" else "data", f"uses {reference.source}", path, reference
            )
        return bool(sharing) or (kind == "variable" and name in self.variables)

    def add_captured(self, group: Group, path: DocumentPath, reference: Reference, key: str) -> bool:
        other = self.groups.get(key)
        if other is None:
            other = self.rows.get(key)
        elif other.rows is not None and other.keys != [key]:
            self.refuse_rows(other, path, reference, reference.path[1:])
            return True
        if other is None:
            return False
        if len(reference.path) > 1 and reference.path[1] not in other.test.capture:
            return False
        if other is group:
            self.refuse_self(group, path, reference)
        else:
            self.require(group, key, "data", f"uses {reference.source}", path, reference)
        return True

    def add_bare(self, group: Group, path: DocumentPath, reference: Reference) -> bool:
        name = reference.root
        if name in group.fields:
            return True
        if name in group.some_fields and not reference.has_default:
            self.refuse_missing_field(group, path, reference, name)
            return True
        capturing = self.captures.get(name, [])
        if name in self.variables:
            if capturing:
                places = [f"vars.{name}", *(_spell(other, name) for other in capturing[:3])]
                self.refuse(path, reference, f"{name!r} is a variable and a capture", f"Write {' or '.join(places)}.")
            return True
        if not capturing:
            return False
        if len(capturing) > 1:
            tokens = self.shared["token"].get(name, [])
            places = [f"shared_auth_tokens.{name}"] if len(tokens) == len(capturing) else []
            places += [_spell(other, name) for other in capturing[:3]]
            names = ", ".join(other.key for other in capturing[:5]) + (", …" if len(capturing) > 5 else "")
            self.refuse(path, reference, f"several tests capture {name!r}: {names}", f"Write {' or '.join(places)}.")
            return True
        (other,) = capturing
        if other is group:
            self.refuse_self(group, path, reference)
        elif other.rows is not None and other.keys != [other.key]:
            self.refuse_rows(other, path, reference, (name,))
        else:
            is_token = other.test.capture[name].share == "token"
            group.bare[name] = ("shared_auth_tokens", name) if is_token else ("captured_data", other.key, name)
            self.require(group, other.key, "token" if is_token else "data", f"uses {reference.source}", path, reference)
        return True

    def require(
        self,
        group: Group,
        key: str,
        kind: EdgeKind,
        reason: str,
        path: DocumentPath,
        reference: Reference | None,
    ) -> None:
        if reference is not None and reference.has_default:
            kind = "order"
        known = group.requires.get(key)
        if known is None or _STRENGTH[kind] > _STRENGTH[known]:
            group.requires[key] = kind
        offset = reference.column - 1 if reference is not None else None
        group.reasons.setdefault(self.rows[key].key if key in self.rows else key, (reason, path, offset))

    def refuse(self, path: DocumentPath, reference: Reference, message: str, hint: str) -> None:
        error = TemplateError(message, hint=hint)
        error.source, error.source_column = reference.source, reference.column
        self.problems.add(path, error, offset=reference.column - 1)

    def refuse_self(self, group: Group, path: DocumentPath, reference: Reference) -> None:
        hint = "What a test captures is there for the tests after it."
        if path[:2] == ("defaults", "auth"):
            hint = f"Give {group.key} its own `auth`, or `auth: none`."
        self.refuse(path, reference, f"{group.key} uses {reference.source}, which it captures itself", hint)

    def refuse_rows(self, other: Group, path: DocumentPath, reference: Reference, rest: tuple[str | int, ...]) -> None:
        self.refuse(
            path,
            reference,
            f"{other.key} runs once for each of its {len(other.keys)} rows: which one is meant?",
            f"Write {spell_path(('captured_data', other.keys[0], *rest))}.",
        )

    def refuse_missing_field(self, group: Group, path: DocumentPath, reference: Reference, name: str) -> None:
        missing = next(number for number, row in enumerate(group.rows or (), 1) if name not in row)
        self.refuse(
            path, reference, f"row {missing} has no {name!r}", f"Give it one, or a default: {reference.source} ?? null."
        )

    def refuse_cycles(self) -> None:
        graph = {
            key: [self.rows[required].key if required in self.rows else required for required in group.requires]
            for key, group in self.groups.items()
        }
        try:
            TopologicalSorter(graph).prepare()
        except GraphCycle as error:
            found = error.args[1][:0:-1]  # graphlib names the required test first
            order = {key: position for position, key in enumerate(self.groups)}
            start = min(range(len(found)), key=lambda position: order[found[position]])
            keys = [*found[start:], *found[:start], found[start]]
            lines = []
            for key, required in itertools.pairwise(keys):
                reason, path, offset = self.groups[key].reasons[required]
                line = self.problems.line_of(path, offset=offset)
                lines.append(f"{key} waits for {required}: {reason}" + (f" (line {line})" if line else ""))
            self.problems.add(
                ("tests", keys[0]),
                CycleError(
                    f"these tests wait for each other: {' → '.join(_cut(keys))}",
                    detail="\n".join(_cut(lines)),
                    hint="Take one of these needs away.",
                ),
                key=True,
            )

    def result(self) -> Inference:
        edges: list[Edge] = []
        for group in self.groups.values():
            required: dict[str, EdgeKind] = {}
            for target, kind in group.requires.items():
                for key in self.groups[target].keys if target in self.groups else [target]:
                    if key not in required or _STRENGTH[kind] > _STRENGTH[required[key]]:
                        required[key] = kind
            if len(edges) + len(required) * len(group.keys) > MAX_EDGES:
                self.problems.add(
                    ("tests", group.key),
                    f"the suite's tests wait for each other in more than {MAX_EDGES:,} ways",
                    hint="Put one test between the rows of two data-driven tests.",
                    key=True,
                )
                return Inference([], {})
            edges += [Edge(dependent, key, kind) for dependent in group.keys for key, kind in required.items()]
        return Inference(edges, {key: group.bare for group in self.groups.values() if group.bare for key in group.keys})


def _cut(items: list[str]) -> list[str]:
    """A long list without its middle."""
    return items if len(items) <= 12 else [*items[:8], f"… {len(items) - 10} more …", *items[-2:]]


def _auth_header(auth: Any) -> str | None:
    """The header that the default authentication sets; a test that sets it by itself does without."""
    if not isinstance(auth, dict) or "api_key" not in auth:
        return "authorization"
    key = auth["api_key"]
    return str(key["name"]).lower() if key.get("in", "header") == "header" else None


def _spell(group: Group, name: str) -> str:
    return spell_path(("captured_data", group.keys[0], name))


def _copy(error: TemplateError) -> TemplateError:
    """The same error for another place."""
    copy = TemplateError(error.message, detail=error.detail, hint=error.hint)
    copy.source, copy.source_column = error.source, error.source_column
    return copy
