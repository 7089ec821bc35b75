"""`orbit schedule`: runs that start by themselves."""

from __future__ import annotations

from typing import Any

import click

from orbit_runner.cli import options

__all__ = ["schedule"]

_ZONE = click.option(
    "--zone", "time_zone", metavar="NAME", help="Whose clock a cron line means: Europe/Paris; UTC unless given."
)
_EVERY = click.option("--every", metavar="TIME", help="From one start to the next: 90m, 6h, 1d.")
_AT = click.option("--at", metavar="TIME", help="Once: 2030-01-31T08:00+01:00, or in how long: 90m.")
_FROM = click.option("--from", "anchor", metavar="TIME", help="From where --every is counted; now unless given.")


@click.group()
def schedule() -> None:
    """When suites are run by themselves. Workers start what is due."""


@schedule.command("add")
@click.argument("name", metavar="NAME")
@click.argument("suite", metavar="SUITE")
@click.option("--cron", metavar="LINE", help='Minute, hour, day, month, day of week: "0 6 * * mon-fri".')
@_EVERY
@_AT
@_FROM
@_ZONE
@click.option(
    "--missed",
    type=click.Choice(["skip", "once", "all"]),
    default="once",
    show_default=True,
    metavar="POLICY",
    help="skip, once or all: what is made up for when nobody was there to start it.",
)
@click.option("--env", "environment", metavar="NAME", help="A saved environment.")
@click.option("--paused", is_flag=True, help="It starts nothing until it is resumed.")
@click.option(
    "--tag", "tags", multiple=True, metavar="A,B", help="Tests with one of these tags; repeated: of each group."
)
@options.variables
@click.option(
    "--group", metavar="KEY", help="What its tests are executed together by: an app's version. See orbit worker."
)
@options.order
@options.concurrency
@click.option("--fail-fast", is_flag=True, help="End at the first failure; clean-up still runs.")
@click.option("--timeout", metavar="TIME", help="For the whole run: 90, 5m.")
@click.option("--priority", type=click.IntRange(-100, 100), metavar="N", help="-100 to 100; 0 unless given.")
@options.in_project
def add(name: str, suite: str, **given: Any) -> int:
    """Run a saved suite by itself; in place of the schedule of that name, if there is one."""
    from orbit_runner.cli.schedules import schedules

    return schedules.add(name, suite, **given)


@schedule.command("list")
@options.any_project
@options.organization
@options.as_json
def list_(**given: Any) -> int:
    """List the schedules, and when each is due next."""
    from orbit_runner.cli.schedules import schedules

    return schedules.list_(**given)


@schedule.command("show")
@click.argument("name", metavar="NAME")
@options.in_project
def show(name: str, **given: Any) -> int:
    """Show a schedule: what comes, and what became of the last times."""
    from orbit_runner.cli.schedules import schedules

    return schedules.show(name, **given)


@schedule.command("pause")
@click.argument("name", metavar="NAME")
@options.in_project
def pause(name: str, **given: Any) -> int:
    """Have a schedule start nothing until it is resumed."""
    from orbit_runner.cli.schedules import schedules

    return schedules.pause(name, **given)


@schedule.command("resume")
@click.argument("name", metavar="NAME")
@options.in_project
def resume(name: str, **given: Any) -> int:
    """End a pause; what was due in the meantime is not made up for."""
    from orbit_runner.cli.schedules import schedules

    return schedules.resume(name, **given)


@schedule.command("rm")
@click.argument("name", metavar="NAME")
@options.in_project
def remove(name: str, **given: Any) -> int:
    """Delete a schedule; the runs that it started stay."""
    from orbit_runner.cli.schedules import schedules

    return schedules.remove(name, **given)


@schedule.command("next")
@click.argument("what", metavar="LINE|NAME", required=False)
@_EVERY
@_AT
@_FROM
@_ZONE
@click.option("-n", "count", type=click.IntRange(1, 100), default=5, show_default=True, metavar="N", help="How many.")
@click.option("--after", metavar="TIME", help="After when; now unless given.")
@options.in_project
def next_(what: str | None, **given: Any) -> int:
    """Tell when a cron line is due, or a schedule."""
    from orbit_runner.cli.schedules import schedules

    return schedules.next_(what, **given)
