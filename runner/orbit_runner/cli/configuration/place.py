"""What a variable belongs to: the narrowest place that a command names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orbit_context.models.variables import VariableScope

__all__ = ["place"]

_FLAGS = {
    "global": "--global",
    "business_unit": "--unit",
    "project": "--project",
    "environment": "--env",
    "suite": "--suite",
    "test": "--test",
}
_WITHIN = {"environment": {"project"}, "suite": {"project"}, "test": {"project", "suite"}}


def place(where: Mapping[str, Any]) -> tuple[VariableScope | None, dict[str, Any]]:
    """The scope, None where nothing is named, and what names it, the organisation included.

    Raises DefinitionError where two places are named and neither lies in the other.
    """
    named = {name: value for name, value in where.items() if value and name != "is_global"}
    kinds = {name for name in _FLAGS if name in named} | ({"global"} if where.get("is_global") else set())
    scope: VariableScope | None = next((one for one in reversed(_SCOPES) if one in kinds), None)
    if scope is not None and (others := kinds - {scope} - _WITHIN.get(scope, set())):
        flags = " and ".join(_FLAGS[one] for one in _FLAGS if one in {scope, *others})
        raise DefinitionError(f"{flags} name different places", hint="name the one that the variable belongs to")
    if scope == "test" and "suite" not in kinds:
        raise DefinitionError("a test is one of a suite", field="--test", hint="name the suite, too: --suite NAME")
    return scope, named


_SCOPES: tuple[VariableScope, ...] = ("global", "business_unit", "project", "environment", "suite", "test")
