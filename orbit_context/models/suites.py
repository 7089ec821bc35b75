"""Suites and environments, as the database tells them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from orbit_context.models.base import Message

__all__ = ["Environment", "EnvironmentVariable", "SavedSuite"]


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


class Environment(Message):
    """Where tests run: local, staging, production."""

    environment_id: UUID
    name: str
    description: str | None = None
    variables: list[EnvironmentVariable] = []
