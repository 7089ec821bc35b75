"""`orbit rerun`, `orbit compare`: a run again, and beside another."""

from __future__ import annotations

from typing import Any

import click

from orbit_runner.cli import options

__all__ = ["compare", "rerun"]

FAILINGS = ("new-failures", "failures", "missing", "slower", "changed")


@click.command()
@options.run_id
@click.option("--failed", is_flag=True, help="What did not pass, with what it needs: so unless told otherwise.")
@click.option("--all", "everything", is_flag=True, help="All that it ran.")
@click.option("--test", "tests", multiple=True, metavar="KEY", help="This test, with what it needs. May be repeated.")
@click.option(
    "--with-context", is_flag=True, help="These tests alone, with what the run captured; for 24 hours after it."
)
@click.option("--same-version", is_flag=True, help="Only if the suite was not changed since.")
@click.option("--env", "environment", metavar="NAME", help="Another environment of the project.")
@options.variables
@options.concurrency
@click.option("--timeout", metavar="TIME", help="For the whole run: 90, 5m.")
@options.order
@click.option("--submit", is_flag=True, help="Leave it to the workers, and tell its id.")
@click.option("--wait", is_flag=True, help="With --submit: wait for its end.")
@options.reports
@click.option("--quiet", "-q", is_flag=True, help="No line for tests that passed.")
@options.as_json
def rerun(timeout: str | None, **given: Any) -> int:
    """Run a run again: what did not pass, with the variables and secrets that it was started with."""
    from orbit_runner.cli.commands.running import seconds
    from orbit_runner.cli.runs.rerun import RerunOptions, rerun_run

    return rerun_run(RerunOptions(timeout=seconds(timeout), **given))


@click.command()
@options.run_id
@click.argument("base", metavar="[BASE]", required=False)
@click.option(
    "--fail-on",
    "failings",
    multiple=True,
    type=click.Choice(FAILINGS),
    metavar="WHAT",
    help="new-failures, failures, missing, slower or changed: exit code 6 if there is any. May be repeated.",
)
@click.option("--ratio", type=float, metavar="N", help="Slower takes so many times as long; 1.5 unless given.")
@click.option("--floor", metavar="TIME", help="And so much longer at least; 100ms unless given.")
@options.as_json
def compare(floor: str | None, **given: Any) -> int:
    """Tell what became of each test since BASE: the run it runs again, or the last one alike, unless given."""
    from orbit_runner.cli.commands.running import duration
    from orbit_runner.cli.runs.compare import compare_runs

    return compare_runs(floor=duration(floor, "--floor"), **given)
