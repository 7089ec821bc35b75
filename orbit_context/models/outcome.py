"""What an executor says of one attempt of a test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["CATEGORIES", "Captured", "Failure", "Outcome", "OutcomeStatus"]

OutcomeStatus = Literal["passed", "failed", "errored", "timed_out", "cancelled"]

CATEGORIES = (
    "assertion", "schema", "capture_missing", "template", "config", "data",
    "dns", "connect", "tls", "timeout", "reset", "protocol", "proxy", "body_too_large", "too_many_redirects",
    "status_4xx", "status_5xx", "auth", "expression", "dependency", "runner_lost", "cancelled", "internal",
)  # fmt: skip
"""Why a test did not pass. A status the suite did not expect is `status_4xx` or `status_5xx`, 401 and 403 are `auth`."""


@dataclass(slots=True)
class Failure:
    """One thing that did not hold: what was looked at, what was expected of it and what was there. Secrets are masked."""

    message: str
    where: str
    """`status`, `header content-type`, `json $.items[0].id`, `request.url`, …"""
    expected: Any = None
    actual: Any = None
    category: str = "assertion"
    hint: str | None = None

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"message": self.message, "where": self.where, "category": self.category}
        body |= {"expected": self.expected, "actual": self.actual}
        return body | ({"hint": self.hint} if self.hint else {})


@dataclass(slots=True)
class Captured:
    """A value taken from a response, in clear: sealed by the worker before it leaves the process if it is secret."""

    name: str
    value: Any = field(repr=False)
    share: Literal["token", "variable"] | None = None
    secret: bool = False


@dataclass(slots=True)
class Outcome:
    """One attempt of one test.

    `passed` and `failed` are verdicts on the system under test; `errored` means that no verdict could be reached (a name
    that is missing, no connection); `timed_out` that the deadline ended it.
    """

    status: OutcomeStatus
    duration: float
    """Seconds, waiting for a slot excluded, polling included."""
    category: str | None = None
    reason: str | None = None
    """One sentence: the first failure, or why there is no verdict. Secrets masked."""
    failures: list[Failure] = field(default_factory=list)
    captures: list[Captured] = field(default_factory=list)
    retryable: bool = False
    """Whether the test's `retry.on` covers this outcome; the database decides whether an attempt is left."""
    exchange: dict[str, Any] | None = None
    """`request`, `response`, `timings` (seconds by phase), `hops`, `curl`: masked, bodies cut; None where nothing was sent."""
