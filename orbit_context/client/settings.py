"""`orbit.settings`: what holds where nobody says otherwise, and how much may run at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.gateway.requests import given
from orbit_context.models.settings import Setting

if TYPE_CHECKING:
    import builtins

    from orbit_context.gateway.port import Gateway

__all__ = ["Settings"]


class Settings:
    """`orbit.settings`. A place is the narrowest that is named; `installation`: what holds for all organisations."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def list(
        self,
        *,
        environment: str | None = None,
        project: str | None = None,
        organization: str | None = None,
        installation: bool = False,
    ) -> builtins.list[Setting]:
        """What holds at a place, by name; of hosts what is set. Raises NotFoundError."""
        request = _place(environment, project, organization, installation=installation)
        answer = await self._gateway.call("list_settings", request)
        return [Setting.model_validate(setting) for setting in answer["settings"]]

    async def set(
        self,
        name: str,
        value: Any,
        *,
        environment: str | None = None,
        project: str | None = None,
        organization: str | None = None,
        installation: bool = False,
    ) -> Setting:
        """Sets `run.timeout`, `concurrency.environment`, `rate.host:api.example`, … for a place.

        A rate is `{"per_second": 5, "burst": 10}`; "none" lifts what wider places say. Raises InvalidRequestError, which tells
        what the setting takes, NotFoundError, NotAllowedError.
        """
        request = _place(environment, project, organization, installation=installation) | {"name": name, "value": value}
        return Setting.model_validate(await self._gateway.call("set_setting", request))

    async def unset(
        self,
        name: str,
        *,
        environment: str | None = None,
        project: str | None = None,
        organization: str | None = None,
        installation: bool = False,
    ) -> None:
        """Takes back what was set at that place. Raises NotFoundError where nothing is."""
        request = _place(environment, project, organization, installation=installation) | {"name": name}
        await self._gateway.call("unset_setting", request)


def _place(
    environment: str | None, project: str | None, organization: str | None, *, installation: bool
) -> dict[str, Any]:
    return given(environment=environment, project=project, organization=organization, all=installation or None)
