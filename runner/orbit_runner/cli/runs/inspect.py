"""`orbit show`, `orbit logs`, `orbit cancel`: what the database knows of a run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from orbit_context.errors import DefinitionError, NotFoundError
from orbit_runner.cli.answers import print_answer, told
from orbit_runner.cli.asking import asking
from orbit_runner.cli.exits import Exit, of_run
from orbit_runner.report.wording import format_duration, visible, visible_block

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orbit_context.client import Orbit
    from orbit_context.models.runs import Result, Run, RunEvent

__all__ = ["cancel", "logs", "show"]


def show(
    run_id: str,
    *,
    reports: Sequence[str],
    template: str | None,
    as_json: bool,
) -> Exit:
    """With a run: exit code as of `orbit run`; one that goes on is no success."""
    if template is not None and (as_json or not run_id):
        raise DefinitionError("a template shows a run, and instead of --json", field="--template")

    async def ask(orbit: Orbit) -> Exit:
        from orbit_runner.report.write import write_report

        run = await orbit.runs.get(run_id)
        results = await orbit.runs.results(run.id, details=True)
        written = [(f"{spec.split('=', 1)[0]} report", str(write_report(spec, run, results))) for spec in reports]
        if as_json:
            from orbit_runner.report.json import render

            sys.stdout.buffer.write(render(run, results))
            return of_run(run)
        if template is not None:
            await _print_report(orbit, run, results, template)
            return of_run(run)
        from orbit_runner.report.summary import print_summary

        for result in results:
            sys.stdout.write(f"{result.status:15} {format_duration(result.duration):>8}  {visible(result.name)}\n")
            _print_attempts(result, indent=26)
        print_summary(sys.stdout, run, results, artifacts=written, commands=_next_steps(run))
        return of_run(run)

    return asking(ask)


def logs(run_id: str, *, test: str | None, as_json: bool) -> Exit:
    async def ask(orbit: Orbit) -> Exit:
        run = await orbit.runs.get(run_id)
        if test is not None:
            results = [
                result for result in await orbit.runs.results(run.id, details=True) if test in (result.key, result.name)
            ]
            if not results:
                raise NotFoundError(
                    f"run {run.id} has no result of a test {test}", hint=f"see its tests: orbit show {run.id}"
                )
            _print_result(results[0], as_json=as_json)
            return Exit.PASSED
        after, more = 0, True
        while more:
            more = False
            async for event in orbit.runs.events(run.id, after=after):
                _print_event(event, as_json=as_json)
                more, after = True, event.seq
        return Exit.PASSED

    return asking(ask)


def cancel(run_id: str, *, as_json: bool) -> Exit:
    async def ask(orbit: Orbit) -> Exit:
        run = await orbit.runs.cancel(run_id, reason="cancelled by hand")
        return told(run, f"{run.id} is {run.status}", as_json=as_json)

    return asking(ask)


async def _print_report(orbit: Orbit, run: Run, results: Sequence[Result], name: str) -> None:
    from orbit_runner.cli.library.rendering import render_template
    from orbit_runner.report.json import render

    template = await orbit.report_templates.get(name, project=run.project)
    text = await render_template(template, render(run, results))
    # What a server answered may hold escape sequences: in HTML they are harmless, on a terminal they are not.
    shown = text if template.kind == "html" and not sys.stdout.isatty() else visible_block(text)
    sys.stdout.buffer.write(shown.encode("utf-8", "backslashreplace"))


def _next_steps(run: Run) -> list[tuple[str, str]]:
    if run.is_final or run.lane == 0:
        return []
    return [(f"orbit resume {run.id}", "takes it up, if its runner was lost")]


def _print_event(event: RunEvent, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(event.model_dump_json(exclude_none=True) + "\n")
        return
    when = event.at.astimezone().strftime("%H:%M:%S.%f")[:-3]
    parts = [when, event.kind.replace("_", " ")]
    if event.key:
        parts.append(visible(event.key))
    if event.status and event.kind != "run_queued":
        parts.append(event.status)
    if event.duration:
        parts.append(format_duration(event.duration))
    if event.attempt and event.attempt > 1:
        parts.append(f"attempt {event.attempt}")
    if event.reason:
        parts.append(f"({visible(event.reason)})")
    sys.stdout.write("  ".join(parts) + "\n")


def _print_attempts(result: Result, *, indent: int = 0) -> None:
    """The attempts before the last: a test that passed in the end may have cost a worker before."""
    for earlier in result.previous_attempts:
        reason = f": {visible(earlier.reason)}" if earlier.reason else ""
        sys.stdout.write(f"{'':{indent}}attempt {earlier.number} {earlier.status}{reason}\n")


def _print_result(result: Result, *, as_json: bool) -> None:
    if as_json:
        print_answer(result)
        return
    from orbit_runner.report.exchange import exchange_text

    attempt = f", attempt {result.attempts}" if result.attempts > 1 else ""
    sys.stdout.write(f"{visible(result.name)}: {result.status} in {format_duration(result.duration)}{attempt}\n")
    if result.reason:
        sys.stdout.write(f"{visible(result.reason)}\n")
    _print_attempts(result)
    sys.stdout.write("\n" + exchange_text(result, limit=100_000) + "\n")
