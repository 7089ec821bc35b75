"""`orbit credential add | list | rm`, and what a run is given of them."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orbit_context.client import Orbit
from orbit_context.errors import DefinitionError, NotFoundError
from orbit_context.gateway.postgres import PostgresGateway
from orbit_runner.cli.asking import asking, print_answer, print_rows
from orbit_runner.cli.exits import Exit
from orbit_runner.cli.project import ensure_schema
from orbit_runner.report.wording import visible

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from orbit_context.models.library import ApiCredential, SavedCredential
    from orbit_runner.connection import DatabaseTarget

__all__ = ["add", "fetch_credentials", "list_", "rm"]

_COLUMNS = (
    "name",
    "credential_type",
    "username",
    "header_name",
    "client_id",
    "expires_at",
    "last_used_at",
    "description",
)


def add(name: str, *, expires: str | None, organization: str | None, as_json: bool, **options: Any) -> Exit:
    fields = {field: value for field, value in options.items() if value not in (None, ())}
    if "scopes" in fields:
        fields["scopes"] = list(fields["scopes"])
    expires_at = _moment(expires)
    secret = _ask_for(name)

    async def ask(orbit: Orbit) -> SavedCredential:
        return await orbit.credentials.save(
            name, secret=secret, expires_at=expires_at, organization=organization, **fields
        )

    saved = asking(ask, seals=True)
    if as_json:
        return print_answer(saved.model_dump(mode="json"))
    sys.stdout.write(f"saved {visible(saved.name)}\n")
    return Exit.PASSED


def _ask_for(name: str) -> str:
    """Asked for without showing it, or all of standard input but the line end at its end."""
    if sys.stdin.isatty():
        from getpass import getpass

        secret = getpass(f"{name}: ")
    else:
        secret = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    if not secret:
        raise DefinitionError(
            f"no secret for {name}", hint="Give it on standard input: orbit credential add NAME < FILE"
        )
    return secret


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise DefinitionError(
            f"{text[:60]!r} is no time", field="--expires", hint="Write 2027-01-31, or 2027-01-31T08:00:00Z."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def list_(organization: str | None, *, as_json: bool) -> Exit:
    async def ask(orbit: Orbit) -> list[dict[str, Any]]:
        return [one.model_dump(mode="json") for one in await orbit.credentials.list(organization=organization)]

    return print_rows(asking(ask), _COLUMNS, as_json=as_json, nothing="no credential")


def rm(name: str, organization: str | None, *, as_json: bool) -> Exit:
    async def ask(orbit: Orbit) -> None:
        await orbit.credentials.delete(name, organization=organization)

    asking(ask)
    if as_json:
        return print_answer({"name": name})
    sys.stdout.write(f"deleted {visible(name)}\n")
    return Exit.PASSED


async def fetch_credentials(target: DatabaseTarget, names: Sequence[str]) -> Mapping[str, Collection[str]]:
    """Which fields these have, for `load_suite`. Raises NotFoundError for the first that is not there."""
    gateway = PostgresGateway(target.dsn)
    async with Orbit(gateway) as orbit:
        await gateway.prepare(lambda connection: ensure_schema(connection, target))
        found: dict[str, ApiCredential] = {one.name: one for one in await orbit.credentials.list()}
    for name in names:
        if name not in found:
            raise NotFoundError(f"no credential {name} of your own", hint="Save it first: orbit credential add NAME")
    return {name: found[name].fields for name in names}
