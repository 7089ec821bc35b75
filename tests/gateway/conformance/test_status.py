"""What stands where and why it waits, how it went, whether all is well, and what was given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.queue import Queue, suite

from orbit_context.errors import InvalidRequestError, NotAllowedError, NotFoundError

if TYPE_CHECKING:
    from support.gateways import Gateways, Teller


async def test_why_a_run_waits(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        await me.call("save_suite", **suite({"a": [], "b": ["a"]}))
        run = await me.call("start_run", suite="suite")
        waiting = await me.call("explain_waiting", run_id=run["id"])
        assert waiting["waiting"] == 2
        assert [(test["key"], test["reason"]) for test in waiting["tests"]][1] == ("b", "requirements")
        assert waiting["tests"][1]["needs"] == ["a"]
        assert [row["to"] for row in await me.call("list_transitions", run_id=run["id"])] == ["queued"]
        await me.call("cancel_run", run_id=run["id"], reason="enough")
        assert (await me.call("explain_waiting", run_id=run["id"]))["waiting"] == 0
        changes = await me.call("list_transitions", run_id=run["id"])
        assert [(row["from"], row["to"], row["by"], row["reason"]) for row in changes] == [
            ("new", "queued", "caller", "sdk"),
            ("queued", "cancelling", "caller", "enough"),
            ("cancelling", "cancelled", "caller", "enough"),
        ]
        nobody = "00000000-0000-0000-0000-000000000000"
        for function in ("explain_waiting", "list_transitions"):
            assert isinstance(await me.refused(function, run_id=nobody), NotFoundError)
            assert isinstance(await me.refused(function), InvalidRequestError)
            assert isinstance(await me.refused(function, run_id=run["id"], colour="red"), InvalidRequestError)

    await gateways.tell(story, role="editor")


async def test_groups(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        await me.call("save_suite", **suite({"a": [], "b": ["a"]}))
        assert await me.call("list_groups") == []
        run = await me.call("start_run", suite="suite", group={"key": "app 1.2", "wait": 60})
        assert run["group"] == "app 1.2"
        (group,) = await me.call("list_groups")
        assert (group["key"], group["state"], group["remaining"], group["workers"]) == ("app 1.2", "waiting", 2, [])
        await me.call("cancel_run", run_id=run["id"])
        assert [one["state"] for one in await me.call("list_groups", project="default")] == ["idle"]
        assert isinstance(await me.refused("list_groups", project="nothing"), NotFoundError)
        assert isinstance(await me.refused("list_groups", colour="red"), InvalidRequestError)

    await gateways.tell(story, role="editor")


def _of_moments(status: dict[str, Any]) -> dict[str, Any]:
    """Without what a moment changes, and what others' tests do to the workers that all share."""
    return {name: value for name, value in status.items() if name not in ("oldest_waiting", "finished", "workers")}


async def test_the_queue(gateways: Gateways) -> None:
    editor = await gateways.person("editor")
    await editor.postgres.call("save_suite", suite({"a": [], "b": ["a"]}))
    run = await editor.postgres.call("start_run", {"suite": "suite"})
    over_postgres = await editor.postgres.call("queue_status", {"project": "default"})
    over_rest = await editor.supabase.call("queue_status", {"project": "default"})
    assert _of_moments(over_postgres) == _of_moments(over_rest)
    assert over_rest["depth"] == {"ready": 1, "put_off": 0, "parked": 0, "blocked": 1, "running": 0, "runs": 1}
    assert [test["run_id"] for test in over_rest["waiting"]] == [run["id"]] * 2
    for limit in (0, -1, 1001, 1.5, "many"):
        assert isinstance(await editor.refused("queue_status", limit=limit), InvalidRequestError)
    assert isinstance(await editor.refused("queue_status", project="nothing"), NotFoundError)
    # Who sees no project of it sees nothing of it.
    stranger = await gateways.person(None)
    for way in (stranger.postgres, stranger.supabase):
        seen = await way.call("queue_status", {})
        assert (seen["depth"]["runs"], seen["waiting"]) == (0, [])


async def test_stats(gateways: Gateways) -> None:
    async def story(me: Teller) -> None:
        await me.call("save_suite", **suite({"a": []}))
        run = await me.call("start_run", suite="suite")
        await me.call("cancel_run", run_id=run["id"])
        for days in (0, -7, 367, "x"):
            assert isinstance(await me.refused("stats", days=days), InvalidRequestError)
        assert isinstance(await me.refused("stats", project="nothing"), NotFoundError)

    await gateways.tell(story, role="editor")
    editor = await gateways.person("editor")
    await editor.postgres.call("save_suite", suite({"a": []}))
    run = await editor.postgres.call("start_run", {"suite": "suite"})
    await editor.postgres.call("cancel_run", {"run_id": run["id"]})
    for way in (editor.postgres, editor.supabase):
        stats = await way.call("stats", {"project": "default", "days": 1})
        assert stats["total"]["runs"]["total"] == stats["total"]["runs"]["cancelled"] == 1
        assert (
            [day["runs"]["total"] for day in stats["days"]] == [row["runs"]["total"] for row in stats["suites"]] == [1]
        )
        assert stats["total"]["pass_rate"] is None


async def test_health(gateways: Gateways) -> None:
    viewer = await gateways.person("viewer")
    for way in (viewer.postgres, viewer.supabase):
        health = await way.call("health", {})
        assert {check["name"] for check in health["checks"]} >= {"database", "workers", "queue", "schedules"}
        assert health["status"] in ("ok", "degraded", "down")
    assert isinstance(await viewer.refused("health", colour="red"), InvalidRequestError)
    await gateways.anonymous().refused("health")


async def test_dead_letters(gateways: Gateways) -> None:
    editor = await gateways.person("editor")
    await editor.postgres.call("save_suite", suite({"a": [], "b": ["a"], "c": []}))
    run = await editor.postgres.call("start_run", {"suite": "suite"})
    connection = gateways.tenants.connection
    queue = Queue(connection)
    letters = [
        str(
            await connection.fetchval(
                "insert into orbit.dead_letters (project_id, run_id, test_case_id, position, attempts)"
                " select r.project_id, r.id, c.id, $2, 3 from orbit.test_runs r"
                " join orbit.test_cases c on c.suite_id = r.suite_id and c.key = $3 where r.id = $1::text::uuid returning id",
                run["id"],
                position,
                key,
            )
        )
        for position, key in enumerate("abc")
    ]
    letter = await editor.both("get_dead_letter", id=letters[1])
    assert (letter["key"], letter["suite"], letter["state"], letter["note"]) == ("b", "suite", "open", None)
    assert (await editor.both("get_dead_letter", id=letters[1][:18]))["id"] == letters[1]
    assert isinstance(await editor.refused("get_dead_letter", id="00000000"), NotFoundError)

    assert isinstance(await editor.refused("replay_dead_letters", colour="red"), InvalidRequestError)
    assert isinstance(await editor.refused("drop_dead_letters", colour="red"), InvalidRequestError)
    viewer = await gateways.person("viewer")
    stranger = await gateways.person(None)
    for function in ("replay_dead_letters", "drop_dead_letters"):
        assert isinstance(await viewer.refused(function, ids=[letters[0]]), NotAllowedError)
        assert isinstance(await stranger.refused(function, ids=[letters[0]]), NotFoundError)
        for wrong in ({}, {"ids": []}, {"ids": "x"}, {"all": True, "project": "default"}, {"all": False}, {"all": "x"}):
            assert isinstance(await editor.refused(function, **wrong), InvalidRequestError), wrong
        long = await editor.refused(function, ids=[letters[0]], note="x" * 1001)
        assert isinstance(long, InvalidRequestError)
        answer = await viewer.both(function, all=True)  # of what one may control nothing is there
        assert all(part == [] for part in answer.values())

    (replayed,) = (await editor.postgres.call("replay_dead_letters", {"ids": [letters[1]], "note": "mended"}))[
        "replayed"
    ]
    again = await queue.call("get_run", {"run_id": replayed["run_id"]})
    assert again["counts"]["total"] == 2, "b, and a, which it needs"
    twice = await editor.supabase.call("replay_dead_letters", {"ids": [letters[1]]})
    assert (twice["replayed"], len(twice["skipped"])) == ([], 1)
    dropped = await editor.supabase.call("drop_dead_letters", {"project": "default", "note": "known"})
    assert sorted(dropped["dropped"]) == sorted([letters[0], letters[2]])
    kept = await editor.both("get_dead_letter", id=letters[0])
    assert (kept["state"], kept["note"], kept["replay_run_id"]) == ("dropped", "known", None)
