"""`orbit.batches` and `orbit.pipelines`: many runs at once, and suites as one plan."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

from orbit_context.gateway.patience import PATIENCE_SECONDS, patiently
from orbit_context.gateway.requests import given
from orbit_context.models.pipelines import Batch, CancelledRuns, Pipeline, PipelineRun, StartedBatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from uuid import UUID

    from orbit_context.gateway.port import Gateway

__all__ = ["Batches", "Pipelines"]


class Batches:
    """`orbit.batches`"""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def get(self, batch_id: UUID | str) -> Batch:
        """Counted over all its runs. Raises NotFoundError."""
        return Batch.model_validate(await self._gateway.call("get_batch", {"batch_id": str(batch_id)}))

    async def cancel(
        self,
        *,
        batch_id: UUID | str | None = None,
        run_ids: Sequence[UUID | str] | None = None,
        project: str | None = None,
        organization: str | None = None,
        status: str | None = None,
        reason: str = "cancelled",
    ) -> CancelledRuns:
        """Cancels what is not finished of a batch, of these runs, or of a project (`status`: queued or running), all or none.

        Raises NotFoundError, NotAllowedError, InvalidRequestError.
        """
        request = given(
            batch_id=batch_id and str(batch_id), run_ids=[str(run) for run in run_ids] if run_ids is not None else None,
            project=project, organization=organization, status=status, reason=reason,
        )  # fmt: skip
        return CancelledRuns.model_validate(await self._gateway.call("cancel_runs", request))

    async def rerun(
        self,
        *,
        batch_id: UUID | str | None = None,
        run_ids: Sequence[UUID | str] | None = None,
        only_failed: bool = False,
    ) -> StartedBatch:
        """Runs them again as a batch of its own; with `only_failed`, what did not pass of those that did not.

        Raises NotFoundError, NotAllowedError, ConflictError where one is not finished, NothingSelectedError where none failed.
        """
        request = given(
            batch_id=batch_id and str(batch_id), run_ids=[str(run) for run in run_ids] if run_ids is not None else None,
            only_failed=only_failed or None,
        )  # fmt: skip
        return StartedBatch.model_validate(await self._gateway.call("rerun_runs", request))


class Pipelines:
    """`orbit.pipelines`"""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def save(
        self,
        key: str,
        steps: Sequence[Mapping[str, Any]],
        *,
        name: str | None = None,
        description: str | None = None,
        project: str | None = None,
        organization: str | None = None,
    ) -> Pipeline:
        """Makes the pipeline of that key, or puts this in its place. A step: `{"key": "smoke", "suite": "smoke", "needs":
        ["deploy"]}`; of a file, `load_pipeline(path).to_steps()`.

        Raises InvalidRequestError naming step and field, NotFoundError naming the step whose suite or environment is missing,
        CycleError, NotAllowedError.
        """
        request = given(key=key, name=name, description=description, project=project, organization=organization)
        answer = await self._gateway.call("save_pipeline", request | {"steps": [dict(step) for step in steps]})
        return Pipeline.model_validate(answer)

    async def get(self, key: str, *, project: str | None = None, organization: str | None = None) -> Pipeline:
        """Raises NotFoundError."""
        request = given(key=key, project=project, organization=organization)
        return Pipeline.model_validate(await self._gateway.call("get_pipeline", request))

    async def delete(self, key: str, *, project: str | None = None, organization: str | None = None) -> None:
        """What was started goes on, and is kept."""
        await self._gateway.call("delete_pipeline", given(key=key, project=project, organization=organization))

    async def start(
        self,
        pipeline: str,
        *,
        variables: Mapping[str, Any] | None = None,
        environment: str | None = None,
        idempotency_key: str | None = None,
        triggered_by: str | None = None,
        project: str | None = None,
        organization: str | None = None,
    ) -> PipelineRun:
        """Starts it as it is now. `variables` go before those of the steps; `environment` is that of steps that name none.

        Raises NotFoundError, also naming a step whose suite or environment has gone, and NotAllowedError.
        """
        request = given(
            pipeline=pipeline, variables=dict(variables) if variables else None, environment=environment,
            idempotency_key=idempotency_key, triggered_by=triggered_by, project=project, organization=organization,
        )  # fmt: skip
        return PipelineRun.model_validate(await self._gateway.call("start_pipeline", request))

    async def run(self, run_id: UUID | str) -> PipelineRun:
        """With its steps. `run_id` may be the beginning of an id, or `last`. Raises NotFoundError."""
        return PipelineRun.model_validate(
            await self._gateway.call("get_pipeline_run", {"pipeline_run_id": str(run_id)})
        )

    async def runs(
        self,
        *,
        pipeline: str | None = None,
        status: str | None = None,
        project: str | None = None,
        organization: str | None = None,
        limit: int = 50,
    ) -> list[PipelineRun]:
        """The newest first, without their steps."""
        request = given(pipeline=pipeline, status=status, project=project, organization=organization, limit=limit)
        return [PipelineRun.model_validate(row) for row in await self._gateway.call("list_pipeline_runs", request)]

    async def watch(
        self, run_id: UUID | str, *, interval: float = 0.5, patience: float = PATIENCE_SECONDS
    ) -> AsyncIterator[PipelineRun]:
        """The pipeline's run whenever a step of it moved, first as it is now; ends with it.

        Looks every `interval` seconds. Raises DatabaseUnavailableError where the database stays away for more than `patience`
        seconds.
        """
        before = None
        while True:
            run = await patiently(functools.partial(self.run, run_id), seconds=patience)
            state = (run.status, [(step.status, step.attempt) for step in run.steps or ()])
            if state != before:
                yield run
            if run.is_final:
                return
            before = state
            await asyncio.sleep(interval)

    async def cancel(self, run_id: UUID | str, *, reason: str = "cancelled") -> PipelineRun:
        """Steps that wait are cancelled at once; what runs, as soon as its worker hears of it."""
        request = {"pipeline_run_id": str(run_id), "reason": reason}
        return PipelineRun.model_validate(await self._gateway.call("cancel_pipeline_run", request))

    async def list(
        self, *, project: str | None = None, organization: str | None = None, limit: int = 50
    ) -> list[Pipeline]:
        """By key."""
        request = given(project=project, organization=organization, limit=limit)
        return [Pipeline.model_validate(row) for row in await self._gateway.call("list_pipelines", request)]
