"""Runs, their results and their events, as the database tells them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from orbit_context.models.base import Message

__all__ = [
    "FINAL_RUN_STATUSES",
    "Attempt",
    "Result",
    "ResultStatus",
    "Run",
    "RunCounts",
    "RunEvent",
    "RunStatus",
]

RunStatus = Literal["queued", "running", "cancelling", "passed", "failed", "errored", "cancelled", "timed_out"]
"""`failed`: at least one test failed; `errored`: none failed, but at least one reached no verdict."""
FINAL_RUN_STATUSES = frozenset({"passed", "failed", "errored", "cancelled", "timed_out"})

ResultStatus = Literal["passed", "passed_on_retry", "failed", "errored", "timed_out", "skipped", "cancelled"]


class RunCounts(Message):
    """How many of the run's tests are where; `total` is their sum."""

    total: int
    waiting: int = 0
    """Not started: blocked by a dependency, or ready."""
    running: int = 0
    passed: int = 0
    """Those that passed on a retry are counted in `passed_on_retry` alone."""
    passed_on_retry: int = 0
    failed: int = 0
    errored: int = 0
    timed_out: int = 0
    skipped: int = 0
    cancelled: int = 0


class Run(Message):
    """One run of a suite."""

    id: UUID
    suite: str
    suite_id: UUID
    project: str
    environment: str | None = None
    status: RunStatus
    reason: str | None = None
    """Why it was cancelled or timed out."""
    counts: RunCounts
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    variables_version: int = 0
    """Of a run that was just started: the version of the organisation's variables at that moment."""
    variable_names: tuple[str, ...] = ()
    """Of a run that was just started: what the database defines of the names that its tests use."""
    duration: float | None = None
    """Seconds from start to finish; None until then."""
    expected_duration: float | None = None
    """Seconds that the suite's last finished runs took, for the estimate; None without history."""
    event_seq: int = 0
    """The number of the last event; `watch` goes on after it."""
    queue_no: int
    """The run's number in the queue."""
    rerun_of: UUID | None = None
    """The run that it runs again, in whole or in part."""
    left_out: tuple[str, ...] = ()
    """Of a re-run that was just started: tests that did not pass then and are not in the suite any more."""
    lane: int = 0
    """Where its tests wait: 0 is served by every worker, any other by the run's own."""
    batch_id: UUID | None = None
    """What it was started with: a batch, or a pipeline's run."""
    group: str | None = None
    """The affinity group that its tests are executed with."""

    @property
    def is_final(self) -> bool:
        return self.status in FINAL_RUN_STATUSES


class Attempt(Message):
    """One attempt of a test, kept in order: only the last one is the result."""

    number: int
    status: str
    reason: str | None = None
    category: str | None = None
    duration: float | None = None
    failures: list[dict[str, Any]] = []
    worker: str | None = None


class Result(Message):
    """The final result of one test of a run; there is exactly one."""

    id: UUID
    run_id: UUID
    position: int
    """Of the test in the suite, from 0."""
    key: str
    name: str
    test_case_id: UUID
    status: ResultStatus
    category: str | None = None
    """One of :data:`orbit_context.models.outcome.CATEGORIES`; None when passed."""
    reason: str | None = None
    duration: float = 0.0
    """Seconds of the last attempt."""
    started_at: datetime | None = None
    finished_at: datetime
    attempts: int = 1
    """How many were made; 0 for a test that was never sent."""
    previous_attempts: list[Attempt] = []
    failures: list[dict[str, Any]] = []
    """See :class:`orbit_context.models.outcome.Failure`: message, where, expected, actual, category, hint."""
    exchange: dict[str, Any] | None = None
    """See :class:`orbit_context.models.outcome.Outcome.exchange`; only where details were asked for."""
    worker: str | None = None


class RunEvent(Message):
    """Something that happened to a run. `seq` counts from 1 without gaps, in the order of commits."""

    seq: int
    kind: Literal[
        "run_queued",
        "run_started",
        "test_started",
        "test_finished",
        "test_retried",
        "context_changed",
        "run_cancelling",
        "run_finished",
    ]
    at: datetime
    run_id: UUID
    key: str | None = None
    position: int | None = None
    status: str | None = None
    reason: str | None = None
    duration: float | None = None
    attempt: int | None = None
    counts: RunCounts | None = None
