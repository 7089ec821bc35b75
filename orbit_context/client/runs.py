"""`orbit.runs`: starting, watching and reading runs."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

from orbit_context.gateway.patience import PATIENCE_SECONDS, patiently
from orbit_context.gateway.requests import given
from orbit_context.models.runs import Result, Run, RunEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from orbit_context.gateway.port import Gateway
    from orbit_context.models.comparison import Comparison

__all__ = ["Runs"]

_PAGE = 1000


class Runs:
    """`orbit.runs`"""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def start(
        self,
        *,
        suite: str | None = None,
        suite_id: UUID | str | None = None,
        project: str | None = None,
        organization: str | None = None,
        **options: Any,
    ) -> Run:
        """Starts a run of the suite's latest version and returns at once.

        Options, as of orbit.start_run: environment, variables, secrets (sealed), credentials (names of one's own), selection
        ({tests, tags}), concurrency, fail_fast, timeout (seconds), priority (-100 to 100), private, idempotency_key,
        triggered_by. Raises NotFoundError, InvalidRequestError, NotAllowedError, NothingSelectedError, and ConflictError where a
        credential has expired.
        """
        request = {key: value for key, value in options.items() if value is not None}
        if suite_id:
            request["suite_id"] = str(suite_id)
        else:
            request |= given(suite=suite, project=project, organization=organization)
        return Run.model_validate(await self._gateway.call("start_run", request))

    async def get(self, run_id: UUID | str) -> Run:
        """`run_id` may be the beginning of an id, or `last`. Raises NotFoundError."""
        return Run.model_validate(await self._gateway.call("get_run", {"run_id": str(run_id)}))

    async def start_many(
        self, runs: Sequence[Mapping[str, Any]], *, batch_id: UUID | str | None = None, **common: Any
    ) -> list[Run]:
        """Starts a batch, all of it or nothing: each with the options of `start`, and those common to all."""
        each = [{name: value for name, value in one.items() if value is not None} for one in runs]
        request = {name: value for name, value in common.items() if value is not None} | {"runs": each}
        if batch_id is not None:
            request["batch_id"] = str(batch_id)
        answer = await self._gateway.call("start_runs", request)
        return [Run.model_validate(run) for run in answer["runs"]]

    async def latest(
        self,
        *,
        project: str | None = None,
        organization: str | None = None,
        status: str | Sequence[str] | None = None,
        suite: str | None = None,
        environment: str | None = None,
        since: datetime | None = None,
        batch_id: UUID | str | None = None,
        mine: bool | None = None,
        limit: int = 20,
    ) -> list[Run]:
        """The newest runs first; `suite` by its key."""
        request = given(
            project=project,
            organization=organization,
            status=status,
            suite=suite,
            environment=environment,
            since=since,
            batch_id=batch_id,
            mine=mine,
            limit=limit,
        )
        return [Run.model_validate(run) for run in await self._gateway.call("list_runs", request)]

    async def results(
        self, run_id: UUID | str, *, status: Sequence[str] | None = None, details: bool = False
    ) -> list[Result]:
        """The final results in the suite's order, all pages; with `details`, what was sent and answered."""
        request: dict[str, Any] = {"run_id": str(run_id), "details": details, "limit": _PAGE}
        if status is not None:
            request["status"] = list(status)
        results: list[Result] = []
        while True:
            page = [Result.model_validate(result) for result in await self._gateway.call("list_results", request)]
            results += page
            if len(page) < _PAGE:
                return results
            request["after"] = page[-1].position

    async def cancel(self, run_id: UUID | str, *, reason: str = "cancelled") -> Run:
        """What waits is cancelled at once; what runs, as soon as its worker hears of it."""
        return Run.model_validate(await self._gateway.call("cancel_run", {"run_id": str(run_id), "reason": reason}))

    async def rerun(
        self,
        run_id: UUID | str,
        *,
        failed: bool | None = None,
        tests: Sequence[str] | None = None,
        with_context: bool | None = None,
        **options: Any,
    ) -> Run:
        """Runs a run again and returns at once: what did not pass, with what it needs; `failed=False`: all of it; or `tests`.

        `with_context`: these tests alone, going on with what the run captured and shared. Options, as of orbit.rerun: version,
        new_run_id, variables, secrets (sealed for the new run), credentials, environment, concurrency, fail_fast, timeout,
        priority, order, private, idempotency_key, triggered_by. Raises NotFoundError, InvalidRequestError, NotAllowedError,
        NothingSelectedError, and ConflictError where the run goes on, or its context or secrets are gone.
        """
        request = given(run_id=str(run_id), failed=failed, with_context=with_context, **options)
        if tests is not None:
            request["tests"] = list(tests)
        return Run.model_validate(await self._gateway.call("rerun", request))

    async def compare(
        self,
        run_id: UUID | str,
        base: UUID | str | None = None,
        *,
        ratio: float | None = None,
        floor: float | None = None,
    ) -> Comparison:
        """A finished run beside another of its suite, test by test.

        `base`: unless given, the run that it runs again, else the last one before it of the same suite, environment and
        selection. `ratio`, `floor` (seconds): by how much a test must differ to be slower or faster. Raises NotFoundError,
        InvalidRequestError, ConflictError.
        """
        from orbit_context.models.comparison import Comparison

        request = given(run_id=str(run_id), base=base and str(base), ratio=ratio, floor=floor)
        return Comparison.model_validate(await self._gateway.call("compare_runs", request))

    async def events(self, run_id: UUID | str, *, after: int = 0) -> AsyncIterator[RunEvent]:
        """The next events that are there after a number, some hundreds of them; none where there is nothing new."""
        for event in await self._page(run_id, after):
            yield event

    async def _page(self, run_id: UUID | str, after: int) -> list[RunEvent]:
        page = await self._gateway.call("read_events", {"run_id": str(run_id), "after": after})
        return [RunEvent.model_validate(event) for event in page]

    async def watch(
        self,
        run_id: UUID | str,
        *,
        after: int = 0,
        interval: float = 0.1,
        nudge: asyncio.Event | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> AsyncIterator[RunEvent]:
        """Events of a run as they come, from the beginning or after a number; ends with the run.

        None is missing and none comes twice, also for one who joins late. Looks every `interval` seconds, or when `nudge` is set.
        Raises DatabaseUnavailableError where the database stays away for more than `patience` seconds.
        """
        looked = False
        while True:
            before = after
            for event in await patiently(functools.partial(self._page, run_id, after), seconds=patience):
                yield event
                after = event.seq
                if event.kind == "run_finished":
                    return
            if after > before:
                continue
            if not looked:
                # Who begins at the end of a run that is over has nothing to wait for.
                run = await patiently(functools.partial(self.get, run_id), seconds=patience)
                if run.is_final and run.event_seq <= after:
                    return
                looked = True
            if nudge is None:
                await asyncio.sleep(interval)
                continue
            try:
                async with asyncio.timeout(interval):
                    await nudge.wait()
                nudge.clear()
            except TimeoutError:
                pass

    async def wait(self, run_id: UUID | str, *, timeout: float | None = None) -> Run:  # noqa: ASYNC109
        """The run once it is finished. Raises TimeoutError after `timeout` seconds; the run goes on."""
        async with asyncio.timeout(timeout):
            async for _ in self.watch(run_id):
                pass
        return await self.get(run_id)
