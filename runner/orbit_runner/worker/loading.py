"""What a worker asks the database for so that a test can begin: its run, its secrets, variables that may have changed."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from orbit_context.errors import ConflictError, NotFoundError
from orbit_context.gateway.patience import patiently
from orbit_context.gateway.runner import ContextDelta, RunnerGateway
from orbit_context.seal import is_sealed_by_database
from orbit_runner.worker.run_state import RunState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from orbit_context.gateway.runner import Job, ReleasedSecret
    from orbit_context.seal import Sealer

__all__ = ["Loader"]


class Loader:
    """Asks one question at a time, over a connection of its own that is opened at the first and kept: the next run's load
    finds its plans made.

    Secrets and variables are given to the worker that holds the tests that use them (`held`); `lost` is called where it does
    not any more. They are asked for all tests of a run that it holds together, so that it is seldom asked twice.
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

    async def load(self, queue_no: int) -> RunState:
        """The run, with the secrets that its tests held here use. Raises NotFoundError where it was deleted."""
        async with self._lock:
            loaded = await patiently(lambda: self._gateway.load_run(queue_no, self._worker()))
            if loaded is None:
                raise NotFoundError(f"run {queue_no} is not in the database any more")
            state = RunState.from_database(loaded, self._sealer)
            if state.missing_secrets(job & 0xFFFFF for job in self._held_of(queue_no)):
                await self._release_secrets(state)
        return state

    async def context_of(self, queue_no: int) -> ContextDelta | None:
        """The run's context as it is now; None where the run was deleted."""
        async with self._lock:
            loaded = await patiently(lambda: self._gateway.load_run(queue_no, self._worker()))
        if loaded is None:
            return None
        return ContextDelta(loaded["context_version"], [tuple(entry) for entry in loaded["context"]])

    async def open_secrets(self, state: RunState, job: Job) -> None:
        """Raises ConflictError where this worker does not hold the test any more, SecretKeyError where a key is missing."""
        async with self._lock:
            if not state.missing_secrets([job.position]):
                return  # another test's asking brought it
            await self._release_secrets(state)
        if missing := state.missing_secrets([job.position]):
            self._lost()
            raise ConflictError(
                f"{min(missing)} is released to the worker that holds the test; this one does not any more"
            )

    async def refresh_variables(self, state: RunState, job: Job) -> None:
        """Brings the state up to date for that test.

        A run is asked about at most once a second, and once more for tests that use what no other did; so that a change is seen
        by every test that begins a second later, also where no NOTIFY gets through. Raises as open_secrets.
        """
        async with self._lock:
            if state.knows_variables(job.position):
                return  # another test's asking brought it
            checked = time.monotonic()
            state.take_variables(await self._resolve_variables(state, state.asks_variables_for), checked)

    def _held_of(self, queue_no: int) -> list[int]:
        return [job_id for job_id in self._held() if job_id >> 20 == queue_no]

    async def _release_secrets(self, state: RunState) -> None:
        held = self._held_of(state.queue_no)

        async def ask(keys: Sequence[str]) -> list[ReleasedSecret]:
            return await patiently(
                lambda: self._gateway.open_secrets(self._worker(), held, keys=keys, lease=self._lease)
            )

        released = await ask(())
        if self._sealer is not None and any(is_sealed_by_database(secret.sealed) for secret in released):
            released = await ask(self._sealer.keys_for_database())
        state.open_secrets(released)

    async def _resolve_variables(self, state: RunState, known: int) -> dict[str, Any]:
        held = self._held_of(state.queue_no)

        async def ask(keys: Sequence[str]) -> dict[str, Any]:
            answer = await patiently(
                lambda: self._gateway.resolve_variables(self._worker(), held, known, keys=keys, lease=self._lease)
            )
            if answer is None:
                self._lost()
                raise ConflictError("variables are given to the worker that holds the test; this one does not any more")
            return answer

        answer = await ask(())
        sealed = (is_sealed_by_database(row["sealed"]) for row in answer.get("variables", ()))
        if self._sealer is not None and any(sealed):
            answer = await ask(self._sealer.keys_for_database())
        return answer
