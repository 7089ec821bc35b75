"""`orbit.business_units`: parts of an organisation that do not see each other's projects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orbit_context.gateway.requests import given
from orbit_context.models.tenancy import BusinessUnit, UnitMember

if TYPE_CHECKING:
    from uuid import UUID

    from orbit_context.gateway.port import Gateway
    from orbit_context.models.tenancy import BusinessUnitRole

__all__ = ["BusinessUnits"]


class BusinessUnits:
    """`orbit.business_units`"""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def save(
        self,
        business_unit: str,
        *,
        name: str | None = None,
        description: str | None = None,
        slug: str | None = None,
        organization: str | None = None,
    ) -> BusinessUnit:
        """Makes the unit of this slug, or changes what is given; `slug` is a new one. Raises NotAllowedError, ConflictError."""
        request = given(
            organization=organization, business_unit=business_unit, name=name, description=description, slug=slug
        )
        return BusinessUnit.model_validate(await self._gateway.call("save_business_unit", request))

    async def find(self, *, organization: str | None = None) -> list[BusinessUnit]:
        """Those that one sees, by slug."""
        answer = await self._gateway.call("list_business_units", given(organization=organization))
        return [BusinessUnit.model_validate(row) for row in answer]

    async def delete(self, business_unit: str, *, organization: str | None = None) -> None:
        """Raises ConflictError where it has projects, NotAllowedError."""
        await self._gateway.call("delete_business_unit", given(organization=organization, business_unit=business_unit))

    async def members(self, business_unit: str, *, organization: str | None = None) -> list[UnitMember]:
        """The highest first."""
        request = given(organization=organization, business_unit=business_unit)
        return [UnitMember.model_validate(row) for row in await self._gateway.call("list_unit_members", request)]

    async def set_member(
        self,
        business_unit: str,
        user: UUID | str,
        role: BusinessUnitRole = "viewer",
        *,
        organization: str | None = None,
    ) -> bool:
        """Takes a member of the organisation in, or changes their role; whether that changed anything. Raises NotAllowedError."""
        request = given(organization=organization, business_unit=business_unit, user=str(user), role=role)
        return bool((await self._gateway.call("set_unit_member", request))["changed"])

    async def remove_member(self, business_unit: str, user: UUID | str, *, organization: str | None = None) -> None:
        """They stay in the organisation. Raises NotAllowedError, NotFoundError."""
        request = given(organization=organization, business_unit=business_unit, user=str(user))
        await self._gateway.call("remove_unit_member", request)
