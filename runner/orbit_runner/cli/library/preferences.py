"""`orbit prefs`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.errors import DefinitionError
from orbit_runner.cli.answers import print_answer, print_rows
from orbit_runner.cli.asking import asking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orbit_runner.cli.exits import Exit

__all__ = ["list_", "set_", "unset"]


def list_(*, as_json: bool) -> Exit:
    return _told(asking(lambda orbit: orbit.preferences.get()), as_json=as_json)


def set_(settings: Sequence[str], *, as_json: bool) -> Exit:
    given: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise DefinitionError(f"{setting[:100]!r} is not KEY=VALUE", field="KEY=VALUE")
        given[key] = int(value) if value.isascii() and value.isdigit() else value
    return _told(asking(lambda orbit: orbit.preferences.set(given)), as_json=as_json)


def unset(keys: Sequence[str], *, as_json: bool) -> Exit:
    return _told(asking(lambda orbit: orbit.preferences.set(dict.fromkeys(keys))), as_json=as_json)


def _told(preferences: dict[str, Any], *, as_json: bool) -> Exit:
    if as_json:
        return print_answer(preferences)
    rows = [{"preference": key, "value": value} for key, value in sorted(preferences.items())]
    nothing = "no preference is set; set one: orbit prefs set project=NAME"
    return print_rows(rows, ("preference", "value"), as_json=False, nothing=nothing)
