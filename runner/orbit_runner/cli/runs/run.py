"""`orbit run` and `orbit resume`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from orbit_context.client import Orbit
from orbit_context.context import secret_place
from orbit_context.errors import SecretKeyError
from orbit_context.gateway.postgres import PostgresGateway
from orbit_runner.cli.runs.execute import conclude, execute
from orbit_runner.cli.runs.prepare import Prepared, RunOptions, prepare
from orbit_runner.cli.target import ensure_schema, find_database, find_sealer
from orbit_runner.report.write import parse_report
from orbit_runner.worker.run_state import RunState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orbit_runner.cli.exits import Exit
    from orbit_runner.connection import DatabaseTarget

__all__ = ["DEFAULT_CONCURRENCY", "in_loop", "resume", "run"]

DEFAULT_CONCURRENCY = 20


def run(options: RunOptions) -> Exit:
    """A suite file, from reading it to its exit code."""
    prepared = prepare(options)
    return in_loop(_run(prepared, find_database()))


def resume(run_id: str, *, concurrency: int | None, reports: Sequence[str], as_json: bool) -> Exit:
    """Takes up a run whose runner was lost."""
    for spec in reports:
        parse_report(spec)
    return in_loop(_resume(run_id, concurrency, reports, as_json, find_database()))


def in_loop(main: Any) -> Exit:
    """The command's own loop, which the tests of the run share."""
    import uvloop

    return uvloop.run(main)  # type: ignore[no-any-return]


async def _run(prepared: Prepared, target: DatabaseTarget) -> Exit:
    options, suite = prepared.options, prepared.suite
    gateway = PostgresGateway(target.dsn)
    async with Orbit(gateway) as orbit:
        await gateway.prepare(lambda connection: ensure_schema(connection, target))
        run_id = str(uuid4())
        variables, secrets = prepared.split()
        needs_key = bool(secrets) or prepared.captures_secrets
        sealer = find_sealer(target) if needs_key else None
        if needs_key and sealer is None:
            raise _no_key(next(iter(secrets), "a capture of this suite"))
        sealed = (
            {name: sealer.seal(value, aad=secret_place(run_id, name)) for name, value in secrets.items()}
            if sealer
            else {}
        )
        saved = await orbit.suites.save(suite, organization=options.organization)
        environment_id = None
        if prepared.environment is not None:
            environment_id = await orbit.environments.ensure(
                prepared.environment, project=suite.document.project, organization=options.organization
            )
        timeout = options.timeout or suite.document.timeout
        concurrency = options.concurrency or suite.document.concurrency
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
            selection=prepared.selection,
            concurrency=concurrency,
            fail_fast=options.fail_fast or None,
            timeout=timeout,
            order=options.order,
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
        await execute(
            orbit,
            run,
            state,
            prepared.compiled,
            sealer,
            target,
            min(concurrency or DEFAULT_CONCURRENCY, run.counts.total),
            deadline=timeout,
            quiet=options.quiet,
        )
        return await conclude(orbit, run, options.reports, options.as_json, target.shown, suite)


async def _resume(
    run_id: str, concurrency: int | None, reports: Sequence[str], as_json: bool, target: DatabaseTarget
) -> Exit:
    async with Orbit.connect(target.dsn) as orbit:
        run = await orbit.runs.get(run_id)
        if not run.is_final:
            slots = concurrency or DEFAULT_CONCURRENCY
            await execute(orbit, run, None, None, find_sealer(target), target, slots)
        return await conclude(orbit, run, reports, as_json, target.shown, None)


def _no_key(name: str) -> SecretKeyError:
    return SecretKeyError(
        f"{name} is secret, and there is no key to seal it with",
        hint="make one with `orbit secret key` and set ORBIT_SECRET_KEY to it wherever this project's tests run",
    )
