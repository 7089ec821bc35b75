"""`orbit config`: settings."""

from __future__ import annotations

from typing import Any

import click

from orbit_runner.cli import options

__all__ = ["config"]

_place = options.together(
    options.environment,
    options.project,
    options.organization,
    click.option("--all", "installation", is_flag=True, help="The installation: what holds for every organisation."),
    options.as_json,
)


@click.group()
def config() -> None:
    """Settings: defaults of runs, caps, rates, and this machine's worker.

    The narrowest place that says something counts: installation < organisation < project < environment.
    """


@config.command("show")
@_place
def show(**given: Any) -> int:
    """Show what holds, where it comes from, and what it hides."""
    from orbit_runner.cli.commands.running import worker
    from orbit_runner.cli.configuration import settings as commands

    return commands.show(worker=worker, **given)


@config.command("set")
@click.argument("assignment", metavar="NAME=VALUE")
@_place
def set_(assignment: str, **given: Any) -> int:
    """Set something for the place that is named: run.timeout=5m, concurrency.environment=10, rate.host:api.example=5/s."""
    from orbit_runner.cli.configuration import settings as commands

    return commands.set_(assignment, **given)


@config.command("unset")
@click.argument("name", metavar="NAME")
@_place
def unset(name: str, **given: Any) -> int:
    """Take back what was set at that place."""
    from orbit_runner.cli.configuration import settings as commands

    return commands.unset(name, **given)
