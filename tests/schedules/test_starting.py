"""What a schedule starts, when, as whom; and what becomes of what it cannot start."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from support.queue import suite

if TYPE_CHECKING:
    from support.postgres import Database
    from support.schedules import Engine

MADE_UP = "nobody was there to start it; the next that started makes up for it"


async def test_a_slot_starts_one_run_as_who_saved_the_schedule(engine: Engine) -> None:
    saved = await engine.save(
        now="2026-11-20T10:00Z", cron="0 6 * * *", time_zone="Europe/Paris", options={"priority": 5}
    )
    assert datetime.fromisoformat(saved["next_run_at"]) == datetime(2026, 11, 21, 5, tzinfo=UTC)
    early = await engine.due("2026-11-21T04:59:59Z")
    assert (early["started"], early["next_in"]) == (0, 1.0)
    assert (await engine.due("2026-11-21T05:00:00Z"))["started"] == 1
    assert (await engine.due("2026-11-21T05:00:00Z"))["started"] == 0
    [run] = await engine.runs()
    assert (run["triggered_by"], run["created_by"], run["priority"]) == ("schedule", engine.tenants.id("ed"), 5)
    assert await engine.slots() == [("11-21 05:00", "started", None)]
    row = await engine.row()
    assert (row["last_run_id"], row["last_error"]) == (run["id"], None)
    assert await engine.next_at() == "11-22 05:00"
    assert not await engine.connection.fetchval("select exists (select from orbit_private.acting)")
    assert await engine.connection.fetchval("select orbit_private.caller_is_trusted() and auth.uid() is null")


async def test_a_start_s_group_and_order_are_options(engine: Engine) -> None:
    """A run of the group's; of the suite's order, whatever failed last."""
    connection = engine.connection
    await engine.tenants.call_as("ed", "save_suite", suite({"a": [], "b": []}, organization="acme"))
    await connection.execute(
        "create or replace function orbit_private.order_of_tests(p_version orbit.test_suite_versions, p_chosen bigint[])"
        " returns int[] language sql as 'select array[1, 0]'"
    )
    handed_out = (
        "select array_agg(r.job_id order by r.rank)"
        " from (select * from orbit_private.ready order by job_id desc limit 2) r"
    )
    for order in ("suite", "impact"):
        group = {"key": "app 4.2", "size": 7}
        await engine.save(now="2026-11-20T10:00Z", cron="0 6 * * *", options={"order": order, "group": group})
        assert (await engine.due("2026-11-21T06:00Z"))["started"] == 1
        run = (await engine.runs())[-1]
        assert run["affinity_group"] == "app 4.2"
        first, second = await connection.fetchval(handed_out)
        assert (first < second) == (order == "suite")
        await connection.execute("delete from orbit.schedules")
    with pytest.raises(asyncpg.PostgresError, match="group has no field colour") as refusal:
        await engine.save(now="2026-11-20T10:00Z", cron="0 6 * * *", options={"group": {"colour": "red"}})
    assert refusal.value.sqlstate == "OR001"
    assert await engine.row() is None


async def test_who_sleeps_until_the_next_slot_is_woken(engine: Engine, database: Database) -> None:
    """By a schedule that is saved or resumed: it may be due before that."""
    call = 'select orbit_private.set_paused(\'{"name": "nightly", "organization": "acme"}\', $1)'
    async with database.connect() as sleeper:
        notices: asyncio.Queue[str] = asyncio.Queue()
        await sleeper.add_listener("orbit_due", lambda *notice: notices.put_nowait(notice[-1]))
        await engine.save(now="2026-11-20T10:00Z", every=3600)
        await engine.connection.execute("notify orbit_due, 'saved'")
        assert [await asyncio.wait_for(notices.get(), 30) for _ in range(2)] == ["", "saved"]
        await engine.connection.execute(call, True)
        await engine.connection.execute("notify orbit_due, 'paused'")
        while await asyncio.wait_for(notices.get(), 30) != "paused":
            pass
        await engine.connection.execute(call, False)
        await engine.connection.execute("notify orbit_due, 'resumed'")
        assert [await asyncio.wait_for(notices.get(), 30) for _ in range(2)] == ["", "resumed"]


async def test_an_administrative_schedule_starts_for_a_worker_without_rights(engine: Engine) -> None:
    """The role of workers may start nothing of its own."""
    await engine.save(now="2026-11-20T10:00Z", person=None, every=3600)
    async with engine.connection.transaction():
        await engine.connection.execute(
            "update orbit.schedules set anchor_at = now() - interval '1 hour', next_run_at = now()"
        )
        await engine.connection.execute("set local role orbit_runner")
        answer = json.loads(await engine.connection.fetchval("select orbit_runner.start_due()::text"))
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with engine.connection.transaction():
                await engine.connection.execute("select orbit_private.start_run_as(null, '{}')")
    assert answer["started"] == 1
    [run] = await engine.runs()
    assert run["created_by"] is None


async def test_nobody_makes_themselves_trusted(engine: Engine) -> None:
    """The setting by which start_run_as says that it acts is anybody's to set; alone it takes trust away."""
    async with engine.tenants.acting("ed"):
        await engine.connection.execute("select set_config('orbit.acting', 'yes', true)")
        assert await engine.connection.fetchval("select orbit_private.caller_is_trusted()") is False
    async with engine.connection.transaction():
        await engine.connection.execute("select set_config('orbit.acting', 'yes', true)")
        assert await engine.connection.fetchval("select orbit_private.caller_is_trusted()") is False


@pytest.mark.parametrize(
    ("missed", "started", "slots"),
    [
        (
            "skip", 0,
            [(f"11-21 0{hour}:00", "missed", "nobody was there to start it") for hour in (1, 2, 3)],
        ),
        ("once", 1, [("11-21 01:00", "missed", MADE_UP), ("11-21 02:00", "missed", MADE_UP), ("11-21 03:00", "started", None)]),
        ("all", 3, [(f"11-21 0{hour}:00", "started", None) for hour in (1, 2, 3)]),
    ],
)  # fmt: skip
async def test_an_outage_of_three_hours(
    engine: Engine, missed: str, started: int, slots: list[tuple[str, str, str | None]]
) -> None:
    await engine.save(now="2026-11-21T00:30Z", cron="0 * * * *", missed=missed)
    assert (await engine.due("2026-11-21T03:30Z"))["started"] == started
    assert await engine.slots() == slots
    assert await engine.next_at() == "11-21 04:00"
    assert (await engine.due("2026-11-21T04:00:59Z"))["started"] == 1, "a minute late is not missed"


async def test_skip_starts_the_slot_that_is_just_due(engine: Engine) -> None:
    await engine.save(now="2026-11-21T00:30Z", cron="0 * * * *", missed="skip")
    assert (await engine.due("2026-11-21T03:00:10Z"))["started"] == 1
    assert [status for _, status, _ in await engine.slots()] == ["missed", "missed", "started"]


async def test_a_long_outage_is_bounded(engine: Engine) -> None:
    """of 10,000 slots of `all` the newest 100 are started, the newest 1,000 are listed, and one row stands for the rest."""
    await engine.save(now="2026-11-01T00:00Z", every=60, missed="all")
    now = "2026-11-07T22:40:30Z"
    assert (await engine.due(now))["started"] == 100
    rows = await engine.connection.fetch(
        "select status, count(*) as n, min(slot_at) as first, max(slot_at) as last, max(until_at) as until"
        " from orbit.schedule_slots group by status order by status"
    )
    listed, run = rows
    assert (listed["status"], run["status"], run["n"]) == ("missed", "started", 100)
    assert listed["n"] + run["n"] == 1000, "of the slots the newest 1,000 are kept"
    assert run["last"] == datetime(2026, 11, 7, 22, 40, tzinfo=UTC)
    assert len(await engine.runs()) == 100


async def test_one_row_stands_for_what_is_not_listed(engine: Engine) -> None:
    await engine.save(now="2026-11-01T00:00Z", every=60, missed="skip")
    await engine.connection.execute(
        "create or replace function orbit_private.forget_slots(p_schedule_id uuid, p_now timestamptz)"
        " returns void language sql as 'select'"
    )
    await engine.due("2026-11-02T00:00:00Z")
    rows = await engine.connection.fetch("select * from orbit.schedule_slots order by slot_at")
    assert rows[0]["slot_at"] == datetime(2026, 11, 1, 0, 1, tzinfo=UTC)
    assert rows[0]["until_at"] == datetime(2026, 11, 1, 7, 20, tzinfo=UTC)
    assert rows[1]["slot_at"] == datetime(2026, 11, 1, 7, 21, tzinfo=UTC)
    assert len(rows) == 1001
    assert rows[-1]["slot_at"] == datetime(2026, 11, 2, tzinfo=UTC)
    assert rows[-1]["status"] == "started"


async def test_slots_are_kept_for_ninety_days(engine: Engine) -> None:
    await engine.save(now="2026-01-01T00:00Z", cron="0 0 1 * *")
    for month in range(2, 9):
        await engine.due(f"2026-{month:02}-01T00:00Z")
    assert [at for at, _, _ in await engine.slots()] == ["06-01 00:00", "07-01 00:00", "08-01 00:00"]


async def test_once(engine: Engine) -> None:
    await engine.save(now="2026-11-21T00:00Z", at="2026-11-21T09:30:15+01:00")
    assert (await engine.due("2026-11-21T08:30:14Z"))["started"] == 0
    assert (await engine.due("2026-11-21T08:30:15Z"))["started"] == 1
    assert await engine.next_at() is None
    assert (await engine.due("2027-11-21T08:30:15Z"))["started"] == 0


async def test_a_pause_is_no_outage(engine: Engine) -> None:
    await engine.save(now="2026-11-21T00:30Z", cron="0 * * * *", missed="all")
    call = 'select orbit_private.set_paused(\'{"name": "nightly", "organization": "acme"}\', $1, $2::text::timestamptz)::text'
    paused = json.loads(await engine.connection.fetchval(call, True, "2026-11-21T01:30Z"))
    assert (paused["paused"], paused["changed"], paused["next_run_at"]) == (True, True, None)
    assert (await engine.due("2026-11-21T05:30Z"))["started"] == 0
    resumed = json.loads(await engine.connection.fetchval(call, False, "2026-11-21T05:30Z"))
    again = json.loads(await engine.connection.fetchval(call, False, "2026-11-21T05:30Z"))
    assert (resumed["paused"], resumed["changed"], again["changed"]) == (False, True, False)
    assert (await engine.due("2026-11-21T05:59Z"))["started"] == 0
    assert (await engine.due("2026-11-21T06:00Z"))["started"] == 1
    assert await engine.slots() == [("11-21 06:00", "started", None)]


async def test_a_time_that_is_over_is_not_resumed(engine: Engine) -> None:
    await engine.save(now="2020-01-01T00:00Z", at="2020-01-02T00:00Z", paused=True)
    assert await engine.tenants.refused("ed", "resume_schedule", {"name": "nightly", "organization": "acme"}) == "OR004"


async def test_saving_the_same_times_again_loses_no_slot(engine: Engine) -> None:
    """Somebody saves it at the very moment at which it is due; an interval goes on in its step."""
    await engine.save(now="2026-11-21T00:00Z", every=3600)
    await engine.save(now="2026-11-21T01:00:05Z", every=3600, missed="all")
    assert await engine.next_at() == "11-21 01:00"
    await engine.due("2026-11-21T01:00:06Z")
    assert await engine.next_at() == "11-21 02:00"
    await engine.save(now="2026-11-21T01:30Z", every=1800)
    assert await engine.next_at() == "11-21 02:00"
    await engine.save(now="2026-11-21T01:40Z", every=600, anchor="2026-11-21T00:05Z")
    assert await engine.next_at() == "11-21 01:45"


# -- refusals ---------------------------------------------------------------------------------------------------------------


async def test_what_one_is_refused_does_not_hold_up_others(engine: Engine) -> None:
    """Somebody lost the right, somebody's account is gone, a suite was archived, nothing is selected: each is written to its
    slot, and the next schedule starts."""
    times: dict[str, Any] = {"now": "2026-11-21T00:30Z", "cron": "0 1 * * *"}
    await engine.tenants.member("acme", "gone", "editor")
    await engine.tenants.member("acme", "former", "editor")
    await engine.tenants.call_as("ed", "save_suite", suite({"a": []}, key="old", organization="acme"))
    await engine.save(name="1 former", person="former", **times)
    await engine.save(name="2 gone", person="gone", **times)
    await engine.save(name="3 archived", suite="old", **times)
    await engine.save(name="4 nothing", options={"selection": {"tags": [["none"]]}}, **times)
    await engine.save(name="5 good", **times)
    await engine.connection.execute(
        "delete from orbit.organization_members where user_id = $1", engine.tenants.id("former")
    )
    await engine.connection.execute("delete from orbit.users where id = $1", engine.tenants.id("gone"))
    await engine.connection.execute("update orbit.test_suites set archived_at = now() where key = 'old'")
    assert (await engine.due("2026-11-21T01:00Z"))["started"] == 1
    rows = await engine.connection.fetch(
        "select c.name, c.last_error, c.retries, s.status, s.reason"
        " from orbit.schedules c join orbit.schedule_slots s on s.schedule_id = c.id order by c.name"
    )
    told = {row["name"]: (row["status"], (row["reason"] or "")[:5]) for row in rows}
    assert told == {
        "1 former": ("failed", "OR002"), "2 gone": ("failed", "OR003"), "3 archived": ("failed", "OR002"),
        "4 nothing": ("failed", "OR005"), "5 good": ("started", ""),
    }  # fmt: skip
    assert all(row["last_error"] == row["reason"] and row["retries"] == 0 for row in rows)
    assert {await engine.next_at(row["name"]) for row in rows} == {"11-22 01:00"}, "the next slot is tried anew"
    [run] = await engine.runs()
    assert run["created_by"] == engine.tenants.id("ed")


async def test_the_account_of_an_owner_that_is_gone_makes_nobody_an_administrator(engine: Engine) -> None:
    await engine.save(now="2026-11-21T00:30Z", cron="0 * * * *")
    await engine.connection.execute("delete from orbit.users where id = $1", engine.tenants.id("ed"))
    await engine.due("2026-11-21T01:00Z")
    assert await engine.runs() == []
    await engine.save(now="2026-11-21T01:30Z", cron="0 * * * *", person="ann")
    assert (await engine.row())["last_error"] is None
    await engine.due("2026-11-21T02:00Z")
    [run] = await engine.runs()
    assert run["created_by"] == engine.tenants.id("ann"), "whoever saves it anew is as whom it starts"


async def test_whoever_saves_somebody_s_schedule_gets_none_of_their_rights(engine: Engine) -> None:
    """A right to write schedules is none to start runs: else another's schedule would lend theirs."""
    await engine.save(now="2026-11-21T00:30Z", cron="0 1 * * *", person="ann")
    grant = {
        "organization": "acme", "user": "vera@example.com", "permission": "schedule.write", "resource_type": "project",
        "project": "default",
    }  # fmt: skip
    await engine.tenants.call_as("olga", "grant_permission", grant)
    request = {"name": "nightly", "suite": "suite", "kind": "interval", "every": 60, "organization": "acme"}
    assert await engine.tenants.refused("vera", "save_schedule", request) == "OR003"


async def test_what_passes_is_tried_again(engine: Engine) -> None:
    """A rate (as told), then a quota (a little later each time), then it starts; the slot is decided once."""
    await engine.save(now="2026-11-21T00:30Z", cron="0 1 * * *")
    limits = {"organization": "acme", "limits": {"concurrent_runs": 0}}
    await engine.tenants.call("set_limits", limits)
    assert (await engine.due("2026-11-21T01:00Z"))["started"] == 0
    row = await engine.row()
    assert (row["retries"], f"{row['retry_at'].astimezone(UTC):%H:%M:%S}") == (1, "01:00:30")
    assert row["last_error"].startswith("OR007")
    assert await engine.slots() == []
    assert (await engine.due("2026-11-21T01:00:29Z"))["started"] == 0
    assert (await engine.row())["retries"] == 1
    await engine.due("2026-11-21T01:00:30Z")
    row = await engine.row()
    assert (row["retries"], f"{row['retry_at'].astimezone(UTC):%H:%M:%S}") == (2, "01:01:30")
    limits["limits"] = {"concurrent_runs": "unlimited"}
    await engine.tenants.call("set_limits", limits)
    assert (await engine.due("2026-11-21T01:10Z"))["started"] == 1
    assert await engine.slots() == [("11-21 01:00", "started", None)]
    row = await engine.row()
    assert (row["retries"], row["retry_at"], row["last_error"]) == (0, None, None)


async def test_a_rate_is_waited_for_as_told(engine: Engine) -> None:
    rate = {"organization": "acme", "limits": {"start_run": {"amount": 1, "per": 600, "burst": 1}}}
    await engine.tenants.call("set_limits", rate)
    await engine.tenants.call_as("ed", "start_run", {"suite": "suite", "organization": "acme"})
    await engine.save(now="2026-11-21T00:30Z", cron="0 1 * * *", missed="skip")
    await engine.due("2026-11-21T01:00Z")
    row = await engine.row()
    waited = (row["retry_at"] - row["next_run_at"]).total_seconds()
    assert 500 < waited <= 600
    assert "retry after" in row["last_error"]
    await engine.tenants.call("set_limits", {"organization": "acme", "limits": {"start_run": "unlimited"}})
    assert (await engine.due("2026-11-21T01:30Z"))["started"] == 1, "a slot that was refused is not missed"


async def test_a_refused_slot_ends_with_the_next(engine: Engine) -> None:
    await engine.tenants.call("set_limits", {"organization": "acme", "limits": {"concurrent_runs": 0}})
    await engine.save(now="2026-11-21T00:30Z", every=60)
    await engine.due("2026-11-21T00:31Z")
    await engine.due("2026-11-21T00:32Z")
    [(at, status, reason)] = await engine.slots()
    assert (at, status) == ("11-21 00:31", "failed")
    assert reason is not None
    assert reason.startswith("OR007")
    assert await engine.next_at() == "11-21 00:32"


async def test_what_is_deleted_takes_its_schedules(engine: Engine) -> None:
    environment = {"name": "staging", "variables": [], "organization": "acme"}
    await engine.tenants.call_as("ann", "save_environment", environment)
    await engine.save(now="2026-11-21T00:30Z", cron="0 1 * * *", environment="staging")
    await engine.due("2026-11-21T01:00Z")
    [run] = await engine.runs()
    assert run["environment_id"] is not None
    await engine.connection.execute("delete from orbit.environments where name = 'staging'")
    assert await engine.row() is None
    assert (await engine.due("2026-11-22T01:00Z"))["started"] == 0


async def test_a_pipeline_that_breaks_holds_up_no_schedule(engine: Engine) -> None:
    await engine.save(now="2026-11-21T00:30Z", cron="0 1 * * *")
    await engine.connection.execute("drop function if exists orbit_private.move_pipelines(timestamptz, int)")
    await engine.connection.execute(
        "create function orbit_private.move_pipelines(p_now timestamptz, p_limit int) returns int language plpgsql as"
        " $$ begin raise exception 'a belt is torn'; end $$"
    )
    answer = await engine.due("2026-11-21T01:00Z")
    assert answer["started"] == 1
    assert answer["problems"] == ["pipelines do not move: P0001: a belt is torn"]


# -- several at once ----------------------------------------------------------------------------------------------------------


async def test_eight_schedulers_fire_each_slot_once(engine: Engine, database: Database) -> None:
    """Twenty schedules, three slots due of each, and eight connections that all start what is due until nothing is."""
    for number in range(20):
        await engine.save(now="2026-11-21T00:30Z", cron="0 * * * *", name=f"s{number}", missed="all")

    async def scheduler() -> int:
        started = 0
        async with database.connect() as connection:
            while True:
                answer = json.loads(
                    await connection.fetchval("select orbit_runner.start_due(3, '2026-11-21T03:00:30Z')::text")
                )
                started += answer.get("started", 0)
                if not answer.get("busy") and not answer["more"]:
                    return started
                await asyncio.sleep(0.01)

    started = await asyncio.gather(*(scheduler() for _ in range(8)))
    assert sum(started) == 60
    rows = await engine.connection.fetch(
        "select schedule_id, slot_at, count(*) as n, count(distinct run_id) as runs from orbit.schedule_slots"
        " where status = 'started' group by 1, 2"
    )
    assert len(rows) == 60
    assert {(row["n"], row["runs"]) for row in rows} == {(1, 1)}
    assert len(await engine.runs()) == 60


async def test_without_the_lock_the_rows_keep_schedulers_apart(engine: Engine, database: Database) -> None:
    """start_due_schedules itself, past the lock that lets one at a time in."""
    for number in range(20):
        await engine.save(now="2026-11-21T00:30Z", cron="0 * * * *", name=f"s{number}", missed="all")

    async def scheduler() -> int:
        started = 0
        async with database.connect() as connection:
            while await connection.fetchval(
                "select exists (select from orbit.schedules where next_run_at <= '2026-11-21T03:00:30Z')"
            ):
                started += await connection.fetchval(
                    "select started from orbit_private.start_due_schedules(2, '2026-11-21T03:00:30Z')"
                )
        return started

    assert sum(await asyncio.gather(*(scheduler() for _ in range(8)))) == 60
    assert len(await engine.runs()) == 60


async def test_a_schedule_that_is_being_changed_is_passed_over(engine: Engine, database: Database) -> None:
    """And asks nobody to come back at once: who changes it may take their time."""
    await engine.save(now="2026-11-21T00:30Z", cron="0 1 * * *")
    async with database.connect() as other, other.transaction():
        await other.execute("select from orbit.schedules for update")
        assert await engine.due("2026-11-21T01:00Z") == {"started": 0, "moved": 0, "more": False}
    assert (await engine.due("2026-11-21T01:00Z"))["started"] == 1


@pytest.mark.parametrize(
    ("call", "refused"), [("start_due(10, '2030-01-01Z')", "OR003"), ("start_due(0)", "OR001"), ("start_due()", None)]
)
async def test_the_clock_is_the_owner_s(engine: Engine, call: str, refused: str | None) -> None:
    found = None
    try:
        async with engine.connection.transaction():
            await engine.connection.execute("set local role orbit_runner")
            await engine.connection.execute(f"select orbit_runner.{call}")
    except asyncpg.PostgresError as error:
        found = error.sqlstate
    assert found == refused
