"""Two runs beside each other: what became of each test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from support.tenants import Tenants

if TYPE_CHECKING:
    from collections.abc import Mapping

    from support.queue import Queue


async def run_of(queue: Queue, ended: Mapping[str, Any] | None = None, **request: Any) -> dict[str, Any]:
    """A finished run; a test ends as it is given here: a status, or the seconds that it took to pass."""
    run = await queue.start(**request)
    keys = (await queue.context(run))["test_order"]
    worker = await queue.worker()
    reports: list[Any] = []
    while (answer := await worker.advance(reports, want=100)).jobs:
        reports = []
        for job in answer.jobs:
            end = (ended or {}).get(keys[job.position], 1.0)
            status, seconds = ("passed", end) if isinstance(end, float) else (end, 1.0)
            reports.append(
                job.ended(status, seconds, **({} if status == "passed" else {"reason": "why", "category": "assertion"}))
            )
    return await queue.run(run)


async def compare(queue: Queue, run: Mapping[str, Any], base: Mapping[str, Any] | None = None, **request: Any) -> Any:
    if base is not None:
        request["base"] = base["id"]
    return await queue.call("compare_runs", {"run_id": run["id"]} | request)


def changes(comparison: Any) -> dict[str, str]:
    return {test["key"]: test["change"] for test in comparison["tests"]}


async def refused(queue: Queue, sqlstate: str, words: str, run: Mapping[str, Any], **request: Any) -> None:
    with pytest.raises(asyncpg.PostgresError, match=words) as refusal:
        await queue.call("compare_runs", {"run_id": run["id"]} | request)
    assert refusal.value.sqlstate == sqlstate


async def test_what_became_of_each_test(queue: Queue) -> None:
    tests = ["broke", "broken", "mended", "slow", "fast", "same", "timed", "unreached", "child", "cut"]
    needs: dict[str, list[str]] = {key: [] for key in tests}
    needs["child"] = ["broke"]
    await queue.save(needs | {"gone": [], "gone broken": []})
    base = await run_of(
        queue,
        {
            "broken": "failed",
            "mended": "errored",
            "fast": 9.0,
            "timed": "timed_out",
            "gone broken": "failed",
            "cut": "cancelled",
        },
    )
    await queue.save(needs | {"new": [], "new broken": []})
    run = await run_of(
        queue,
        {
            "broke": "failed",
            "broken": "errored",
            "slow": 2.0,
            "fast": 3.0,
            "timed": "failed",
            "unreached": "timed_out",
            "new broken": "failed",
        },
    )
    compared = await compare(queue, run, base)
    assert changes(compared) == {
        "broke": "new_failure",
        "unreached": "new_failure",
        "new broken": "new_failure",
        "broken": "still_failing",
        "timed": "still_failing",
        "gone": "missing",
        "gone broken": "missing",
        "child": "changed",
        "cut": "changed",
        "slow": "slower",
        "mended": "fixed",
        "fast": "faster",
        "new": "added",
    }
    assert compared["totals"] == {
        "new_failure": 3, "still_failing": 2, "missing": 2, "changed": 2, "slower": 1, "fixed": 1, "faster": 1, "added": 1,
        "left_out": 0, "same": 1,
    }  # fmt: skip
    assert [test["key"] for test in compared["tests"]][:4] == ["broke", "unreached", "new broken", "broken"], (
        "the worst first"
    )
    of = {test["key"]: test for test in compared["tests"]}
    assert (of["broke"]["status"], of["broke"]["base_status"], of["broke"]["reason"]) == ("failed", "passed", "why")
    assert (of["slow"]["duration"], of["slow"]["base_duration"]) == (2.0, 1.0)
    assert (of["gone"]["status"], of["new"]["base_status"]) == (None, None)
    assert (compared["run"]["id"], compared["base"]["id"]) == (run["id"], base["id"])
    assert (compared["run"]["version"], compared["base"]["version"]) == (2, 1)
    assert compared["base"]["counts"] == base["counts"]


@pytest.mark.parametrize(
    ("before", "now", "rule", "change"),
    [
        (1.0, 1.5, {}, "slower"),
        (1.0, 1.49, {}, "same"),
        (0.1, 0.19, {}, "same"),
        (0.1, 0.2, {}, "slower"),
        (0.2, 0.1, {}, "faster"),
        (1.5, 1.0, {}, "faster"),
        (1.0, 1.49, {"ratio": 1.2}, "slower"),
        (1.0, 1.19, {"ratio": 1.2}, "same"),
        (0.1, 0.2, {"floor": 0.5}, "same"),
        (1.0, 1.01, {"ratio": 1, "floor": 0}, "slower"),
        (0.0, 0.2, {}, "slower"),
    ],
)
async def test_slower_is_what_both_the_ratio_and_the_floor_say(
    connection: asyncpg.Connection[Any], before: float, now: float, rule: dict[str, float], change: str
) -> None:
    rule = {"ratio": 1.5, "floor": 0.1} | rule
    assert change == await connection.fetchval(
        "select orbit_private.change_of('passed', $1, 'passed', $2, $3, $4)", now, before, rule["ratio"], rule["floor"]
    )


async def test_the_rule_can_be_given(queue: Queue) -> None:
    await queue.save({"a": []})
    base, run = await run_of(queue), await run_of(queue, {"a": 1.3})
    assert changes(await compare(queue, run, base)) == {}
    told = await compare(queue, run, base, ratio=1.2, floor=0.2)
    assert (changes(told), told["ratio"], told["floor"]) == ({"a": "slower"}, 1.2, 0.2)


async def test_a_renamed_test_is_the_same_test(queue: Queue) -> None:
    await queue.save({"old": [], "b": []})
    await run_of(queue)
    await queue.save({"b": [], "new": {"id": "old", "renamed_from": "old"}})
    assert changes(await compare(queue, await run_of(queue, {"new": "failed"}))) == {"new": "new_failure"}


async def test_unless_told_it_is_compared_with_the_last_one_alike(queue: Queue) -> None:
    await queue.save({"a": [], "b": []})
    await queue.call("save_environment", {"name": "staging", "variables": []})
    oldest = await run_of(queue)
    middle = await run_of(queue, {"a": "failed"})
    staging = await run_of(queue, environment="staging")
    await run_of(queue, selection={"tests": ["a"]})
    await queue.cancel(await queue.start())
    await queue.start(private=True)  # goes on
    run = await queue.start()
    await (await queue.worker()).run_to_end()
    bases = [(await compare(queue, one))["base"]["id"] for one in (middle, run)]
    assert bases == [oldest["id"], middle["id"]]
    await refused(queue, "OR002", "there is no run to compare", staging)
    await refused(queue, "OR002", "there is no run to compare", oldest)


async def test_a_rerun_is_compared_with_what_it_runs_again(queue: Queue) -> None:
    await queue.save({"a": [], "b": ["a"], "c": []})
    base = await run_of(queue, {"b": "failed"})
    again = await queue.call("rerun", {"run_id": base["id"]})
    await (await queue.worker()).run_to_end()
    compared = await compare(queue, again, floor=2)
    assert compared["base"]["id"] == base["id"]
    assert changes(compared) == {"b": "fixed"}
    assert (compared["totals"]["left_out"], compared["totals"]["missing"], compared["totals"]["same"]) == (1, 0, 1)


async def test_what_cannot_be_compared(queue: Queue) -> None:
    await queue.save({"a": []})
    await queue.save({"a": []}, key="other")
    base, other = await run_of(queue), await run_of(queue, suite="other")
    going = await queue.start()
    await refused(queue, "OR001", "different suites", base, base=other["id"])
    await refused(queue, "OR004", "goes on", going, base=base["id"])
    await refused(queue, "OR004", "goes on", base, base=going["id"])
    for field, bad in (
        ("ratio", 0.9),
        ("ratio", "NaN"),
        ("ratio", "Infinity"),
        ("floor", -1),
        ("floor", "NaN"),
        ("ratio", "x"),
        ("colour", 1),
    ):
        await refused(queue, "OR001", field if bad != "x" else "invalid input", base, **{field: bad})
    await refused(queue, "OR002", "no run", base, base="0" * 8)
    await queue.cancel(going)
    run = await run_of(queue)
    await queue.connection.execute("delete from orbit.test_results where run_id = $1", base["id"])
    await refused(queue, "OR004", f"results of the run {base['id']} are kept no more", run, base=base["id"])


async def test_who_may_compare(connection: asyncpg.Connection[Any], queue: Queue) -> None:
    tenants = await Tenants.on(connection)
    await tenants.organization("acme", owner="olga", viewer="vera")
    await tenants.organization("evil", owner="eve")
    await tenants.project("acme", "shop")
    await tenants.call_as("olga", "save_suite", {"key": "s", "project": "shop", "document": {"tests": [{"key": "a"}]}})
    runs = [await tenants.call_as("olga", "start_run", {"suite": "s", "project": "shop"}) for _ in range(2)]
    await (await queue.worker()).run_to_end()
    request = {"run_id": runs[1]["id"], "base": runs[0]["id"]}
    assert (await tenants.call_as("vera", "compare_runs", request))["totals"]["same"] == 1
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await tenants.call_as("eve", "compare_runs", request)
    assert refusal.value.sqlstate == "OR002"


async def test_ten_thousand_tests_are_one_look_at_each_runs_own_results(queue: Queue) -> None:
    """The results of the runs compared are found by their key; those of others are not touched."""
    await queue.save({f"t{n:05}": [] for n in range(10_000)})
    columns = "run_id, position, created_at, status, project_id, test_case_id, duration_ms, attempts, started_at"
    runs = [await queue.start() for _ in range(3)]
    for factor, run in enumerate(runs):
        await queue.cancel(run)
        await queue.connection.execute("delete from orbit.test_results where run_id = $1", run["id"])
        await queue.connection.execute(
            f"insert into orbit.test_results ({columns}) select r.id, t.n - 1, clock_timestamp(), 'passed', r.project_id, t.id,"
            " 1000 + 1000 * $2::int * (t.n % 2), 1, now()"
            " from orbit.test_runs r join orbit.test_suite_versions v on v.id = r.version_id"
            " cross join unnest(v.test_case_ids) with ordinality t (id, n) where r.id = $1",
            run["id"], factor,
        )  # fmt: skip
    await queue.connection.execute("analyze orbit.test_results")
    await queue.connection.execute("select pg_stat_force_next_flush()")  # else what was read before is counted along
    async with queue.connection.transaction():
        compared = await compare(queue, runs[1], runs[0])
        assert compared["totals"]["slower"] == compared["totals"]["same"] == 5000
        read = await queue.connection.fetchrow(
            "select sum(seq_tup_read) as whole, sum(idx_tup_fetch) as found"
            " from pg_stat_xact_user_tables where relname ~ '^test_results_'"
        )
    assert read["whole"] == 0
    assert 20_000 <= read["found"] < 21_000, "those of the two runs, and not of the third"
