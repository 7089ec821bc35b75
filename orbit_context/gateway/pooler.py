"""Poolers on the way to Postgres: in transaction mode, each transaction may go to another backend.

Nothing may then be prepared by name (a name may stand for another client's statement there), and LISTEN hears nothing.
The address says what there is (`?pooler=transaction`, `session` or `none`), or its port does; else the server is asked, once for
each: a pooler greets with a process number of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

import asyncpg

from orbit_context.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Pooled", "connect_through"]

Mode = Literal["transaction", "session", "none"]

_TRANSACTION_PORT = 6543
_SUPABASE_POOLER = ".pooler.supabase.com"
_found: dict[str, Mode] = {}
"""By place, what was found out in this process."""


class Pooled(asyncpg.Connection):  # type: ignore[misc]
    """A connection through a pooler in transaction mode."""

    async def add_listener(self, channel: str, callback: Callable[..., Any]) -> None:
        """Does nothing: LISTEN would stay with a backend that is somebody else's in a moment."""


async def connect_through(
    dsn: str, *, application_name: str, patience: float, command_timeout: float | None
) -> asyncpg.Connection:
    """A connection in the way that what lies between allows; `patience`: seconds that it may take to be there.

    Whatever asyncpg raises comes through, and DefinitionError for a mode that there is not.
    """
    address, mode, place = _read(dsn)

    async def dial(*, pooled: bool) -> asyncpg.Connection:
        return await asyncpg.connect(
            address,
            timeout=patience,
            command_timeout=command_timeout,
            statement_cache_size=0 if pooled else 100,
            server_settings={} if pooled else {"application_name": application_name},
            connection_class=Pooled if pooled else asyncpg.Connection,
        )

    if mode is None:
        mode = _found.get(place)
    if mode is not None:
        return await dial(pooled=mode == "transaction")
    connection = await dial(pooled=False)
    try:
        direct = await _is_direct(connection)
    except BaseException:
        connection.terminate()
        raise
    _found[place] = "none" if direct else "transaction"
    if direct:
        return connection
    connection.terminate()
    return await dial(pooled=True)


def _read(dsn: str) -> tuple[str, Mode | None, str]:
    """The address as the driver takes it, the mode as far as the address tells it, and the place."""
    parts = urlsplit(dsn)
    place = f"{parts.hostname}:{parts.port}?{parts.query}"
    options = parse_qsl(parts.query, keep_blank_values=True)
    stated = [value for name, value in options if name == "pooler"]
    if stated:
        if stated[-1] not in {"transaction", "session", "none"}:
            raise DefinitionError(
                f"the database's address says pooler={stated[-1][:40]}", hint="it is transaction, session or none"
            )
        rest = urlencode([(name, value) for name, value in options if name != "pooler"])
        return parts._replace(query=rest).geturl(), cast("Mode", stated[-1]), place
    if parts.port == _TRANSACTION_PORT:
        return dsn, "transaction", place
    if (parts.hostname or "").endswith(_SUPABASE_POOLER):
        return dsn, "session", place
    return dsn, None, place


async def _is_direct(connection: asyncpg.Connection) -> bool:
    """COPY, for it is the one question that asyncpg asks without preparing anything."""
    told: list[bytes] = []

    async def take(data: bytes) -> None:
        told.append(data)

    ask: Callable[..., Awaitable[Any]] = connection.copy_from_query
    await ask("select pg_backend_pid()", output=take)
    return bool(int(b"".join(told)) == connection.get_server_pid())
