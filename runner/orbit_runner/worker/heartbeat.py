"""The heartbeat: a thread of its own with a connection of its own, so that it goes on whatever a test does to the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

from orbit_context.errors import DatabaseUnavailableError, OrbitError
from orbit_context.gateway.runner import RunnerGateway
from orbit_runner.worker.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HEARTBEAT_SECONDS", "LEASE_SECONDS", "Heartbeat"]

HEARTBEAT_SECONDS = 2.5
LEASE_SECONDS = 10.0
"""How long a worker may be silent before what it holds is given to others."""

_RETRY_SECONDS = 0.5
_SOON_SECONDS = 0.05

_log = logging.getLogger(__name__)


class Heartbeat:
    """Renews the worker's lease, keeps house (orbit_runner.tick), and hears which runs are being stopped.

    `runs` is asked, and `on_lost`, `on_stopping`, `on_variables` and `on_ready` are called, from the heartbeat's thread. With
    `on_ready` it listens from the start for what can be taken; without, the first beat comes one interval after the start, so
    that a run of a second costs no connection. `starts_due`: also starts the runs that
    are due (orbit_runner.start_due), within moments of their time.
    """

    def __init__(
        self,
        dsn: str,
        worker: int,
        *,
        runs: Callable[[], list[int]],
        on_lost: Callable[[], None],
        on_stopping: Callable[[list[int]], None],
        on_variables: Callable[[], None] = lambda: None,
        on_ready: Callable[[], None] | None = None,
        starts_due: bool = False,
        watch: Watch | None = None,
        interval: float = HEARTBEAT_SECONDS,
        lease: float = LEASE_SECONDS,
    ) -> None:
        self._dsn = dsn
        self._worker = worker
        self._runs = runs
        self._on_lost = on_lost
        self._on_stopping = on_stopping
        self._on_ready = on_ready
        self._channels: dict[str, Callable[[str], None]] = {
            "orbit_run": self._heard,
            "orbit_variables": lambda _: on_variables(),
        }
        if on_ready is not None:
            self._channels |= {"orbit_ready": lambda _: on_ready(), "orbit_due": lambda _: self.nudge()}
        self._starts_due = starts_due
        self._watch = watch or Watch()
        self._interval = interval
        self._lease = lease
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._main, name=f"orbit-heartbeat-{worker}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the thread has ended, or after five seconds where the database does not answer it."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=5)

    def nudge(self) -> None:
        """Beats now: a run may have come to its end."""
        self._wake.set()

    def _main(self) -> None:
        if self._on_ready is None:
            self._wake.wait(self._interval)
        if not self._stop.is_set():
            asyncio.run(self._beat())

    async def _beat(self) -> None:
        gateway = RunnerGateway(self._dsn)
        loop = asyncio.get_running_loop()
        failing = False
        try:
            while not self._stop.is_set():
                self._wake.clear()
                try:
                    await gateway.listen(self._channels)
                    alive, stopping = await gateway.heartbeat(self._worker, self._runs())
                    if not alive:
                        self._on_lost()
                        return
                    if stopping:
                        self._on_stopping(stopping)
                    beaten = loop.time()
                    while not self._stop.is_set() and (kept := await gateway.tick(self._lease)).get("more"):
                        pass
                    if loop.time() - beaten > self._interval:  # much to clear away must not look like silence
                        await gateway.heartbeat(self._worker, [])
                    if kept.get("late"):
                        self._wake.set()  # to hear which runs those were
                    pause, failing = await self._start_due(gateway), False
                    self._watch.back()
                except DatabaseUnavailableError as error:
                    if failing:
                        self._watch.away(error)
                    # The first time at once: a connection may have been lost alone.
                    pause = min(self._interval, _RETRY_SECONDS) if failing else 0.0
                    failing = True
                    await gateway.drop()
                except Exception as error:  # noqa: BLE001 - whatever it was, a worker without a heartbeat loses all it holds
                    detail = error.detail if isinstance(error, OrbitError) else None
                    level = logging.DEBUG if failing else logging.WARNING  # an outage is told once
                    _log.log(level, "heartbeat: %s: %s (%s); trying again", type(error).__name__, error, detail)
                    failing = True
                    await gateway.drop()
                    pause = min(self._interval, _RETRY_SECONDS)
                await loop.run_in_executor(None, self._wake.wait, pause)
        finally:
            await gateway.close()

    async def _start_due(self, gateway: RunnerGateway) -> float:
        """Starts what is due; the seconds until there is reason to look again."""
        while self._starts_due and not self._stop.is_set():
            due = await gateway.start_due()
            for problem in due.get("problems") or ():
                _log.warning("%s", problem)
            if not due.get("more"):
                return min(self._interval, max(float(due.get("next_in", self._interval)), _SOON_SECONDS))
            await gateway.heartbeat(self._worker, [])  # a long backlog must not look like silence
        return self._interval

    def _heard(self, run: str) -> None:
        """The database says that a run was stopped or is over. Some poolers let nothing through: the next beat finds out."""
        if int(run) in self._runs():
            self.nudge()
