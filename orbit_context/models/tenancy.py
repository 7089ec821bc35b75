"""Organisations, their members and invitations, business units, projects: as the database tells them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from orbit_context.models.base import Message

__all__ = [
    "BusinessUnit",
    "BusinessUnitRole",
    "Identity",
    "Invitation",
    "InvitationStatus",
    "Member",
    "Membership",
    "Organization",
    "Project",
    "Role",
    "UnitMember",
    "UnitRole",
    "User",
]

Role = Literal["viewer", "editor", "admin", "owner"]
"""In ascending order; `owner` of organisations only."""
BusinessUnitRole = Literal["viewer", "editor", "admin"]
InvitationStatus = Literal["open", "accepted", "revoked", "expired"]


class User(Message):
    """A person."""

    id: UUID
    email: str | None = None
    """In lower case."""
    name: str | None = None


class UnitRole(Message):
    """Somebody's place in a business unit."""

    slug: str
    name: str
    role: BusinessUnitRole


class Membership(Message):
    """Somebody's place in an organisation."""

    slug: str
    name: str
    role: Role
    business_units: list[UnitRole] = []


class Identity(Message):
    """Who asks."""

    user: User | None = None
    """None for a database role without a person's token."""
    is_administrative: bool = False
    """Whether it stands above every permission: the database's owner, the service role."""
    organizations: list[Membership] = []


class Organization(Message):
    """A tenant."""

    id: UUID
    slug: str
    name: str
    role: Role | None = None
    """The caller's by membership; None where they see it otherwise."""
    created_at: datetime


class Member(Message):
    """Somebody in an organisation."""

    user_id: UUID
    email: str | None = None
    name: str | None = None
    role: Role
    since: datetime
    business_units: list[UnitRole] = []
    """Those that the caller sees."""


class UnitMember(Message):
    """Somebody in a business unit."""

    user_id: UUID
    email: str | None = None
    name: str | None = None
    role: BusinessUnitRole
    since: datetime


class Invitation(Message):
    """Somebody who was asked in."""

    id: UUID
    email: str
    role: Role
    business_unit: str | None = None
    business_unit_role: BusinessUnitRole | None = None
    status: InvitationStatus = "open"
    invited_by: str | None = None
    """An e-mail address; None where an administrative role did."""
    created_at: datetime | None = None
    expires_at: datetime
    accepted_at: datetime | None = None
    revoked_at: datetime | None = None
    token: str | None = None
    """Only in the answer to the invitation itself: stored nowhere, told once."""


class BusinessUnit(Message):
    """A part of an organisation."""

    id: UUID
    organization: str
    slug: str
    name: str
    description: str | None = None
    role: BusinessUnitRole | None = None
    """The caller's by membership."""
    created_at: datetime
    members: int | None = None
    """How many; only in lists."""
    projects: int | None = None


class Project(Message):
    """A system under test, with its suites and environments."""

    id: UUID
    organization: str
    slug: str
    name: str
    business_unit: str | None = None
    """The slug of the unit that it belongs to; None: every member of the organisation sees it."""
    created_at: datetime
