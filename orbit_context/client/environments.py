"""`orbit.environments`: where a project's tests run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.gateway.requests import given
from orbit_context.models.suites import Environment, EnvironmentSummary

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from orbit_context.gateway.port import Gateway

__all__ = ["Environments"]


class Environments:
    """`orbit.environments`"""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def get(self, name: str, *, project: str | None = None, organization: str | None = None) -> Environment:
        """Raises NotFoundError, which lists the environments there are."""
        request = given(name=name, project=project, organization=organization)
        return Environment.model_validate(await self._gateway.call("get_environment", request))

    async def save(
        self,
        name: str,
        variables: Mapping[str, Any],
        *,
        sealed: Mapping[str, str] | None = None,
        project: str | None = None,
        organization: str | None = None,
    ) -> UUID:
        """Replaces the variables of an environment. `sealed`: its secrets, sealed for `environment:<name>:<variable>`."""
        entries: list[dict[str, Any]] = [{"name": key, "value": value} for key, value in variables.items()]
        entries += [{"name": key, "value": value, "secret": True} for key, value in (sealed or {}).items()]
        request = given(name=name, project=project, organization=organization, variables=entries)
        answer = await self._gateway.call("save_environment", request)
        return Environment.model_validate({**answer, "name": name}).environment_id

    async def list(self, *, project: str | None = None, organization: str | None = None) -> list[EnvironmentSummary]:
        """By name, with how many variables each has."""
        answer = await self._gateway.call("list_environments", given(project=project, organization=organization))
        return [EnvironmentSummary.model_validate(one) for one in answer]

    async def delete(self, name: str, *, project: str | None = None, organization: str | None = None) -> int:
        """Deletes an environment with its variables; returns how many they were. Raises NotFoundError, NotAllowedError."""
        request = given(name=name, project=project, organization=organization)
        return int((await self._gateway.call("delete_environment", request))["variables"])

    async def ensure(self, name: str, *, project: str | None = None, organization: str | None = None) -> UUID:
        """The environment's id; makes it if need be, and leaves its variables alone."""
        request = given(name=name, project=project, organization=organization, replace=False)
        return Environment.model_validate(
            {**await self._gateway.call("save_environment", request), "name": name}
        ).environment_id
