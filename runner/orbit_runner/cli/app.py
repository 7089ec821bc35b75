"""The commands and their options. What they do is imported when they are called: `orbit --help` must come at once."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads annotations at run time
from typing import Annotated, Optional

import typer

app = typer.Typer(
    name="orbit",
    help="API tests that depend on each other: run them at once, share what they capture, keep every result.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
db = typer.Typer(help="The database: schema and address.", no_args_is_help=True, rich_markup_mode=None)
local = typer.Typer(help="The embedded Postgres.", no_args_is_help=True, rich_markup_mode=None)
env = typer.Typer(help="Environments kept in the database.", no_args_is_help=True, rich_markup_mode=None)
secret = typer.Typer(help="The key that seals secrets.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(db, name="db")
app.add_typer(local, name="local")
app.add_typer(env, name="env")
app.add_typer(secret, name="secret")

_Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
_RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, its beginning, or `last`.")]
_Reports = Annotated[
    list[str], typer.Option("--report", metavar="KIND=PATH", help="junit, html or json; may be repeated.")
]


@app.command()
def run(
    file: Annotated[Path, typer.Argument(metavar="SUITE", help="The suite file.")],
    environment: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it at run time
        typer.Option("--env", metavar="FILE|NAME", help="An environment file, or the name of a saved one."),
    ] = None,
    variables: Annotated[
        list[str], typer.Option("--var", metavar="K=V", help="A variable; K:=V takes V as JSON. May be repeated.")
    ] = [],  # noqa: B006 - typer's way
    tags: Annotated[
        list[str],
        typer.Option("--tag", metavar="A,B", help="Tests with one of these tags; repeated, one of each group."),
    ] = [],  # noqa: B006
    expression: Annotated[
        Optional[str], typer.Option("-k", metavar="EXPR", help="Tests by words of their name: cart and not coupon.")  # noqa: UP045
    ] = None,
    concurrency: Annotated[
        Optional[int], typer.Option(min=1, max=10_000, help="How many tests run at once.")  # noqa: UP045
    ] = None,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="End at the first failure; clean-up still runs.")
    ] = False,
    timeout: Annotated[
        Optional[str], typer.Option(metavar="TIME", help="For the whole run: 90, 5m.")  # noqa: UP045
    ] = None,
    reports: _Reports = [],  # noqa: B006
    as_json: _Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No line for tests that passed.")] = False,
) -> int:
    """Run a suite: every test with what it needs, as many at once as may be."""
    from orbit_runner.cli.run import RunOptions
    from orbit_runner.cli.run import run as run_suite

    options = RunOptions(
        file,
        environment,
        variables,
        tags,
        expression,
        concurrency,
        fail_fast,
        _seconds(timeout),
        reports,
        as_json,
        quiet,
    )
    return run_suite(options)


@app.command()
def resume(
    run_id: _RunId,
    concurrency: Annotated[Optional[int], typer.Option(min=1, max=10_000)] = None,  # noqa: UP045
    reports: _Reports = [],  # noqa: B006
    as_json: _Json = False,
) -> int:
    """Take up a run whose runner was lost: nothing is run twice that has its result."""
    from orbit_runner.cli.run import resume as resume_run

    return resume_run(run_id, concurrency=concurrency, reports=reports, as_json=as_json)


@app.command()
def validate(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Suite files, or folders of them.")],
    environment: Annotated[Optional[Path], typer.Option("--env", metavar="FILE")] = None,  # noqa: UP045
    variables: Annotated[list[str], typer.Option("--var", metavar="K=V")] = [],  # noqa: B006
    listing: Annotated[bool, typer.Option("--list", help="Name the tests, what they need, and their tags.")] = False,
    as_json: _Json = False,
) -> int:
    """Check suites without running them: names, expressions, dependencies, files."""
    from orbit_runner.cli.validate import validate as validate_suites

    return validate_suites(paths, environment, variables, listing=listing, as_json=as_json)


@app.command()
def worker(
    slots: Annotated[int, typer.Option(min=1, max=10_000, help="How many tests run at once.")] = 20,
    name: Annotated[str | None, typer.Option(help="How it is called in lists; host and process unless given.")] = None,
) -> int:
    """Serve the shared queue until told to stop; SIGTERM finishes what is running and takes nothing more."""
    from orbit_runner.cli.worker import serve

    return serve(slots=slots, name=name)


@app.command()
def show(
    run_id: Annotated[
        str, typer.Argument(metavar="[RUN]", help="A run's id, its beginning, or `last`; none lists runs.")
    ] = "",
    reports: _Reports = [],  # noqa: B006
    as_json: _Json = False,
) -> int:
    """Show a run: its verdict, failures, and where it stands. Without RUN, the newest runs."""
    from orbit_runner.cli.inspect import show as show_run

    return show_run(run_id, reports=reports, as_json=as_json)


@app.command()
def logs(
    run_id: _RunId,
    test: Annotated[
        str | None, typer.Argument(metavar="[TEST]", help="Only this test, with request and response.")
    ] = None,
    as_json: _Json = False,
) -> int:
    """Tell what happened in a run, event by event; with a test, what it sent and got."""
    from orbit_runner.cli.inspect import logs as show_logs

    return show_logs(run_id, test=test, as_json=as_json)


@app.command()
def cancel(run_id: _RunId, as_json: _Json = False) -> int:
    """Cancel a run: what waits ends at once, what runs as soon as its worker hears of it."""
    from orbit_runner.cli.inspect import cancel as cancel_run

    return cancel_run(run_id, as_json=as_json)


@app.command()
def doctor(as_json: _Json = False) -> int:
    """Check everything Orbit stands on, and say what to do where something is wrong."""
    from orbit_runner.cli.doctor import doctor as examine

    return examine(as_json=as_json)


@app.command()
def version() -> int:
    """Print the version."""
    from orbit_context import __version__

    typer.echo(__version__)
    return 0


@db.command("push")
def db_push(as_json: _Json = False) -> int:
    """Bring the database's schema up to this version."""
    from orbit_runner.cli import database

    return database.push(as_json=as_json)


@db.command("status")
def db_status(as_json: _Json = False) -> int:
    """Which migrations the database holds."""
    from orbit_runner.cli import database

    return database.status(as_json=as_json)


@db.command("url")
def db_url() -> int:
    """Print the address for psql and other tools, password included."""
    from orbit_runner.cli import database

    return database.url()


@db.command("reset")
def db_reset(
    yes: Annotated[bool, typer.Option("--yes", help="Also a database that is not the embedded one.")] = False,
) -> int:
    """Drop Orbit's schemas with all they hold, and apply the migrations anew."""
    from orbit_runner.cli import database

    return database.reset(yes=yes)


@db.command("start")
def db_start() -> int:
    """Start the embedded Postgres."""
    from orbit_runner.cli import database

    return database.start()


@db.command("stop")
def db_stop() -> int:
    """Stop the embedded Postgres; the data stay."""
    from orbit_runner.cli import database

    return database.stop()


@local.command("install")
def local_install() -> int:
    """Fetch the embedded Postgres now, for images and for work offline."""
    from orbit_runner.cli import database

    return database.install()


@env.command("save")
def env_save(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An environment file.")],
    project: Annotated[str, typer.Option(help="The project it belongs to.")] = "default",
) -> int:
    """Keep an environment in the database, secrets sealed: then `--env NAME` finds it."""
    from orbit_runner.cli.environment import save

    return save(file, project)


@secret.command("key")
def secret_key() -> int:
    """Print a new key for ORBIT_SECRET_KEY."""
    from orbit_context.seal import generate_key

    typer.echo(generate_key())
    return 0


def _seconds(text: str | None) -> float | None:
    from orbit_context.errors import DefinitionError
    from orbit_context.suite.units import parse_duration

    if text is None:
        return None
    try:
        seconds = parse_duration(float(text) if text.replace(".", "", 1).isdigit() else text)
    except ValueError as error:
        raise DefinitionError(str(error), field="--timeout") from None
    if seconds <= 0:
        raise DefinitionError("a run is given more than zero seconds", field="--timeout")
    return seconds
