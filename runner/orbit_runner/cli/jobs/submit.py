"""`orbit submit`: runs for the shared workers."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from orbit_context.context import secret_place
from orbit_context.errors import DefinitionError
from orbit_context.suite.variables import parse_overrides
from orbit_runner.cli.answers import print_answer
from orbit_runner.cli.asking import asking
from orbit_runner.cli.exits import Exit, of_run
from orbit_runner.cli.jobs.listing import run_table
from orbit_runner.cli.jobs.screen import print_lines
from orbit_runner.cli.runs.prepare import Prepared, RunOptions, prepare
from orbit_runner.cli.runs.start import start_options
from orbit_runner.report.wording import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orbit_context.client import Orbit
    from orbit_context.models.runs import Run

__all__ = ["submit"]

_NOBODY = {"no_worker", "capability"}


@dataclass(frozen=True)
class _Asked:
    """What is asked for, beside the suites."""

    environment: str | None
    variables: Sequence[str]
    credentials: Sequence[str]
    tags: Sequence[str]
    tests: Sequence[str]
    priority: int | None
    group: str | None
    order: str | None
    concurrency: int | None
    fail_fast: bool
    timeout: float | None
    project: str | None
    organization: str | None
    common: dict[str, Any] = field(default_factory=dict)


def submit(suites: Sequence[str], *, batch_id: str | None, wait: bool, as_json: bool, **given: Any) -> Exit:
    asked = _Asked(**given)
    files = [_file(name) for name in suites]
    # Everything that can be wrong with files and options is found before anything is started.
    prepared = [_prepare(path, asked) if path is not None else None for path in files]
    if any(one is None for one in prepared):
        parse_overrides(asked.variables)
        if asked.environment is not None and Path(asked.environment).suffix in {".yaml", ".yml", ".json"}:
            raise DefinitionError(
                "a saved suite takes a saved environment, and not a file",
                field="--env",
                hint="save it: orbit env push FILE",
            )

    async def ask(orbit: Orbit) -> Exit:
        requests = [
            await _of_file(orbit, one, asked) if one is not None else await _of_saved(orbit, name, asked)
            for name, one in zip(suites, prepared, strict=True)
        ]
        if len(requests) == 1 and batch_id is None:
            runs = [await orbit.runs.start(**requests[0])]
        else:
            runs = await orbit.runs.start_many(requests, batch_id=batch_id)
        if not wait:
            if as_json:
                return print_answer({"batch_id": runs[0].batch_id, "runs": runs})
            print_lines(run_table(runs))
            await _tell_next(orbit, runs)
            return Exit.PASSED
        return await _wait(orbit, runs, as_json=as_json)

    return asking(ask, seals=True)


def _file(name: str) -> Path | None:
    """The suite file that is meant; None: a saved suite."""
    path = Path(name)
    return path if path.suffix in {".yaml", ".yml", ".json"} or path.is_file() else None


def _prepare(path: Path, asked: _Asked) -> Prepared:
    return prepare(
        RunOptions(
            file=path,
            environment=asked.environment,
            variables=asked.variables,
            credentials=asked.credentials,
            tags=asked.tags,
            tests=asked.tests,
            concurrency=asked.concurrency,
            fail_fast=asked.fail_fast,
            timeout=asked.timeout,
            organization=asked.organization,
        )
    )


async def _of_file(orbit: Orbit, prepared: Prepared, asked: _Asked) -> dict[str, Any]:
    options = await start_options(orbit, prepared)
    return options | {"priority": asked.priority, "group": asked.group, "order": asked.order, "triggered_by": "cli"}


async def _of_saved(orbit: Orbit, suite: str, asked: _Asked) -> dict[str, Any]:
    place = {"project": asked.project or "default", "organization": asked.organization}
    selection: dict[str, Any] = {}
    if asked.tags:
        selection["tags"] = [[tag.strip() for tag in group.split(",") if tag.strip()] for group in asked.tags]
    if asked.tests:
        selection["tests"] = list(asked.tests)
    request: dict[str, Any] = {
        "suite": suite,
        **place,
        "environment": asked.environment,
        "credentials": list(asked.credentials) or None,
        "selection": selection or None,
        "priority": asked.priority,
        "group": asked.group,
        "order": asked.order,
        "concurrency": asked.concurrency,
        "fail_fast": asked.fail_fast or None,
        "timeout": asked.timeout,
        "triggered_by": "cli",
    }
    given = parse_overrides(asked.variables)
    if given:
        run_id = str(uuid4())
        defined = await orbit.variables.resolve(suite=suite, environment=asked.environment, **place)
        secret = {variable.name for variable in defined.variables if variable.secret}
        request |= {
            "run_id": run_id,
            "variables": {name: value for name, value in given.items() if name not in secret},
            "secrets": {
                name: orbit.seal(value, aad=secret_place(run_id, name))
                for name, value in given.items()
                if name in secret
            }
            or None,
        }
    return request


async def _tell_next(orbit: Orbit, runs: Sequence[Run]) -> None:
    """What to do next, and that nobody runs it where nobody does."""
    waiting = await orbit.queue.explain(runs[0].id, limit=1)
    for reason in waiting.reasons:
        if reason.reason in _NOBODY:
            sys.stderr.write(f"{visible(reason.sentence)}; start one: orbit worker\n")
    one = str(runs[0].id)[:8] if len(runs) == 1 else "RUN"
    sys.stderr.write(f"watch it: orbit watch {one}; where it stands, and why: orbit status {one}\n")


async def _wait(orbit: Orbit, runs: Sequence[Run], *, as_json: bool) -> Exit:
    from orbit_runner.cli.jobs.watching import follow

    finished = []
    for run in runs:
        if len(runs) > 1:
            sys.stderr.write(f"{visible(run.suite)}  {run.id}\n")
        finished.append(await follow(orbit, run))
    if as_json:
        print_answer({"batch_id": runs[0].batch_id, "runs": finished})
    else:
        print_lines(run_table(finished))
    # The first that did not pass says how it ended.
    return next((code for code in map(of_run, finished) if code is not Exit.PASSED), Exit.PASSED)
