"""Times as they are written on the command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from orbit_context.errors import DefinitionError

__all__ = ["ago", "ahead"]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def ago(text: str, *, option: str, now: datetime | None = None) -> datetime:
    """A time of day or date (ISO 8601; of this machine's zone unless it names one), or how long ago. Raises DefinitionError."""
    return _moment(text, -1, option, now)


def ahead(text: str, *, option: str, now: datetime | None = None) -> datetime:
    """A time of day or date, or in how long. Raises DefinitionError."""
    return _moment(text, 1, option, now)


def _moment(text: str, sign: int, option: str, now: datetime | None) -> datetime:
    try:
        if span := re.fullmatch(r"(\d{1,6})([smhdw])", text):
            return (now or datetime.now(UTC)) + sign * timedelta(seconds=int(span[1]) * _SECONDS[span[2]])
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise DefinitionError(
            f"{text[:60]!r} is no time", field=option, hint="write 2030-01-31, 2030-01-31T08:00+01:00, or 90m, 7d"
        ) from None
