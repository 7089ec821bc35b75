"""The context of a run, as the database tells it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from orbit_context.models.base import Message

__all__ = ["DependencyContext", "Requirement", "TestExecutionContext"]


class TestExecutionContext(Message):
    """What the tests of a run share. Secret values are sealed (`orbit.seal.v1.…`) unless a key opened them."""

    __test__ = False  # not a pytest class

    run_id: UUID
    shared_auth_tokens: dict[str, Any] = Field({}, repr=False)
    shared_variables: dict[str, Any] = {}
    captured_data: dict[str, dict[str, Any]] = Field({}, repr=False)
    """By test key, then by the name of the capture."""
    test_order: list[str] = []
    variables: dict[str, Any] = {}
    """The run's variables: suite, environment and overrides, merged."""
    secrets: list[str] = []
    """The names of the run's secret variables. Their values are released to the workers that hold tests which use them."""
    expires_at: datetime


class Requirement(Message):
    """A test that another one needs."""

    test: str
    kind: Literal["order", "data", "token"]
    status: str
    """`waiting`, or the status of its result."""
    captured: dict[str, Any] | None = Field(None, repr=False)


class DependencyContext(Message):
    """What a test waits for."""

    test: str
    needs: list[Requirement]
    is_ready: bool
    """Everything it needs has passed."""
    is_impossible: bool
    """Something it needs has ended and did not pass."""
