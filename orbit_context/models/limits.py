"""What may be used, and what is."""

from __future__ import annotations

from typing import Literal

from orbit_context.models.base import Message

__all__ = ["Limit", "Usage"]


class Limit(Message):
    """What holds for an organisation."""

    name: str
    kind: Literal["rate", "quota"]
    description: str
    amount: int | None = None
    """None: no limit."""
    per: float | None = None
    """Of a rate: in how many seconds."""
    burst: int | None = None
    """Of a rate: how many at once after a pause."""
    origin: Literal["organization", "default", "none"]


class Usage(Message):
    """What is used of a limit."""

    name: str
    kind: Literal["rate", "quota"]
    used: int | None = None
    """Of a quota, counted just now; of a rate, what is taken of its burst at this moment. None where no rate is set."""
    allowed: int | None = None
    """None: no limit."""
