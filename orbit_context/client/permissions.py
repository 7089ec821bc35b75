"""`orbit.permissions`: grants, and why somebody may do something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orbit_context.gateway.requests import given
from orbit_context.models.permissions import Access, Explanation, Grant

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from orbit_context.gateway.port import Gateway

__all__ = ["Permissions"]


class Permissions:
    """`orbit.permissions`. Where: a business unit, a project, of a project an environment or a suite; or `system`, for
    administrative roles. To ask, also nothing: the organisation as a whole."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def grant(
        self,
        user: UUID | str,
        permission: str,
        *,
        business_unit: str | None = None,
        project: str | None = None,
        environment: str | None = None,
        suite: str | None = None,
        system: bool = False,
        expires_at: datetime | None = None,
        organization: str | None = None,
    ) -> Grant:
        """Gives a role (viewer, editor, admin) or one action; giving it again changes when it ends.

        Raises NotAllowedError beyond what one has there, or for longer.
        """
        where = _where(organization, business_unit, project, environment, suite, system=system)
        request = where | given(
            user=str(user), permission=permission, expires_at=expires_at.isoformat() if expires_at else None
        )
        return Grant.model_validate(await self._gateway.call("grant_permission", request))

    async def revoke(self, grant_id: UUID | str) -> bool:
        """Takes it back, at once; whether that changed anything. Raises NotFoundError, NotAllowedError."""
        return bool((await self._gateway.call("revoke_permission", {"id": str(grant_id)}))["changed"])

    async def find(
        self,
        *,
        user: UUID | str | None = None,
        history: bool = False,
        business_unit: str | None = None,
        project: str | None = None,
        environment: str | None = None,
        suite: str | None = None,
        system: bool = False,
        organization: str | None = None,
    ) -> list[Grant]:
        """Grants that hold, one's own and those one may change, the newest first; with `history`, also those that ended."""
        request = _where(organization, business_unit, project, environment, suite, system=system)
        request |= given(user=str(user) if user else None, history=history or None)
        return [Grant.model_validate(row) for row in await self._gateway.call("list_permissions", request)]

    async def can(
        self,
        action: str,
        *,
        business_unit: str | None = None,
        project: str | None = None,
        environment: str | None = None,
        suite: str | None = None,
        organization: str | None = None,
    ) -> Access:
        """Raises NotFoundError where one does not see the place, InvalidRequestError for an action that is none."""
        request = _where(organization, business_unit, project, environment, suite)
        return Access.model_validate(await self._gateway.call("can", request | {"action": action}))

    async def explain(
        self,
        action: str,
        *,
        user: UUID | str | None = None,
        business_unit: str | None = None,
        project: str | None = None,
        environment: str | None = None,
        suite: str | None = None,
        organization: str | None = None,
    ) -> Explanation:
        """As `can`, with every reason. Raises NotAllowedError for others' where one may not grant."""
        request = _where(organization, business_unit, project, environment, suite)
        request |= given(user=str(user) if user else None) | {"action": action}
        return Explanation.model_validate(await self._gateway.call("explain_access", request))


def _where(
    organization: str | None,
    business_unit: str | None,
    project: str | None,
    environment: str | None,
    suite: str | None,
    *,
    system: bool = False,
) -> dict[str, object]:
    return given(
        organization=organization,
        business_unit=business_unit,
        project=project,
        environment=environment,
        suite=suite,
        resource_type="system" if system else None,
    )
