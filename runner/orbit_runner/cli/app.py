"""The commands and their options. What they do is imported when they are called: `orbit --help` must come at once.

click, not typer: typer builds a pydantic adapter for each option it parses, which costs a run of one test a third of its time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

__all__ = ["app"]

_GROUPS: tuple[str, ...] = (
    "access",
    "audit",
    "credential",
    "fixture",
    "limits",
    "org",
    "prefs",
    "project",
    "search",
    "secret",
    "template",
    "token",
    "unit",
    "var",
)
"""Groups of commands that have a file of their own, `<name>_commands.py`, read when they are asked for."""

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_SUITE = click.Path(path_type=Path)
_COUNT = click.IntRange(1, 10_000)

_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
_run_id = click.argument("run_id", metavar="RUN")
_reports = click.option(
    "--report", "reports", multiple=True, metavar="KIND=PATH", help="junit, html or json; may be repeated."
)
_variables = click.option(
    "--var", "variables", multiple=True, metavar="K=V", help="A variable; K:=V takes V as JSON. May be repeated."
)
_concurrency = click.option("--concurrency", type=_COUNT, metavar="N", help="How many tests run at once.")


class _Application(click.Group):
    """The commands below, and the groups that lie in files of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_GROUPS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        if command is not None or cmd_name not in _GROUPS:
            return command
        from importlib import import_module

        group: click.Command = getattr(import_module(f"orbit_runner.cli.{cmd_name}_commands"), cmd_name)
        return group


@click.group(cls=_Application, context_settings=_CONTEXT)
def app() -> None:
    """API tests that depend on each other: run them at once, share what they capture, keep every result.

    RUN is a run's id, the beginning of one, or `last`.
    """


@app.command()
@click.argument("file", metavar="SUITE", type=_SUITE)
@click.option("--env", "environment", metavar="FILE|NAME", help="An environment file, or the name of a saved one.")
@_variables
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
@_concurrency
@click.option("--fail-fast", is_flag=True, help="End at the first failure; clean-up still runs.")
@click.option("--timeout", metavar="TIME", help="For the whole run: 90, 5m.")
@_reports
@_as_json
@click.option("--quiet", "-q", is_flag=True, help="No line for tests that passed.")
def run(timeout: str | None, **options: Any) -> int:
    """Run a suite: every test with what it needs, as many at once as may be."""
    from orbit_runner.cli.run import RunOptions
    from orbit_runner.cli.run import run as run_suite

    return run_suite(RunOptions(timeout=_seconds(timeout), **options))


@app.command()
@_run_id
@_concurrency
@_reports
@_as_json
def resume(run_id: str, concurrency: int | None, reports: tuple[str, ...], as_json: bool) -> int:
    """Take up a run whose runner was lost: nothing is run twice that has its result."""
    from orbit_runner.cli.run import resume as resume_run

    return resume_run(run_id, concurrency=concurrency, reports=reports, as_json=as_json)


@app.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=_SUITE)
@click.option("--env", "environment", metavar="FILE", type=_SUITE, help="An environment file.")
@_variables
@click.option("--list", "listing", is_flag=True, help="Name the tests, what they need, and their tags.")
@_as_json
def validate(paths: tuple[Path, ...], environment: Path | None, variables: tuple[str, ...], **options: Any) -> int:
    """Check suites, files or folders of them, without running them: names, expressions, dependencies, files."""
    from orbit_runner.cli.validate import validate as validate_suites

    return validate_suites(paths, environment, variables, **options)


@app.command()
@click.option("--slots", type=_COUNT, default=20, show_default=True, metavar="N", help="How many tests run at once.")
@click.option("--name", help="How it is called in lists; host and process unless given.")
def worker(slots: int, name: str | None) -> int:
    """Serve the shared queue until told to stop; SIGTERM finishes what is running and takes nothing more."""
    from orbit_runner.cli.worker import serve

    return serve(slots=slots, name=name)


@app.command()
@click.argument("run_id", metavar="[RUN]", default="")
@_reports
@click.option("--template", metavar="NAME", help="Print what this report template of the run's project makes of it.")
@_as_json
def show(run_id: str, reports: tuple[str, ...], template: str | None, as_json: bool) -> int:
    """Show a run: its verdict, failures, and where it stands. Without RUN, the newest runs."""
    from orbit_runner.cli.inspect import show as show_run

    return show_run(run_id, reports=reports, template=template, as_json=as_json)


@app.command()
@_run_id
@click.argument("test", metavar="[TEST]", required=False)
@_as_json
def logs(run_id: str, test: str | None, as_json: bool) -> int:
    """Tell what happened in a run, event by event; with a test, what it sent and got."""
    from orbit_runner.cli.inspect import logs as show_logs

    return show_logs(run_id, test=test, as_json=as_json)


@app.command()
@_run_id
@_as_json
def cancel(run_id: str, as_json: bool) -> int:
    """Cancel a run: what waits ends at once, what runs as soon as its worker hears of it."""
    from orbit_runner.cli.inspect import cancel as cancel_run

    return cancel_run(run_id, as_json=as_json)


@app.command()
@_as_json
def doctor(as_json: bool) -> int:
    """Check everything Orbit stands on, and say what to do where something is wrong."""
    from orbit_runner.cli.doctor import doctor as examine

    return examine(as_json=as_json)


@app.command()
@click.option("--url", metavar="URL", help="The project's address; else SUPABASE_URL.")
@click.option("--key", metavar="KEY", help="Its publishable key; else SUPABASE_ANON_KEY or SUPABASE_KEY.")
@click.option("--email", metavar="EMAIL", help="Whose account.")
def login(url: str | None, key: str | None, email: str | None) -> int:
    """Sign in to a Supabase project; the password is asked for, or read from ORBIT_PASSWORD or standard input."""
    from orbit_runner.cli import login as signing

    return signing.login(url=url, key=key, email=email)


@app.command()
def logout() -> int:
    """Sign out, here and at the server."""
    from orbit_runner.cli import login as signing

    return signing.logout()


@app.command()
@_as_json
def whoami(as_json: bool) -> int:
    """Tell who is signed in, where, and to which organisations they belong."""
    from orbit_runner.cli import login as signing

    return signing.whoami(as_json=as_json)


@app.command()
def version() -> int:
    """Print the version."""
    from orbit_context import __version__

    click.echo(__version__)
    return 0


@app.group()
def db() -> None:
    """The database: schema and address."""


@db.command("push")
@_as_json
def db_push(as_json: bool) -> int:
    """Bring the database's schema up to this version."""
    from orbit_runner.cli import database

    return database.push(as_json=as_json)


@db.command("status")
@_as_json
def db_status(as_json: bool) -> int:
    """Tell which migrations the database holds."""
    from orbit_runner.cli import database

    return database.status(as_json=as_json)


@db.command("url")
def db_url() -> int:
    """Print the address for psql and other tools, password included."""
    from orbit_runner.cli import database

    return database.url()


@db.command("reset")
@click.option("--yes", is_flag=True, help="Also a database that is not the embedded one.")
def db_reset(yes: bool) -> int:
    """Drop Orbit's schemas with all they hold, and apply the migrations anew."""
    from orbit_runner.cli import database

    return database.reset(yes=yes)


@db.command("uninstall")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_as_json
def db_uninstall(yes: bool, as_json: bool) -> int:
    """Remove Orbit from the database, with all its data, and nothing else."""
    from orbit_runner.cli import database

    return database.uninstall(yes=yes, as_json=as_json)


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


@app.group()
def local() -> None:
    """The embedded Postgres."""


@local.command("install")
def local_install() -> int:
    """Fetch the embedded Postgres now, for images and for work offline."""
    from orbit_runner.cli import database

    return database.install()


@app.group()
def env() -> None:
    """Environments kept in the database."""


@env.command("save")
@click.argument("file", metavar="FILE", type=_SUITE)
@click.option("--project", default="default", show_default=True, help="The project it belongs to.")
def env_save(file: Path, project: str) -> int:
    """Keep an environment file in the database, secrets sealed: then `--env NAME` finds it."""
    from orbit_runner.cli.environment import save

    return save(file, project)


@env.command("list")
@click.option("--project", default="default", show_default=True, help="The project they belong to.")
@_as_json
def env_list(project: str, as_json: bool) -> int:
    """List the environments of a project."""
    from orbit_runner.cli.environment import list_

    return list_(project, as_json=as_json)


@env.command("show")
@click.argument("name", metavar="NAME")
@click.option("--project", default="default", show_default=True, help="The project it belongs to.")
@_as_json
def env_show(name: str, project: str, as_json: bool) -> int:
    """Show an environment's variables; secrets by name only."""
    from orbit_runner.cli.environment import show

    return show(name, project, as_json=as_json)


@env.command("rm")
@click.argument("name", metavar="NAME")
@click.option("--project", default="default", show_default=True, help="The project it belongs to.")
@_as_json
def env_rm(name: str, project: str, as_json: bool) -> int:
    """Delete an environment with its variables; its runs stay."""
    from orbit_runner.cli.environment import rm

    return rm(name, project, as_json=as_json)


def _seconds(text: str | None) -> float | None:
    """Of `--timeout`: a number is seconds."""
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
