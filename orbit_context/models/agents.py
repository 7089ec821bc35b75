"""Worker tokens, and what an installation asks of its workers."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from orbit_context.models.base import Message

__all__ = ["AgentToken", "NewAgentToken", "WorkerPolicy"]


class AgentToken(Message):
    """What a worker shows to register, as it is listed: by the beginning of it."""

    id: UUID
    organization_id: UUID | None = None
    """None: its workers serve every organisation."""
    organization: str | None = None
    """The organisation's slug."""
    name: str
    prefix: str
    capabilities: list[str]
    """The most that its workers may say they can."""
    created_by: UUID | None = None
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


class NewAgentToken(AgentToken):
    """A token that was just made."""

    token: str
    """Told this once."""


class WorkerPolicy(Message):
    """What an installation asks of its workers."""

    tokens_required: bool
    """Whether a worker registers only with a token, unless its database role is administrative."""
    changed_at: datetime
