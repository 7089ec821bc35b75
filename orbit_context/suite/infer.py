"""Which test waits for which: stated by `needs`, and inferred from the names that templates use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Edge", "EdgeKind"]

EdgeKind = Literal["order", "data", "token"]


@dataclass(frozen=True, slots=True)
class Edge:
    """`dependent_key` waits for `required_key`."""

    dependent_key: str
    required_key: str
    kind: EdgeKind
