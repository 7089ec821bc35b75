"""Schedules as a test drives them: the engine's clock is in its hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncpg
    from support.tenants import Tenants


class Engine:
    """Schedules of `acme`, made by people, and start_due at any time."""

    def __init__(self, connection: asyncpg.Connection[Any], tenants: Tenants) -> None:
        self.connection = connection
        self.tenants = tenants

    async def save(self, *, now: str, person: str | None = "ed", **request: Any) -> dict[str, Any]:
        """save_schedule at a time, as somebody; `person=None`: as an administrative role."""
        kind = next(
            (kind for kind, time in {"cron": "cron", "interval": "every", "once": "at"}.items() if time in request)
        )
        request = {"name": "nightly", "suite": "suite", "kind": kind, "organization": "acme"} | request
        async with self.connection.transaction():
            if person is not None:
                claims = {"role": "authenticated", "sub": str(self.tenants.id(person))}
                await self.connection.execute("select set_config('request.jwt.claims', $1, true)", json.dumps(claims))
                await self.connection.execute("set local role authenticated")
            answer = await self.connection.fetchval(
                "select orbit_private.save_schedule($1::text::jsonb, $2::text::timestamptz)::text",
                json.dumps(request),
                now,
            )
        return dict(json.loads(answer))

    async def due(self, now: str, *, limit: int = 10) -> dict[str, Any]:
        """start_due at a time, until nothing is due; the sum of what it started."""
        started = 0
        while True:
            answer = json.loads(
                await self.connection.fetchval(
                    "select orbit_runner.start_due($1, $2::text::timestamptz)::text", limit, now
                )
            )
            started += answer["started"]
            if not answer["more"]:
                return {**answer, "started": started}

    async def slots(self, name: str = "nightly") -> list[tuple[str, str, str | None]]:
        """(when, status, reason), the oldest first."""
        rows = await self.connection.fetch(
            "select s.slot_at, s.status, s.reason from orbit.schedule_slots s join orbit.schedules c on c.id = s.schedule_id"
            " where c.name = $1 order by s.slot_at",
            name,
        )
        return [(f"{row['slot_at'].astimezone(UTC):%m-%d %H:%M}", row["status"], row["reason"]) for row in rows]

    async def row(self, name: str = "nightly") -> asyncpg.Record:
        row: asyncpg.Record = await self.connection.fetchrow("select * from orbit.schedules where name = $1", name)
        return row

    async def next_at(self, name: str = "nightly") -> str | None:
        at: datetime | None = (await self.row(name))["next_run_at"]
        return None if at is None else f"{at.astimezone(UTC):%m-%d %H:%M}"

    async def runs(self) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await self.connection.fetch("select * from orbit.test_runs order by queue_no")
        return rows
