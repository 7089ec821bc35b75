"""`orbit pipeline save`, `list`, `show`, `rm`: pipelines as they are saved."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from orbit_runner.cli.answers import print_answer, print_rows, say, told
from orbit_runner.cli.asking import asking
from orbit_runner.cli.exits import Exit
from orbit_runner.cli.pipelines.tree import branches
from orbit_runner.report.terminal import can_show, write_plain
from orbit_runner.report.wording import plural, visible

if TYPE_CHECKING:
    from pathlib import Path

    from orbit_runner.report.terminal import Line

__all__ = ["list_", "rm", "save", "show"]


def save(file: Path, *, as_json: bool, **given: Any) -> Exit:
    from orbit_context.suite.pipeline import load_pipeline

    written = load_pipeline(file)
    saved = asking(
        lambda orbit: orbit.pipelines.save(
            written.pipeline, written.to_steps(), name=written.name, description=written.description, **given
        )
    )
    state = f"version {saved.version}" if saved.changed else f"is version {saved.version} already"
    return told(saved, f"{saved.key}: {state}, {plural(len(saved.steps), 'step')}", as_json=as_json)


def list_(*, of_runs: bool, as_json: bool, **given: Any) -> Exit:
    if of_runs:
        runs = asking(lambda orbit: orbit.pipelines.runs(limit=100, **given))
        columns = ("id", "project", "pipeline", "version", "status", "created_at", "duration", "reason")
        return print_rows(
            runs, columns, as_json=as_json, nothing="nothing was started; start one: orbit pipeline start NAME",
            shown=lambda row: {"duration": None if row["duration"] is None else f"{row['duration']:.1f} s"},
        )  # fmt: skip
    found = asking(lambda orbit: orbit.pipelines.list(limit=1000, **given))
    return print_rows(
        found, ("project", "key", "version", "steps", "description", "updated_at"), as_json=as_json,
        nothing="no pipeline; save one: orbit pipeline save FILE",
        shown=lambda row: {"steps": ", ".join(step["key"] for step in row["steps"])},
    )  # fmt: skip


def show(name: str, *, as_json: bool, **given: Any) -> Exit:
    found = asking(lambda orbit: orbit.pipelines.get(name, **given))
    if as_json:
        return print_answer(found)
    say(f"{found.name}, version {found.version}, project {found.project}")
    steps = {step["key"]: step for step in found.steps}
    lines: list[Line] = []
    for branch, key, others in branches(
        {key: step.get("needs") or [] for key, step in steps.items()}, symbols=can_show(sys.stdout)
    ):
        step = steps[key]
        said = [f"suite {step['suite']}"]
        said += [f"also needs {', '.join(others)}"] if others else []
        said += [f"when {step['when']}"] if step.get("when", "passed") != "passed" else []
        said += [
            f"{word.replace('_', ' ')} {step[word]}" for word in ("environment", "timeout", "retries") if step.get(word)
        ]
        said += ["may fail"] if step.get("allow_failure") else []
        lines.append([(branch, ""), (visible(key), "strong"), (f"  {visible('; '.join(said))}", "quiet")])
    write_plain(sys.stdout, lines)
    return Exit.PASSED


def rm(name: str, *, as_json: bool, **given: Any) -> Exit:
    asking(lambda orbit: orbit.pipelines.delete(name, **given))
    return told({"deleted": name}, f"{name} is deleted; what was started of it is kept", as_json=as_json)
