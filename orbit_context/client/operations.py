"""`orbit.channels`, `orbit.tokens`, `orbit.workers`, `orbit.history`: who hears of runs, who may start them from outside, who
executes them, and what is kept of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.models.operations import (
    Channel,
    DailyMetrics,
    DeadLetter,
    FailureKind,
    FinishedRun,
    NewTriggerToken,
    TriggerToken,
    WorkerInfo,
)

if TYPE_CHECKING:
    from datetime import date, datetime
    from uuid import UUID

    from orbit_context.gateway.port import Gateway

__all__ = ["Channels", "History", "Tokens", "Workers"]


def _given(**fields: Any) -> dict[str, Any]:
    """A request without what was not said."""
    return {name: value for name, value in fields.items() if value is not None}


class Channels:
    """`orbit.channels`"""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def save(
        self, name: str, kind: str, *, project: str | None = None, organization: str | None = None, **options: Any
    ) -> Channel:
        """Makes the channel of that name, or puts this in its place. Options: recipients, url, secret (sealed for
        `channel:<project>:<name>`), secret_key, events, only_failures, enabled."""
        request = _given(name=name, kind=kind, project=project, organization=organization, **options)
        return Channel.model_validate(await self._gateway.call("save_channel", request))

    async def list(
        self, *, project: str | None = None, organization: str | None = None, limit: int = 50
    ) -> list[Channel]:
        """By name."""
        request = _given(project=project, organization=organization, limit=limit)
        return [Channel.model_validate(row) for row in await self._gateway.call("list_channels", request)]

    async def delete(self, name: str, *, project: str | None = None, organization: str | None = None) -> None:
        """With its secret, and what still waits for it."""
        await self._gateway.call("delete_channel", _given(name=name, project=project, organization=organization))


class Tokens:
    """`orbit.tokens`"""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def create(
        self,
        name: str,
        *,
        expires_at: datetime | str | None = None,
        project: str | None = None,
        organization: str | None = None,
    ) -> NewTriggerToken:
        """A token that starts runs of the project; it is told this once."""
        request = _given(name=name, expires_at=expires_at, project=project, organization=organization)
        return NewTriggerToken.model_validate(await self._gateway.call("create_trigger_token", request))

    async def list(
        self, *, project: str | None = None, organization: str | None = None, limit: int = 50
    ) -> list[TriggerToken]:
        """The newest first, revoked ones included."""
        request = _given(project=project, organization=organization, limit=limit)
        return [TriggerToken.model_validate(row) for row in await self._gateway.call("list_trigger_tokens", request)]

    async def revoke(self, name: str, *, project: str | None = None, organization: str | None = None) -> TriggerToken:
        """For good."""
        request = _given(name=name, project=project, organization=organization)
        return TriggerToken.model_validate(await self._gateway.call("revoke_trigger_token", request))


class Workers:
    """`orbit.workers`"""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def list(self) -> list[WorkerInfo]:
        """Those that are alive."""
        return [WorkerInfo.model_validate(row) for row in await self._gateway.call("list_workers", {})]


class History:
    """`orbit.history`"""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def runs(
        self,
        *,
        suite: str | None = None,
        status: str | None = None,
        before: datetime | None = None,
        project: str | None = None,
        organization: str | None = None,
        limit: int = 50,
    ) -> list[FinishedRun]:
        """Finished runs, the newest first, also those whose results are no longer kept."""
        request = _given(
            suite=suite, status=status, before=before, project=project, organization=organization, limit=limit
        )
        return [FinishedRun.model_validate(row) for row in await self._gateway.call("list_run_history", request)]

    async def metrics(
        self,
        *,
        test_case_id: UUID | None = None,
        environment_id: UUID | None = None,
        since: date | None = None,
        until: date | None = None,
        project: str | None = None,
        organization: str | None = None,
        limit: int = 50,
    ) -> list[DailyMetrics]:
        """A row per test, environment and day, the newest day first."""
        request = _given(
            test_case_id=test_case_id, environment_id=environment_id, to=until, project=project,
            organization=organization, limit=limit,
        ) | _given(**{"from": since})  # fmt: skip
        return [DailyMetrics.model_validate(row) for row in await self._gateway.call("list_metrics", request)]

    async def failures(
        self,
        *,
        test_case_id: UUID | None = None,
        category: str | None = None,
        cluster: str | None = None,
        project: str | None = None,
        organization: str | None = None,
        limit: int = 50,
    ) -> list[FailureKind]:
        """Kinds of failures, the one seen last first."""
        request = _given(
            test_case_id=test_case_id, category=category, cluster=cluster, project=project, organization=organization,
            limit=limit,
        )  # fmt: skip
        return [FailureKind.model_validate(row) for row in await self._gateway.call("list_failures", request)]

    async def dead_letters(
        self, *, state: str = "open", project: str | None = None, organization: str | None = None, limit: int = 50
    ) -> list[DeadLetter]:
        """Tests that were given up, the newest first; `state`: open, replayed, dropped, all."""
        request = _given(state=state, project=project, organization=organization, limit=limit)
        return [DeadLetter.model_validate(row) for row in await self._gateway.call("list_dead_letters", request)]
