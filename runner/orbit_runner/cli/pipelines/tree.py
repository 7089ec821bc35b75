"""Steps as a tree: each under what it needs last."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["branches"]


def branches(needs: Mapping[str, Sequence[str]], *, symbols: bool) -> Iterator[tuple[str, str, list[str]]]:
    """Step by step in the order of the tree: the branch it hangs on, its key, and what it needs beside the step above it.

    A step hangs under the deepest of what it needs, so that it stands below all of it. `symbols`: whether lines may be drawn.
    """
    depths: dict[str, int] = {}

    def depth(key: str) -> int:
        if key not in depths:
            depths[key] = 1 + max((depth(need) for need in needs[key]), default=-1)
        return depths[key]

    above = {key: max(wanted, key=depth) if wanted else None for key, wanted in needs.items()}
    below: dict[str | None, list[str]] = {}
    for key, parent in above.items():
        below.setdefault(parent, []).append(key)
    fork, last, line = ("├─ ", "└─ ", "│  ") if symbols else ("|- ", "`- ", "|  ")

    def walk(parent: str | None, indent: str) -> Iterator[tuple[str, str, list[str]]]:
        children = below.get(parent, [])
        for key in children:
            is_last = key == children[-1]
            branch = "" if parent is None else indent + (last if is_last else fork)
            yield branch, key, [need for need in needs[key] if need != above[key]]
            yield from walk(key, "" if parent is None else indent + ("   " if is_last else line))

    return walk(None, "")
