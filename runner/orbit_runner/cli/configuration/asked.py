"""Values that are never an argument, which every process of the machine could read."""

from __future__ import annotations

import sys

from orbit_context.errors import DefinitionError

__all__ = ["asked_for"]


def asked_for(name: str, *, hint: str) -> str:
    """Asked for without showing it, or all of standard input but the line end at its end. Raises DefinitionError for nothing."""
    if sys.stdin.isatty():
        from getpass import getpass

        value = getpass(f"{name}: ")
    else:
        value = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    if not value:
        raise DefinitionError(f"no value for {name}", hint=hint)
    return value
