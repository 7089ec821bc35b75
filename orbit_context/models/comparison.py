"""Two runs of a suite, test by test."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from orbit_context.models.base import Message
from orbit_context.models.runs import ResultStatus, RunCounts, RunStatus

__all__ = ["Change", "ComparedRun", "ComparedTest", "Comparison", "ComparisonTotals"]

Change = Literal["new_failure", "still_failing", "missing", "changed", "slower", "fixed", "faster", "added"]


class ComparedRun(Message):
    """One of the two."""

    id: UUID
    status: RunStatus
    suite: str
    version: int
    """Of the suite."""
    environment: str | None = None
    created_at: datetime
    duration: float | None = None
    """Seconds from start to finish."""
    counts: RunCounts


class ComparedTest(Message):
    """A test of which the two runs differ."""

    test_case_id: UUID
    key: str
    name: str
    change: Change
    status: ResultStatus | None = None
    """None where it has no result in the run."""
    base_status: ResultStatus | None = None
    """None where it has no result in the base."""
    duration: float | None = None
    """Seconds of the last attempt."""
    base_duration: float | None = None
    category: str | None = None
    reason: str | None = None
    """Why it did not pass in the run."""
    attempts: int | None = None


class ComparisonTotals(Message):
    """How many tests each became of."""

    new_failure: int
    """Failed, errored or timed out, and did not in the base."""
    still_failing: int
    """In both."""
    fixed: int
    """Passed; in the base they did not reach that."""
    slower: int
    faster: int
    missing: int
    """Have no result in the run."""
    added: int
    """Have none in the base, and do not fail."""
    changed: int
    """Of another status otherwise: skipped, say, or passed on a retry."""
    left_out: int
    """Not asked for, where the run runs a part of the base again."""
    same: int


class Comparison(Message):
    """A run beside its base."""

    run: ComparedRun
    base: ComparedRun
    ratio: float
    """What is slower takes at least so many times as long, …"""
    floor: float
    """… and at least so many seconds more."""
    totals: ComparisonTotals
    tests: list[ComparedTest]
    """Those that are not the same, the worst first."""
