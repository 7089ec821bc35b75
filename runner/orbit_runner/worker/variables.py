"""Variables of the database, asked for when a test begins that uses them and what is at hand may be old."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from orbit_context.errors import ConflictError
from orbit_context.gateway.patience import patiently
from orbit_context.gateway.runner import RunnerGateway
from orbit_context.seal import is_sealed_by_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from orbit_context.gateway.runner import Job
    from orbit_context.seal import Sealer
    from orbit_runner.worker.run_state import RunState

__all__ = ["LateVariables"]


class LateVariables:
    """Asks for all tests that wait at once, over a connection of its own, which is opened at the first question.

    A run is asked about at most once a second, and once more for tests that use what no other did; so that a change is seen by
    every test that begins a second later, also where no NOTIFY gets through.
    """

    def __init__(
        self,
        dsn: str,
        *,
        worker: Callable[[], int],
        held: Callable[[], Iterable[int]],
        sealer: Sealer | None,
        lease: float,
        lost: Callable[[], None],
    ) -> None:
        self._gateway = RunnerGateway(dsn)
        self._worker = worker
        self._held = held
        self._sealer = sealer
        self._lease = lease
        self._lost = lost
        self._lock = asyncio.Lock()

    async def close(self) -> None:
        await self._gateway.close()

    async def refresh(self, state: RunState, job: Job) -> None:
        """Brings the state up to date for that test.

        Raises ConflictError where this worker does not hold it any more, SecretKeyError where a secret cannot be opened.
        """
        async with self._lock:
            if state.knows_variables(job.position):
                return  # another test's asking brought it
            checked = time.monotonic()
            answer = await self._ask(state, state.asks_variables_for)
            state.take_variables(answer, checked)

    async def _ask(self, state: RunState, known: int) -> dict[str, Any]:
        held = [job_id for job_id in self._held() if job_id >> 20 == state.queue_no]

        async def ask(keys: Sequence[str]) -> dict[str, Any]:
            answer = await patiently(
                lambda: self._gateway.resolve_variables(self._worker(), held, known, keys=keys, lease=self._lease)
            )
            if answer is None:
                self._lost()
                raise ConflictError("variables are given to the worker that holds the test; this one does not any more")
            return answer

        answer = await ask(())
        if self._sealer is not None and any(
            is_sealed_by_database(row["sealed"]) for row in answer.get("variables", ())
        ):
            answer = await ask(self._sealer.keys_for_database())
        return answer
