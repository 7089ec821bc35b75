"""save_suite(): idempotent, versioned, cycles refused."""

from __future__ import annotations

import asyncio
import json
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from support.queue import retry, suite

if TYPE_CHECKING:
    from support.queue import Queue


async def refused(queue: Queue, function: str, request: Any) -> asyncpg.PostgresError:
    with pytest.raises(asyncpg.PostgresError) as error:
        await queue.call(function, request)
    assert error.value.sqlstate.startswith("OR"), f"{error.value.sqlstate}: {error.value}"
    return error.value


async def cases(queue: Queue) -> dict[str, asyncpg.Record]:
    return {
        row["key"]: row
        for row in await queue.connection.fetch("select * from orbit.test_cases where archived_at is null")
    }


async def test_saving_the_same_again_changes_nothing(queue: Queue) -> None:
    first = await queue.save({"a": [], "b": ["a"]})
    assert (first["version"], first["tests"], first["changed"]) == (1, 2, True)
    again = await queue.save({"a": [], "b": ["a"]})
    assert again == first | {"changed": False}
    assert await queue.connection.fetchval("select count(*) from orbit.test_suite_versions") == 1


async def test_a_change_makes_a_version_and_keeps_the_rows(queue: Queue) -> None:
    first = await queue.save({"a": [], "b": []})
    before = await cases(queue)
    second = await queue.save({"b": {"name": "Bee", "tags": ["x"]} | retry(4), "a": ["b"], "c": []})
    assert (second["version"], second["suite_id"], second["changed"]) == (2, first["suite_id"], True)
    after = await cases(queue)
    assert {key: after[key]["id"] for key in before} == {key: row["id"] for key, row in before.items()}
    assert (after["b"]["name"], after["b"]["tags"], after["b"]["max_attempts"]) == ("Bee", ["x"], 4)
    assert after["a"]["updated_at"] == before["a"]["updated_at"], "what did not change is not written"
    order = await queue.connection.fetchval("select orbit_private.test_order_of($1)", second["version_id"])
    assert order == ["b", "a", "c"]


async def test_a_dependency_that_changed_is_a_version_too(queue: Queue) -> None:
    await queue.save({"a": [], "b": ["a"]})
    assert (await queue.save({"a": [], "b": [("a", "data")]}))["version"] == 2
    assert (
        await queue.connection.fetchval("select string_agg(dependency_type, ',') from orbit.test_dependencies")
        == "data"
    )
    await queue.save({"a": [], "b": []})
    assert await queue.connection.fetchval("select count(*) from orbit.test_dependencies") == 0


async def test_the_strongest_kind_of_a_pair_counts(queue: Queue) -> None:
    await queue.save({"a": [], "b": [("a", "order"), ("a", "token"), ("a", "data")]})
    assert (
        await queue.connection.fetchval("select string_agg(dependency_type, ',') from orbit.test_dependencies")
        == "token"
    )


@pytest.mark.parametrize(
    "renamed",
    [
        pytest.param({"sign_in": {"renamed_from": "login"}}, id="renamed_from"),
        pytest.param({"login": {"id": "t-1"}}, id="given an id"),
        pytest.param({"sign_in": {"id": "t-1", "renamed_from": "login"}}, id="both"),
    ],
)
async def test_a_renamed_test_keeps_its_row(queue: Queue, renamed: dict[str, Any]) -> None:
    await queue.save({"login": [], "other": []})
    before = await cases(queue)
    saved = await queue.save(renamed | {"other": []})
    after = await cases(queue)
    [key] = renamed
    assert after[key]["id"] == before["login"]["id"]
    assert len(after) == saved["tests"] == 2


async def test_an_id_outlives_its_key(queue: Queue) -> None:
    await queue.save({"login": {"id": "t-1"}})
    before = await cases(queue)
    await queue.save({"sign_in": {"id": "t-1"}})
    after = await cases(queue)
    assert after["sign_in"]["id"] == before["login"]["id"]
    assert list(after) == ["sign_in"]


async def test_two_tests_may_change_names(queue: Queue) -> None:
    await queue.save({"a": {"id": "1"}, "b": {"id": "2"}})
    before = await cases(queue)
    await queue.save({"b": {"id": "1"}, "a": {"id": "2"}})
    after = await cases(queue)
    assert (after["b"]["id"], after["a"]["id"]) == (before["a"]["id"], before["b"]["id"])


async def test_a_removed_test_is_archived_and_comes_back_as_itself(queue: Queue) -> None:
    await queue.save({"a": [], "b": ["a"]})
    before = await cases(queue)
    await queue.save({"a": []})
    assert list(await cases(queue)) == ["a"]
    row = await queue.connection.fetchrow("select * from orbit.test_cases where key = 'b'")
    assert row is not None
    assert row["archived_at"] is not None
    assert await queue.connection.fetchval("select count(*) from orbit.test_dependencies") == 0
    await queue.save({"a": [], "b": ["a"]})
    assert (await cases(queue))["b"]["id"] == before["b"]["id"]


async def test_a_name_that_was_archived_can_be_taken_by_another(queue: Queue) -> None:
    await queue.save({"a": {"id": "1"}})
    await queue.save({"b": {"id": "2"}})
    saved = await queue.save({"a": {"id": "2"}})
    assert saved["tests"] == 1
    assert (await cases(queue))["a"]["stable_key"] == "2"


async def test_a_request_and_its_expectations_are_kept(queue: Queue) -> None:
    await queue.save(
        {"a": {"request": {"method": "post", "url": "/a"}, "expect": [{"status": 201}], "capture": {"x": 1}}}
    )
    row = await queue.connection.fetchrow(
        "select e.method, e.path, r.request::text, s.expectations::text, s.captures::text from orbit.test_request_configs r"
        " join orbit.api_endpoints e on e.id = r.endpoint_id join orbit.test_response_specs s using (test_case_id)"
    )
    assert row is not None
    assert (row["method"], row["path"]) == ("POST", "/a")
    assert [json.loads(row[column]) for column in ("request", "expectations", "captures")] == [
        {"method": "post", "url": "/a"}, [{"status": 201}], {"x": 1},
    ]  # fmt: skip


async def test_ten_at_once_save_one_version(queue: Queue, database: Any) -> None:
    async def save() -> dict[str, Any]:
        async with database.connect() as connection:
            answer: dict[str, Any] = json.loads(
                await connection.fetchval("select orbit.save_suite($1::text::jsonb)::text", request)
            )
            return answer

    request = json.dumps(suite({"a": [], "b": ["a"]}))
    saved = await asyncio.gather(*(save() for _ in range(10)))
    assert sum(answer["changed"] for answer in saved) == 1
    assert {answer["version_id"] for answer in saved} == {saved[0]["version_id"]}


# -- cycles ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tests", "named"),
    [
        ({"a": ["a"]}, "a → a"),
        ({"a": ["b"], "b": ["a"]}, "a → b → a"),
        ({"free": [], "a": ["free", "c"], "b": ["a"], "c": ["b"], "below": ["c"]}, "a → b → c → a"),
    ],
)
async def test_tests_that_wait_for_each_other_are_refused(queue: Queue, tests: Any, named: str) -> None:
    error = await refused(queue, "save_suite", suite(tests))
    assert error.sqlstate == "OR010"
    cycle = str(error.message).removeprefix("tests wait for each other: ").split(" → ")
    assert cycle[0] == cycle[-1]
    assert "".join(sorted(cycle[1:])) == "".join(sorted(named.split(" → ")[1:]))
    pairs = {(need, test) for test, needs in tests.items() for need in needs}
    assert set(pairwise(cycle)) <= pairs, "each is needed by the next"
    assert error.hint
    assert await queue.connection.fetchval("select count(*) from orbit.test_suites") == 0


async def test_a_long_cycle_is_found_fast_and_named_in_short(queue: Queue) -> None:
    count = 10_000
    tests = {f"t{n}": [f"t{(n + 1) % count}"] for n in range(count)}
    began = time.monotonic()
    error = await refused(queue, "save_suite", suite(tests))
    assert error.sqlstate == "OR010"
    assert len(error.message) < 400
    assert "…" in error.message
    assert error.detail == "the cycle has 10000 tests"
    assert time.monotonic() - began < 5


async def test_a_chain_of_ten_thousand_is_saved_and_started_fast(queue: Queue) -> None:
    tests = {f"t{n}": [f"t{n - 1}"] if n else [] for n in range(10_000)}
    began = time.monotonic()
    await queue.save(tests)
    saved = time.monotonic()
    run = await queue.start()
    started = time.monotonic()
    assert run["counts"]["total"] == 10_000
    await queue.start(selection={"tests": ["t9999"]})
    selected = time.monotonic()
    print(f"saved {saved - began:.2f} s, started {started - saved:.2f} s, selected {selected - started:.2f} s")
    assert selected - began < 15


async def test_a_chain_of_ten_thousand_is_skipped_fast(queue: Queue) -> None:
    await queue.save({f"t{n}": [f"t{n - 1}"] if n else [] for n in range(10_000)})
    run = await queue.start()
    worker = await queue.worker()
    [first] = await worker.claim(1)
    began = time.monotonic()
    assert (await worker.advance([first.ended("failed")])).done == {run["queue_no"]: "failed"}
    assert time.monotonic() - began < 5
    assert (await queue.run(run))["counts"]["skipped"] == 9_999


# -- malformed -------------------------------------------------------------------------------------------------------------


def malformed() -> dict[str, Any]:
    good = suite({"a": [], "b": ["a"]})
    tests = good["document"]["tests"]

    def with_test(**fields: Any) -> dict[str, Any]:
        return good | {"document": {"tests": [tests[0] | fields, tests[1]]}}

    return {
        "null": None,
        "an array": [1],
        "a string": "suite",
        "no key": {name: value for name, value in good.items() if name != "key"},
        "an empty key": good | {"key": ""},
        "no document": {"key": "x"},
        "tests no array": good | {"document": {"tests": {"a": {}}}},
        "no tests": good | {"document": {"tests": []}},
        "a test without a key": good | {"document": {"tests": [{"name": "x"}]}},
        "a test that is a number": good | {"document": {"tests": [1]}},
        "a key twice": good | {"document": {"tests": [*tests, tests[0]]}},
        "an id twice": good | {"document": {"tests": [test | {"id": "same"} for test in tests]}},
        "an id that is another's key": with_test(id="b"),
        "an unknown need": good | {"dependencies": [{"test": "b", "needs": "nobody"}]},
        "an unknown dependent": good | {"dependencies": [{"test": "nobody", "needs": "a"}]},
        "an unknown kind": good | {"dependencies": [{"test": "b", "needs": "a", "kind": "magic"}]},
        "dependencies no array": good | {"dependencies": {"a": "b"}},
        "tags no array": with_test(tags="smoke"),
        "always no boolean": with_test(always="perhaps"),
        "too many attempts": with_test(retry={"max": 100}),
        "retries no number": with_test(retry={"max": "many"}),
        "retries out of any range": with_test(retry={"max": 1e12}),
    }


@pytest.mark.parametrize("name", malformed())
async def test_a_malformed_suite_is_refused_with_a_code_a_message_and_a_hint(queue: Queue, name: str) -> None:
    error = await refused(queue, "save_suite", malformed()[name])
    assert error.sqlstate == "OR001"
    assert error.message
    assert error.hint or error.detail
    assert await queue.connection.fetchval("select count(*) from orbit.test_suites") == 0


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (None, "OR001"),
        ([], "OR001"),
        ({}, "OR001"),
        ({"suite": "nobody"}, "OR002"),
        ({"suite_id": "no id"}, "OR001"),
        ({"suite_id": "00000000-0000-0000-0000-000000000000"}, "OR002"),
        ({"suite": "suite", "colour": "red"}, "OR001"),
        ({"suite": "suite", "concurrency": 0}, "OR001"),
        ({"suite": "suite", "concurrency": "many"}, "OR001"),
        ({"suite": "suite", "priority": 101}, "OR001"),
        ({"suite": "suite", "priority": 1e30}, "OR001"),
        ({"suite": "suite", "timeout": 0}, "OR001"),
        ({"suite": "suite", "timeout": "soon"}, "OR001"),
        ({"suite": "suite", "timeout": "infinity"}, "OR001"),
        ({"suite": "suite", "fail_fast": "perhaps"}, "OR001"),
        ({"suite": "suite", "secrets": {"password": "in clear"}}, "OR001"),
        ({"suite": "suite", "secrets": ["x"]}, "OR001"),
        ({"suite": "suite", "run_id": "mine"}, "OR001"),
        ({"suite": "suite", "environment": "nowhere"}, "OR002"),
        ({"suite": "suite", "environment_id": "nowhere"}, "OR001"),
        ({"suite": "suite", "environment_id": "00000000-0000-0000-0000-000000000000"}, "OR002"),
        ({"suite": "suite", "selection": "a"}, "OR001"),
        ({"suite": "suite", "selection": {"tests": "a"}}, "OR001"),
        ({"suite": "suite", "selection": {"tags": "a"}}, "OR001"),
        ({"suite": "suite", "selection": {"tags": ["a"]}}, "OR001"),
        ({"suite": "suite", "selection": {"tests": ["nobody"]}}, "OR002"),
        ({"suite": "suite", "selection": {"tests": []}}, "OR005"),
        ({"suite": "suite", "selection": {"tags": [["nothing"]]}}, "OR005"),
    ],
)
async def test_a_malformed_start_is_refused(queue: Queue, request_: Any, code: str) -> None:
    await queue.save({"a": []})
    error = await refused(queue, "start_run", request_)
    assert error.sqlstate == code, error.message
    assert error.message
    assert error.hint or error.detail
    assert await queue.connection.fetchval("select count(*) from orbit.test_runs") == 0
    await queue.check()


@pytest.mark.parametrize(
    ("function", "request_", "code"),
    [
        ("get_run", {}, "OR001"),
        ("get_run", {"run_id": "last"}, "OR002"),
        ("get_run", {"run_id": "abcd"}, "OR002"),
        ("get_run", {"run_id": "%"}, "OR001"),
        ("list_runs", {"limit": "all"}, "OR001"),
        ("list_runs", {"before": "yesterday morning"}, "OR001"),
        ("list_results", {"run_id": "RUN", "limit": "all"}, "OR001"),
        ("list_results", {"run_id": "RUN", "after": "x"}, "OR001"),
        ("read_events", {"run_id": "RUN", "after": "x"}, "OR001"),
        ("cancel_run", {"run_id": "00000000-0000-0000-0000-000000000000"}, "OR002"),
        ("get_context", {"run_id": "zzz"}, "OR001"),
        ("put_context", {"run_id": "RUN", "entries": [{"kind": "token"}]}, "OR001"),
        ("put_context", {"run_id": "RUN", "entries": [{"kind": "magic", "name": "x", "value": 1}]}, "OR001"),
        ("put_context", {"run_id": "RUN", "entries": [{"kind": "captured", "name": "x", "value": 1}]}, "OR001"),
        (
            "put_context",
            {"run_id": "RUN", "entries": [{"kind": "token", "producer": "a", "name": "x", "value": 1}]},
            "OR001",
        ),
        (
            "put_context",
            {"run_id": "RUN", "entries": [{"kind": "token", "name": "x", "value": "clear", "secret": True}]},
            "OR001",
        ),
        ("put_context", {"run_id": "RUN", "entries": {"kind": "token"}}, "OR001"),
        (
            "put_context",
            {"run_id": "RUN", "entries": [{"kind": "token", "name": "x", "value": 1, "secret": "perhaps"}]},
            "OR001",
        ),
        ("resolve_dependencies", {"run_id": "RUN"}, "OR001"),
        ("resolve_dependencies", {"run_id": "RUN", "test": "nobody"}, "OR002"),
        ("save_environment", {}, "OR001"),
        ("save_environment", {"name": "x", "variables": [{"value": 1}]}, "OR001"),
        ("save_environment", {"name": "x", "variables": "a=1"}, "OR001"),
        ("save_environment", {"name": "x", "variables": [{"name": "s", "value": "clear", "secret": True}]}, "OR008"),
        (
            "save_environment",
            {"name": "x", "variables": [{"name": "s", "value": 1}, {"name": "s", "value": 2}]},
            "OR001",
        ),
        ("get_environment", {}, "OR001"),
        ("get_environment", {"name": "nowhere"}, "OR002"),
    ],
)
async def test_other_malformed_requests_are_refused(queue: Queue, function: str, request_: Any, code: str) -> None:
    if request_.get("run_id") == "RUN":
        await queue.save({"a": []})
        request_ = request_ | {"run_id": (await queue.start())["id"]}
    error = await refused(queue, function, request_)
    assert error.sqlstate == code, error.message


# -- selection -------------------------------------------------------------------------------------------------------------

SHOP: dict[str, Any] = {
    "login": {"tags": ["smoke"]},
    "catalog": {"needs": ["login"], "tags": ["smoke", "read"]},
    "cart": {"needs": [("catalog", "data")], "tags": ["write"]},
    "pay": {"needs": ["cart"], "tags": ["write", "slow"]},
    "ping": {"tags": ["read"]},
    "log_out": {"needs": ["login"], "always": True},
    "empty_cart": {"needs": ["cart", "login"], "always": True},
    "forget_cart": {"needs": ["empty_cart"], "always": True},
    "close": {"always": True},
}


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        ({}, set(SHOP)),
        ({"tests": None, "tags": None}, set(SHOP)),
        ({"tags": []}, set(SHOP)),
        ({"tests": ["ping"]}, {"ping"}),
        ({"tests": ["catalog"]}, {"login", "catalog", "log_out"}),
        ({"tests": ["cart", "ping"]}, {"login", "catalog", "cart", "ping", "log_out", "empty_cart", "forget_cart"}),
        ({"tags": [["read"]]}, {"login", "catalog", "ping", "log_out"}),
        ({"tags": [["smoke", "slow"]]}, {"login", "catalog", "cart", "pay", "log_out", "empty_cart", "forget_cart"}),
        ({"tags": [["write"], ["slow"]]}, {"login", "catalog", "cart", "pay", "log_out", "empty_cart", "forget_cart"}),
        ({"tests": ["catalog", "ping"], "tags": [["smoke"]]}, {"login", "catalog", "log_out"}),
        ({"tags": [["shop"], ["slow"]]}, {"login", "catalog", "cart", "pay", "log_out", "empty_cart", "forget_cart"}),
    ],
)
async def test_a_selection_brings_what_it_needs_and_the_clean_up_that_belongs_to_it(
    queue: Queue, selection: dict[str, Any], chosen: set[str]
) -> None:
    await queue.save(SHOP, document={"tags": ["shop"]})
    run = await queue.start(selection=selection)
    assert set(await queue.jobs(run)) == chosen
    assert run["counts"]["total"] == len(chosen)
    await queue.check()
    await (await queue.worker()).run_to_end()
    assert await queue.statuses(run) == dict.fromkeys([key for key in SHOP if key in chosen], "passed")


async def test_a_run_stays_with_its_version(queue: Queue) -> None:
    await queue.save({"a": [], "b": ["a"]})
    run = await queue.start()
    await queue.save({"b": [], "c": ["b"]})
    await (await queue.worker()).run_to_end()
    assert await queue.statuses(run) == {"a": "passed", "b": "passed"}
    assert list(await queue.results(await queue.start())) == []
