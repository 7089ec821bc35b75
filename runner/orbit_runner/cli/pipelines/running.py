"""`orbit pipeline start`, `status`, `cancel`: pipelines as they run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from orbit_runner.cli.answers import print_answer, told
from orbit_runner.cli.asking import asking
from orbit_runner.cli.exits import Exit
from orbit_runner.cli.pipelines.tree import branches
from orbit_runner.report.statuses import LOOKS, Look
from orbit_runner.report.terminal import can_show, is_plain, open_console, segments, write_plain
from orbit_runner.report.wording import format_duration, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orbit_context.client import Orbit
    from orbit_context.models.pipelines import PipelineRun, PipelineStep
    from orbit_runner.report.terminal import Line

__all__ = ["cancel", "start", "status"]

_EXITS = {
    "passed": Exit.PASSED,
    "failed": Exit.FAILED,
    "errored": Exit.FAILED,
    "cancelled": Exit.CANCELLED,
    "timed_out": Exit.TIMED_OUT,
}
_OPEN = {"waiting": Look("·", ".", "waiting", "quiet"), "running": Look("↻", ">", "running", "accent")}


def start(name: str, *, variables: Sequence[str], wait: bool, as_json: bool, **given: Any) -> Exit:
    """Without `wait` the answer is that of the start; with it, that of the end, and its exit code."""
    from orbit_context.suite.variables import parse_overrides

    values = parse_overrides(variables)

    async def ask(orbit: Orbit) -> PipelineRun:
        run = await orbit.pipelines.start(name, variables=values, triggered_by="cli", **given)
        if not wait:
            return run
        sys.stderr.write(f"pipeline run {run.id}\n")
        told_of: dict[str, tuple[str, int]] = {}
        async for now in orbit.pipelines.watch(run.id):
            run = now
            _tell_changes(run, told_of)
        return run

    run = asking(ask)
    if not wait:
        return told(
            run, f"{run.id} is {run.status}; follow it: orbit pipeline status {str(run.id)[:8]}", as_json=as_json
        )
    return _shown(run, as_json=as_json)


def status(run_id: str, *, as_json: bool) -> Exit:
    return _shown(asking(lambda orbit: orbit.pipelines.run(run_id)), as_json=as_json)


def cancel(run_id: str, *, reason: str | None, as_json: bool) -> Exit:
    run = asking(lambda orbit: orbit.pipelines.cancel(run_id, reason=reason or "cancelled"))
    state = f"is {run.status}" if run.changed else f"was {run.status} already"
    return told(run, f"{run.pipeline} ({str(run.id)[:8]}) {state}", as_json=as_json)


def _shown(run: PipelineRun, *, as_json: bool) -> Exit:
    if as_json:
        print_answer(run)
    else:
        lines = _lines(run, symbols=can_show(sys.stdout))
        if is_plain(sys.stdout):
            write_plain(sys.stdout, lines)
        else:
            open_console(sys.stdout).print(*segments(lines), sep="", end="")
    return _EXITS.get(run.status, Exit.INFRASTRUCTURE)


def _lines(run: PipelineRun, *, symbols: bool) -> list[Line]:
    steps = {step.key: step for step in run.steps or ()}
    lines: list[Line] = []
    for branch, key, others in branches({key: step.needs for key, step in steps.items()}, symbols=symbols):
        step = steps[key]
        look = _look(step.status)
        line: Line = [
            (branch, "quiet"),
            (f"{look.symbol if symbols else look.ascii_symbol} ", look.tone),
            (visible(key), "strong"),
        ]
        line.append((f"  {look.word}", look.tone))
        line.append((f"  {_details(step, others)}", "quiet"))
        lines.append(line)
    took = f" after {format_duration(run.duration)}" if run.duration is not None else ""
    why = f": {visible(run.reason)}" if run.reason else ""
    look = _look(run.status)
    lines.append(
        [(f"{visible(run.pipeline)} version {run.version} ", ""), (look.word, look.tone), (f"{took}{why}", "")]
    )
    return lines


def _look(status: str) -> Look:
    return LOOKS.get(status) or _OPEN.get(status) or Look("·", ".", status, "accent")


def _details(step: PipelineStep, others: Sequence[str]) -> str:
    said = []
    if step.duration is not None:
        said.append(format_duration(step.duration))
    if step.attempt > 1:
        said.append(f"attempt {step.attempt}")
    if step.run_id is not None:
        said.append(f"run {str(step.run_id)[:8]}")
    if others:
        said.append(f"also needs {', '.join(others)}")
    if step.allow_failure and step.status in ("failed", "errored", "timed_out", "cancelled"):
        said.append("may fail")
    if step.reason:
        said.append(step.reason)
    return visible(", ".join(said))


def _tell_changes(run: PipelineRun, told_of: dict[str, tuple[str, int]]) -> None:
    """A line on standard error for each step that moved."""
    for step in run.steps or ():
        state = (step.status, step.attempt)
        if told_of.get(step.key, ("waiting", 0)) != state:
            told_of[step.key] = state
            details = _details(step, ())
            sys.stderr.write(f"{visible(step.key)}: {_look(step.status).word}{f' ({details})' if details else ''}\n")
    sys.stderr.flush()
