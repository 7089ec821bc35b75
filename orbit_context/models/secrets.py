"""Secrets, as the database tells them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from orbit_context.models.base import Message

__all__ = ["ReadSecret", "Rotation", "Secret", "SetSecret"]


class SetSecret(Message):
    """Where a secret was set."""

    scope: str
    of: str
    name: str
    place: str
    """What it is sealed for: <scope>:<of>:<name>."""


class Secret(Message):
    """A secret without its value."""

    id: UUID
    name: str | None = None
    """Of the variable; None where it is another thing's."""
    scope: str | None = None
    project: str | None = None
    place: str
    form: Literal["seal", "pgp"]
    """`seal`: by the client; `pgp`: by the database."""
    key_id: str
    version: int
    """One more with every new value."""
    created_at: datetime
    updated_at: datetime
    rotated_at: datetime | None = None


class ReadSecret(Message):
    """A secret with its value: opened, or sealed where no key was at hand."""

    id: UUID
    place: str
    key_id: str
    version: int
    sealed: str | None = Field(None, repr=False)
    value: Any = Field(None, repr=False)


class Rotation(Message):
    """What a rotation did."""

    rotated: int = 0
    """How many were sealed anew."""
    changed: list[str] = []
    """Places of those that somebody set meanwhile: their new value was left alone."""
    locked: list[str] = []
    """Places of those that no key at hand opens."""
