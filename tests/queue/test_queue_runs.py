"""start_run() beyond the selection, reading, the context, the event log, partitions."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from support.queue import Queue, timestamp

if TYPE_CHECKING:
    from support.postgres import Database

SEALED = "orbit.seal.v1.k.x"


async def test_a_start_said_twice_with_its_run_id_is_one_run(queue: Queue) -> None:
    await queue.save({"a": []})
    request = {"idempotency_key": "k", "run_id": "11111111-1111-4111-8111-111111111111"}
    assert (await queue.start(**request))["id"] == request["run_id"]
    assert (await queue.start(**request))["repeated"]
    with pytest.raises(asyncpg.PostgresError) as error:
        await queue.start(run_id=request["run_id"])
    assert error.value.sqlstate == "OR004"
    await queue.check()


async def test_a_run_is_found_by_the_beginning_of_its_id(queue: Queue) -> None:
    await queue.save({"a": []})
    one = await queue.start(run_id="aaaa1111-2222-4333-8444-000000000001")
    two = await queue.start(run_id="aaaa1111-2222-4333-8444-000000000002")
    other = await queue.start(run_id="bbbb1111-2222-4333-8444-000000000003")
    for text, run in (
        ("bbbb", other),
        ("bbbb1111-22", other),
        ("last", other),
        (one["id"], one),
        (two["id"].upper(), two),
    ):
        assert (await queue.call("get_run", {"run_id": text}))["id"] == run["id"]
    with pytest.raises(asyncpg.PostgresError) as error:
        await queue.call("get_run", {"run_id": "aaaa1111"})
    assert error.value.sqlstate == "OR001"
    assert "more than one" in str(error.value)


async def test_runs_are_listed_newest_first(queue: Queue) -> None:
    await queue.save({"a": []})
    await queue.save({"a": []}, key="other", project="shop")
    runs = [await queue.start() for _ in range(3)]
    shop = await queue.start(suite="other", project="shop")
    await queue.cancel(runs[1])

    async def listed(**request: Any) -> list[str]:
        return [run["id"] for run in await queue.call("list_runs", request)]

    assert await listed() == [run["id"] for run in [shop, *reversed(runs)]]
    assert await listed(project="shop") == [shop["id"]]
    assert await listed(status="cancelled") == [runs[1]["id"]]
    assert await listed(limit=2) == [shop["id"], runs[2]["id"]]
    assert await listed(before=runs[2]["created_at"]) == [runs[1]["id"], runs[0]["id"]]


async def test_an_environment_of_another_project_is_not_found(queue: Queue) -> None:
    await queue.save({"a": []})
    own = await queue.call("save_environment", {"name": "staging"})
    other = await queue.call("save_environment", {"name": "staging", "project": "other"})
    assert (await queue.start(environment="staging"))["environment"] == "staging"
    assert (await queue.start(environment_id=own["environment_id"]))["environment"] == "staging"
    with pytest.raises(asyncpg.PostgresError) as error:
        await queue.start(environment_id=other["environment_id"])
    assert error.value.sqlstate == "OR002"


async def test_results_come_in_pages_and_by_status(queue: Queue) -> None:
    await queue.save({f"t{n}": [] for n in range(25)})
    run = await queue.start()
    worker = await queue.worker()
    jobs = await worker.claim(25)
    await worker.advance(
        [job.ended("failed" if job.position % 5 == 0 else "passed", exchange={"n": job.position}) for job in jobs]
    )
    assert list(await queue.results(run, limit=10)) == [f"t{n}" for n in range(10)]
    assert list(await queue.results(run, limit=10, after=9)) == [f"t{n}" for n in range(10, 20)]
    assert list(await queue.results(run, status=["failed"], after=5)) == ["t10", "t15", "t20"]
    assert (await queue.results(run, details=True))["t7"]["exchange"] == {"n": 7}
    assert "exchange" not in (await queue.results(run))["t7"]


# -- the event log ---------------------------------------------------------------------------------------------------------


async def test_events_can_be_read_from_anywhere_and_in_pages(queue: Queue) -> None:
    await queue.save({f"t{n}": [f"t{n - 1}"] if n else [] for n in range(6)})
    run = await queue.start()
    await (await queue.worker()).run_to_end({"t4": "failed"}, batch=1)
    events = await queue.events(run)
    for after in range(events[-1]["seq"] + 1):
        assert await queue.events(run, after) == [event for event in events if event["seq"] > after]
    paged: list[Any] = []
    while page := await queue.call(
        "read_events", {"run_id": run["id"], "after": paged[-1]["seq"] if paged else 0, "limit": 2}
    ):
        paged += page
    assert paged == events
    await queue.check_events(run)


async def test_more_changes_of_the_context_than_a_page_do_not_hide_what_comes_after(queue: Queue) -> None:
    await queue.save({"a": []})
    run = await queue.start()
    for n in range(7):
        await queue.put(run, {"kind": "variable", "name": "n", "value": n})
    await (await queue.worker()).run_to_end()
    page = await queue.call("read_events", {"run_id": run["id"], "after": 1, "limit": 3})
    assert [(event["seq"], event["kind"]) for event in page] == [(seq, "context_changed") for seq in (2, 3, 4)]
    await queue.check_events(run)


# -- the context -----------------------------------------------------------------------------------------------------------


async def test_captures_are_shared_and_told_to_whom_does_not_know_them(queue: Queue) -> None:
    await queue.save({"login": [], "a": ["login"], "b": ["login"], "c": ["a"]})
    run = await queue.start()
    number = run["queue_no"]
    one, two = await queue.worker("one"), await queue.worker("two")
    [login] = await one.claim(1)
    captures = [
        {"name": "access_token", "value": SEALED, "secret": True, "share": "token"},
        {"name": "user", "value": {"id": 7, "name": "Zoë"}, "share": "variable"},
        {"name": "nothing", "value": None},
    ]
    answer = await one.advance([login.ended("passed", captures=captures)], want=1)
    assert [job.position for job in answer.jobs] == [1]
    assert answer.context[number]["entries"] == [], "what it wrote itself it knows"
    context = await queue.context(run)
    assert context["shared_auth_tokens"] == {"access_token": SEALED}
    assert context["shared_variables"] == {"user": {"id": 7, "name": "Zoë"}}
    assert context["captured_data"] == {
        "login": {"access_token": SEALED, "user": {"id": 7, "name": "Zoë"}, "nothing": None}
    }
    assert context["test_order"] == ["login", "a", "b", "c"]
    told = (await two.advance(want=1)).context[number]
    expected: list[Any] = [
        ["captured", "login", "access_token", SEALED, True],
        ["captured", "login", "nothing", None, False],
        ["captured", "login", "user", {"id": 7, "name": "Zoë"}, False],
        ["token", "", "access_token", SEALED, True],
        ["variable", "", "user", {"id": 7, "name": "Zoë"}, False],
    ]
    assert sorted(told["entries"], key=str) == sorted(expected, key=str)
    await queue.put(run, {"kind": "variable", "name": "late", "value": 1})
    await one.advance([answer.jobs[0].ended("passed")])
    newer = (await two.advance(want=1, known={number: told["version"]})).context[number]
    assert newer["entries"] == [["variable", "", "late", 1, False]]
    assert newer["version"] > told["version"]
    loaded = json.loads(await queue.connection.fetchval("select orbit_runner.load_run($1)::text", number))
    assert loaded["context_version"] == newer["version"]
    assert len(loaded["context"]) == 6


async def test_the_last_test_of_a_batch_to_share_a_name_wins(queue: Queue) -> None:
    await queue.save({"a": [], "b": []})
    run = await queue.start()
    worker = await queue.worker()
    a, b = await worker.claim(2)
    share = {"name": "x", "share": "variable"}
    await worker.advance(
        [b.ended("passed", captures=[share | {"value": "b"}]), a.ended("passed", captures=[share | {"value": "a"}])]
    )
    assert (await queue.context(run))["shared_variables"] == {"x": "b"}


async def test_a_secret_that_is_not_sealed_is_refused(queue: Queue) -> None:
    await queue.save({"a": []})
    await queue.start()
    worker = await queue.worker()
    [a] = await worker.claim(1)
    with pytest.raises(asyncpg.CheckViolationError, match="secret_is_sealed"):
        await worker.advance([a.ended("passed", captures=[{"name": "x", "value": "clear", "secret": True}])])
    with pytest.raises(asyncpg.CheckViolationError, match="secret_is_sealed"):
        await queue.connection.execute(
            "insert into orbit_private.context_entry (queue_no, kind, producer, name, value, secret, version)"
            " values (1, 'token', '', 'x', '\"clear\"', true, 1)"
        )
    await queue.check()


async def test_entries_are_replaced_by_name_and_the_last_mention_counts(queue: Queue) -> None:
    await queue.save({"a": []})
    run = await queue.start()
    first = await queue.put(run, {"kind": "token", "name": "t", "value": SEALED, "secret": True})
    second = await queue.put(
        run, {"kind": "token", "name": "t", "value": 1}, {"kind": "token", "name": "t", "value": 2},
        {"kind": "captured", "producer": "a", "name": "id", "value": 5},
    )  # fmt: skip
    assert (first["entries"], second["entries"]) == (1, 2)
    assert second["version"] > first["version"]
    context = await queue.context(run)
    assert (context["shared_auth_tokens"], context["captured_data"]) == ({"t": 2}, {"a": {"id": 5}})


async def test_a_finished_run_takes_no_values(queue: Queue) -> None:
    await queue.save({"a": []})
    run = await queue.start()
    await (await queue.worker()).run_to_end()
    with pytest.raises(asyncpg.PostgresError) as error:
        await queue.put(run, {"kind": "variable", "name": "x", "value": 1})
    assert error.value.sqlstate == "OR004"


async def test_contexts_expire_a_day_after_their_run(queue: Queue) -> None:
    await queue.save({"a": []})
    ended, going_on = await queue.start(), await queue.start()
    for run in (ended, going_on):
        await queue.put(run, {"kind": "variable", "name": "x", "value": 1})
    # Written long before the run ends: the day counts from the end.
    await queue.connection.execute("update orbit_private.context_entry set expires_at = now() - interval '1 hour'")
    [job] = await (worker := await queue.worker()).claim(1)
    assert (await worker.advance([job.ended("passed")])).done
    assert (await queue.tick(now="23 hours 59 minutes", lease="3 days"))["expired"] == 0
    assert (await queue.tick(now="24 hours 1 minute", lease="3 days"))["expired"] == 1
    assert (await queue.context(ended))["shared_variables"] == {}
    assert (await queue.context(going_on))["shared_variables"] == {"x": 1}
    view = await queue.connection.fetchrow(
        "select * from orbit.test_execution_context where run_id = $1", going_on["id"]
    )
    assert view is not None
    assert json.loads(view["shared_variables"]) == {"x": 1}


async def test_dependencies_are_resolved(queue: Queue) -> None:
    await queue.save({"a": [], "b": [], "c": ["a", ("b", "data")]})
    run = await queue.start()
    worker = await queue.worker()
    a, b = await worker.claim(2)

    async def c() -> dict[str, Any]:
        answer: dict[str, Any] = await queue.call("resolve_dependencies", {"run_id": run["id"], "test": "c"})
        return answer

    waiting = await c()
    assert [(need["test"], need["kind"], need["status"]) for need in waiting["needs"]] == [
        ("a", "order", "waiting"), ("b", "data", "waiting"),
    ]  # fmt: skip
    assert (waiting["is_ready"], waiting["is_impossible"]) == (False, False)
    await worker.advance([b.ended("passed", captures=[{"name": "id", "value": 3}])])
    assert (await c())["needs"][1] == {"test": "b", "kind": "data", "status": "passed", "captured": {"id": 3}}
    await worker.advance([a.ended("passed")])
    assert (await c())["is_ready"]
    other = await queue.start()
    await worker.run_to_end({"a": "failed"})
    del other
    assert (await queue.call("resolve_dependencies", {"run_id": "last", "test": "c"}))["is_impossible"]


# -- partitions ------------------------------------------------------------------------------------------------------------


async def partitions(connection: asyncpg.Connection[Any]) -> list[tuple[str, str]]:
    rows = await connection.fetch(
        "select c.relname, pg_get_expr(c.relpartbound, c.oid) as bound from pg_inherits i join pg_class c on c.oid = i.inhrelid"
        " where i.inhparent = 'orbit.test_results'::regclass order by 1"
    )
    return [(row["relname"], row["bound"]) for row in rows]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Pacific/Auckland"])
async def test_weeks_join_up_whatever_the_time_zone_and_the_season(
    connection: asyncpg.Connection[Any], zone: str
) -> None:
    await connection.execute(f"set timezone = '{zone}'")
    begin = datetime(2027, 3, 1, tzinfo=UTC)  # over both changes of the clock, and the 53rd week of a year
    for week in range(0, 60, 2):
        await connection.fetchval("select orbit_private.ensure_partitions($1)", begin + timedelta(weeks=week, hours=5))
    await connection.execute("set timezone = 'UTC'")
    bounds = [bound for _, bound in await partitions(connection) if bound.split("'")[1] >= "2027-03-01"]
    assert len(bounds) >= 60
    edges = sorted(tuple(bound.split("'")[1:4:2]) for bound in bounds)
    for (_, end), (following, _) in pairwise(edges):
        assert end == following, "weeks neither overlap nor leave a gap"
    assert all(edge[0].endswith("00:00:00+00") for edge in edges)


async def test_partitions_are_made_once_protected_and_reach_two_weeks_ahead(
    connection: asyncpg.Connection[Any],
) -> None:
    assert await connection.fetchval("select orbit_private.ensure_partitions()") == 0
    now = datetime.now(UTC) + timedelta(weeks=40)
    assert await connection.fetchval("select orbit_private.ensure_partitions($1)", now) == 6
    assert await connection.fetchval("select orbit_private.ensure_partitions($1)", now) == 0
    for status in ("passed", "cancelled"):
        for ahead in (timedelta(0), timedelta(weeks=2)):
            await connection.execute(
                "insert into orbit.test_results (run_id, position, created_at, status, project_id, test_case_id,"
                " attempts) values (gen_random_uuid(), 0, $1, $2, gen_random_uuid(), gen_random_uuid(), 0)",
                now + ahead, status,
            )  # fmt: skip
    unprotected = await connection.fetch(
        "select relname from pg_class where relkind in ('r', 'p') and not relrowsecurity and relnamespace in"
        " (select oid from pg_namespace where nspname in ('orbit', 'orbit_private'))"
    )
    assert unprotected == []


async def test_housekeeping_provides_for_the_weeks_of_a_run_that_goes_on(connection: asyncpg.Connection[Any]) -> None:
    later = datetime.now(UTC) + timedelta(weeks=40)
    await connection.fetchval("select orbit_runner.tick(p_now => $1)", later)
    assert await connection.fetchval("select orbit_private.ensure_partitions($1)", later) == 0


async def test_a_long_report_does_not_hold_up_a_new_week(queue: Queue, database: Database) -> None:
    await queue.save({"a": []})
    async with database.connect() as report, report.transaction(isolation="repeatable_read"):
        await report.fetch("select * from orbit.test_results")
        await queue.connection.execute("set lock_timeout = '2s'")
        assert (
            await queue.connection.fetchval("select orbit_private.ensure_partitions(now() + interval '30 weeks')") == 6
        )
        run = await queue.start()
        await (await queue.worker()).run_to_end()
        assert (await queue.run(run))["status"] == "passed"


async def test_a_run_over_a_week_s_end_is_read_whole(queue: Queue) -> None:
    await queue.save({"a": [], "b": ["a"]})
    run = await queue.start()
    await (await queue.worker()).run_to_end()
    # As if the run had begun eight days ago: the first result lies in another partition.
    await queue.connection.execute(
        "update orbit.test_runs set created_at = created_at - interval '8 days', started_at = started_at - interval '8 days'"
    )
    await queue.connection.execute("select orbit_private.ensure_partitions(now() - interval '8 days')")
    await queue.connection.execute(
        "update orbit.test_results set created_at = created_at - interval '8 days' where position = 0"
    )
    assert await queue.statuses(run) == {"a": "passed", "b": "passed"}
    assert timestamp((await queue.results(run))["a"]["finished_at"]) < timestamp(
        (await queue.results(run))["b"]["finished_at"]
    )
