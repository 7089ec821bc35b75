"""Names that people type: which of those that exist look like one, and how they are listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

__all__ = ["did_you_mean", "list_names", "near", "printable", "suggest"]

_SHOWN = 12
_COMPARED = 1000
_LONGEST = 60


def near(name: str, names: Iterable[str]) -> list[str]:
    """Up to three of `names` that look like `name`, the nearest first."""
    from difflib import get_close_matches
    from itertools import islice

    candidates = {candidate.lower(): candidate for candidate in islice(names, _COMPARED) if len(candidate) <= _LONGEST}
    return [candidates[match] for match in get_close_matches(name[:_LONGEST].lower(), list(candidates), n=3)]


def did_you_mean(spelt: Collection[str]) -> str | None:
    """The hint that offers names, spelt as they are to be written; None where there are none."""
    return f"Did you mean {' or '.join(spelt)}?" if spelt else None


def suggest(name: str, names: Iterable[str]) -> str | None:
    """The hint that offers what is near `name`, in quotes: for names that a server chose."""
    return did_you_mean([repr(match) for match in near(name, names)])


def list_names(names: Collection[str]) -> str:
    """`token, user_id`: what exists at a level, cut to a readable number and made safe to print."""
    shown = [printable(name) for name in sorted(names, key=str)[:_SHOWN]]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(shown) + more if shown else "nothing"


def printable(name: Any) -> str:
    """`name` cut to a readable length, with escapes for what cannot be seen."""
    text = str(name)
    cut = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return cut if cut.isprintable() else repr(cut)[1:-1]
