"""Suites and environments, as the database tells them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from orbit_context.models.base import Message

__all__ = ["Environment", "EnvironmentSummary", "EnvironmentVariable", "SavedSuite"]


class SavedSuite(Message):
    """The version that a suite has in the database."""

    suite_id: UUID
    version_id: UUID
    version: int
    tests: int
    changed: bool
    """False where the very same was saved before."""


class EnvironmentVariable(Message):
    """A variable of an environment. The value of a secret is sealed (`orbit.seal.v1.…`)."""

    name: str
    value: Any = None
    secret: bool = False
    type: str = "any"
    priority: int = 0


class EnvironmentSummary(Message):
    """An environment, with how many variables and how many secrets it has."""

    environment_id: UUID
    name: str
    description: str | None = None
    variables: int
    secrets: int
    updated_at: datetime | None = None


class Environment(Message):
    """Where tests run: local, staging, production."""

    environment_id: UUID
    name: str
    description: str | None = None
    variables: list[EnvironmentVariable] = []
