"""What is set, and where it comes from."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from orbit_context.models.base import Message

__all__ = ["Setting", "Shadowed"]


class Shadowed(Message):
    """What a wider place says."""

    source: Literal["default", "installation", "organization", "project"]
    value: Any = None


class Setting(Message):
    """What holds at a place."""

    name: str
    value: Any = None
    """None: none. Of a rate, `{"per_second": …, "burst": …}`."""
    source: Literal["default", "installation", "organization", "project", "environment"]
    """Who says so."""
    shadows: list[Shadowed]
    """What wider places say, the nearest first."""
    type: Literal["integer", "number", "boolean", "rate"]
    unit: str | None = None
    minimum: float | None = None
    """Of a rate, of `per_second`; None for a boolean."""
    maximum: float | None = None
    levels: list[str]
    """Where it may be set."""
    description: str
    updated_at: datetime | None = None
    """None for a default."""
