"""`orbit env`"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from orbit_context.client import Orbit
from orbit_context.errors import SecretKeyError
from orbit_context.gateway.postgres import PostgresGateway
from orbit_context.suite.load import load_environment
from orbit_runner.cli.answers import print_answer, print_rows, told
from orbit_runner.cli.asking import asking
from orbit_runner.cli.target import ensure_schema, find_database, find_sealer
from orbit_runner.report.wording import plural

if TYPE_CHECKING:
    from pathlib import Path

    from orbit_runner.cli.exits import Exit

__all__ = ["list_", "rm", "save", "show"]


def save(file: Path, *, as_json: bool, **given: Any) -> Exit:
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
            await orbit.environments.save(name, clear, sealed=sealed, **given)

    asyncio.run(main())
    answer = {"name": name, "variables": len(clear), "secrets": len(sealed)}
    sentence = f"saved {name}: {plural(len(clear), 'variable')}, {plural(len(sealed), 'secret')}"
    return told(answer, sentence, as_json=as_json)


def list_(*, as_json: bool, **given: Any) -> Exit:
    found = asking(lambda orbit: orbit.environments.list(**given))
    columns = ("name", "variables", "secrets", "updated_at", "description")
    return print_rows(found, columns, as_json=as_json, nothing="no environment; keep one: orbit env save FILE")


def show(name: str, *, as_json: bool, **given: Any) -> Exit:
    found = asking(lambda orbit: orbit.environments.get(name, **given))
    rows = [variable.model_dump(mode="json") for variable in found.variables]
    for row in rows:
        row["value"] = None if row["secret"] else row["value"]
    if as_json:
        return print_answer(found.model_dump(mode="json") | {"variables": rows})
    return print_rows(
        rows,
        ("name", "value", "type", "priority"),
        as_json=False,
        nothing=f"no variables; define one: orbit var set NAME=VALUE --env {name}",
        shown=lambda row: {
            "value": "(secret)" if row["secret"] else json.dumps(row["value"], ensure_ascii=False),
            "type": None if row["type"] == "any" else row["type"],
            "priority": row["priority"] or None,
        },
    )


def rm(name: str, *, as_json: bool, **given: Any) -> Exit:
    count = asking(lambda orbit: orbit.environments.delete(name, **given))
    sentence = f"{name} is deleted, with {plural(count, 'variable')}"
    return told({"deleted": True, "variables": count}, sentence, as_json=as_json)
