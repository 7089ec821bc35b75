"""`orbit run`: a suite file, from reading it to its exit code."""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from orbit_context.client import Orbit
from orbit_context.context import secret_place
from orbit_context.errors import (
    DatabaseUnavailableError,
    DefinitionError,
    DefinitionErrors,
    NothingSelectedError,
    SecretKeyError,
    TemplateError,
)
from orbit_context.gateway.patience import patiently
from orbit_context.gateway.postgres import PostgresGateway
from orbit_context.suite.data import named_fixtures
from orbit_context.suite.load import load_environment, load_suite
from orbit_context.suite.variables import ResolvedVariables, parse_overrides, resolve_at_start, resolve_variables
from orbit_runner.cli.exits import Exit, of_run
from orbit_runner.cli.project import ensure_schema, fetch_fixtures, find_database, find_sealer, has_database
from orbit_runner.cli.runs.names import DatabaseNames, fetch_names
from orbit_runner.cli.runs.selection import matching_tests
from orbit_runner.execute.suite import compile_suite
from orbit_runner.live import LiveView
from orbit_runner.report.write import parse_report, write_report
from orbit_runner.worker.http import HttpRuns
from orbit_runner.worker.loop import Worker
from orbit_runner.worker.run_state import RunState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from orbit_context.models.runs import Run
    from orbit_context.suite.document import EnvironmentDocument
    from orbit_context.suite.load import LoadedSuite
    from orbit_runner.connection import DatabaseTarget

__all__ = ["DEFAULT_CONCURRENCY", "RunOptions", "resume", "run"]

DEFAULT_CONCURRENCY = 20


@dataclass(frozen=True)
class RunOptions:
    """What the command line asks for."""

    file: Path
    environment: str | None = None
    variables: Sequence[str] = ()
    credentials: Sequence[str] = ()
    tags: Sequence[str] = ()
    expression: str | None = None
    concurrency: int | None = None
    fail_fast: bool = False
    timeout: float | None = None
    reports: Sequence[str] = ()
    as_json: bool = False
    quiet: bool = False


def run(options: RunOptions) -> Exit:
    """Everything that can be wrong with files and options is found before the database is touched."""
    for spec in options.reports:
        parse_report(spec)
    overrides = parse_overrides(options.variables)
    environment = _environment_file(options.environment)
    target: DatabaseTarget | None = None
    fixtures = None
    if named_fixtures(options.file)[1]:
        target = find_database()
        fixtures = asyncio.run(fetch_fixtures(target, options.file))
    found: DatabaseNames | None = None
    saved = options.environment if environment is None else None
    if saved is not None:
        target = target or find_database()  # a name: the database knows what it stands for
        found = asyncio.run(fetch_names(target, options.file, saved))
    credentials: Mapping[str, Collection[str]] = {}
    if options.credentials:
        from orbit_runner.cli.configuration.credentials import fetch_credentials

        target = target or find_database()
        credentials = asyncio.run(fetch_credentials(target, options.credentials))
    load = partial(load_suite, options.file, fixtures=fixtures, credentials=credentials)
    try:
        suite = load(
            environment=found.environment if found else environment,
            overrides={*overrides, *(found.names if found else ())},
        )
    except DefinitionError as error:
        # A name that nobody has: a variable of the database, where there is one.
        if found is not None or not _lacks_a_name(error) or not has_database():
            raise
        target = target or find_database()
        found = asyncio.run(fetch_names(target, options.file, None))
        suite = load(environment=environment, overrides={*overrides, *found.names})
    prepared = _Prepared(options, suite, environment.environment if environment else None, saved)
    if found is not None:
        prepared.variables, prepared.templates = resolve_at_start(
            suite.document, found.environment or environment, overrides, found.names, is_saved=saved is not None
        )
    else:
        prepared.variables = resolve_variables(suite.document, environment, overrides)
    prepared.defaults = sorted(
        {*suite.document.variables}
        - {*overrides}
        - {*(environment.variables if environment else ())}
        - {*(environment.secrets if environment else ())}
    )
    prepared.compiled = compile_suite(suite)
    if options.expression is not None:
        prepared.selected = matching_tests(suite.document, options.expression)
    target = target or find_database()
    return _in_loop(_run(prepared, target))


def resume(run_id: str, *, concurrency: int | None, reports: Sequence[str], as_json: bool) -> Exit:
    """Takes up a run whose runner was lost."""
    for spec in reports:
        parse_report(spec)
    return _in_loop(_resume(run_id, concurrency, reports, as_json, find_database()))


@dataclass
class _Prepared:
    options: RunOptions
    suite: LoadedSuite
    environment: str | None
    """Of an environment file; its values go with the run."""
    saved_environment: str | None
    """One of the database."""
    variables: ResolvedVariables = field(default_factory=lambda: ResolvedVariables({}, {}, frozenset()))
    templates: dict[str, Any] = field(default_factory=dict)
    defaults: list[str] = field(default_factory=list)
    compiled: list[Any] = field(default_factory=list)
    selected: list[str] | None = None


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


def _in_loop(main: Any) -> Exit:
    import uvloop

    return uvloop.run(main)  # type: ignore[no-any-return]


async def _run(prepared: _Prepared, target: DatabaseTarget) -> Exit:
    options, suite = prepared.options, prepared.suite
    gateway = PostgresGateway(target.dsn)
    async with Orbit(gateway) as orbit:
        await gateway.prepare(lambda connection: ensure_schema(connection, target))
        run_id = str(uuid4())
        variables, secrets = _split(prepared.variables)
        needs_key = bool(secrets) or _captures_secrets(suite)
        sealer = find_sealer(target) if needs_key else None
        if needs_key and sealer is None:
            raise _no_key(next(iter(secrets), "a capture of this suite"))
        sealed = (
            {name: sealer.seal(value, aad=secret_place(run_id, name)) for name, value in secrets.items()}
            if sealer
            else {}
        )
        saved = await orbit.suites.save(suite)
        environment_id = None
        if prepared.environment is not None:
            environment_id = await orbit.environments.ensure(prepared.environment, project=suite.document.project)
        timeout = options.timeout or suite.document.timeout
        concurrency = options.concurrency or suite.document.concurrency or DEFAULT_CONCURRENCY
        run = await orbit.runs.start(
            run_id=run_id,
            suite_id=saved.suite_id,
            environment=prepared.saved_environment,
            variables=variables,
            defaults=prepared.defaults or None,
            templates=prepared.templates or None,
            secrets=sealed,
            credentials=list(options.credentials) or None,
            environment_id=environment_id and str(environment_id),
            selection=_selection(options, prepared.selected),
            concurrency=concurrency,
            fail_fast=options.fail_fast or None,
            timeout=timeout,
            private=True,
            triggered_by="cli",
            base_dir=str(suite.base_dir.resolve()),
        )
        sealer = sealer or find_sealer(target)  # secrets of the database may come with any test
        # With credentials, the worker loads the run as any other does: they are released to who holds the tests that use them.
        state = (
            None
            if options.credentials
            else RunState(
                queue_no=run.queue_no,
                run_id=run_id,
                created_at=run.created_at.isoformat(),
                suite=suite,
                variables=prepared.variables.values
                | {f"env.{k}": v for k, v in prepared.variables.environment.items()},
                secrets=list(secrets),
                defaults=prepared.defaults,
                templates=prepared.templates,
                variables_version=run.variables_version,
                variable_names=run.variable_names,
                sealer=sealer,
            )
        )
        await _execute(
            orbit,
            run,
            state,
            prepared.compiled,
            sealer,
            target,
            min(concurrency, run.counts.total),
            deadline=timeout,
            quiet=options.quiet,
        )
        return await _conclude(orbit, run, options.reports, options.as_json, target, suite)


async def _resume(
    run_id: str, concurrency: int | None, reports: Sequence[str], as_json: bool, target: DatabaseTarget
) -> Exit:
    async with Orbit.connect(target.dsn) as orbit:
        run = await orbit.runs.get(run_id)
        if not run.is_final:
            slots = concurrency or DEFAULT_CONCURRENCY
            await _execute(orbit, run, None, None, find_sealer(target), target, slots)
        return await _conclude(orbit, run, reports, as_json, target, None)


async def _execute(
    orbit: Orbit,
    run: Run,
    state: RunState | None,
    compiled: list[Any] | None,
    sealer: Any,
    target: DatabaseTarget,
    slots: int,
    *,
    deadline: float | None = None,
    quiet: bool = False,
) -> None:
    """Runs the tests in this process and shows how they go. A first interrupt cancels the run, a second one leaves at once."""
    from orbit_runner.sandbox import Sandbox
    from orbit_runner.transport.curl import CurlTransport

    transport, sandbox = CurlTransport(), Sandbox()
    executors = HttpRuns(transport, sandbox)
    worker = Worker(
        target.dsn,
        slots=slots,
        prefetch=slots,
        executors=executors,
        sealer=sealer,
        lane=run.lane,
        until=run.queue_no,
        deadline=deadline,
    )
    if state is not None:
        executors.preload(run.queue_no, compiled or [])
        worker.preload(state)
    nudge = asyncio.Event()
    work = asyncio.create_task(worker.run())
    work.add_done_callback(lambda _: nudge.set())
    shown = asyncio.create_task(_show(orbit, run, nudge, quiet=quiet))
    handlers = _cancel_on_interrupt(orbit, run, worker, work)
    try:
        await asyncio.wait({work, shown}, return_when=asyncio.FIRST_COMPLETED)
        if shown.done():
            worker.drain()  # whoever finished the run, there is nothing more to do
        await work
        await shown
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    except DatabaseUnavailableError as error:
        error.hint = f"what was recorded is kept; when the database is back: orbit resume {run.id}"
        raise
    finally:
        asked = handlers()
        for task in (work, shown, *asked):
            task.cancel()
        await asyncio.gather(work, shown, *asked, return_exceptions=True)
        await transport.close()
        await sandbox.close()


async def _show(orbit: Orbit, run: Run, nudge: asyncio.Event, *, quiet: bool) -> None:
    each = False if quiet else None
    with LiveView(sys.stderr, total=run.counts.total, expected_duration=run.expected_duration, each=each) as view:
        async for event in orbit.runs.watch(run.id, nudge=nudge):
            view.event(event)


def _cancel_on_interrupt(
    orbit: Orbit, run: Run, worker: Worker, work: asyncio.Task[None]
) -> Callable[[], Sequence[asyncio.Task[Any]]]:
    """Returns how to undo it, which tells the cancellation that is under way."""
    loop = asyncio.get_running_loop()
    asked: list[asyncio.Task[Any]] = []

    async def cancel() -> None:
        await patiently(lambda: orbit.runs.cancel(run.id, reason="interrupted"))
        worker.stop_run(run.queue_no)

    def interrupt() -> None:
        if asked:
            work.cancel()
            return
        sys.stderr.write("\ncancelling the run; interrupt again to leave at once\n")
        asked.append(loop.create_task(cancel()))

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)

    def undo() -> Sequence[asyncio.Task[Any]]:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        return asked

    return undo


async def _conclude(
    orbit: Orbit,
    run: Run,
    reports: Sequence[str],
    as_json: bool,
    target: DatabaseTarget,
    suite: LoadedSuite | None,
) -> Exit:
    """Results, summary, reports, exit code."""
    run_id = run.id
    run = await patiently(lambda: orbit.runs.get(run_id))
    results = await patiently(lambda: orbit.runs.results(run_id, details=True))
    places = _places(suite)
    written = [(spec.split("=", 1)[0], write_report(spec, run, results, places=places)) for spec in reports]
    from orbit_runner.report.summary import print_summary

    artifacts = [(f"{kind} report", str(path)) for kind, path in written] + [("history", target.shown)]
    print_summary(sys.stderr, run, results, places=places, artifacts=artifacts)
    if as_json:
        from orbit_runner.report.json import render

        sys.stdout.buffer.write(render(run, results, places))
        sys.stdout.buffer.flush()
    return of_run(run)


def _places(suite: LoadedSuite | None) -> dict[str, str]:
    if suite is None or suite.file is None:
        return {}
    found = {key: suite.locate(("tests", key)) for key in suite.document.tests}
    return {key: f"{suite.file}:{place[0]}" for key, place in found.items() if place}


def _split(variables: ResolvedVariables) -> tuple[dict[str, Any], dict[str, Any]]:
    """The run's variables in clear, and those to be sealed. `env.x` only where another value of x overrides it."""
    own = {f"env.{name}": value for name, value in variables.environment.items() if variables.values.get(name) != value}
    clear: dict[str, Any] = {}
    secret: dict[str, Any] = {}
    for name, value in (variables.values | own).items():
        (secret if name.removeprefix("env.") in variables.secret_names else clear)[name] = value
    return clear, secret


def _captures_secrets(suite: LoadedSuite) -> bool:
    return any(capture.is_secret for test in suite.document.tests.values() for capture in test.capture.values())


def _selection(options: RunOptions, keys: list[str] | None) -> dict[str, Any] | None:
    selection: dict[str, Any] = {}
    if options.tags:
        selection["tags"] = [[tag.strip() for tag in group.split(",") if tag.strip()] for group in options.tags]
    if keys is not None:
        if not keys:
            raise NothingSelectedError(
                f"no test matches {options.expression!r}", hint="see the names with: orbit validate --list"
            )
        selection["tests"] = keys
    return selection or None


def _no_key(name: str) -> SecretKeyError:
    return SecretKeyError(
        f"{name} is secret, and there is no key to seal it with",
        hint="make one with `orbit secret key` and set ORBIT_SECRET_KEY to it wherever this project's tests run",
    )
