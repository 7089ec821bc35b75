"""`orbit rerun`: here, as `orbit run` does, or left to the workers."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from orbit_context.client import Orbit
from orbit_context.context import secret_place
from orbit_context.errors import DefinitionError, SecretKeyError
from orbit_context.gateway.postgres import PostgresGateway
from orbit_context.suite.variables import parse_overrides
from orbit_runner.cli.answers import print_answer
from orbit_runner.cli.asking import asking
from orbit_runner.cli.exits import Exit
from orbit_runner.cli.messages import tell
from orbit_runner.cli.runs.execute import conclude, execute, show_progress
from orbit_runner.cli.runs.run import DEFAULT_CONCURRENCY, in_loop
from orbit_runner.cli.target import ensure_schema, find_database, find_sealer
from orbit_runner.report.wording import plural, visible
from orbit_runner.report.write import parse_report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orbit_context.models.runs import Run
    from orbit_runner.connection import DatabaseTarget

__all__ = ["RerunOptions", "rerun_run"]


@dataclass(frozen=True)
class RerunOptions:
    """What the command line asks for."""

    run_id: str
    failed: bool = False
    everything: bool = False
    tests: Sequence[str] = ()
    with_context: bool = False
    same_version: bool = False
    environment: str | None = None
    variables: Sequence[str] = ()
    concurrency: int | None = None
    timeout: float | None = None
    order: str | None = None
    submit: bool = False
    wait: bool = False
    reports: Sequence[str] = ()
    quiet: bool = False
    as_json: bool = False

    def request(self) -> dict[str, Any]:
        """As `orbit.runs.rerun` takes it, without what is given to the tests."""
        return {
            "failed": False if self.everything else True if self.failed else None,
            "tests": list(self.tests) or None,
            "with_context": self.with_context or None,
            "version": "original" if self.same_version else None,
            "environment": self.environment,
            "concurrency": self.concurrency,
            "timeout": self.timeout,
            "order": self.order,
            "triggered_by": "cli",
        }


def rerun_run(options: RerunOptions) -> Exit:
    """The exit code of the new run; 0 for one that is left to the workers."""
    if options.failed + options.everything + bool(options.tests) > 1:
        raise DefinitionError("--failed, --all and --test exclude each other", field="--test")
    if options.wait and not options.submit:
        raise DefinitionError("--wait goes with --submit; without it the run is executed here", field="--wait")
    for spec in options.reports:
        parse_report(spec)
    if options.reports and options.submit and not options.wait:
        raise DefinitionError("there is no report before the run has ended", field="--report", hint="add --wait")
    overrides = parse_overrides(options.variables)
    if options.submit:
        return asking(lambda orbit: _submit(orbit, options, overrides), seals=True)
    return in_loop(_execute(options, overrides, find_database()))


async def _execute(options: RerunOptions, overrides: Mapping[str, Any], target: DatabaseTarget) -> Exit:
    gateway = PostgresGateway(target.dsn)
    sealer = find_sealer(target)
    async with Orbit(gateway, sealer=sealer) as orbit:
        await gateway.prepare(lambda connection: ensure_schema(connection, target))
        run = await _start(orbit, options, overrides, private=True)
        slots = min(options.concurrency or DEFAULT_CONCURRENCY, run.counts.total)
        await execute(orbit, run, None, None, sealer, target, slots, deadline=options.timeout, quiet=options.quiet)
        return await conclude(orbit, run, options.reports, options.as_json, target.shown, None)


async def _submit(orbit: Orbit, options: RerunOptions, overrides: Mapping[str, Any]) -> Exit:
    run = await _start(orbit, options, overrides)
    if not options.wait:
        if options.as_json:
            return print_answer(run)
        sys.stdout.write(f"{run.id}\n")
        return Exit.PASSED
    await show_progress(orbit, run, None, quiet=options.quiet)
    return await conclude(orbit, run, options.reports, options.as_json, None, None)


async def _start(orbit: Orbit, options: RerunOptions, overrides: Mapping[str, Any], **more: Any) -> Run:
    """What was secret in the run stays so where it is given anew: sealed, for the new run alone."""
    new_run_id, variables, secrets = str(uuid4()), dict(overrides), {}
    if overrides:
        known = (await orbit.context(options.run_id).get_test_run_context()).secrets
        for name in sorted(overrides.keys() & set(known)):
            if not orbit.can_seal:
                raise SecretKeyError(
                    f"{name} is secret, and there is no key to seal it with",
                    hint="set ORBIT_SECRET_KEY to the key of the project",
                )
            secrets[name] = orbit.seal(variables.pop(name), aad=secret_place(new_run_id, name))
    run = await orbit.runs.rerun(
        options.run_id, new_run_id=new_run_id, variables=variables or None, secrets=secrets or None,
        **options.request(), **more,
    )  # fmt: skip
    if run.left_out:
        names = ", ".join(visible(name) for name in run.left_out[:5]) + (" …" if len(run.left_out) > 5 else "")
        tell(f"not in the suite any more: {plural(len(run.left_out), 'test')} that did not pass ({names})")
    return run
