"""`orbit pipeline`: several suites as one plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orbit_runner.cli import options

__all__ = ["pipeline"]

_name = click.argument("name", metavar="NAME")
_any_run = click.argument("run_id", metavar="[RUN]", default="last")
_run = click.argument("run_id", metavar="RUN")


@click.group()
def pipeline() -> None:
    """Suites that are run after each other, under conditions: as one plan, with one verdict."""


@pipeline.command("save")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@options.in_project
def save(file: Path, **given: Any) -> int:
    """Save a pipeline file: as a new version, if its steps are new."""
    from orbit_runner.cli.pipelines import definitions

    return definitions.save(file, **given)


@pipeline.command("list")
@click.option("--runs", "of_runs", is_flag=True, help="What was started of them, the newest first.")
@options.any_project
@options.organization
@options.as_json
def list_(**given: Any) -> int:
    """List the pipelines."""
    from orbit_runner.cli.pipelines import definitions

    return definitions.list_(**given)


@pipeline.command("show")
@_name
@options.in_project
def show(name: str, **given: Any) -> int:
    """Show a pipeline's steps, and what they need."""
    from orbit_runner.cli.pipelines import definitions

    return definitions.show(name, **given)


@pipeline.command("start")
@_name
@options.variables
@click.option("--env", "environment", metavar="NAME", help="A saved environment, for steps that name none.")
@click.option("--key", "idempotency_key", metavar="TEXT", help="A second start with it answers the first one.")
@click.option("--wait", is_flag=True, help="Follow it to its end; the exit code tells its verdict.")
@options.in_project
def start(name: str, **given: Any) -> int:
    """Start a pipeline. Workers run it: `orbit worker`."""
    from orbit_runner.cli.pipelines import running

    return running.start(name, **given)


@pipeline.command("status")
@_any_run
@options.as_json
def status(run_id: str, **given: Any) -> int:
    """Show how far a pipeline's run is; the exit code tells its verdict."""
    from orbit_runner.cli.pipelines import running

    return running.status(run_id, **given)


@pipeline.command("cancel")
@_run
@click.option("--reason", metavar="TEXT", help="Why; every run that it stops gets it.")
@options.as_json
def cancel(run_id: str, **given: Any) -> int:
    """Cancel a pipeline's run: what waits at once, what runs as soon as its worker hears of it."""
    from orbit_runner.cli.pipelines import running

    return running.cancel(run_id, **given)


@pipeline.command("rm")
@_name
@options.in_project
def rm(name: str, **given: Any) -> int:
    """Delete a pipeline. What was started goes on, and is kept."""
    from orbit_runner.cli.pipelines import definitions

    return definitions.rm(name, **given)
