"""`orbit.preferences`: what the person at the keyboard likes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orbit_context.gateway.port import Gateway

__all__ = ["Preferences"]


class Preferences:
    """`orbit.preferences`: organization, project, theme, time_zone, colour, notify, rows."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def get(self) -> dict[str, Any]:
        """Those that are set. Where nobody is signed in, those of the installation."""
        answer: dict[str, Any] = await self._gateway.call("get_preferences", {})
        return answer

    async def set(self, preferences: Mapping[str, Any]) -> dict[str, Any]:
        """Sets some, takes away those that are None, and answers all. Raises InvalidRequestError, naming the key."""
        answer: dict[str, Any] = await self._gateway.call("set_preferences", {"preferences": dict(preferences)})
        return answer
