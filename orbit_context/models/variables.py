"""Variables of the database, by scope."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from orbit_context.models.base import Message

__all__ = [
    "ResolvedVariable",
    "ResolvedVariables",
    "SavedVariables",
    "Shadow",
    "VariableDefinition",
    "VariableScope",
    "VariableType",
]

VariableScope = Literal["global", "business_unit", "project", "environment", "suite", "test"]
"""From the widest to the narrowest; `global` is the organisation."""
VariableType = Literal["string", "number", "boolean", "object", "array", "any"]


class Shadow(Message):
    """A definition that another one goes before."""

    scope: VariableScope
    priority: int = 0
    value: Any = None
    """None of a secret."""


class ResolvedVariable(Message):
    """The definition that holds for a name."""

    name: str
    value: Any = None
    """As it was defined, templates not filled in; None of a secret."""
    type: VariableType = "any"
    secret: bool = False
    scope: VariableScope
    of: str | None = None
    """The name of the organisation, unit, project, environment, suite or test that defines it."""
    priority: int = 0
    shadows: list[Shadow] = []


class ResolvedVariables(Message):
    """What holds somewhere. `version` changes with every change of the organisation's variables."""

    variables: list[ResolvedVariable]
    version: int


class VariableDefinition(Message):
    """One definition of one scope."""

    name: str
    value: Any = None
    """None of a secret."""
    type: VariableType = "any"
    secret: bool = False
    scope: VariableScope
    of: str | None = None
    priority: int = 0
    description: str | None = None
    updated_at: datetime | None = None


class SavedVariables(Message):
    """What setting variables came to."""

    scope: VariableScope
    of: str
    changed: int
    deleted: int = 0
    version: int
