"""The gateway straight to Postgres, over asyncpg."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote, urlsplit

import asyncpg
import orjson

from orbit_context.errors import DatabaseUnavailableError, OrbitError
from orbit_context.gateway.pooler import connect_through
from orbit_context.gateway.port import encoded
from orbit_context.gateway.translation import from_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

__all__ = ["CONNECTION_ERRORS", "PostgresGateway", "connect", "translate", "translated"]

CONNECTION_ERRORS: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg raises after its backend was killed; no subclass of the others
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)
"""What a connection raises when the database is away; a new connection may find it again."""

_CONNECT_TIMEOUT = 10.0
_VICTIMS = 4
"""How often a call that lost to another one is said again."""


async def connect(
    dsn: str, *, application_name: str = "orbit", command_timeout: float | None = None
) -> asyncpg.Connection:
    """A connection. Raises DatabaseUnavailableError with the place (never the password) and the cause.

    `command_timeout`: seconds that a statement may take.
    """
    try:
        return await connect_through(
            dsn, application_name=application_name, patience=_CONNECT_TIMEOUT, command_timeout=command_timeout
        )
    except (*CONNECTION_ERRORS, asyncpg.PostgresError, ValueError) as error:
        raise unavailable(dsn, error) from error


def unavailable(dsn: str, error: BaseException) -> DatabaseUnavailableError:
    try:
        place = urlsplit(dsn)
        where = f"{place.hostname or 'the local socket'}:{place.port or 5432}{place.path}"
    except ValueError:
        # Where its parts cannot be told apart, a part of the password may be anywhere, also in the cause.
        return DatabaseUnavailableError(
            "cannot reach the database: its address cannot be read",
            hint="write it as postgresql://user:password@host:port/name, with special characters as %XX",
        )
    cause = str(error) or type(error).__name__
    for password in filter(None, (place.password, unquote(place.password or ""))):
        cause = cause.replace(password, "***")
    return DatabaseUnavailableError(
        f"cannot reach the database at {where}", detail=cause, hint="see what is wrong with: orbit doctor"
    )


def translate(error: asyncpg.PostgresError) -> OrbitError | None:
    """Orbit's own error for one of Postgres; None where it is not ours to explain."""
    return from_database(error.sqlstate or "", error.message or str(error), error.detail or None, error.hint or None)


@asynccontextmanager
async def translated(dsn: str) -> AsyncIterator[None]:
    """Turns what asyncpg raises inside into Orbit's errors."""
    try:
        yield
    except asyncpg.PostgresError as error:
        if isinstance(error, CONNECTION_ERRORS):
            raise unavailable(dsn, error) from error
        if (ours := translate(error)) is not None:
            raise ours from error
        raise
    except CONNECTION_ERRORS as error:
        raise unavailable(dsn, error) from error


class PostgresGateway:
    """One connection, opened at the first call and again after it was lost; calls queue behind each other.

    async with PostgresGateway("postgresql://…") as gateway:
        run = await gateway.call("get_run", {"run_id": "last"})
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: asyncpg.Connection | None = None
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def call(self, function: str, request: Mapping[str, Any]) -> Any:
        # As text: the driver need not look up a codec for jsonb first.
        query = f"select orbit.{function}($1::text::jsonb)::text"
        argument = encoded(function, request).decode()
        async with self._lock:
            try:
                async with translated(self._dsn):
                    answer = await self._fetch(query, argument)
            except DatabaseUnavailableError:
                self._drop()
                raise
        return orjson.loads(answer)

    async def _fetch(self, query: str, argument: str) -> Any:
        connection = await self._open()
        for _ in range(_VICTIMS):
            with suppress(asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
                return await connection.fetchval(query, argument)  # nothing of it took effect: to be said again
        return await connection.fetchval(query, argument)

    async def prepare(self, prepared: Callable[[asyncpg.Connection], Awaitable[None]]) -> None:
        """Opens the connection and lets `prepared` look at it before the first call (the schema's version, say)."""
        async with self._lock, translated(self._dsn):
            await prepared(await self._open())

    async def _open(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._dsn)
        return self._connection

    def _drop(self) -> None:
        """Gives up a connection whose state is unknown; the next call opens another."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.terminate()

    async def close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            try:
                await connection.close(timeout=5)
            except CONNECTION_ERRORS:
                connection.terminate()
