"""What stands where, why it waits, how it went, and whether all is well."""

from __future__ import annotations

from datetime import date as Date  # noqa: N812 (a field is called date)
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from orbit_context.models.base import Message

__all__ = [
    "DatabaseHealth",
    "DayStats",
    "Depth",
    "DroppedLetters",
    "Figures",
    "Finished",
    "Group",
    "GroupWorker",
    "Health",
    "HealthCheck",
    "HealthOfQueue",
    "HealthOfWorkers",
    "LettersLeft",
    "QueueStatus",
    "ReplayedLetter",
    "ReplayedLetters",
    "RunsByStatus",
    "Stats",
    "SuiteStats",
    "TestsByStatus",
    "Transition",
    "Waiting",
    "WaitingReason",
    "WaitingTest",
    "WorkersAtHand",
]

Reason = Literal[
    "requirements",
    "retry",
    "run_cap",
    "organization_cap",
    "environment_cap",
    "host_cap",
    "rate",
    "group",
    "capability",
    "no_worker",
    "own_worker",
    "lost",
    "slot",
]
"""Why a test waits."""


class WaitingTest(Message):
    """A test that waits, and why."""

    run_id: UUID
    suite: str
    project: str
    key: str
    position: int
    priority: int
    """The run's."""
    since: datetime
    """When its run was started."""
    reason: Reason
    sentence: str
    needs: list[str] = []
    """With `requirements`: the tests that are not final yet."""
    due_in: float | None = None
    """With `retry` and `rate`: seconds."""
    cap: int | None = None
    host: str | None = None
    requires: list[str] = []
    """The capabilities that it asks for."""
    missing: list[str] = []
    """With `capability`: those that no living worker has."""
    group: str | None = None


class WaitingReason(Message):
    """How many tests of a run wait for the same."""

    reason: Reason
    tests: int
    sentence: str


class Waiting(Message):
    """Why the tests of a run wait."""

    run_id: UUID
    waiting: int
    reasons: list[WaitingReason] = []
    tests: list[WaitingTest] = []
    """The first of them, in the suite's order."""


class Depth(Message):
    """How many tests wait, and how: without a test in two places."""

    ready: int
    put_off: int
    """By a back-off or a rate."""
    parked: int
    """By a cap that is used up."""
    blocked: int
    """By tests that they need."""
    running: int
    runs: int
    """Runs that are not finished."""


class Finished(Message):
    """Results that became final lately."""

    last_minute: int
    last_5_minutes: int
    last_15_minutes: int
    per_second: float
    """In the last minute."""
    is_estimate: bool = False
    """Whether there were so many that the newest of them stand for the rest."""


class WorkersAtHand(Message):
    """Workers that are alive."""

    alive: int
    draining: int = 0
    slots: int
    free: int


class QueueStatus(Message):
    """What waits, and why."""

    depth: Depth
    oldest_waiting: float | None = None
    """Seconds since the start of the oldest run that has a test ready to be taken; None: there is none."""
    finished: Finished
    workers: WorkersAtHand
    waiting: list[WaitingTest] = []
    """The oldest first."""


class HealthCheck(Message):
    """One thing that was looked at."""

    name: str
    status: Literal["ok", "degraded", "down"]
    detail: str
    hint: str | None = None


class DatabaseHealth(Message):
    version: str
    """PostgreSQL's."""
    migration: str | None = None
    """The newest of Orbit's that it holds; None: it does not say."""
    started_at: datetime


class HealthOfWorkers(Message):
    alive: int
    silent: int
    """Not heard of for ten seconds, and not given up yet."""
    slots: int
    last_seen: datetime | None = None


class HealthOfQueue(Message):
    ready: int
    oldest_waiting: float | None = None


class Health(Message):
    """Whether all is well. `down`: what waits is not run."""

    status: Literal["ok", "degraded", "down"]
    now: datetime
    database: DatabaseHealth
    workers: HealthOfWorkers
    queue: HealthOfQueue
    schedules_overdue: int
    checks: list[HealthCheck]


class RunsByStatus(Message):
    total: int
    passed: int = 0
    failed: int = 0
    errored: int = 0
    cancelled: int = 0
    timed_out: int = 0


class TestsByStatus(Message):
    total: int
    passed: int = 0
    passed_on_retry: int = 0
    failed: int = 0
    errored: int = 0
    timed_out: int = 0
    skipped: int = 0
    cancelled: int = 0


TestsByStatus.__test__ = False  # type: ignore[attr-defined]


class Figures(Message):
    """How the runs of a time, or of a suite, went."""

    runs: RunsByStatus
    tests: TestsByStatus
    pass_rate: float | None = None
    """Per cent of the runs that were not cancelled; None: there is none."""
    test_pass_rate: float | None = None
    """Per cent of the tests that were neither skipped nor cancelled."""
    average_duration: float | None = None
    """Seconds, of runs with a verdict."""
    p95_duration: float | None = None


class DayStats(Figures):
    date: Date
    """In UTC."""


class SuiteStats(Figures):
    suite_id: UUID
    project: str
    suite: str


class Stats(Message):
    """How runs went lately."""

    since: datetime
    until: datetime
    total: Figures
    days: list[DayStats] = []
    """Days on which a run was finished, the first first."""
    suites: list[SuiteStats] = []
    """The ten with the most runs."""


class GroupWorker(Message):
    """A worker that has a group."""

    worker: str
    state: Literal["setting_up", "ready"]
    since: datetime


class Group(Message):
    """An affinity group: what tests are executed together by."""

    key: str
    project: str
    requires: list[str]
    state: Literal["waiting", "open", "setting_up", "running", "idle"]
    """waiting for company, open to be taken, idle: nothing is left of it, and its worker is still set up for it."""
    workers: list[GroupWorker]
    runs: int
    remaining: int
    """Tests of these runs without a result."""
    running: int
    set_ups: int
    failed_set_ups: int
    """In a row; the third ends its runs."""
    opens_at: datetime | None = None


class Transition(Message):
    """A change of a run's status."""

    from_state: str = Field(alias="from")
    """`new`: there was no run."""
    to_state: str = Field(alias="to")
    at: datetime
    by: Literal["caller", "worker", "system"]
    actor: str | None = None
    """An e-mail address, a database role, or a worker's name."""
    user_id: UUID | None = None
    reason: str | None = None


class ReplayedLetter(Message):
    id: UUID
    key: str
    run_id: UUID
    """The new run."""


class LettersLeft(Message):
    id: UUID
    reason: str


class ReplayedLetters(Message):
    """What came of a replay."""

    replayed: list[ReplayedLetter] = []
    skipped: list[LettersLeft] = []


class DroppedLetters(Message):
    """What came of dropping."""

    dropped: list[UUID] = []
    skipped: list[LettersLeft] = []
