"""`orbit schedule`, as people type it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from support.queue import suite

if TYPE_CHECKING:
    from support.command import OrbitCommand
    from support.postgres import Database
    from support.target import Target


async def _saved(database: Database, key: str = "suite", url: str = "/a") -> None:
    async with database.connect() as connection:
        request = suite({"a": {"request": {"method": "GET", "url": url}}}, key=key)
        await connection.fetchval("select orbit.save_suite($1::text::jsonb)", json.dumps(request))


async def test_a_schedule_s_life(orbit: OrbitCommand, database: Database) -> None:
    await _saved(database)
    added = await orbit(
        "schedule", "add", "nightly", "suite", "--cron", "30 2 * * mon-fri", "--zone", "Europe/Paris", "--tag", "smoke,slow",
        "--var", "n:=3", "--timeout", "5m", "--missed", "all", "--group", "app 4.2", "--order", "suite",
    )  # fmt: skip
    assert added.code == 0, added.stderr
    assert added.stdout.startswith("nightly: 30 2 * * mon-fri (Europe/Paris), next ")
    assert " 02:30 CE" in added.stdout
    assert "no worker is alive" in added.stderr
    [row] = (await orbit("schedule", "list", "--json")).json
    assert row["options"] == {
        "selection": {"tags": [["smoke", "slow"]]}, "variables": {"n": 3}, "timeout": 300, "group": "app 4.2", "order": "suite"
    }  # fmt: skip
    listed = await orbit("schedule", "list")
    assert "no worker is alive" in listed.stderr
    assert "02:30 CE" in listed.stdout
    shown = await orbit("schedule", "show", "nightly")
    assert shown.stdout.count("  next ") == 5
    assert "missed: all" in shown.stdout
    assert (await orbit("schedule", "pause", "nightly")).stdout == "nightly is paused\n"
    assert (await orbit("schedule", "pause", "nightly")).stdout == "nightly is paused already\n"
    assert "paused" in (await orbit("schedule", "list")).stdout
    resumed = await orbit("schedule", "resume", "nightly", "--json")
    assert (resumed.json["changed"], resumed.json["next_run_at"] is not None) == (True, True)
    assert (await orbit("schedule", "rm", "nightly")).code == 0
    assert "no schedule" in (await orbit("schedule", "list")).stdout
    gone = await orbit("schedule", "show", "nightly")
    assert gone.code == 4
    assert "orbit schedule list" in gone.stderr


async def test_when_a_line_is_due(orbit: OrbitCommand) -> None:
    """Saved or not, in the place's own clock."""
    told = await orbit(
        "schedule", "next", "30 2 * * *", "--zone", "Europe/Paris", "-n", "3", "--after", "2026-03-27T12:00Z", "--json"
    )
    assert [slot["local"] for slot in told.json["slots"]] == [
        "2026-03-28T02:30:00", "2026-03-29T03:00:00", "2026-03-30T02:30:00"
    ]  # fmt: skip
    shown = await orbit(
        "schedule", "next", "30 2 * * *", "--zone", "Europe/Paris", "-n", "2", "--after", "2026-03-28T12:00Z"
    )
    assert [line[:24] for line in shown.stdout.splitlines()] == ["Sun 2026-03-29 03:00 CES", "Mon 2026-03-30 02:30 CES"]
    every = await orbit(
        "schedule", "next", "--every", "6h", "--from", "2026-01-01T02:00Z", "--after", "2026-01-02T00:00Z", "--json"
    )
    assert every.json["slots"][0]["at"].startswith("2026-01-02T02:00:00")


async def test_what_cannot_be_is_refused(orbit: OrbitCommand, database: Database) -> None:
    """With exit code 4, the field, and nothing saved."""
    await _saved(database)
    wrong: list[tuple[list[str], str]] = [
        (["add", "x", "suite", "--cron", "61 * * * *"], "minute cannot be 61: it goes from 0 to 59"),
        (["add", "x", "suite", "--cron", "0 0 30 feb *"], "day 30 of month feb never comes"),
        (["add", "x", "suite", "--cron", "0 6 * * *", "--zone", "europe/paris"], "Perhaps Europe/Paris."),
        (["add", "x", "suite", "--cron", "0 6 * * *", "--every", "1h"], "a schedule has one time"),
        (["add", "x", "suite"], "a schedule has one time"),
        (["add", "x", "suite", "--every", "30s"], "every is from 60 seconds to 366 days"),
        (["add", "x", "suite", "--every", "often"], "--every"),
        (["add", "x", "suite", "--at", "2020-01-01"], "at is over"),
        (["add", "x", "none", "--every", "1h"], "no suite none"),
        (["next", "0 6 * *"], "five fields"),
        (["next", "nightly"], "no schedule nightly"),
        (["next", "nightly", "--zone", "UTC"], "a saved schedule has its zone"),
        (["next"], "say one of"),
    ]
    for arguments, said in wrong:
        refused = await orbit("schedule", *arguments)
        assert refused.code == 4, arguments
        assert said in refused.stderr, arguments
    assert (await orbit("schedule", "list", "--json")).json == []


async def test_doctor_says_when_nobody_starts_them(orbit: OrbitCommand, database: Database) -> None:
    async def finding() -> dict[str, Any]:
        [found] = [one for one in (await orbit("doctor", "--json")).json if one["name"] == "schedules"]
        return dict(found)

    assert (await finding())["state"] == "ok"
    await _saved(database)
    assert (await orbit("schedule", "add", "hourly", "suite", "--every", "1h")).code == 0
    found = await finding()
    assert (found["state"], found["advice"]) == ("warning", "start one: orbit worker")
    database.fetch("select orbit_runner.register_worker('w', 1)")
    assert (await finding())["state"] == "ok"
    database.fetch("update orbit.schedules set next_run_at = now() - interval '2 minutes'")
    assert "nothing starts them" in (await finding())["found"]


async def test_orbit_run_starts_nothing_else(orbit: OrbitCommand, database: Database, target: Target) -> None:
    """Who executes one suite alone would start what it does not execute."""
    await _saved(database)
    assert (await orbit("schedule", "add", "hourly", "suite", "--every", "1h")).code == 0
    database.fetch("update orbit.schedules set next_run_at = now() - interval '1 s'")
    slow = orbit.suite({"slow": {"request": "/slow?seconds=4"}}, base_url=target.url(""))
    done = await orbit("run", slow, "--json")
    assert done.json["run"]["status"], done.stderr
    assert database.fetch("select * from orbit.schedule_slots") == []
