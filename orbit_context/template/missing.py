"""The sentence about a name that leads nowhere: how far it got, what is there instead, and what is near."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from orbit_context.names import did_you_mean, list_names, near, printable
from orbit_context.template.conversion import describe
from orbit_context.template.failure import ExpressionFailure, NoValue
from orbit_context.template.functions import FUNCTIONS
from orbit_context.template.scope import NAMESPACES
from orbit_context.template.syntax import Name, spell_path

if TYPE_CHECKING:
    from orbit_context.template.scope import Scope

__all__ = ["MissingName", "missing_bare", "missing_in_scope", "missing_member"]


class MissingName(NoValue):
    """A name leads nowhere. The sentence about it is made only if no default stands in, for it is dear (near names)."""

    def __init__(self, name: Name) -> None:
        super().__init__(f"{name.source} leads nowhere", column=name.column)
        self.name = name


def missing_member(parent: str, name: str, existing: Collection[str], column: int) -> ExpressionFailure:
    """`parent` has no `name`."""
    similar = near(name, existing)
    separator = "" if spell_path((name,)).startswith("[") else "."
    return ExpressionFailure(
        f"{parent} has no {printable(name)!r}" if separator else f"{parent} has no {printable(name)}",
        column=column,
        detail=f"{parent} has: {list_names(existing)}",
        hint=did_you_mean([_spell(parent, match) for match in similar]),
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
        hint = did_you_mean(near(name.root, [*known, *NAMESPACES]))
    there = [
        f"{what}: {list_names(names)}"
        for what, names in (("row", row), ("variables", variables), ("captures", captures))
        if names
    ]
    return ExpressionFailure(
        f"no row field, variable or capture is called {printable(name.root)!r}",
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
