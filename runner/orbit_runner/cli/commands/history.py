"""`orbit show`, `orbit logs`, `orbit cancel`: runs that were started."""

from __future__ import annotations

from typing import Any

import click

from orbit_runner.cli import options

__all__ = ["cancel", "logs", "show"]


@click.command()
@click.argument("run_id", metavar="[RUN]", default="")
@options.reports
@click.option("--template", metavar="NAME", help="Print what this report template of the run's project makes of it.")
@options.any_project
@options.organization
@options.as_json
def show(run_id: str, **given: Any) -> int:
    """Show a run: its verdict, failures, and where it stands. Without RUN, the newest runs."""
    project, organization = given.pop("project"), given.pop("organization")
    if not run_id and given["template"] is None:
        from orbit_runner.cli.jobs.listing import list_runs

        return list_runs(project=project, organization=organization, as_json=given["as_json"])
    from orbit_runner.cli.runs.inspect import show as show_run

    return show_run(run_id, **given)


@click.command()
@options.run_id
@click.argument("test", metavar="[TEST]", required=False)
@options.as_json
def logs(run_id: str, test: str | None, as_json: bool) -> int:
    """Tell what happened in a run, event by event; with a test, what it sent and got."""
    from orbit_runner.cli.runs.inspect import logs as show_logs

    return show_logs(run_id, test=test, as_json=as_json)


@click.command()
@options.run_id
@options.as_json
def cancel(run_id: str, as_json: bool) -> int:
    """Cancel a run: what waits ends at once, what runs as soon as its worker hears of it."""
    from orbit_runner.cli.runs.inspect import cancel as cancel_run

    return cancel_run(run_id, as_json=as_json)
