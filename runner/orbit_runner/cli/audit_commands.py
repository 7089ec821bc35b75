"""`orbit audit`: who did what."""

from __future__ import annotations

import click

__all__ = ["audit"]

_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
_organization = click.option(
    "--org",
    "organization",
    metavar="NAME",
    envvar="ORBIT_ORGANIZATION",
    help="Whose log; yours, if you belong to one only.",
)
_system = click.option("--system", is_flag=True, help="The log of what belongs to no organisation.")


@click.group()
def audit() -> None:
    """Who changed what, and whether the log of it is whole."""


@audit.command("list")
@click.option("--action", metavar="NAME", help="As in environment.update; environment means all done to one.")
@click.option("--who", metavar="NAME", help="An e-mail address, a database role or a user's id.")
@click.option("--resource", metavar="NAME", help="A kind (environment), an id or a name.")
@click.option("--since", metavar="TIME", help="A time, or how long ago: 2026-11-01, 90m, 7d.")
@click.option(
    "--limit", type=click.IntRange(1, 500), default=50, show_default=True, metavar="N", help="How many at most."
)
@click.option("--before", type=click.IntRange(1), metavar="NUMBER", help="Those before this one: the next page.")
@_organization
@_system
@_json
def list_(
    action: str | None,
    who: str | None,
    resource: str | None,
    since: str | None,
    limit: int,
    before: int | None,
    organization: str | None,
    system: bool,
    as_json: bool,
) -> int:
    """List what was done, newest first."""
    from orbit_runner.cli import audit as commands

    return commands.list_entries(
        since,
        action=action,
        who=who,
        resource=resource,
        limit=limit,
        before=before,
        organization=organization,
        system=system,
        as_json=as_json,
    )


@audit.command("verify")
@click.option("--head", metavar="HASH", help="A head that was kept: NUMBER:HASH, or the hash alone.")
@_organization
@_system
@_json
def verify(head: str | None, organization: str | None, system: bool, as_json: bool) -> int:
    """Walk along the chain of hashes; exit code 1 where an entry is not as it was written."""
    from orbit_runner.cli import audit as commands

    return commands.verify_chain(head, organization=organization, system=system, as_json=as_json)
