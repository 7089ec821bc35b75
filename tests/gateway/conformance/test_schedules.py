"""Schedules: when runs start by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.queue import suite

from orbit_context.errors import ConflictError, InvalidRequestError, NotAllowedError, NotFoundError

if TYPE_CHECKING:
    from support.gateways import Gateways, Teller


async def test_schedules(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        await me.call("save_suite", **suite({"a": []}))
        await me.call("save_environment", name="staging", variables=[])
        saved = await me.call(
            "save_schedule", name="daily", suite="suite", kind="cron", cron="0 6 * * mon-fri",
            time_zone="Europe/Paris", environment="staging", options={"fail_fast": True},
        )  # fmt: skip
        assert (saved["suite"], saved["environment"], saved["administrative"]) == ("suite", "staging", False)
        assert saved["next_run_at"] is not None
        details = await me.call("get_schedule", name="daily")
        assert [slot["local"][10:] for slot in details["next"]] == ["T06:00:00"] * 5
        assert details["slots"] == []
        assert details["next"][0]["at"] == saved["next_run_at"]
        following = await me.call("next_slots", name="daily", after="2026-03-27T12:00:00Z", count=2)
        assert [slot["at"] for slot in following["slots"]] == ["2026-03-30T04:00:00+00:00", "2026-03-31T04:00:00+00:00"]
        assert (await me.call("pause_schedule", name="daily"))["next_run_at"] is None
        assert (await me.call("pause_schedule", name="daily"))["changed"] is False
        assert (await me.call("resume_schedule", name="daily"))["next_run_at"] == saved["next_run_at"]
        again = await me.call("save_schedule", name="daily", suite="suite", kind="interval", every=90.5, paused=True)
        assert (again["id"], again["cron"], again["every"], again["environment"]) == (saved["id"], None, 90.5, None)
        assert [row["name"] for row in await me.call("list_schedules", project="default")] == ["daily"]
        assert (await me.call("delete_schedule", name="daily"))["deleted"] == saved["id"]
        for function in ("delete_schedule", "get_schedule", "pause_schedule", "resume_schedule", "next_slots"):
            assert isinstance(await me.refused(function, name="daily"), NotFoundError)
        assert await me.call("list_schedules") == []
        over = {"kind": "once", "at": "2020-01-01T00:00:00Z"}
        await me.call("save_schedule", name="over", suite="suite", paused=True, **over)
        assert isinstance(await me.refused("resume_schedule", name="over"), ConflictError)

    await gateways.tell(story, role="admin")


async def test_schedules_that_cannot_be(gateways: Gateways) -> None:
    """Each error names the field; nothing is saved."""

    async def story(me: Teller) -> None:
        await me.call("save_suite", **suite({"a": []}))
        for wrong, message in (
            ({"kind": "cron", "cron": "61 * * * *"}, "minute cannot be 61: it goes from 0 to 59"),
            ({"kind": "cron", "cron": "0 0 31 4 *"}, "day 31 of month 4 never comes"),
            ({"kind": "cron", "every": 60}, "a schedule of kind cron has cron, and no other time"),
            ({"kind": "interval", "every": 59}, "every is from 60 seconds to 366 days"),
            ({"kind": "interval", "every": "often"}, None),
            ({"kind": "once", "at": "2020-01-01T00:00:00Z"}, None),
            ({"kind": "once", "at": "infinity"}, "at and anchor are times of this century"),
            ({"kind": "cron", "cron": "* * * * *", "anchor": "2030-01-01T00:00:00Z"}, "anchor is for intervals"),
            (
                {"kind": "interval", "every": 60, "time_zone": "Mars/Olympus"},
                "time_zone: there is no time zone Mars/Olympus",
            ),
            (
                {"kind": "interval", "every": 60, "time_zone": "EST5EDT4,M3"},
                "time_zone: there is no time zone EST5EDT4,M3",
            ),
            ({"kind": "interval", "every": 60, "missed": "never"}, "missed is never never"),
            ({"kind": "interval", "every": 60, "options": {"secrets": {}}}, "options cannot have secrets"),
            ({"kind": "now"}, "a schedule is never now"),
            ({"kind": "interval", "every": 60, "colour": "red"}, "unknown field colour"),
        ):
            error = await me.refused("save_schedule", name="x", suite="suite", **wrong)
            assert isinstance(error, InvalidRequestError), wrong
            assert message is None or error.message == message
        unsaid = {"kind": "interval", "every": 60}
        assert isinstance(await me.refused("save_schedule", name="x", suite="none", **unsaid), NotFoundError)
        assert isinstance(
            await me.refused("save_schedule", name="x", suite="suite", environment="none", **unsaid), NotFoundError
        )
        assert await me.call("list_schedules") == []
        error = await me.refused("next_slots", cron="0 9 * * *", time_zone="europe/paris")
        assert error.hint == "Perhaps Europe/Paris."
        for wrong in ({"cron": "0 9 * *"}, {"cron": "0 9 * * *", "count": 101}, {"every": 60, "after": "infinity"}, {}):
            assert isinstance(await me.refused("next_slots", **wrong), InvalidRequestError), wrong

    await gateways.tell(story, role="editor")


async def test_what_readers_may_do_with_schedules(gateways: Gateways) -> None:
    editor, viewer = await gateways.person("editor"), await gateways.person("viewer")
    await editor.postgres.call("save_suite", suite({"a": []}))
    request = {"name": "daily", "suite": "suite", "kind": "interval", "every": 3600}
    await editor.postgres.call("save_schedule", request)
    assert (await viewer.both("get_schedule", name="daily"))["every"] == 3600
    assert len(await viewer.both("list_schedules")) == 1
    assert len((await viewer.both("next_slots", name="daily"))["slots"]) == 5
    assert (await viewer.both("next_slots", cron="0 9 * * *", after="2026-11-21T00:00:00Z", count=1))["slots"] == [
        {"at": "2026-11-21T09:00:00+00:00", "local": "2026-11-21T09:00:00"}
    ]
    for function in ("save_schedule", "pause_schedule", "resume_schedule", "delete_schedule"):
        given = request if function == "save_schedule" else {"name": "daily"}
        assert isinstance(await viewer.refused(function, **given), NotAllowedError), function
    stranger = await gateways.person("owner", await gateways.organization())
    assert isinstance(await stranger.refused("get_schedule", name="daily"), NotFoundError)
    assert await stranger.both("list_schedules") == []
