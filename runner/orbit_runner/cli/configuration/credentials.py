"""`orbit credential`, and what a run is given of credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.client import Orbit
from orbit_context.errors import NotFoundError
from orbit_context.gateway.postgres import PostgresGateway
from orbit_runner.cli.answers import print_rows, told
from orbit_runner.cli.asking import asking
from orbit_runner.cli.configuration.asked import asked_for
from orbit_runner.cli.moments import ahead
from orbit_runner.cli.target import ensure_schema

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from orbit_context.models.library import ApiCredential
    from orbit_runner.cli.exits import Exit
    from orbit_runner.connection import DatabaseTarget

__all__ = ["add", "fetch_credentials", "list_", "rm"]


def add(
    name: str, *, scopes: Sequence[str], expires: str | None, organization: str | None, as_json: bool, **given: Any
) -> Exit:
    fields = {field: value for field, value in given.items() if value is not None}
    if scopes:
        fields["scopes"] = list(scopes)
    ends = ahead(expires, option="--expires") if expires else None
    secret = asked_for(name, hint="Give it on standard input: orbit credential add NAME < FILE")
    saved = asking(
        lambda orbit: orbit.credentials.save(name, secret=secret, expires_at=ends, organization=organization, **fields),
        seals=True,
    )
    return told(saved, f"saved {saved.name}", as_json=as_json)


def list_(*, organization: str | None, as_json: bool) -> Exit:
    found = asking(lambda orbit: orbit.credentials.list(organization=organization))
    columns = ("name", "type", "username", "header_name", "client_id", "expires_at", "last_used_at", "description")
    return print_rows(
        found,
        columns,
        as_json=as_json,
        nothing="no credential; add one: orbit credential add NAME",
        shown=lambda row: {"type": row["credential_type"]},
    )


def rm(name: str, *, organization: str | None, as_json: bool) -> Exit:
    asking(lambda orbit: orbit.credentials.delete(name, organization=organization))
    return told({"name": name}, f"deleted {name}", as_json=as_json)


async def fetch_credentials(
    target: DatabaseTarget, names: Sequence[str], organization: str | None = None
) -> Mapping[str, Collection[str]]:
    """Which fields these have, for `load_suite`. Raises NotFoundError for the first that is not there."""
    gateway = PostgresGateway(target.dsn)
    async with Orbit(gateway) as orbit:
        await gateway.prepare(lambda connection: ensure_schema(connection, target))
        found: dict[str, ApiCredential] = {
            one.name: one for one in await orbit.credentials.list(organization=organization)
        }
    for name in names:
        if name not in found:
            raise NotFoundError(f"no credential {name} of your own", hint="Save it first: orbit credential add NAME")
    return {name: found[name].fields for name in names}
