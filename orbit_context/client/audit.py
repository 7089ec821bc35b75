"""`orbit.audit`: who did what, and whether the log of it is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orbit_context.gateway.requests import given
from orbit_context.models.audit import AuditPage, AuditReport

if TYPE_CHECKING:
    from datetime import datetime

    from orbit_context.gateway.port import Gateway

__all__ = ["Audit"]


class Audit:
    """`orbit.audit`"""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def list(
        self,
        *,
        action: str | None = None,
        who: str | None = None,
        resource: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        before: int | None = None,
        limit: int = 50,
        organization: str | None = None,
        system: bool = False,
    ) -> AuditPage:
        """Entries, newest first. `action`: `environment.update`, or `environment` for all that was done to one. `who`: an e-mail
        address, a database role or a user's id. `resource`: a kind, an id or a name. `system`: of what belongs to no
        organisation.

        Raises NotAllowedError without the action audit.read.
        """
        request = given(
            action=action,
            who=who,
            resource=resource,
            since=since,
            until=until,
            before=before,
            limit=limit,
            organization=organization,
            system=system or None,
        )
        return AuditPage.model_validate(await self._gateway.call("list_audit", request))

    async def verify(
        self,
        *,
        head: str | None = None,
        first: int | None = None,
        last: int | None = None,
        organization: str | None = None,
        system: bool = False,
    ) -> AuditReport:
        """Walks the chain, or the part of it from number `first` to `last`. `head`: what `str(report.head)` of an earlier walk
        was, kept where the database's owner cannot write; without it, an owner who wrote the whole chain anew goes unnoticed.

        Raises NotAllowedError without the action audit.read.
        """
        request = given(head=head, to=last, organization=organization, system=system or None)
        if first is not None:
            request["from"] = first
        return AuditReport.model_validate(await self._gateway.call("verify_audit", request))
