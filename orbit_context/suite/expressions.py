"""The expressions of a suite that somebody has to compile: listed here, for not every compiler is part of the SDK."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Expression"]


@dataclass(frozen=True, slots=True)
class Expression:
    """One expression without templates, and where it stands."""

    path: tuple[str | int, ...]
    """`("tests", "login", "capture", "token")`, for `LoadedSuite.locate`."""
    kind: Literal["jsonpath", "regex", "xpath", "schema"]
    source: Any
    """The text; of a schema, the schema itself, read if it was a file."""
    dialect: str | None = None
