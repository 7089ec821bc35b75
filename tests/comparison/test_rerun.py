"""Running a run again: what did not pass, all of it, or some of its tests in the context that it left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest
from support.tenants import Tenants

if TYPE_CHECKING:
    from collections.abc import Mapping

    from support.queue import Queue

SUITE = {
    "login": [],
    "cart": [("login", "token")],
    "pay": [("cart", "data")],
    "search": [],
    "later": {"skip": "not yet"},
}


async def finished(queue: Queue, statuses: Mapping[str, str] | None = None, **request: Any) -> dict[str, Any]:
    run = await queue.start(**request)
    worker = await queue.worker(lane=run["lane"])
    await worker.run_to_end(statuses)
    ended: dict[str, Any] = await queue.run(run)
    assert ended["finished_at"] is not None
    return ended


async def rerun(queue: Queue, run: Mapping[str, Any], **request: Any) -> dict[str, Any]:
    answer: dict[str, Any] = await queue.call("rerun", {"run_id": run["id"]} | request)
    return answer


async def refused(queue: Queue, run: Mapping[str, Any], sqlstate: str, words: str, **request: Any) -> str:
    before = await queue.connection.fetchval("select count(*) from orbit.test_runs")
    with pytest.raises(asyncpg.PostgresError, match=words) as refusal:
        await rerun(queue, run, **request)
    assert refusal.value.sqlstate == sqlstate
    assert await queue.connection.fetchval("select count(*) from orbit.test_runs") == before, "something was begun"
    return str(getattr(refusal.value, "hint", None) or "")


async def row(queue: Queue, run: Mapping[str, Any]) -> asyncpg.Record:
    found = await queue.connection.fetchrow("select * from orbit.test_runs where id = $1", run["id"])
    assert found is not None
    return found


# -- which tests -----------------------------------------------------------------------------------------------------------


async def test_what_did_not_pass_is_run_again_with_what_it_needs(queue: Queue) -> None:
    await queue.save(SUITE)
    run = await finished(queue, {"cart": "failed"})
    again = await rerun(queue, run)
    # pay was skipped because of cart; login passed, and is needed; search passed; later is switched off.
    assert set(await queue.jobs(again)) == {"login", "cart", "pay"}
    assert again["rerun_of"] == run["id"]
    assert again["left_out"] == []
    assert (await queue.run(again))["rerun_of"] == run["id"]


async def test_what_was_cancelled_did_not_pass(queue: Queue) -> None:
    await queue.save(SUITE)
    run = await queue.start()
    worker = await queue.worker()
    await worker.advance([(await worker.claim(1))[0].ended("passed")])
    await queue.cancel(run)
    again = await rerun(queue, run)
    assert set(await queue.jobs(again)) == {"login", "cart", "pay", "search"}


async def test_all_of_it_is_what_the_run_was_asked_for(queue: Queue) -> None:
    await queue.save(SUITE)
    run = await finished(queue, selection={"tests": ["cart"]})
    again = await rerun(queue, run, failed=False)
    assert set(await queue.jobs(again)) == {"login", "cart"}
    whole = await finished(queue)
    assert set(await queue.jobs(await rerun(queue, whole, failed=False))) == {"login", "cart", "pay", "search"}


async def test_tests_that_are_named_are_run_with_what_they_need(queue: Queue) -> None:
    await queue.save(SUITE)
    run = await finished(queue)
    assert set(await queue.jobs(await rerun(queue, run, tests=["cart", "search"]))) == {"login", "cart", "search"}


async def test_when_all_passed_there_is_nothing_to_run_again(queue: Queue) -> None:
    await queue.save(SUITE)
    run = await finished(queue)
    hint = await refused(queue, run, "OR005", "every test of the run")
    assert "--all" in hint


async def test_the_suite_as_it_is_now_is_run_and_what_left_it_is_told(queue: Queue) -> None:
    await queue.save(SUITE)
    run = await finished(queue, {"search": "failed", "pay": "failed"})
    await queue.save(
        {"login": [], "cart": ["login"], "basket": {"renamed_from": "pay", "id": "pay", "needs": ["cart"]}}
    )
    again = await rerun(queue, run)
    assert set(await queue.jobs(again)) == {"login", "cart", "basket"}
    assert again["left_out"] == ["search"]
    await refused(queue, run, "OR004", "the suite was changed since", version="original")
    await queue.save({"login": [], "other": []})
    await refused(queue, run, "OR005", "not in the suite any more")


async def test_a_run_that_goes_on_has_not_shown_what_fails(queue: Queue) -> None:
    await queue.save(SUITE)
    run = await queue.start()
    await refused(queue, run, "OR004", "goes on")
    assert await rerun(queue, run, failed=False)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"tests": []}, "no list of keys"),
        ({"tests": "cart"}, "no list of keys"),
        ({"tests": ["cart", 7]}, "no list of keys"),
        ({"tests": ["cart"], "failed": True}, "exclude each other"),
        ({"failed": "perhaps"}, "boolean"),
        ({"failed": False, "with_context": True}, "needs tests"),
        ({"version": "newest"}, "neither latest nor original"),
        ({"variables": ["x"]}, "are objects"),
        ({"colour": "red"}, "unknown field colour"),
    ],
)
async def test_what_is_malformed_is_refused(queue: Queue, request_: dict[str, Any], words: str) -> None:
    await queue.save(SUITE)
    run = await finished(queue, {"cart": "failed"})
    await refused(queue, run, "OR001", words, **request_)


async def test_a_test_that_there_is_not_is_named(queue: Queue) -> None:
    await queue.save(SUITE)
    run = await finished(queue)
    await refused(queue, run, "OR002", "no test carrot", tests=["carrot"])


# -- with what it was started ------------------------------------------------------------------------------------------------


async def test_it_is_started_as_the_run_was(queue: Queue) -> None:
    await queue.save(SUITE)
    await queue.call("save_environment", {"name": "staging", "variables": []})
    given = {"host": "a", "port": 1, "nothing": None}
    run = await finished(
        queue, {"cart": "failed"}, environment="staging", variables=given, defaults=["port"], templates={"url": "{{vars.host}}"},
        concurrency=3, fail_fast=True, priority=7, base_dir="/srv/suites",
    )  # fmt: skip
    first, again = await row(queue, run), await row(queue, await rerun(queue, run))
    for column in (
        "environment_id",
        "variables",
        "defaults",
        "templates",
        "concurrency",
        "fail_fast",
        "priority",
        "base_dir",
    ):
        assert again[column] == first[column], column


async def test_what_is_said_goes_before_what_was_given_then(queue: Queue) -> None:
    await queue.save(SUITE)
    for name in ("staging", "production"):
        await queue.call("save_environment", {"name": name, "variables": []})
    run = await finished(
        queue,
        environment="staging",
        variables={"host": "a", "port": 1},
        defaults=["port"],
        templates={"url": "{{vars.host}}"},
        concurrency=3,
    )
    chosen = str(uuid4())
    again = await rerun(
        queue, run, failed=False, environment="production", variables={"port": 2, "url": "x"}, concurrency=5, private=True,
        new_run_id=chosen, idempotency_key="once",
    )  # fmt: skip
    found = await row(queue, again)
    assert again["id"] == chosen
    assert again["environment"] == "production"
    assert found["variables"] == '{"url": "x", "host": "a", "port": 2}'
    assert (found["defaults"], found["templates"], found["concurrency"]) == ([], "{}", 5)
    assert again["lane"] == again["queue_no"]
    repeated = await rerun(queue, run, failed=False, idempotency_key="once")
    assert (repeated["id"], repeated["repeated"]) == (chosen, True)


async def test_the_run_it_was_may_be_deleted(queue: Queue) -> None:
    await queue.save(SUITE)
    run = await finished(queue)
    again = await rerun(queue, run, failed=False)
    await queue.connection.execute("delete from orbit.test_runs where id = $1", run["id"])
    assert (await queue.run(again))["rerun_of"] is None


# -- secrets -----------------------------------------------------------------------------------------------------------------

SEAL = "orbit.seal.v1.AAAAAAAA."


async def test_secrets_go_with_it_sealed_as_they_were_and_for_their_place(queue: Queue) -> None:
    await queue.save(SUITE)
    run = await finished(queue, {"cart": "failed"}, secrets={"password": SEAL + "p", "key": SEAL + "k"})
    again = await rerun(queue, run, secrets={"key": SEAL + "new"})
    rows = await queue.connection.fetch(
        "select name, sealed, place from orbit_private.run_secret where queue_no = $1 order by name", again["queue_no"]
    )
    assert [tuple(found) for found in rows] == [
        ("key", SEAL + "new", f"run:{again['id']}:key"),
        ("password", SEAL + "p", f"run:{run['id']}:password"),
    ]
    await (await queue.worker()).run_to_end({"cart": "failed"})
    third = await rerun(queue, again)
    places = await queue.connection.fetch(
        "select name, place from orbit_private.run_secret where queue_no = $1", third["queue_no"]
    )
    assert dict(map(tuple, places)) == {"key": f"run:{again['id']}:key", "password": f"run:{run['id']}:password"}


async def test_secrets_that_are_gone_are_named_until_they_are_given_anew(queue: Queue) -> None:
    await queue.save(SUITE)
    run = await finished(queue, {"cart": "failed"}, secrets={"password": SEAL + "p", "key": SEAL + "k"})
    await queue.connection.execute("select orbit_private.cleanup_expired_contexts(now() + interval '25 hours')")
    hint = await refused(queue, run, "OR004", "are gone: key, password")
    assert "--var" in hint
    assert (await queue.context(run))["secrets"] == ["key", "password"]
    await refused(queue, run, "OR004", "are gone: key", variables={"password": "x"})
    again = await rerun(queue, run, variables={"password": "x"}, secrets={"key": SEAL + "new"})
    assert (await row(queue, again))["secret_names"] == ["key"]


async def test_a_secret_that_is_given_in_clear_now_is_no_secret(queue: Queue) -> None:
    await queue.save(SUITE)
    run = await finished(queue, {"cart": "failed"}, secrets={"password": SEAL + "p"})
    again = await rerun(queue, run, variables={"password": "test"})
    assert (
        await queue.connection.fetchval(
            "select count(*) from orbit_private.run_secret where queue_no = $1", again["queue_no"]
        )
        == 0
    )


# -- with the context ----------------------------------------------------------------------------------------------------------


async def captured(queue: Queue) -> dict[str, Any]:
    """A run in which login shared a token and cart captured two values, one of them sealed; search failed."""
    await queue.save(SUITE)
    run = await queue.start()
    worker = await queue.worker()
    captures = {
        "login": [{"name": "access_token", "value": SEAL + "t", "share": "token", "secret": True}],
        "cart": [{"name": "id", "value": 7}, {"name": "code", "value": SEAL + "c", "secret": True}],
        "pay": [{"name": "receipt", "value": "r", "share": "variable"}],
    }
    keys = list(SUITE)
    reports: list[Any] = []
    while (answer := await worker.advance(reports, want=10)).jobs:
        reports = [
            job.ended("failed" if key == "search" else "passed", captures=captures.get(key, []))
            for job in answer.jobs
            for key in [keys[job.position]]
        ]
    return await queue.run(run)


async def test_one_test_alone_goes_on_with_what_the_run_captured(queue: Queue) -> None:
    run = await captured(queue)
    again = await rerun(queue, run, tests=["pay"], with_context=True)
    assert set(await queue.jobs(again)) == {"pay"}
    context = await queue.context(again)
    assert context["shared_auth_tokens"] == {"access_token": SEAL + "t"}
    # What pay itself captured then, it is to capture anew.
    assert context["captured_data"] == {"login": {"access_token": SEAL + "t"}, "cart": {"id": 7, "code": SEAL + "c"}}
    assert context["shared_variables"] == {"receipt": "r"}
    # Sealed values are still bound to the run that sealed them.
    assert context["sealed_for"] == [
        ["captured", "cart", "code", run["id"]],
        ["captured", "login", "access_token", run["id"]],
        ["token", "", "access_token", run["id"]],
    ]
    await (await queue.worker()).run_to_end({"pay": "failed"})
    assert (await queue.run(again))["status"] == "failed"
    third = await rerun(queue, again, tests=["pay"], with_context=True)
    assert (await queue.context(third))["sealed_for"] == context["sealed_for"]


async def test_what_is_captured_anew_is_the_new_runs(queue: Queue) -> None:
    run = await captured(queue)
    again = await rerun(queue, run, tests=["cart"], with_context=True)
    worker = await queue.worker()
    [job] = await worker.claim(1)
    new = [{"name": "access_token", "value": SEAL + "new", "share": "token", "secret": True}]
    await queue.put(again, {"kind": "captured", "producer": "login", "name": "access_token", "value": "clear"})
    await worker.advance([job.ended("passed", captures=new)])
    context = await queue.context(again)
    assert context["shared_auth_tokens"] == {"access_token": SEAL + "new"}
    assert context["sealed_for"] == []


async def test_what_did_not_pass_can_be_run_alone_too(queue: Queue) -> None:
    run = await captured(queue)
    again = await rerun(queue, run, with_context=True)
    assert set(await queue.jobs(again)) == {"search"}
    assert again["counts"]["total"] == 1


async def test_alone_a_test_needs_what_passed(queue: Queue) -> None:
    await queue.save(SUITE)
    run = await finished(queue, {"cart": "failed"})
    await refused(queue, run, "OR004", "pay needs cart, which did not pass", tests=["pay"], with_context=True)
    assert set(await queue.jobs(await rerun(queue, run, tests=["cart", "pay"], with_context=True))) == {"cart", "pay"}


async def test_captures_follow_a_test_that_was_renamed(queue: Queue) -> None:
    run = await captured(queue)
    await queue.save(
        {"login": [], "basket": {"id": "cart", "renamed_from": "cart", "needs": ["login"]}, "pay": ["basket"]}
    )
    again = await rerun(queue, run, tests=["pay"], with_context=True)
    assert set((await queue.context(again))["captured_data"]) == {"login", "basket"}


async def test_a_context_is_there_for_a_day(queue: Queue) -> None:
    run = await captured(queue)
    await queue.connection.execute("update orbit.test_runs set finished_at = now() - interval '24 hours 1 second'")
    hint = await refused(queue, run, "OR004", "the context of the run .* is gone", tests=["pay"], with_context=True)
    assert "with_context" in hint
    assert set(await queue.jobs(await rerun(queue, run, tests=["pay"]))) == {"login", "cart", "pay"}


async def test_a_context_is_of_a_run_that_is_over_and_of_the_suite(queue: Queue) -> None:
    await queue.save(SUITE)
    run = await queue.start()
    await refused(queue, run, "OR004", "goes on", tests=["pay"], with_context=True)
    await queue.save({"pay": []}, key="other")
    with pytest.raises(asyncpg.PostgresError, match="is not one of suite other"):
        await queue.start(suite="other", rerun_of=run["id"])
    with pytest.raises(asyncpg.PostgresError, match="needs the run whose context"):
        await queue.start(suite="other", with_context=True, selection={"tests": ["pay"]})


# -- who may -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def tenants(connection: asyncpg.Connection[Any]) -> Tenants:
    tenants = await Tenants.on(connection)
    await tenants.organization("acme", owner="olga", admin="adam", editor="ed", viewer="vera")
    await tenants.project("acme", "shop")
    return tenants


async def test_who_may_run_again_what(tenants: Tenants, queue: Queue) -> None:
    suite: dict[str, Any] = {"key": "s", "project": "shop", "document": {"tests": [{"key": "a"}, {"key": "b"}]}}
    await tenants.call_as("ed", "save_suite", suite)
    start = {"suite": "s", "project": "shop"}
    plain = await tenants.call_as("ed", "start_run", start)
    sealed = await tenants.call_as("adam", "start_run", start | {"secrets": {"password": SEAL + "p"}})
    await (await queue.worker()).run_to_end({"a": "failed"})

    async def refusal(person: str, run: Any) -> str:
        with pytest.raises(asyncpg.PostgresError) as refused_:
            await tenants.call_as(person, "rerun", {"run_id": run["id"]})
        return str(refused_.value.sqlstate)

    assert await refusal("vera", plain) == "OR003"
    assert await refusal("stranger", plain) == "OR002"
    assert await tenants.call_as("adam", "rerun", {"run_id": plain["id"]})
    # Secrets that another person gave are not an editor's to send wherever the suite says now.
    assert await refusal("ed", sealed) == "OR003"
    assert await tenants.call_as("ed", "rerun", {"run_id": sealed["id"], "variables": {"password": "own"}})
    assert await tenants.call_as("adam", "rerun", {"run_id": sealed["id"]})
    assert await tenants.call_as("olga", "rerun", {"run_id": sealed["id"]})


async def test_a_sealed_context_is_whose_run_it_was(tenants: Tenants, queue: Queue) -> None:
    suite: dict[str, Any] = {"key": "s", "project": "shop", "document": {"tests": [{"key": "a"}, {"key": "b"}]}}
    await tenants.call_as("ed", "save_suite", suite)
    run = await tenants.call_as("adam", "start_run", {"suite": "s", "project": "shop"})
    worker = await queue.worker()
    a, b = await worker.claim(2)
    await worker.advance(
        [a.ended("passed", captures=[{"name": "t", "value": SEAL + "t", "secret": True}]), b.ended("failed")]
    )
    request = {"run_id": run["id"], "tests": ["b"], "with_context": True}
    with pytest.raises(asyncpg.PostgresError, match="somebody else's") as refused_:
        await tenants.call_as("ed", "rerun", request)
    assert refused_.value.sqlstate == "OR003"
    assert await tenants.call_as("adam", "rerun", request)
