"""The client of whoever is at the keyboard."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, TypeVar

from orbit_context.client import Orbit
from orbit_context.gateway.postgres import PostgresGateway
from orbit_runner.cli.target import ensure_schema, find_database, find_sealer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orbit_context.gateway.supabase import SupabaseGateway
    from orbit_context.seal import Sealer

__all__ = ["asking"]

_T = TypeVar("_T")


def asking(ask: Callable[[Orbit], Awaitable[_T]], *, seals: bool = False) -> _T:
    """What `ask` answers, given the client of whoever is at the keyboard.

    Over Postgres with ORBIT_DATABASE_URL; as who is signed in to a Supabase project, or with its SUPABASE_URL and a key; else
    over the embedded Postgres. `seals`: the client seals with the key at hand, if there is one.
    """
    over_supabase = _supabase()
    if over_supabase is not None:
        return asyncio.run(_ask_over(over_supabase, ask, _key_of_environment() if seals else None))
    target = find_database()
    sealer = find_sealer(target) if seals else None

    async def main() -> _T:
        gateway = PostgresGateway(target.dsn)
        async with Orbit(gateway, sealer=sealer) as orbit:
            await gateway.prepare(lambda connection: ensure_schema(connection, target))
            return await ask(orbit)

    return asyncio.run(main())


def _supabase() -> SupabaseGateway | None:
    if os.environ.get("ORBIT_DATABASE_URL", "").strip():
        return None
    from orbit_runner.cli.session import load, supabase_of_environment

    if signed_in := load():
        return signed_in.gateway()
    if project := supabase_of_environment():
        from orbit_context.gateway.supabase import SupabaseGateway

        return SupabaseGateway(*project)
    return None


def _key_of_environment() -> Sealer | None:
    from orbit_context.seal import KEY_VARIABLE, Sealer

    return Sealer.from_environment() if os.environ.get(KEY_VARIABLE) else None


async def _ask_over(gateway: SupabaseGateway, ask: Callable[[Orbit], Awaitable[_T]], sealer: Sealer | None) -> _T:
    async with Orbit(gateway, sealer=sealer) as orbit:
        return await ask(orbit)
