"""`orbit.agent_tokens`: what workers show to register."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.models.agents import AgentToken, NewAgentToken, WorkerPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from orbit_context.gateway.port import Gateway

__all__ = ["AgentTokens"]


def _request(any_organization: bool, **fields: Any) -> dict[str, Any]:
    """Without what was not said."""
    request = {name: value for name, value in fields.items() if value is not None}
    return request | {"any_organization": True} if any_organization else request


class AgentTokens:
    """`orbit.agent_tokens`"""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def create(
        self,
        name: str,
        *,
        capabilities: Sequence[str] = ("http",),
        expires_at: datetime | str | None = None,
        organization: str | None = None,
        any_organization: bool = False,
    ) -> NewAgentToken:
        """A token that workers of the organisation register with; it is told this once. `capabilities`: the most that they may
        say they can. `any_organization`: workers for everybody; administrative roles alone may."""
        request = _request(
            any_organization,
            name=name,
            capabilities=list(capabilities),
            expires_at=expires_at,
            organization=organization,
        )
        return NewAgentToken.model_validate(await self._gateway.call("create_agent_token", request))

    async def list(self, *, organization: str | None = None, limit: int = 50) -> list[AgentToken]:
        """The newest first, revoked ones included."""
        request = _request(False, organization=organization, limit=limit)
        return [AgentToken.model_validate(row) for row in await self._gateway.call("list_agent_tokens", request)]

    async def revoke(self, name: str, *, organization: str | None = None, any_organization: bool = False) -> AgentToken:
        """For good: workers that registered with it end at their next heartbeat."""
        request = _request(any_organization, name=name, organization=organization)
        return AgentToken.model_validate(await self._gateway.call("revoke_agent_token", request))

    async def policy(self, *, tokens_required: bool | None = None) -> WorkerPolicy:
        """What the installation asks of its workers, changed where something is said; for administrative roles."""
        request = _request(False, tokens_required=tokens_required)
        return WorkerPolicy.model_validate(await self._gateway.call("set_worker_policy", request))
