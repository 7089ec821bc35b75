"""Where tests are defined."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orbit_context.models.runs import Result

__all__ = ["place_of"]


def place_of(places: Mapping[str, str] | None, result: Result) -> str | None:
    """`shop.yaml:12`, by the test's key; a row of data, `item[2]`, is defined where `item` is."""
    if not places:
        return None
    return places.get(result.key) or places.get(result.key.partition("[")[0])
