"""Entries of the audit log, and what verifying it found."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from orbit_context.models.base import Message

__all__ = ["AuditAnchor", "AuditBreak", "AuditEntry", "AuditHead", "AuditPage", "AuditReport"]


class AuditEntry(Message):
    """One thing that somebody did. Numbers count from 1 without gaps, per organisation, in the order of commits."""

    number: int
    at: datetime
    user_id: UUID | None = None
    """None for a database role."""
    actor: str
    """The person's e-mail address at that time, or the name of the database role."""
    address: str | None = None
    agent: str | None = None
    """The User-Agent, or the application_name of the database connection."""
    action: str
    """thing.verb: `environment.update`, `run.cancel`."""
    resource_type: str
    resource_id: str | None = None
    resource_name: str | None = None
    before: dict[str, Any] | None = None
    """Of a change, the fields that changed; secrets are masked, long values shortened to a digest."""
    after: dict[str, Any] | None = None
    hash: str
    """SHA-256 over the entry before and this one, hexadecimal."""


class AuditPage(Message):
    """Entries, newest first."""

    entries: list[AuditEntry]
    next: int | None = None
    """What to give as `before` for the rest; None where this is all."""


class AuditHead(Message):
    """Where a chain ends."""

    number: int
    """0 while there is no entry."""
    hash: str

    def __str__(self) -> str:
        """As `verify(head=…)` takes it: keep it where the database's owner cannot write."""
        return f"{self.number}:{self.hash}"


class AuditAnchor(Message):
    """The newest entry that retention dropped."""

    number: int
    hash: str
    at: datetime


class AuditBreak(Message):
    """The first entry that is not as it was written."""

    number: int | None = None
    """None where only the head that was kept does not fit."""
    why: str


class AuditReport(Message):
    """What a walk along the chain found."""

    rows: int
    """How many entries were looked at."""
    ok: bool
    first_bad: AuditBreak | None = None
    anchor: AuditAnchor | None = None
    head: AuditHead
