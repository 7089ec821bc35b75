"""What a run is made of, before anything is started: files, names, data sets, credentials, variables."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orbit_context.errors import DefinitionError, DefinitionErrors, NothingSelectedError, TemplateError
from orbit_context.suite.data import named_fixtures
from orbit_context.suite.load import load_environment, load_suite
from orbit_context.suite.variables import ResolvedVariables, parse_overrides, resolve_at_start, resolve_variables
from orbit_runner.cli.runs.names import DatabaseNames, fetch_names
from orbit_runner.cli.runs.selection import matching_tests
from orbit_runner.cli.target import fetch_fixtures, find_database, has_database
from orbit_runner.execute.suite import compile_suite
from orbit_runner.report.write import parse_report

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from orbit_context.suite.document import EnvironmentDocument
    from orbit_context.suite.load import LoadedSuite
    from orbit_runner.connection import DatabaseTarget

__all__ = ["Prepared", "RunOptions", "prepare"]


@dataclass(frozen=True)
class RunOptions:
    """What the command line asks for."""

    file: Path
    environment: str | None = None
    variables: Sequence[str] = ()
    credentials: Sequence[str] = ()
    tags: Sequence[str] = ()
    tests: Sequence[str] = ()
    """By key; with the expression, those of both."""
    expression: str | None = None
    concurrency: int | None = None
    fail_fast: bool = False
    timeout: float | None = None
    order: str | None = None
    reports: Sequence[str] = ()
    organization: str | None = None
    as_json: bool = False
    quiet: bool = False


@dataclass
class Prepared:
    """A suite with all that its run is started with."""

    options: RunOptions
    suite: LoadedSuite
    environment: str | None
    """Of an environment file; its values go with the run."""
    saved_environment: str | None
    """One of the database."""
    variables: ResolvedVariables
    defaults: list[str]
    """Names among `variables` that are the suite's own, which the database's go before."""
    compiled: list[Any]
    selection: dict[str, Any] | None
    templates: dict[str, Any] = field(default_factory=dict)

    @property
    def captures_secrets(self) -> bool:
        return any(
            capture.is_secret for test in self.suite.document.tests.values() for capture in test.capture.values()
        )

    def split(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The run's variables in clear, and those to be sealed. `env.x` only where another value of x overrides it."""
        resolved = self.variables
        own = {
            f"env.{name}": value for name, value in resolved.environment.items() if resolved.values.get(name) != value
        }
        clear: dict[str, Any] = {}
        secret: dict[str, Any] = {}
        for name, value in (resolved.values | own).items():
            (secret if name.removeprefix("env.") in resolved.secret_names else clear)[name] = value
        return clear, secret


def prepare(options: RunOptions) -> Prepared:
    """Everything that can be wrong with files and options is found before the database is touched, which is asked only for what
    they name. Raises DefinitionError, NotFoundError, NothingSelectedError."""
    for spec in options.reports:
        parse_report(spec)
    overrides = parse_overrides(options.variables)
    environment = _environment_file(options.environment)
    saved = options.environment if environment is None else None
    database = _Database(options)
    load = partial(load_suite, options.file, fixtures=database.fixtures(), credentials=database.credentials())
    found = database.names(saved) if saved is not None else None
    try:
        suite = load(
            environment=found.environment if found else environment,
            overrides={*overrides, *(found.names if found else ())},
        )
    except DefinitionError as error:
        # A name that nobody has: a variable of the database, where there is one.
        if found is not None or not _lacks_a_name(error) or not has_database():
            raise
        found = database.names(None)
        suite = load(environment=environment, overrides={*overrides, *found.names})
    templates: dict[str, Any] = {}
    if found is not None:
        variables, templates = resolve_at_start(
            suite.document, found.environment or environment, overrides, found.names, is_saved=saved is not None
        )
    else:
        variables = resolve_variables(suite.document, environment, overrides)
    given = {*environment.variables, *environment.secrets} if environment else set()
    return Prepared(
        options,
        suite,
        environment=environment.environment if environment else None,
        saved_environment=saved,
        variables=variables,
        defaults=sorted({*suite.document.variables} - {*overrides} - given),
        compiled=compile_suite(suite),
        selection=_selection(options, suite),
        templates=templates,
    )


class _Database:
    """What the database knows of names that a suite and the command line say; found when it is first asked."""

    def __init__(self, options: RunOptions) -> None:
        self._options = options

    @cached_property
    def _target(self) -> DatabaseTarget:
        return find_database()

    def fixtures(self) -> Any:
        file = self._options.file
        if not named_fixtures(file)[1]:
            return None
        return asyncio.run(fetch_fixtures(self._target, file, self._options.organization))

    def names(self, environment: str | None) -> DatabaseNames:
        return asyncio.run(fetch_names(self._target, self._options.file, environment, self._options.organization))

    def credentials(self) -> Mapping[str, Collection[str]]:
        if not self._options.credentials:
            return {}
        from orbit_runner.cli.configuration.credentials import fetch_credentials

        return asyncio.run(fetch_credentials(self._target, self._options.credentials, self._options.organization))


def _environment_file(name: str | None) -> EnvironmentDocument | None:
    if name is None:
        return None
    path = Path(name)
    if path.suffix in {".yaml", ".yml", ".json"} or path.is_file():
        return load_environment(path)
    return None


def _lacks_a_name(error: DefinitionError) -> bool:
    """Whether a template says a name that neither the suite nor its environment has."""
    errors = error.errors if isinstance(error, DefinitionErrors) else [error]
    return any(isinstance(one, TemplateError) and one.source is not None for one in errors)


def _selection(options: RunOptions, suite: LoadedSuite) -> dict[str, Any] | None:
    selection: dict[str, Any] = {}
    if options.tags:
        selection["tags"] = [[tag.strip() for tag in group.split(",") if tag.strip()] for group in options.tags]
    if options.expression is not None:
        keys = matching_tests(suite.document, options.expression)
        if not keys:
            raise NothingSelectedError(
                f"no test matches {options.expression!r}", hint="see the names with: orbit validate --list"
            )
        selection["tests"] = keys
    if options.tests:
        unknown = [key for key in options.tests if key not in suite.document.tests]
        if unknown:
            raise NothingSelectedError(
                f"there is no test {unknown[0]}", hint="see the names with: orbit validate --list"
            )
        selection["tests"] = [key for key in selection.get("tests", options.tests) if key in options.tests]
    return selection or None
