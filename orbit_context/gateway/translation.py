"""What the database refuses with, as Orbit's errors: decided here once, whatever carried it."""

from __future__ import annotations

import json
from typing import Any

from orbit_context.errors import (
    DatabaseUnavailableError,
    InvalidRequestError,
    NotAllowedError,
    OrbitError,
    SchemaMismatchError,
    TooManyRequestsError,
    from_sqlstate,
)

__all__ = ["UNDONE", "from_database", "seconds_of"]

UNDONE = frozenset({"40001", "40P01"})
"""A call that lost to another one: nothing of it took effect, and it is to be said again."""

_MISSING_SCHEMA = {"3F000", "42883", "42P01"}
_TIMED_OUT = {"57014", "55P03"}
_PUSH = "run: orbit db push"


def from_database(
    code: str, message: str, detail: str | None, hint: str | None, *, retry_after: float | None = None
) -> OrbitError | None:
    """The error that stands for a SQLSTATE; None where it is not ours to explain.

    `retry_after`: the seconds that the answer's Retry-After named, where the transport has such a thing.
    """
    if code == "PGRST":
        return _from_response(message, detail)
    if code.startswith("22"):  # before any function of ours looked at it: a NUL character, say
        return InvalidRequestError("the database cannot hold this value", detail=message, hint=detail)
    if code == "42501":
        return NotAllowedError(
            "the database role of the caller may not do this",
            detail=message,
            hint=hint or "sign in, or ask an administrator of the database for the right that the detail names",
        )
    if code in _MISSING_SCHEMA and "orbit" in message:
        return SchemaMismatchError(
            "the database does not hold Orbit's schema, or an older one", detail=message, hint=_PUSH
        )
    if code in _TIMED_OUT:
        return DatabaseUnavailableError(
            "the database gave the call up: it took longer than it may",
            detail=message,
            hint="try again; if it stays, see what the database is busy with",
        )
    if code in UNDONE:
        return DatabaseUnavailableError(
            "the call lost to others, again and again; nothing of it took effect", detail=message, hint="try again"
        )
    if code == TooManyRequestsError.sqlstate:
        return TooManyRequestsError(message, detail=detail, hint=hint, retry_after=retry_after)
    return from_sqlstate(code, message, detail, hint)


def _from_response(message: str, detail: str | None) -> OrbitError | None:
    """`raise sqlstate 'PGRST'` writes an HTTP server's answer, error and headers, as JSON; said to us, it means the same."""
    try:
        error: dict[str, Any] = json.loads(message)
        headers = {name.lower(): value for name, value in json.loads(detail or "{}").get("headers", {}).items()}
        code, said = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
    return from_database(
        code, said, error.get("details"), error.get("hint"), retry_after=seconds_of(headers.get("retry-after"))
    )


def seconds_of(retry_after: str | None) -> float | None:
    """Seconds of a Retry-After header, which may also be a date."""
    if not retry_after:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    try:
        until = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
