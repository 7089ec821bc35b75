"""Grants and explanations of access, as the database tells them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from orbit_context.models.base import Message
from orbit_context.models.tenancy import Role

__all__ = ["Access", "Explanation", "Grant", "Reason", "ResourceType"]

ResourceType = Literal["system", "organization", "business_unit", "project", "environment", "suite"]


class Grant(Message):
    """What somebody was given beyond their membership."""

    id: UUID
    user_id: UUID
    email: str | None = None
    permission: str
    """A role (viewer, editor, admin) or the name of one action (`secret.read`)."""
    resource_type: ResourceType
    resource_id: UUID | None = None
    """None for the whole system."""
    resource: str | None = None
    """As people name it: a slug; `project/environment`, `project/suite`."""
    granted_by: str | None = None
    """An e-mail address; None where an administrative role did, or the account is gone."""
    granted_at: datetime
    expires_at: datetime | None = None
    revoked_by: str | None = None
    revoked_at: datetime | None = None


class Access(Message):
    """Whether somebody may do something."""

    allowed: bool
    reason: str


class Reason(Message):
    """One way in which somebody has a role, or one action, somewhere."""

    via: ResourceType
    """What it was given on; of `organization`, `business_unit` also by membership."""
    permission: str
    granted_by: str | None = None
    granted_at: datetime | None = None
    """None for a membership."""
    expires_at: datetime | None = None
    suffices: bool


class Explanation(Access):
    """Whether somebody may do something, and every reason for it or against it."""

    action: str
    takes: Role
    """The least role that may."""
    resource_type: ResourceType
    resource: str | None = None
    because: list[Reason] = []
