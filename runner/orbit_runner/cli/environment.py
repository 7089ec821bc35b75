"""`orbit env`: environments kept in the database."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

from orbit_context.client import Orbit
from orbit_context.errors import SecretKeyError
from orbit_context.gateway.postgres import PostgresGateway
from orbit_context.suite.load import load_environment
from orbit_runner.cli.asking import asking, print_answer, print_rows
from orbit_runner.cli.exits import Exit
from orbit_runner.cli.project import ensure_schema, find_database, find_sealer
from orbit_runner.report.wording import plural, visible

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["list_", "rm", "save", "show"]


def save(file: Path, project: str) -> Exit:
    document = load_environment(file)
    name = document.environment
    clear = {key: variable.value for key, variable in document.variables.items() if not variable.secret}
    secrets = {
        key: variable.value for key, variable in document.variables.items() if variable.secret
    } | document.secrets
    target = find_database()
    sealer = find_sealer(target) if secrets else None
    if secrets and sealer is None:
        raise SecretKeyError(
            f"{next(iter(secrets))} is secret, and there is no key to seal it with",
            hint="make one with `orbit secret key` and set ORBIT_SECRET_KEY to it",
        )
    sealed = (
        {key: sealer.seal(value, aad=f"environment:{name}:{key}") for key, value in secrets.items()} if sealer else {}
    )

    async def main() -> None:
        gateway = PostgresGateway(target.dsn)
        async with Orbit(gateway) as orbit:
            await gateway.prepare(lambda connection: ensure_schema(connection, target))
            await orbit.environments.save(name, clear, sealed=sealed, project=project)

    asyncio.run(main())
    sys.stdout.write(f"saved {name}: {len(clear)} variables, {len(sealed)} secrets\n")
    return Exit.PASSED


def list_(project: str, *, as_json: bool) -> Exit:
    found = asking(lambda orbit: orbit.environments.list(project=project))
    rows = [one.model_dump(mode="json") for one in found]
    columns = ("name", "variables", "secrets", "updated_at", "description")
    return print_rows(rows, columns, as_json=as_json, nothing="no environments")


def show(name: str, project: str, *, as_json: bool) -> Exit:
    found = asking(lambda orbit: orbit.environments.get(name, project=project))
    rows = [variable.model_dump(mode="json") for variable in found.variables]
    for row in rows:
        row["value"] = None if row["secret"] else row["value"]
    if as_json:
        return print_answer(found.model_dump(mode="json") | {"variables": rows})
    for row in rows:
        row["value"] = "(secret)" if row["secret"] else json.dumps(row["value"], ensure_ascii=False)
    return print_rows(rows, ("name", "value", "type", "priority"), as_json=False, nothing="no variables")


def rm(name: str, project: str, *, as_json: bool) -> Exit:
    count = asking(lambda orbit: orbit.environments.delete(name, project=project))
    if as_json:
        return print_answer({"deleted": True, "variables": count})
    sys.stdout.write(f"{visible(name)} is deleted, with {plural(count, 'variable')}\n")
    return Exit.PASSED
