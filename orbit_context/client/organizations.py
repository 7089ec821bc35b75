"""`orbit.organizations`: organisations, who belongs to them, and who was asked in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orbit_context.gateway.requests import given
from orbit_context.models.tenancy import Identity, Invitation, Member, Organization

if TYPE_CHECKING:
    from uuid import UUID

    from orbit_context.gateway.port import Gateway
    from orbit_context.models.tenancy import BusinessUnitRole, InvitationStatus, Role

__all__ = ["Organizations"]


class Organizations:
    """`orbit.organizations`. People are named by id, e-mail address, or `me`; organisations by slug, where one has several."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def whoami(self) -> Identity:
        """Who asks, and where they belong. Raises NotAllowedError where the token outlived its account."""
        return Identity.model_validate(await self._gateway.call("whoami", {}))

    async def create(self, name: str, *, slug: str | None = None) -> Organization:
        """Makes an organisation, whose owner one becomes. Raises ConflictError where the slug is taken."""
        return Organization.model_validate(await self._gateway.call("create_organization", given(name=name, slug=slug)))

    async def find(self) -> list[Organization]:
        """Those that one sees, by slug."""
        return [Organization.model_validate(row) for row in await self._gateway.call("list_organizations", {})]

    async def update(
        self, organization: str | None = None, *, name: str | None = None, slug: str | None = None
    ) -> Organization:
        """Renames it. Raises NotAllowedError, ConflictError."""
        request = given(organization=organization, name=name, slug=slug)
        return Organization.model_validate(await self._gateway.call("update_organization", request))

    async def delete(self, organization: str, *, confirm: str) -> None:
        """Deletes it with all it holds; `confirm` is its slug once more. Raises InvalidRequestError, NotAllowedError."""
        await self._gateway.call("delete_organization", {"organization": organization, "confirm": confirm})

    async def members(self, organization: str | None = None) -> list[Member]:
        """The highest first."""
        answer = await self._gateway.call("list_members", given(organization=organization))
        return [Member.model_validate(row) for row in answer]

    async def set_role(self, user: UUID | str, role: Role, *, organization: str | None = None) -> bool:
        """Whether that changed anything. Raises NotAllowedError beyond one's own role, ConflictError for the last owner."""
        request = given(organization=organization, user=str(user), role=role)
        return bool((await self._gateway.call("set_member_role", request))["changed"])

    async def remove(self, user: UUID | str, *, organization: str | None = None) -> None:
        """Takes somebody out, of units and grants as well. Raises NotAllowedError, ConflictError for the last owner."""
        await self._gateway.call("remove_member", given(organization=organization, user=str(user)))

    async def leave(self, organization: str | None = None) -> None:
        """Raises ConflictError for the last owner."""
        await self.remove("me", organization=organization)

    async def invite(
        self,
        email: str,
        *,
        role: Role | None = None,
        business_unit: str | None = None,
        business_unit_role: BusinessUnitRole | None = None,
        expires_in_days: float | None = None,
        organization: str | None = None,
    ) -> Invitation:
        """Asks somebody in, as a viewer and for seven days unless given. Its `token` is told this once.

        Raises NotAllowedError beyond one's own role, ConflictError for a member.
        """
        request = given(
            organization=organization,
            email=email,
            role=role,
            business_unit=business_unit,
            business_unit_role=business_unit_role,
            expires_in_days=expires_in_days,
        )
        return Invitation.model_validate(await self._gateway.call("invite_member", request))

    async def invitations(
        self, organization: str | None = None, *, status: InvitationStatus | None = None
    ) -> list[Invitation]:
        """The newest first. Raises NotAllowedError."""
        answer = await self._gateway.call("list_invitations", given(organization=organization, status=status))
        return [Invitation.model_validate(row) for row in answer]

    async def revoke_invitation(self, invitation_id: UUID | str) -> bool:
        """Whether that changed anything. Raises ConflictError once it was accepted."""
        return bool((await self._gateway.call("revoke_invitation", {"id": str(invitation_id)}))["changed"])

    async def accept_invitation(self, token: str) -> Organization:
        """Signed in with the address that was invited. Raises NotFoundError, NotAllowedError, ConflictError."""
        return Organization.model_validate(await self._gateway.call("accept_invitation", {"token": token}))
