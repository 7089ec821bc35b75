"""A suite file (or a suite made by a program) checked, expanded and joined up: ready to be saved and run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from orbit_context.errors import DefinitionError, TemplateError
from orbit_context.suite.data import expand, read_rows, row_keys
from orbit_context.suite.document import EnvironmentDocument, Suite, Variable
from orbit_context.suite.expressions import about_file, find_expressions, find_missing_files
from orbit_context.suite.infer import Edge, Group, infer
from orbit_context.suite.problems import Problems, source_path
from orbit_context.suite.variables import find_variable_errors
from orbit_context.suite.yaml import read_document

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from orbit_context.suite.data import FixtureRows
    from orbit_context.suite.document import Test
    from orbit_context.suite.expressions import Expression
    from orbit_context.suite.yaml import ParsedDocument

__all__ = ["Edge", "FixtureUse", "LoadedSuite", "build_suite", "load_environment", "load_suite", "validated"]

_Document = TypeVar("_Document", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class FixtureUse:
    """A data set of the project as a suite uses it: how many of its rows, each time it is named."""

    name: str
    version: int
    rows: int


@dataclass(frozen=True, slots=True)
class LoadedSuite:
    """A suite whose tests are expanded and whose names are all known."""

    document: Suite
    """Data-driven tests are replaced by one test for each row."""
    edges: list[Edge]
    """Stated and inferred; at most one for two tests."""
    bare: dict[str, dict[str, tuple[str | int, ...]]]
    """Test key → bare name of a capture → its absolute path, as in `Scope.bare`. Tests that use none are left out."""
    expressions: list[Expression]
    """JSONPaths, regular expressions, XPaths and schemas that the runner compiles before anything is sent."""
    base_dir: Path
    """What paths in the suite are relative to."""
    file: str | None = None
    fixtures: tuple[FixtureUse, ...] = ()
    """The data sets that its rows are from."""
    _source: ParsedDocument | None = field(default=None, repr=False)

    def locate(self, path: Sequence[str | int]) -> tuple[int, int] | None:
        """Line and column, from 1, of a part of the document (`("tests", "item[2]", "request")`); None without a file."""
        if self._source is None:
            return None
        return self._source.locate(source_path(self._source.data, path))


def load_suite(
    path: str | Path,
    *,
    environment: EnvironmentDocument | None = None,
    overrides: Collection[str] = (),
    fixtures: Mapping[str, FixtureRows] | None = None,
    credentials: Mapping[str, Collection[str]] | None = None,
) -> LoadedSuite:
    """Read and check a suite file (`.yaml`, `.yml`, `.json`).

    Args:
        environment: what the suite will run in; its variables are known names.
        overrides: names of further variables that the run is given (`--var`).
        fixtures: the data sets of its project that it names (`orbit.fixtures.for_suite`).
        credentials: those that the run is given, each with its fields (`ApiCredential.fields`); not looked at unless given.

    Raises:
        DefinitionError: it is wrong; `errors` lists all that was found.
    """
    file = Path(path)
    source = read_document(file)
    suite = validated(Suite, source.data, source)
    return _build(suite, source.data, source, file.parent, environment, overrides, fixtures, credentials)


def build_suite(
    suite: Suite | Mapping[str, Any],
    *,
    base_dir: str | Path | None = None,
    environment: EnvironmentDocument | Collection[str] | None = None,
    overrides: Collection[str] = (),
    fixtures: Mapping[str, FixtureRows] | None = None,
    credentials: Mapping[str, Collection[str]] | None = None,
) -> LoadedSuite:
    """Check a suite that a program made: a model, or what a file would hold.

    What was expanded before stays as it is. Raises as `load_suite`.

    Args:
        base_dir: what paths in the suite are relative to; the working directory unless given.
        environment: what the suite will run in, or the names of its variables where that is all that is known.
        overrides: names of further variables that the run is given.
        fixtures: the data sets of its project that it names.
        credentials: those that the run is given, each with its fields; not looked at unless given.
    """
    if environment is not None and not isinstance(environment, EnvironmentDocument):
        environment = EnvironmentDocument(environment="given", variables={name: Variable() for name in environment})
    if not isinstance(suite, Suite):
        suite = validated(Suite, suite, None)
    return _build(suite, suite.to_json(), None, Path(base_dir or "."), environment, overrides, fixtures, credentials)


def load_environment(path: str | Path) -> EnvironmentDocument:
    """Read and check an environment file. Raises as `load_suite`."""
    source = read_document(Path(path))
    return validated(EnvironmentDocument, source.data, source)


def validated(model: type[_Document], data: Any, source: ParsedDocument | None) -> _Document:
    """The document as its model. Raises DefinitionError; `errors` lists all that pydantic found, each with its place."""
    problems = Problems(source)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems.add_validation(error, model, data)
    # Raised out here: pydantic's error holds the values it refused, secrets too, and would go along as the context.
    problems.raise_if_any()
    raise AssertionError("pydantic refused a document and named no error")


def _build(
    suite: Suite,
    written: Mapping[str, Any],
    source: ParsedDocument | None,
    base_dir: Path,
    environment: EnvironmentDocument | None,
    overrides: Collection[str],
    fixtures: Mapping[str, FixtureRows] | None,
    credentials: Mapping[str, Collection[str]] | None,
) -> LoadedSuite:
    problems = Problems(source)
    groups = _groups(suite, written["tests"], base_dir, problems, fixtures)
    _refuse_doubles(suite, problems)
    expressions: list[Expression] = []
    find_missing_files(suite.defaults, ("defaults",), base_dir, problems)
    for key, test in suite.tests.items():
        expressions += find_expressions(test, ("tests", key), base_dir, problems)
        find_missing_files(test.request, ("tests", key, "request"), base_dir, problems)
    for place, error in find_variable_errors(suite, environment, dict.fromkeys(overrides)):
        if place is None:
            problems.add((), error)
        else:
            offset = error.source_column - 1 if isinstance(error, TemplateError) and error.source_column else None
            problems.add(place.path, error, key=place.is_key, offset=offset)
    in_environment = {*environment.variables, *environment.secrets} if environment else None
    inference = infer(
        groups,
        defaults=written.get("defaults") or {},
        variables={*suite.variables, *(in_environment or ()), *overrides},
        environment=in_environment,
        credentials=credentials,
        problems=problems,
    )
    problems.raise_if_any()
    return LoadedSuite(
        document=_expanded(suite, groups),
        edges=inference.edges,
        bare=inference.bare,
        expressions=expressions,
        base_dir=base_dir,
        file=source.file if source else None,
        fixtures=_used(groups, fixtures or {}),
        _source=source,
    )


def _used(groups: Mapping[str, Group], fixtures: Mapping[str, FixtureRows]) -> tuple[FixtureUse, ...]:
    rows: dict[str, int] = {}
    for group in groups.values():
        if group.test.data is not None and (name := group.test.data.fixture) is not None:
            rows[name] = rows.get(name, 0) + len(group.rows or ())
    return tuple(FixtureUse(name, fixtures[name].version, count) for name, count in rows.items())


def _groups(
    suite: Suite,
    written: Mapping[str, Any],
    base_dir: Path,
    problems: Problems,
    fixtures: Mapping[str, FixtureRows] | None,
) -> dict[str, Group]:
    """The tests as they are written, with the keys of the tests that they become."""
    groups: dict[str, Group] = {}
    for key, test in suite.tests.items():
        group = groups[key] = Group(key, test, written[key], [key])
        if key.endswith("]") != (test.row is not None) or (test.row is not None and test.data is not None):
            problems.add(
                ("tests", key),
                "`row` and brackets in a key belong to the tests that `data` makes",
                hint="Write `data` with the rows, under a key without brackets.",
                key=True,
            )
        elif test.row is not None:
            group.set_rows([test.row])
        elif test.data is not None:
            try:
                rows = read_rows(test.data, base_dir, fixtures)
                group.set_rows(rows)
                group.keys = row_keys(key, test.data, rows)
            except DefinitionError as error:
                about = about_file(error, str(test.data.file)) if error.file and error.line is None else error
                path = ("tests", key, "data") if test.data.fixture is None else ("tests", key, "data", "fixture")
                problems.add(path, about)
    return groups


def _refuse_doubles(suite: Suite, problems: Problems) -> None:
    """Two tests with one identity would share one history."""
    owners: dict[str, str] = {}
    for key, test in suite.tests.items():
        identity = test.id or key
        if (owner := owners.setdefault(identity, key)) != key:
            problems.add(("tests", key, "id"), f"{owner} has the id {identity!r} already", key=test.id is None)
    renamed: dict[str, str] = {}
    for key, test in suite.tests.items():
        if test.renamed_from is None:
            continue
        path = ("tests", key, "renamed_from")
        if test.renamed_from in owners:
            problems.add(path, f"there still is a test called {test.renamed_from!r}", hint="Take `renamed_from` out.")
        elif (other := renamed.setdefault(test.renamed_from, key)) != key:
            problems.add(path, f"{other} was renamed from {test.renamed_from!r} already")


def _expanded(suite: Suite, groups: Mapping[str, Group]) -> Suite:
    if all(test.data is None for test in suite.tests.values()):
        return suite
    tests: dict[str, Test] = {}
    for key, group in groups.items():
        if group.test.data is None or group.rows is None:
            tests[key] = group.test
        else:
            tests |= expand(key, group.test, group.keys, group.rows)
    return suite.model_copy(update={"tests": tests})
