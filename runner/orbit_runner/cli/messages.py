"""How errors are said on the terminal."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orbit_context.errors import OrbitError

__all__ = ["describe", "print_error", "tell"]


def tell(line: str) -> None:
    """Say on standard error what begins now and may take a while."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def describe(error: OrbitError) -> list[str]:
    """What is wrong and where, what was seen, and what to do next: a line each. Several errors in one are all told."""
    lines = []
    parts = getattr(error, "errors", None) or [error]
    for part in parts:
        lines.append(f"error: {part}")
        if part.detail:
            lines += [f"       {line}" for line in part.detail.strip().splitlines()]
        if part.hint:
            lines.append(f"  hint: {part.hint}")
    return lines


def print_error(error: OrbitError) -> None:
    colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    for line in describe(error):
        if colour and line.startswith("error:"):
            line = f"\x1b[1;31merror:\x1b[0m{line[6:]}"
        sys.stderr.write(line + "\n")
