"""`orbit.limits`: how much an organisation may do in a time, and use at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.gateway.requests import given
from orbit_context.models.limits import Limit, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orbit_context.gateway.port import Gateway

__all__ = ["Limits"]


class Limits:
    """`orbit.limits`"""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def get(self, *, organization: str | None = None, defaults: bool = False) -> list[Limit]:
        """All that can be limited, with what holds. `defaults`: for organisations that have none of their own."""
        request = given(organization=organization, all=defaults or None)
        answer = await self._gateway.call("get_limits", request)
        return [Limit.model_validate(limit) for limit in answer["limits"]]

    async def set(
        self, limits: Mapping[str, Any], *, organization: str | None = None, defaults: bool = False
    ) -> list[Limit]:
        """Sets limits by name: a number for a quota, `{"amount": 60, "per": 60, "burst": 20}` for a rate (seconds), "unlimited",
        or None to go back to the default. For administrative database roles.

        Raises InvalidRequestError, NotAllowedError.
        """
        request = {"limits": dict(limits)} | given(organization=organization, all=defaults or None)
        answer = await self._gateway.call("set_limits", request)
        return [Limit.model_validate(limit) for limit in answer["limits"]]

    async def usage(self, *, organization: str | None = None) -> list[Usage]:
        """What is used of each, counted now."""
        answer = await self._gateway.call("get_usage", given(organization=organization))
        return [Usage.model_validate(used) for used in answer["usage"]]
