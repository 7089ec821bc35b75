"""Requests as the functions take them."""

from __future__ import annotations

from typing import Any

__all__ = ["given"]


def given(**fields: Any) -> dict[str, Any]:
    """The fields of a request that have a value; tuples and the like as lists."""
    return {
        name: list(value) if isinstance(value, tuple | set | frozenset) else value
        for name, value in fields.items()
        if value is not None
    }
