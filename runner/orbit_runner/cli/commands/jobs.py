"""`orbit submit`, `status`, `list`, `watch`, `queue`, `workers`, `stats`, `health`, `dead-letters`: the shared workers' runs."""

from __future__ import annotations

from typing import Any

import click

from orbit_runner.cli import options

__all__ = ["dead_letters", "health", "list", "queue", "stats", "status", "submit", "watch", "workers"]

_STATUSES = ("queued", "running", "cancelling", "passed", "failed", "errored", "cancelled", "timed_out")

_watching = click.option("--watch", "watching", is_flag=True, help="Go on showing it as it changes, until interrupted.")
_limit = click.option(
    "--limit", type=click.IntRange(1, 200), default=20, show_default=True, metavar="N", help="How many at most."
)


@click.command()
@click.argument("suites", nargs=-1, required=True, metavar="SUITE...")
@click.option("--env", "environment", metavar="FILE|NAME", help="An environment file, or the name of a saved one.")
@options.variables
@click.option(
    "--credential",
    "credentials",
    multiple=True,
    metavar="NAME",
    help="One of your own, for {{credentials.NAME.…}}. May be repeated.",
)
@click.option(
    "--tag", "tags", multiple=True, metavar="A,B", help="Tests with one of these tags; repeated: of each group."
)
@click.option("--test", "tests", multiple=True, metavar="NAME", help="This test, by its key. May be repeated.")
@click.option(
    "--priority", type=click.IntRange(-100, 100), metavar="N", help="-100 to 100: a step is worth a minute of waiting."
)
@click.option(
    "--group", metavar="KEY", help="What its tests are executed together by: an app's version. See orbit worker."
)
@options.order
@options.concurrency
@click.option("--fail-fast", is_flag=True, help="End at the first failure; clean-up still runs.")
@click.option("--timeout", metavar="TIME", help="For the whole run: 90, 5m.")
@click.option("--batch", "batch_id", metavar="ID", help="Add the runs to this batch; several are one of their own.")
@click.option("--wait", is_flag=True, help="Watch them to their end, for the exit code.")
@options.project
@options.organization
@options.as_json
def submit(timeout: str | None, **given: Any) -> int:
    """Have the shared workers run suites, files or saved ones, and return at once.

    SUITE is a suite file, which is saved first, or the key of a saved suite. Several are one batch: all are started, or none.
    """
    from orbit_runner.cli.commands.running import seconds
    from orbit_runner.cli.jobs.submit import submit as submit_suites

    return submit_suites(timeout=seconds(timeout), **given)


@click.command()
@click.argument("run_id", metavar="[RUN]", default="")
@options.organization
@options.as_json
def status(run_id: str, **given: Any) -> int:
    """Tell where a run or a batch stands, why it waits, and who changed it. Without RUN, all that is not finished."""
    from orbit_runner.cli.jobs.status import status as show_status

    return show_status(run_id, **given)


@click.command("list")
@click.option(
    "--status", "statuses", multiple=True, type=click.Choice(_STATUSES), metavar="NAME", help="May be repeated."
)
@click.option("--suite", metavar="NAME", help="Of this suite, by its key.")
@click.option("--env", "environment", metavar="NAME", help="In this environment.")
@click.option("--since", metavar="TIME", help="Started since then: 2030-01-31, or 90m, 7d ago.")
@click.option("--batch", "batch_id", metavar="ID", help="Of this batch.")
@click.option("--mine", is_flag=True, help="Started by you.")
@_limit
@_watching
@options.any_project
@options.organization
@options.as_json
def list(**given: Any) -> int:  # noqa: A001 (the command's name)
    """List runs, the newest first."""
    from orbit_runner.cli.jobs.listing import list_runs

    return list_runs(**given)


@click.command()
@options.run_id
@options.as_json
def watch(run_id: str, as_json: bool) -> int:
    """Watch a run, whoever runs it, to its end; the exit code is the run's."""
    from orbit_runner.cli.jobs.watching import watch as watch_run

    return watch_run(run_id, as_json=as_json)


@click.command()
@_limit
@_watching
@options.any_project
@options.organization
@options.as_json
def queue(**given: Any) -> int:
    """Tell how much waits, how fast it goes, and why the oldest tests wait."""
    from orbit_runner.cli.jobs.queue import show_queue

    return show_queue(**given)


@click.command()
@click.option("--capability", metavar="NAME", help="Those that have it.")
@_watching
@options.as_json
def workers(**given: Any) -> int:
    """List the workers that are alive."""
    from orbit_runner.cli.jobs.queue import show_workers

    return show_workers(**given)


@click.command()
@click.option(
    "--days",
    type=click.IntRange(1, 366),
    default=7,
    show_default=True,
    metavar="N",
    help="How far back, today among them.",
)
@options.any_project
@options.organization
@options.as_json
def stats(**given: Any) -> int:
    """Tell how runs went lately: by day, and by suite."""
    from orbit_runner.cli.jobs.figures import show_stats

    return show_stats(**given)


@click.command()
@options.as_json
def health(as_json: bool) -> int:
    """Tell whether all is well; exit code 3 where what waits is not run."""
    from orbit_runner.cli.jobs.figures import show_health

    return show_health(as_json=as_json)


@click.group("dead-letters")
def dead_letters() -> None:
    """Tests that were given up because three workers were lost over them."""


_ids = click.argument("ids", nargs=-1, metavar="ID...")
_all = click.option("--all", "every", is_flag=True, help="Every open one that you may.")
_note = click.option("--note", metavar="TEXT", help="What is kept with it, for others to read.")


@dead_letters.command("list")
@click.option(
    "--state",
    type=click.Choice(("open", "replayed", "dropped", "all")),
    default="open",
    show_default=True,
    metavar="NAME",
    help="open, replayed, dropped or all.",
)
@_limit
@options.any_project
@options.organization
@options.as_json
def list_letters(**given: Any) -> int:
    """List them, the newest first."""
    from orbit_runner.cli.jobs import letters

    return letters.list_letters(**given)


@dead_letters.command("show")
@click.argument("letter_id", metavar="ID")
@options.as_json
def show_letter(letter_id: str, as_json: bool) -> int:
    """Show one, with every attempt and the worker that was lost."""
    from orbit_runner.cli.jobs import letters

    return letters.show(letter_id, as_json=as_json)


@dead_letters.command("replay")
@_ids
@_all
@_note
@options.any_project
@options.organization
@options.as_json
def replay(ids: tuple[str, ...], **given: Any) -> int:
    """Try them anew, once, each in a run of its own with what it needs."""
    from orbit_runner.cli.jobs import letters

    return letters.replay(ids, **given)


@dead_letters.command("drop")
@_ids
@_all
@_note
@options.any_project
@options.organization
@options.as_json
def drop(ids: tuple[str, ...], **given: Any) -> int:
    """Leave them at that; they stay to be read."""
    from orbit_runner.cli.jobs import letters

    return letters.drop(ids, **given)
