"""The sentence about a name that leads nowhere: how far it got, what is there instead, and what is near."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from orbit_context.template.conversion import describe
from orbit_context.template.failure import ExpressionFailure
from orbit_context.template.functions import FUNCTIONS
from orbit_context.template.scope import NAMESPACES
from orbit_context.template.syntax import Name, spell_path

if TYPE_CHECKING:
    from orbit_context.template.scope import Scope

__all__ = ["list_names", "missing_bare", "missing_in_scope", "missing_member", "near"]

_SHOWN = 12
_COMPARED = 1000
_LONGEST = 60


def near(name: str, names: Iterable[str]) -> list[str]:
    """Up to three of `names` that look like `name`, the nearest first."""
    from difflib import get_close_matches
    from itertools import islice

    candidates = {candidate.lower(): candidate for candidate in islice(names, _COMPARED) if len(candidate) <= _LONGEST}
    return [candidates[match] for match in get_close_matches(name[:_LONGEST].lower(), list(candidates), n=3)]


def list_names(names: Collection[str]) -> str:
    """`token, user_id`: what exists at a level, cut to a readable number and made safe to print."""
    shown = [_printable(name) for name in sorted(names, key=str)[:_SHOWN]]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(shown) + more if shown else "nothing"


def missing_member(parent: str, name: str, existing: Collection[str], column: int) -> ExpressionFailure:
    """`parent` has no `name`."""
    similar = near(name, existing)
    separator = "" if spell_path((name,)).startswith("[") else "."
    return ExpressionFailure(
        f"{parent} has no {_printable(name)!r}" if separator else f"{parent} has no {_printable(name)}",
        column=column,
        detail=f"{parent} has: {list_names(existing)}",
        hint=_did_you_mean([_spell(parent, match) for match in similar]),
    )


def missing_bare(
    name: Name, row: Collection[str], variables: Collection[str], captures: Collection[str]
) -> ExpressionFailure:
    """No row field, variable or capture has this bare name."""
    hint = None
    if name.root in FUNCTIONS and not name.path:
        hint = f"{name.root} is a function: write {name.root}()."
    else:
        known = [*row, *variables, *captures]
        hint = _did_you_mean(near(name.root, [*known, *NAMESPACES]))
    there = [
        f"{what}: {list_names(names)}"
        for what, names in (("row", row), ("variables", variables), ("captures", captures))
        if names
    ]
    return ExpressionFailure(
        f"no row field, variable or capture is called {_printable(name.root)!r}",
        column=name.column,
        detail="; ".join(there) or "There are no row fields, variables or captures here.",
        hint=hint,
    )


def missing_in_scope(name: Name, scope: Scope) -> ExpressionFailure:
    """Why `name` leads nowhere in `scope`. Walks again, slowly; reads names, never values."""
    if name.root in NAMESPACES:
        parent, value, path = name.root, getattr(scope, name.root), name.path
    else:
        for place in (scope.row, scope.vars, scope.env):
            if name.root in place:
                parent, value, path = name.root, place[name.root], name.path
                break
        else:
            absolute = scope.bare.get(name.root)
            if absolute is None:
                variables = {*scope.vars, *scope.env}
                return missing_bare(name, list(scope.row), variables, list(scope.bare))
            parent, value = str(absolute[0]), getattr(scope, str(absolute[0]))
            path = (*absolute[1:], *name.path)
    for step in path:
        if isinstance(step, int):
            if not isinstance(value, (list, tuple)):
                return ExpressionFailure(f"{parent} is {describe(value)}, not a list", column=name.column)
            if not -len(value) <= step < len(value):
                items = "1 item" if len(value) == 1 else f"{len(value)} items"
                return ExpressionFailure(f"{parent}[{step}] does not exist: the list has {items}", column=name.column)
        elif not isinstance(value, Mapping):
            hint = f"Take an item first: {parent}[0].{step}" if isinstance(value, (list, tuple)) else None
            return ExpressionFailure(f"{parent} is {describe(value)}, not an object", column=name.column, hint=hint)
        elif step not in value:
            return missing_member(parent, step, [key for key in value if isinstance(key, str)], name.column)
        value = value[step]
        parent = _spell(parent, step)
    return ExpressionFailure(f"{parent} is {describe(value)}", column=name.column)


def _spell(parent: str, step: str | int) -> str:
    spelt = spell_path((step,))
    return f"{parent}{spelt}" if spelt.startswith("[") else f"{parent}.{spelt}"


def _did_you_mean(names: list[str]) -> str | None:
    return f"Did you mean {' or '.join(names)}?" if names else None


def _printable(name: Any) -> str:
    text = str(name)
    cut = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return cut if cut.isprintable() else repr(cut)[1:-1]
