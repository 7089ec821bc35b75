"""What a worker tells of itself while it works."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from orbit_context.errors import DatabaseUnavailableError
from orbit_context.gateway.patience import patiently

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Watch"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Watch:
    """Told by a worker what happens to it; this one logs an outage, and nothing else. `away` and `back` come from two threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: float | None = None

    def registered(self) -> None:
        """The database knows the worker from now on, perhaps once more."""

    def left(self, queue_no: int) -> None:
        """A run is over, or others finish it; may be told again."""

    def idle(self) -> None:
        """It holds nothing, and there is nothing that it could take."""

    def away(self, error: DatabaseUnavailableError) -> None:
        """The database cannot be reached; the outage is told once."""
        with self._lock:
            if self._since is not None:
                return
            self._since = time.monotonic()
        self.tell_away(error)

    def back(self) -> None:
        """The database answers."""
        with self._lock:
            if self._since is None:
                return
            seconds, self._since = time.monotonic() - self._since, None
        self.tell_back(seconds)

    def tell_away(self, error: DatabaseUnavailableError) -> None:
        _log.warning("%s (%s); trying again", error, error.detail)

    def tell_back(self, seconds: float) -> None:
        _log.warning("the database is back after %.1f s", seconds)

    async def patiently(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        """As `patiently` of the gateway, telling of an outage. One call that fails is none yet."""
        try:
            return await ask()
        except DatabaseUnavailableError:
            pass
        try:
            return await ask()
        except DatabaseUnavailableError as error:
            self.away(error)
        answer = await patiently(ask)
        self.back()
        return answer
