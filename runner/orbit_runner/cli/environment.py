"""`orbit env save`"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from orbit_context.client import Orbit
from orbit_context.errors import SecretKeyError
from orbit_context.gateway.postgres import PostgresGateway
from orbit_context.suite.load import load_environment
from orbit_runner.cli.exits import Exit
from orbit_runner.cli.project import ensure_schema, find_database, find_sealer

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["save"]


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
