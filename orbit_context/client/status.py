"""`orbit.queue`, `orbit.dead_letters`: what waits and why, how it went, whether all is well, and what was given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.gateway.requests import given
from orbit_context.models.operations import DeadLetter
from orbit_context.models.status import (
    DroppedLetters,
    Group,
    Health,
    QueueStatus,
    ReplayedLetters,
    Stats,
    Transition,
    Waiting,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from orbit_context.gateway.port import Gateway

__all__ = ["DeadLetters", "Queue"]


class Queue:
    """`orbit.queue`"""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def status(
        self, *, project: str | None = None, organization: str | None = None, limit: int = 20
    ) -> QueueStatus:
        """Depth, throughput, workers, and why the oldest `limit` waiting tests wait."""
        request = given(project=project, organization=organization, limit=limit)
        return QueueStatus.model_validate(await self._gateway.call("queue_status", request))

    async def explain(self, run_id: UUID | str, *, limit: int = 50) -> Waiting:
        """Why the tests of a run wait; of the first `limit`, each."""
        answer = await self._gateway.call("explain_waiting", {"run_id": str(run_id), "limit": limit})
        return Waiting.model_validate(answer)

    async def groups(self, *, project: str | None = None, organization: str | None = None) -> list[Group]:
        """Affinity groups that runs ask for, or did in the last ten minutes."""
        rows = await self._gateway.call("list_groups", given(project=project, organization=organization))
        return [Group.model_validate(row) for row in rows]

    async def transitions(self, run_id: UUID | str) -> list[Transition]:
        """Who changed the run's status, when and why; the first first."""
        rows = await self._gateway.call("list_transitions", {"run_id": str(run_id)})
        return [Transition.model_validate(row) for row in rows]

    async def stats(self, *, project: str | None = None, organization: str | None = None, days: int = 7) -> Stats:
        """How the runs went that were finished in the last `days` days, today among them."""
        request = given(project=project, organization=organization, days=days)
        return Stats.model_validate(await self._gateway.call("stats", request))

    async def health(self) -> Health:
        """Whether all is well."""
        return Health.model_validate(await self._gateway.call("health", {}))


class DeadLetters:
    """`orbit.dead_letters`; `orbit.history.dead_letters` lists them."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def get(self, letter_id: UUID | str) -> DeadLetter:
        """By its id, or the beginning of it."""
        return DeadLetter.model_validate(await self._gateway.call("get_dead_letter", {"id": str(letter_id)}))

    async def replay(
        self,
        ids: Sequence[UUID | str] | None = None,
        *,
        project: str | None = None,
        organization: str | None = None,
        every: bool = False,
        note: str | None = None,
    ) -> ReplayedLetters:
        """Tries them anew, each in a run of its own: those of these ids, else the open ones of the project, or (`every`) all."""
        request = _meant(ids, project, organization, every, note)
        return ReplayedLetters.model_validate(await self._gateway.call("replay_dead_letters", request))

    async def drop(
        self,
        ids: Sequence[UUID | str] | None = None,
        *,
        project: str | None = None,
        organization: str | None = None,
        every: bool = False,
        note: str | None = None,
    ) -> DroppedLetters:
        """Leaves them at that; they stay to be read."""
        request = _meant(ids, project, organization, every, note)
        return DroppedLetters.model_validate(await self._gateway.call("drop_dead_letters", request))


def _meant(
    ids: Sequence[UUID | str] | None, project: str | None, organization: str | None, every: bool, note: str | None
) -> dict[str, Any]:
    return given(
        ids=[str(one) for one in ids] if ids is not None else None,
        project=project,
        organization=organization,
        all=every or None,
        note=note,
    )
