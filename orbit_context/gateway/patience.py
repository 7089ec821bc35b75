"""Waiting for a database that went away."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from orbit_context.errors import DatabaseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["PATIENCE_SECONDS", "patiently"]

PATIENCE_SECONDS = 60.0
"""How long a worker, or a command that follows a run, waits for a database that went away before it gives up."""

_T = TypeVar("_T")


async def patiently(ask: Callable[[], Awaitable[_T]], *, seconds: float = PATIENCE_SECONDS) -> _T:
    """What `ask` answers, asked again for up to `seconds` while the database is away; only for what may be said twice.

    Raises DatabaseUnavailableError after that.
    """
    try:
        return await ask()
    except DatabaseUnavailableError:
        if seconds <= 0:
            raise
    from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(DatabaseUnavailableError),
        wait=wait_random_exponential(multiplier=0.05, max=1.0),
        stop=stop_after_delay(seconds),
        reraise=True,
    )
    async for attempt in retrying:
        with attempt:
            return await ask()
    raise AssertionError("the last attempt returns or raises")
