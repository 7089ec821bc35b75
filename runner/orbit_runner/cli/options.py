"""Options and arguments that return from command to command: one word and one meaning each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

__all__ = [
    "any_place",
    "any_project",
    "as_json",
    "business_unit",
    "concurrency",
    "environment",
    "in_project",
    "order",
    "organization",
    "place_of_variable",
    "project",
    "reports",
    "run_id",
    "suite",
    "test",
    "together",
    "variables",
]

COUNT = click.IntRange(1, 10_000)

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")

organization = click.option(
    "--org",
    "organization",
    metavar="NAME",
    envvar="ORBIT_ORGANIZATION",
    help="The organisation; yours, if you belong to one only.",
)
business_unit = click.option("--unit", "business_unit", metavar="NAME", help="A business unit.")
project = click.option("--project", metavar="NAME", help="The project; your preferred one, else `default`.")
any_project = click.option("--project", metavar="NAME", help="Of this project; of all that you see unless given.")
environment = click.option("--env", "environment", metavar="NAME", help="An environment of the project.")
suite = click.option("--suite", metavar="NAME", help="A suite of the project, by its key.")
test = click.option("--test", metavar="NAME", help="A test of that suite, by its key.")
is_global = click.option("--global", "is_global", is_flag=True, help="The organisation as a whole.")

run_id = click.argument("run_id", metavar="RUN")
order = click.option(
    "--order",
    type=click.Choice(["impact", "suite"]),
    metavar="impact|suite",
    help="impact: what failed lately and what is slow goes first, so unless told otherwise; suite: the suite's own.",
)
reports = click.option(
    "--report", "reports", multiple=True, metavar="KIND=PATH", help="junit, html or json; may be repeated."
)
variables = click.option(
    "--var", "variables", multiple=True, metavar="K=V", help="A variable; K:=V takes V as JSON. May be repeated."
)
concurrency = click.option("--concurrency", type=COUNT, metavar="N", help="How many tests run at once.")


def together(*options: Decorator) -> Decorator:
    """Several as one, shown in this order."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


in_project = together(project, organization, as_json)
"""What is kept in a project."""
any_place = together(business_unit, project, environment, suite, organization)
"""Where something may be done."""
place_of_variable = together(is_global, business_unit, project, environment, suite, test, organization)
"""What a variable belongs to: the narrowest that is named."""
