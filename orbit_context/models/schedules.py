"""Schedules, their slots, and what became of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from orbit_context.models.base import Message

__all__ = ["DecidedSlot", "NextSlots", "Schedule", "ScheduleDetails", "Slot"]


class Schedule(Message):
    """When a suite is run by itself."""

    id: UUID
    project_id: UUID
    name: str
    suite_id: UUID
    suite: str
    """The suite's key."""
    environment: str | None = None
    kind: Literal["cron", "interval", "once"]
    cron: str | None = None
    every: float | None = None
    """Seconds."""
    anchor: datetime | None = None
    """From where intervals are counted."""
    at: datetime | None = None
    time_zone: str = "UTC"
    missed: Literal["skip", "once", "all"] = "once"
    paused: bool = False
    options: dict[str, Any] = {}
    owner_id: UUID | None = None
    """As whom its runs start: who saved it last. None where `administrative`; else the account is gone, and it starts none."""
    administrative: bool = False
    next_run_at: datetime | None = None
    """None while paused, and when it will not run any more."""
    retry_at: datetime | None = None
    """The start of that slot was refused for a while, and is tried again then."""
    last_run_at: datetime | None = None
    last_run_id: UUID | None = None
    last_error: str | None = None
    """Why the last start was refused; None where it was not."""
    changed: bool | None = None
    """Of `pause` and `resume`: False where it was so before."""


class Slot(Message):
    """A moment at which a schedule is due."""

    at: datetime
    local: datetime
    """What the clocks of the schedule's place show then, without a zone."""


class DecidedSlot(Message):
    """What became of a slot."""

    at: datetime
    until: datetime | None = None
    """It stands for all slots up to this one, after a long outage."""
    status: Literal["started", "missed", "failed"]
    reason: str | None = None
    run_id: UUID | None = None
    decided_at: datetime


class ScheduleDetails(Schedule):
    """A schedule with what comes and what was."""

    next: list[Slot]
    """Up to five."""
    slots: list[DecidedSlot]
    """The newest first."""


class NextSlots(Message):
    """When something would be due."""

    kind: Literal["cron", "interval", "once"]
    time_zone: str
    slots: list[Slot]
    """Fewer than asked for where there are no more."""
