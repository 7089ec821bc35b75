"""Batches and pipelines, as the database tells them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from orbit_context.models.base import Message
from orbit_context.models.runs import Run, RunCounts

__all__ = ["Batch", "CancelledRuns", "Pipeline", "PipelineRun", "PipelineStep", "StartedBatch"]

PipelineStatus = Literal["waiting", "running", "cancelling", "passed", "failed", "errored", "timed_out", "cancelled"]


class StartedBatch(Message):
    """Runs that were started together."""

    batch_id: UUID
    runs: list[Run]
    """In the order in which they were asked for."""
    repeated: bool = False
    """Whether the batch was there already: it was started with the same key."""


class Batch(Message):
    """Runs that belong together, counted."""

    batch_id: UUID
    status: Literal["queued", "running", "cancelling", "passed", "failed", "errored", "timed_out", "cancelled"]
    """Of those that are finished the worst verdict, once all are."""
    total: int
    """How many runs."""
    runs: dict[str, int]
    """Runs by status."""
    counts: RunCounts
    """Tests of all its runs."""
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration: float | None = None
    """Seconds from the first start to the last end; None until then."""

    @property
    def is_final(self) -> bool:
        return self.finished_at is not None


class CancelledRuns(Message):
    """What a bulk cancel did."""

    changed: int
    """How many were not finished, and are now, or are told to be."""
    runs: list[UUID]
    """These."""
    more: bool = False
    """Whether the project has further ones: at most 1,000 are cancelled at once."""


class Pipeline(Message):
    """Suites as one plan."""

    id: UUID
    project_id: UUID
    project: str
    key: str
    name: str
    """Its key, where it has no name."""
    description: str | None = None
    version: int
    """Counts changes of the steps."""
    steps: list[dict[str, Any]]
    """As they were saved: key, suite, needs, when, …"""
    created_by: UUID | None = None
    created_at: datetime
    updated_at: datetime
    changed: bool | None = None
    """Of one that was just saved: whether anything is new."""


class PipelineStep(Message):
    """A step of a pipeline's run."""

    number: int
    key: str
    suite: str
    environment: str | None = None
    needs: list[str] = []
    when: Literal["passed", "failed", "finished"]
    allow_failure: bool
    retries: int
    status: Literal["waiting", "running", "passed", "failed", "errored", "timed_out", "cancelled", "skipped"]
    reason: str | None = None
    """Why it is skipped, did not pass, or still waits."""
    caused_by: str | None = None
    """The step whose failure it is skipped for."""
    attempt: int
    """How many runs were started for it."""
    run_id: UUID | None = None
    previous_runs: list[UUID] = []
    """Its runs before that one."""
    counts: RunCounts | None = None
    """Tests of its run."""
    due_at: datetime | None = None
    """A limit put its start off until then."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration: float | None = None
    """Seconds; None until its end, and where it was not started."""


class PipelineRun(Message):
    """One execution of a pipeline. Its id is the `batch_id` of its runs."""

    id: UUID
    pipeline: str
    pipeline_id: UUID | None = None
    """None where the pipeline was deleted since."""
    version: int
    project_id: UUID
    project: str
    status: PipelineStatus
    reason: str | None = None
    environment: str | None = None
    variables: dict[str, Any] = {}
    triggered_by: str
    created_by: UUID | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration: float | None = None
    """Seconds from start to finish; None until then."""
    counts: dict[str, int]
    """Steps by status."""
    steps: list[PipelineStep] | None = None
    """None in lists."""
    repeated: bool = False
    """Of one that was just started: whether it was there already."""
    changed: bool | None = None
    """Of one that was just cancelled: whether it was still going on."""

    @property
    def is_final(self) -> bool:
        return self.finished_at is not None
