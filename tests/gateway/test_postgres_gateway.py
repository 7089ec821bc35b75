"""The gateway straight to Postgres: the contract's functions, and what errors become."""

from __future__ import annotations

import asyncio
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from support.queue import suite

from orbit_context.errors import (
    ConflictError,
    CycleError,
    DatabaseUnavailableError,
    InvalidRequestError,
    NotAllowedError,
    NotFoundError,
    NothingSelectedError,
    OrbitError,
    QuotaExceededError,
    RequestError,
    SchemaMismatchError,
    SecretKeyError,
    TooManyRequestsError,
)
from orbit_context.gateway.port import FUNCTIONS
from orbit_context.gateway.postgres import PostgresGateway
from orbit_context.gateway.runner import Report, RunnerGateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.postgres import Database


@pytest.fixture
async def gateway(database: Database) -> AsyncIterator[PostgresGateway]:
    async with PostgresGateway(database.dsn) as gateway:
        yield gateway


async def test_the_contract_names_every_function_of_the_schema(database: Database) -> None:
    rows = database.fetch(
        "select p.proname from pg_proc p where p.pronamespace = 'orbit'::regnamespace"
        " and pg_get_function_arguments(p.oid) like 'p_request jsonb%'"
    )
    assert {row["proname"] for row in rows} == set(FUNCTIONS)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("OR001", InvalidRequestError),
        ("OR002", NotFoundError),
        ("OR003", NotAllowedError),
        ("OR004", ConflictError),
        ("OR005", NothingSelectedError),
        ("OR006", TooManyRequestsError),
        ("OR007", QuotaExceededError),
        ("OR008", SecretKeyError),
        ("OR010", CycleError),
        ("OR099", RequestError),
    ],
)
async def test_every_code_is_a_class_with_message_detail_and_hint(
    gateway: PostgresGateway, database: Database, code: str, expected: type[OrbitError]
) -> None:
    async with database.connect() as connection:
        await connection.execute(
            "create or replace function orbit.get_run(p_request jsonb) returns jsonb language plpgsql as"
            " $$ begin perform orbit_private.refuse(p_request ->> 'code', 'what', 'which', 'how'); return null; end $$"
        )
    with pytest.raises(OrbitError) as error:
        await gateway.call("get_run", {"code": code})
    assert type(error.value) is expected
    assert (error.value.message, error.value.detail, error.value.hint) == ("what", "which", "how")


async def raising(database: Database, statement: str) -> None:
    """Has get_run do that instead."""
    async with database.connect() as connection:
        await connection.execute(
            "create or replace function orbit.get_run(p_request jsonb) returns jsonb language plpgsql as"
            f" $$ begin {statement}; return null; end $$"
        )


async def test_an_answer_written_for_http_means_the_same_here(gateway: PostgresGateway, database: Database) -> None:
    error = '{"code": "OR006", "message": "what", "details": "which", "hint": "how"}'
    answer = '{"status": 429, "headers": {"Retry-After": "3"}}'
    await raising(database, f"raise sqlstate 'PGRST' using message = '{error}', detail = '{answer}'")
    with pytest.raises(TooManyRequestsError) as refusal:
        await gateway.call("get_run", {})
    told = refusal.value
    assert (told.message, told.detail, told.hint, told.retry_after) == ("what", "which", "how", 3.0)


async def test_the_seconds_to_wait_stand_in_the_detail(gateway: PostgresGateway, database: Database) -> None:
    await raising(database, "perform orbit_private.refuse('OR006', 'what', '60 a minute; retry after 3.2 s', 'how')")
    with pytest.raises(TooManyRequestsError) as refusal:
        await gateway.call("get_run", {})
    assert refusal.value.retry_after == 3.2


@pytest.mark.parametrize(
    ("code", "expected"),
    [("42501", NotAllowedError), ("57014", DatabaseUnavailableError), ("40001", DatabaseUnavailableError)],
)
async def test_what_postgres_itself_refuses(
    gateway: PostgresGateway, database: Database, code: str, expected: type[OrbitError]
) -> None:
    await raising(database, f"raise exception 'what' using errcode = '{code}'")
    with pytest.raises(expected) as refusal:
        await gateway.call("get_run", {})
    assert refusal.value.detail == "what"
    assert refusal.value.hint


async def test_an_answer_for_http_that_cannot_be_read_is_left_as_it_is(
    gateway: PostgresGateway, database: Database
) -> None:
    await raising(database, "raise sqlstate 'PGRST' using message = 'no json'")
    with pytest.raises(asyncpg.PostgresError, match="no json"):
        await gateway.call("get_run", {})


async def test_the_codes_as_the_functions_raise_them(gateway: PostgresGateway) -> None:
    await gateway.call("save_suite", suite({"a": []}))
    run = await gateway.call("start_run", {"suite": "suite"})
    cases: list[tuple[type[OrbitError], str, dict[str, Any]]] = [
        (InvalidRequestError, "start_run", {"suite": "suite", "colour": "red"}),
        (NotFoundError, "get_run", {"run_id": "00000000-0000-0000-0000-000000000000"}),
        (ConflictError, "start_run", {"suite": "suite", "run_id": run["id"]}),
        (NothingSelectedError, "start_run", {"suite": "suite", "selection": {"tags": [["x"]]}}),
        (CycleError, "save_suite", suite({"a": ["b"], "b": ["a"]})),
    ]
    for expected, function, request in cases:
        with pytest.raises(expected) as error:
            await gateway.call(function, request)
        assert error.value.hint


@pytest.mark.parametrize("value", ["NUL \0 in it", "half a character \ud800", 2**70, {1, 2}])
async def test_what_json_or_the_database_cannot_hold_is_refused(gateway: PostgresGateway, value: Any) -> None:
    await gateway.call("save_suite", suite({"a": []}))
    with pytest.raises(InvalidRequestError):
        await gateway.call("start_run", {"suite": "suite", "variables": {"x": value}})
    assert (await gateway.call("start_run", {"suite": "suite"}))["status"] == "queued", (
        "the connection is as good as before"
    )


async def test_a_function_that_is_not_in_the_contract_is_never_called(gateway: PostgresGateway) -> None:
    with pytest.raises(ValueError, match="not a function of the contract"):
        await gateway.call("get_run('{}'); drop schema orbit cascade; --", {})


async def test_a_database_without_the_schema_is_told_as_such(empty_database: Database) -> None:
    async with PostgresGateway(empty_database.dsn) as gateway:
        with pytest.raises(SchemaMismatchError) as error:
            await gateway.call("list_runs", {})
    assert "orbit db push" in (error.value.hint or "")


async def test_calls_at_once_take_turns(gateway: PostgresGateway) -> None:
    await gateway.call("save_suite", suite({"a": []}))
    runs = await asyncio.gather(*(gateway.call("start_run", {"suite": "suite"}) for _ in range(20)))
    assert len({run["id"] for run in runs}) == 20


async def test_a_connection_that_was_cut_is_opened_anew(gateway: PostgresGateway, database: Database) -> None:
    await gateway.call("list_runs", {})
    ours = "from pg_stat_activity where application_name = 'orbit' and datname = current_database()"
    async with database.connect() as connection:
        await connection.fetch(f"select pg_terminate_backend(pid) {ours}")
        while await connection.fetchval(f"select exists (select {ours})"):
            pass
    with suppress(DatabaseUnavailableError):  # it may have been found closed before it was used
        await gateway.call("list_runs", {})
    assert await gateway.call("list_runs", {}) == [], "one call fails at the most"


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://someone:s3cret-p%40ss@127.0.0.1:1/orbit",
        "postgresql://someone:s3cret-p%40ss@no-such-host.invalid/orbit",
        "postgresql://someone:s3cret-p/ss@127.0.0.1:5432/orbit",
        "postgresql://someone:s3cret-p@ss:x@127.0.0.1:5432:1/orbit",
        "postgresql://someone:s3cret-p@[::1/orbit",
        "mysql://someone:s3cret-p%40ss@127.0.0.1/orbit",
    ],
)
@pytest.mark.parametrize("kind", [PostgresGateway, RunnerGateway])
async def test_a_database_that_cannot_be_reached_is_told_without_its_password(dsn: str, kind: Any) -> None:
    gateway = kind(dsn)
    with pytest.raises(DatabaseUnavailableError) as error:
        await (gateway.call("list_runs", {}) if kind is PostgresGateway else gateway.held_jobs(1))
    told = [str(error.value), error.value.detail or "", error.value.hint or "", repr(error.value)]
    assert not any("s3cret" in text or "p@ss" in text for text in told)
    assert error.value.hint


async def test_a_wrong_password_is_not_told(database: Database) -> None:
    """Where the server itself refuses it: what it says is passed on, and the password is not in it."""
    async with database.connect() as connection:
        name = f"orbit_test_login_{database.name[-6:]}".replace("-", "_")
        await connection.execute(f"create role {name} login password 'right'; alter role {name} connection limit 0")
    try:
        head, _, tail = database.dsn.partition("://")
        place = tail.split("@", 1)[1]
        with pytest.raises(DatabaseUnavailableError) as error:
            await PostgresGateway(f"{head}://{name}:wr%6Fng-s3cret@{place}").call("list_runs", {})
        assert "s3cret" not in "".join(traceback.format_exception_only(error.value)) + (error.value.detail or "")
    finally:
        async with database.connect() as connection:
            await connection.execute(f"drop role {name}")


async def test_a_caller_without_the_role_is_told_what_it_needs(database: Database) -> None:
    async with database.connect() as connection:
        await connection.execute("grant authenticated to current_user")
        await connection.execute("insert into orbit.organizations (slug, name) values ('acme', 'Acme')")

    async def sign_in(connection: asyncpg.Connection[Any]) -> None:
        await connection.execute("set role authenticated")

    async with PostgresGateway(database.dsn) as gateway:
        await gateway.call("save_suite", suite({"a": []}, organization="acme"))
        await gateway.prepare(sign_in)
        with pytest.raises(NotFoundError):
            await gateway.call("start_run", {"suite": "suite", "organization": "acme"})
        assert await gateway.call("list_runs", {}) == []


# -- the worker's side ---------------------------------------------------------------------------------------------------------


async def test_the_runner_s_round_trip(gateway: PostgresGateway, database: Database) -> None:
    await gateway.call("save_suite", suite({"a": [], "b": ["a"], "c": ["b"]}))
    run = await gateway.call("start_run", {"suite": "suite"})
    number = run["queue_no"]
    runner = RunnerGateway(database.dsn)
    low = float("-inf")
    try:
        worker = await runner.register("w", 4, ["http"], "1")
        answer = await runner.advance(worker, 0, 4, [], low, {})
        [a] = answer.jobs
        assert (a.queue_no, a.position, a.attempt) == (number, 0, 1)
        assert await runner.held_jobs(worker) == [(a.id, 1)]
        assert await runner.heartbeat(worker, [number]) == (True, [])
        loaded = await runner.load_run(number)
        assert loaded is not None
        assert [test["key"] for test in loaded["document"]["tests"]] == ["a", "b", "c"]
        assert await runner.load_run(number + 1) is None
        other = await runner.register("other", 4, ["http"], "1")
        captures = [{"name": "x", "value": {"deep": [1, "é"]}}]
        await runner.advance(worker, 0, 0, [Report(a.id, 1, "passed", 0.5, {"captures": captures})], low, {})
        answer = await runner.advance(other, 0, 4, [Report(a.id, 1, "failed", 0.5)], low, {})
        assert [(stale.job_id, stale.attempt) for stale in answer.stale] == [(a.id, 1)]
        assert answer.context[number].entries == [("captured", "a", "x", {"deep": [1, "é"]}, False)]
        [b] = answer.jobs
        await gateway.call("cancel_run", {"run_id": run["id"]})
        assert await runner.heartbeat(other, [number, number + 7]) == (True, [number, number + 7])
        answer = await runner.advance(other, 0, 4, [Report(b.id, 1, "cancelled", 0.0)], low, {})
        assert answer.done == {number: "cancelled"}
        await runner.retire(other)
        answer = await runner.advance(other, 0, 4, [], low, {})
        assert answer.unknown_worker
        assert answer.next_in is None
        assert "late" in await runner.tick(60.0)
    finally:
        await runner.close()


@pytest.mark.parametrize(
    "extra",
    [{"reason": "NUL \0"}, {"reason": "\ud800"}, {"captures": [{"name": "x", "value": "clear", "secret": True}]}],
)
async def test_a_report_that_cannot_be_stored_is_refused_and_nothing_of_the_call_stays(
    gateway: PostgresGateway, database: Database, extra: dict[str, Any]
) -> None:
    await gateway.call("save_suite", suite({"a": [], "b": []}))
    run = await gateway.call("start_run", {"suite": "suite"})
    runner = RunnerGateway(database.dsn)
    try:
        worker = await runner.register("w", 4, ["http"], "1")
        jobs = (await runner.advance(worker, 0, 4, [], float("-inf"), {})).jobs
        with pytest.raises(InvalidRequestError):
            await runner.advance(
                worker,
                0,
                4,
                [Report(jobs[0].id, 1, "passed", 0.0), Report(jobs[1].id, 1, "failed", 0.0, extra)],
                float("-inf"),
                {},
            )
        assert await gateway.call("list_results", {"run_id": run["id"]}) == []
        answer = await runner.advance(
            worker, 0, 0, [Report(job.id, 1, "passed", 0.0) for job in jobs], float("-inf"), {}
        )
        assert answer.done == {run["queue_no"]: "passed"}
    finally:
        await runner.close()
