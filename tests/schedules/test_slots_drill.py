"""Three stretches of places' clocks, with three schedulers and an outage of three hours in each: every slot starts once, or is
listed as missed as its schedule's policy has it; none twice, none lost."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.drills import LONG, tell

if TYPE_CHECKING:
    from support.postgres import Database
    from support.schedules import Engine

LINES = {"skip": "*/7 * * * *", "once": "30 0,1,2 * * *", "all": "*/20 * * * *"}
STRETCHES = {
    datetime(2028, 3, 26, 1, tzinfo=UTC): timedelta(minutes=-9),
    datetime(2028, 10, 29, 1, tzinfo=UTC): timedelta(hours=1, minutes=51),
    datetime(2028, 2, 29, 0, tzinfo=UTC): timedelta(minutes=-9),
}
"""The middle of each, and when the outage begins from there: spring falls into it, autumn happens while everybody is there; and
a leap day. It ends two minutes after a slot: a slot that is less than one late is not missed."""
OUTAGE = timedelta(hours=3)
ZONES = ["Europe/Paris", "Atlantic/Azores", "Antarctica/Troll", "UTC"] if LONG else ["Europe/Paris"]
"""Changed by an hour, at midnight, by two hours, never."""
AROUND = timedelta(hours=36) if LONG else timedelta(hours=5)
SCHEDULERS = 3


@pytest.mark.timeout(900)
async def test_every_slot_of_three_stretches(engine: Engine, database: Database) -> None:
    """10,000 slots of twelve schedules as a drill, 350 of three otherwise. Their runs are real ones."""
    fetch = engine.connection.fetch
    await engine.connection.execute(
        "create table orbit_private.seen as select * from orbit.schedule_slots with no data"
    )
    expected: dict[tuple[Any, datetime], bool] = {}  # whether somebody was there
    for middle, gone in STRETCHES.items():
        first, last = middle - AROUND, middle + AROUND
        for zone in ZONES:
            for missed, line in LINES.items():
                await engine.save(
                    now=str(first), name=f"{zone} {missed}", person=None, cron=line, time_zone=zone, missed=missed
                )
        rows = await fetch(
            "select c.id, s.at from orbit.schedules c cross join lateral unnest(orbit_private.slots_between("
            " c.kind, c.cron, c.every, c.at, c.time_zone, c.anchor_at, $1::timestamptz + interval '1 s', $2, 100000)) s (at)",
            first,
            last,
        )
        out = (middle + gone, middle + gone + OUTAGE)
        expected |= {(row["id"], row["at"]): not out[0] < row["at"] < out[1] for row in rows}
        await asyncio.gather(*(_scheduler(database, first, last, out) for _ in range(SCHEDULERS)))
        await engine.connection.execute("update orbit.schedules set paused = true, next_run_at = null")
        # What is kept is the newest 1,000 of 90 days: put aside what this stretch left.
        await engine.connection.execute("insert into orbit_private.seen select * from orbit.schedule_slots")
        await engine.connection.execute("delete from orbit.schedule_slots")

    seen = await fetch("select schedule_id, slot_at, status, until_at, run_id from orbit_private.seen")
    decided = {(row["schedule_id"], row["slot_at"]): row["status"] for row in seen}
    assert len(seen) == len(decided), "decided twice"
    assert set(decided) == set(expected), "lost, or never due"
    assert all(row["until_at"] is None for row in seen), "each is listed by itself"

    started = [row["run_id"] for row in seen if row["status"] == "started"]
    runs = {row["id"] for row in await fetch("select id from orbit.test_runs")}
    assert len(started) == len(set(started)) == len(runs), "fired twice"
    assert set(started) == runs, "a run that no slot tells of"

    policies = dict(await fetch("select id, missed from orbit.schedules"))
    wrong = [slot for slot, was_there in expected.items() if was_there and decided[slot] != "started"]
    assert not wrong, "somebody was there"
    outage = [slot for slot, was_there in expected.items() if not was_there]
    made_up = {policy: [slot for slot in outage if policies[slot[0]] == policy] for policy in LINES}
    assert {decided[slot] for slot in made_up["all"]} == {"started"}
    assert {decided[slot] for slot in made_up["skip"]} == {"missed"}
    for schedule in {slot[0] for slot in made_up["once"]}:
        for middle, gone in STRETCHES.items():
            begun = middle + gone
            slots = sorted(slot for slot in made_up["once"] if slot[0] == schedule and begun < slot[1] < begun + OUTAGE)
            assert [decided[slot] for slot in slots] == ["missed"] * (len(slots) - 1) + ["started"] * bool(slots)
    assert all(made_up.values()), "the outage fell on slots of each policy"
    assert len(expected) > (10_000 if LONG else 300)
    tell(f"{len(expected)} slots: {len(started)} started, {len(seen) - len(started)} missed, 0 double, 0 lost")


async def _scheduler(database: Database, first: datetime, last: datetime, out: tuple[datetime, datetime]) -> None:
    """Sleeps until the next slot, as a worker does, and is gone while nobody is there."""
    now = first
    async with database.connect() as connection:
        while True:
            answer = json.loads(await connection.fetchval("select orbit_runner.start_due(50, $1)::text", now))
            if answer.get("busy"):
                await asyncio.sleep(0.002)
            elif not answer["more"]:
                if now == last:
                    return
                now = min(now + timedelta(seconds=answer["next_in"]), last)
                now = out[1] if out[0] < now < out[1] else now
