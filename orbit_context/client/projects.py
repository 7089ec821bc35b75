"""`orbit.projects`: systems under test, each with its suites, environments and history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orbit_context.gateway.requests import given
from orbit_context.models.tenancy import Project

if TYPE_CHECKING:
    from orbit_context.gateway.port import Gateway

__all__ = ["Projects"]


class Projects:
    """`orbit.projects`"""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def save(
        self,
        project: str,
        *,
        name: str | None = None,
        slug: str | None = None,
        business_unit: str | None = None,
        organization: str | None = None,
    ) -> Project:
        """Makes the project, or changes what is given of it; `slug` is a new one. Raises NotAllowedError, ConflictError."""
        request = given(organization=organization, project=project, name=name, slug=slug, business_unit=business_unit)
        return Project.model_validate(await self._gateway.call("save_project", request))

    async def move(self, project: str, business_unit: str | None, *, organization: str | None = None) -> Project:
        """Into a unit, or with None out of all. Takes the right to make one where it goes. Raises NotAllowedError."""
        request = given(organization=organization, project=project) | {"business_unit": business_unit}
        return Project.model_validate(await self._gateway.call("save_project", request))

    async def find(self, *, organization: str | None = None, business_unit: str | None = None) -> list[Project]:
        """Those that one sees, of all organisations unless given."""
        answer = await self._gateway.call(
            "list_projects", given(organization=organization, business_unit=business_unit)
        )
        return [Project.model_validate(row) for row in answer]

    async def delete(self, project: str, *, confirm: str, organization: str | None = None) -> None:
        """Deletes it with all it holds; `confirm` is its slug once more. Raises InvalidRequestError, NotAllowedError."""
        await self._gateway.call("delete_project", given(organization=organization, project=project, confirm=confirm))
