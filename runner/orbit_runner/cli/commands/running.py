"""`orbit run`, `orbit resume`, `orbit validate`, `orbit worker`: suites, and what executes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orbit_runner.cli import options

__all__ = ["duration", "resume", "run", "seconds", "validate", "worker"]

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("file", metavar="SUITE", type=_PATH)
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
@click.option("-k", "expression", metavar="EXPR", help="Tests by words of their names: cart and not coupon.")
@options.concurrency
@click.option("--fail-fast", is_flag=True, help="End at the first failure; clean-up still runs.")
@click.option("--timeout", metavar="TIME", help="For the whole run: 90, 5m.")
@options.order
@options.reports
@click.option("--quiet", "-q", is_flag=True, help="No line for tests that passed.")
@options.organization
@options.as_json
def run(timeout: str | None, **given: Any) -> int:
    """Run a suite: every test with what it needs, as many at once as may be."""
    from orbit_runner.cli.runs.prepare import RunOptions
    from orbit_runner.cli.runs.run import run as run_suite

    return run_suite(RunOptions(timeout=seconds(timeout), **given))


@click.command()
@options.run_id
@options.concurrency
@options.reports
@options.as_json
def resume(run_id: str, **given: Any) -> int:
    """Take up a run whose runner was lost: nothing is run twice that has its result."""
    from orbit_runner.cli.runs.run import resume as resume_run

    return resume_run(run_id, **given)


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=_PATH)
@click.option("--env", "environment", metavar="FILE", type=_PATH, help="An environment file.")
@options.variables
@click.option("--list", "listing", is_flag=True, help="Name the tests, what they need, and their tags.")
@options.organization
@options.as_json
def validate(paths: tuple[Path, ...], **given: Any) -> int:
    """Check suites, files or folders of them, without running them: names, expressions, dependencies, files."""
    from orbit_runner.cli.runs.validate import validate as validate_suites

    return validate_suites(paths, **given)


@click.command()
@click.option(
    "--slots",
    envvar="ORBIT_WORKER_SLOTS",
    show_envvar=True,
    type=options.COUNT,
    default=20,
    show_default=True,
    metavar="N",
    help="How many tests run at once.",
)
@click.option(
    "--prefetch",
    envvar="ORBIT_WORKER_PREFETCH",
    show_envvar=True,
    type=click.IntRange(0, 10_000),
    default=0,
    show_default=True,
    metavar="N",
    help="How many more it may hold.",
)
@click.option(
    "--heartbeat",
    envvar="ORBIT_WORKER_HEARTBEAT",
    show_envvar=True,
    type=click.FloatRange(0.1, 60),
    default=2.5,
    show_default=True,
    metavar="SECONDS",
    help="How often it says that it is alive.",
)
@click.option(
    "--lease",
    envvar="ORBIT_WORKER_LEASE",
    show_envvar=True,
    type=click.FloatRange(1, 3600),
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="Silent for so long, it loses what it holds to others.",
)
@click.option(
    "--name",
    envvar="ORBIT_WORKER_NAME",
    show_envvar=True,
    metavar="NAME",
    help="How it is called in lists; host and process unless given.",
)
@click.option(
    "--capability",
    "capabilities",
    multiple=True,
    metavar="NAME",
    help="What it can execute beside http: docker, android. May be repeated.",
)
@click.option("--token", metavar="TOKEN", help="A worker token; better in ORBIT_WORKER_TOKEN, which nobody else sees.")
@click.option(
    "--group-setup", metavar="COMMAND", help="Sets up an affinity group before its tests; $ORBIT_GROUP says which."
)
@click.option(
    "--group-setup-timeout",
    metavar="TIME",
    default="10m",
    show_default=True,
    help="After which a set-up is ended: it failed.",
)
@click.option("--drain-timeout", metavar="TIME", help="How long it may take to finish once it is told to stop: 90, 5m.")
@click.option("--max-tests", type=click.IntRange(1, 10**9), metavar="N", help="Take nothing more after so many tests.")
@click.option("--once", is_flag=True, help="End when there is nothing that it could take.")
@click.option("--json", "as_json", is_flag=True, help="What it does as JSON, an object a line, on standard output.")
def worker(drain_timeout: str | None, group_setup_timeout: str, **given: Any) -> int:
    """Serve the shared queue until told to stop; SIGTERM finishes what is running and takes nothing more."""
    from orbit_runner.cli.runs.worker import ServeOptions, serve

    return serve(
        ServeOptions(
            drain_timeout=seconds(drain_timeout, "--drain-timeout"),
            group_setup_timeout=seconds(group_setup_timeout, "--group-setup-timeout"),
            **given,
        )
    )


def seconds(text: str | None, option: str = "--timeout") -> float | None:
    """Of an option that is a time: a number is seconds."""
    from orbit_context.errors import DefinitionError

    given = duration(text, option)
    if given is not None and given <= 0:
        raise DefinitionError("it takes more than zero seconds", field=option, hint="write 90, 90s or 5m")
    return given


def duration(text: str | None, option: str) -> float | None:
    """The same, also none at all."""
    from orbit_context.errors import DefinitionError
    from orbit_context.suite.units import parse_duration

    if text is None:
        return None
    try:
        return parse_duration(float(text) if text.replace(".", "", 1).isdigit() else text)
    except ValueError as error:
        raise DefinitionError(str(error), field=option) from None
