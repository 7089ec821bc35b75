"""`orbit.schedules`: runs that start by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.gateway.requests import given
from orbit_context.models.schedules import NextSlots, Schedule, ScheduleDetails

if TYPE_CHECKING:
    from datetime import datetime

    from orbit_context.gateway.port import Gateway

__all__ = ["Schedules"]


class Schedules:
    """`orbit.schedules`"""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def save(
        self,
        name: str,
        suite: str,
        *,
        cron: str | None = None,
        every: float | None = None,
        at: datetime | str | None = None,
        time_zone: str = "UTC",
        project: str | None = None,
        organization: str | None = None,
        **options: Any,
    ) -> Schedule:
        """Makes the schedule of that name, or puts this in its place; one of `cron`, `every` (seconds) and `at`. Options:
        environment, anchor, missed (skip, once, all), paused, options (of the start)."""
        kind = "cron" if cron is not None else "interval" if every is not None else "once"
        request = given(
            name=name, suite=suite, kind=kind, cron=cron, every=every, at=at, time_zone=time_zone, project=project,
            organization=organization, **options,
        )  # fmt: skip
        return Schedule.model_validate(await self._gateway.call("save_schedule", request))

    async def list(
        self, *, project: str | None = None, organization: str | None = None, limit: int = 50
    ) -> list[Schedule]:
        """By name."""
        request = given(project=project, organization=organization, limit=limit)
        return [Schedule.model_validate(row) for row in await self._gateway.call("list_schedules", request)]

    async def get(
        self, name: str, *, slots: int = 10, project: str | None = None, organization: str | None = None
    ) -> ScheduleDetails:
        """With its next five slots, and what became of the last `slots`."""
        request = given(name=name, slots=slots, project=project, organization=organization)
        return ScheduleDetails.model_validate(await self._gateway.call("get_schedule", request))

    async def pause(self, name: str, *, project: str | None = None, organization: str | None = None) -> Schedule:
        """It starts nothing until it is resumed."""
        request = given(name=name, project=project, organization=organization)
        return Schedule.model_validate(await self._gateway.call("pause_schedule", request))

    async def resume(self, name: str, *, project: str | None = None, organization: str | None = None) -> Schedule:
        """What was due in the meantime is not made up for."""
        request = given(name=name, project=project, organization=organization)
        return Schedule.model_validate(await self._gateway.call("resume_schedule", request))

    async def delete(self, name: str, *, project: str | None = None, organization: str | None = None) -> None:
        """Runs that it started stay."""
        await self._gateway.call("delete_schedule", given(name=name, project=project, organization=organization))

    async def next(
        self,
        name: str | None = None,
        *,
        cron: str | None = None,
        every: float | None = None,
        at: datetime | str | None = None,
        anchor: datetime | str | None = None,
        time_zone: str | None = None,
        after: datetime | str | None = None,
        count: int = 5,
        project: str | None = None,
        organization: str | None = None,
    ) -> NextSlots:
        """When a schedule is due, or when one would be that is not saved: with one of `cron`, `every` (seconds) and `at`."""
        request = given(
            name=name, cron=cron, every=every, at=at, anchor=anchor, time_zone=time_zone, after=after, count=count,
            project=project, organization=organization,
        )  # fmt: skip
        return NextSlots.model_validate(await self._gateway.call("next_slots", request))
