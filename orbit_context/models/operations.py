"""Channels, trigger tokens, workers, and what is kept of the past."""

from __future__ import annotations

from datetime import date as Date  # noqa: N812 (a field is called date)
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from orbit_context.models.base import Message

__all__ = [
    "Channel",
    "DailyMetrics",
    "DeadLetter",
    "FailureKind",
    "FinishedRun",
    "NewTriggerToken",
    "TriggerToken",
    "WorkerInfo",
]


class Channel(Message):
    """A way in which people are told of what happens in a project; its secret is not told."""

    id: UUID
    project_id: UUID
    name: str
    kind: Literal["slack", "email", "webhook"]
    recipients: list[str] | None = []
    """None, as `url`, to those who may not write channels there."""
    url: str | None = None
    has_secret: bool = False
    events: list[str]
    only_failures: bool = True
    enabled: bool = True


class TriggerToken(Message):
    """What a pipeline shows to start runs of a project, as it is listed: by the beginning of it."""

    id: UUID
    project_id: UUID
    name: str
    prefix: str
    created_by: UUID | None = None
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


class NewTriggerToken(TriggerToken):
    """A token that was just made."""

    token: str
    """Told this once."""


class WorkerInfo(Message):
    """A worker that is alive. Workers are shared: name and version are None unless it has a test of yours."""

    id: int
    name: str | None = None
    version: str | None = None
    capabilities: list[str]
    slots: int
    running: int
    """Tests of yours."""
    draining: bool = False
    """Whether it takes nothing more and goes when it is done."""
    organization: str | None = None
    """Whose tests alone it takes; None: everybody's."""
    group: str | None = None
    """The affinity group that it is set up for, of a project of yours."""
    started_at: datetime
    seen_at: datetime


class FinishedRun(Message):
    """What stays of a run when its results are no longer kept."""

    run_id: UUID
    project_id: UUID
    suite_id: UUID
    suite: str
    environment_id: UUID | None = None
    environment: str | None = None
    status: str
    reason: str | None = None
    triggered_by: str
    created_by: UUID | None = None
    total: int
    passed: int
    passed_on_retry: int
    failed: int
    errored: int
    timed_out: int
    skipped: int
    cancelled: int
    created_at: datetime
    started_at: datetime
    finished_at: datetime
    duration_ms: float


class DailyMetrics(Message):
    """A test's day in an environment."""

    test_case_id: UUID
    environment_id: UUID | None = None
    date: Date
    """In UTC."""
    total_runs: int
    successful_runs: int
    average_response_time_ms: float
    p95_response_time_ms: float
    p99_response_time_ms: float
    success_rate: float
    """Per cent."""
    updated_at: datetime


class FailureKind(Message):
    """Failures of one kind of one test in one environment."""

    id: UUID
    project_id: UUID
    test_case_id: UUID
    environment_id: UUID | None = None
    fingerprint: str
    category: str
    message: str
    root_cause_hint: str | None = None
    cluster: str
    """The same for failures that probably have one cause."""
    occurrences: int
    first_run_id: UUID
    first_seen_at: datetime
    last_run_id: UUID
    last_seen_at: datetime


class DeadLetter(Message):
    """A test that was given up because three workers were lost over it."""

    id: UUID
    project_id: UUID
    run_id: UUID
    test_case_id: UUID
    suite: str
    key: str
    position: int
    attempts: int
    reason: str | None = None
    previous_attempts: list[dict[str, Any]] = []
    state: Literal["open", "replayed", "dropped"]
    created_at: datetime
    replayed_at: datetime | None = None
    replay_run_id: UUID | None = None
    dropped_at: datetime | None = None
    closed_by: UUID | None = None
    """Who replayed or dropped it."""
    note: str | None = None
    """What they said."""
