"""Rates and quotas: never more than is allowed, never less where somebody waited as told, exact under concurrent starts."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from support.queue import Queue
from support.tenants import Tenants

from orbit_context.errors import TooManyRequestsError
from orbit_context.gateway.translation import from_database

if TYPE_CHECKING:
    from uuid import UUID

    from support.postgres import Database

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
TAKE = "select orbit_private.take($1, $2, $3, $4)"


async def set_limits(connection: asyncpg.Connection[Any], **limits: Any) -> Any:
    return await (await Tenants.on(connection)).call("set_limits", {"organization": "acme", "limits": limits})


@pytest.fixture
async def acme(connection: asyncpg.Connection[Any]) -> UUID:
    return await (await Tenants.on(connection)).organization("acme", owner="olga", viewer="vera")


# Rates -------------------------------------------------------------------------------------------------------------------


async def taken(
    connection: asyncpg.Connection[Any], acme: UUID, at: float, cost: int = 1, bucket: str = "start_run"
) -> float:
    """Seconds to wait; 0 where it was let in."""
    try:
        await connection.execute(TAKE, acme, bucket, cost, BEGIN + timedelta(seconds=at))
    except asyncpg.PostgresError as refusal:
        told = from_database(refusal.sqlstate or "", refusal.message or "", refusal.detail, refusal.hint)
        assert isinstance(told, TooManyRequestsError)
        assert told.retry_after is not None
        assert told.retry_after > 0
        return told.retry_after
    return 0.0


@pytest.mark.parametrize("seed", range(6))
async def test_no_window_holds_more_than_the_burst_and_what_the_rate_gives(
    connection: asyncpg.Connection[Any], acme: UUID, seed: int
) -> None:
    chance = random.Random(seed)
    amount, per, burst = chance.choice([(1, 1, 1), (60, 60, 5), (7, 3, 20), (3, 100, 2), (1000, 7, 50), (2, 0.25, 3)])
    await set_limits(connection, start_run={"amount": amount, "per": per, "burst": burst})
    rate = amount / per
    now, let_in, level, level_at = 0.0, [], float(burst), 0.0
    for _ in range(150):
        now += chance.choice([0, 0, 0.001, chance.expovariate(rate), burst / rate])
        cost = chance.randint(1, burst)
        level, level_at = min(burst, level + (now - level_at) * rate), now  # the model: a bucket that fills
        wait = await taken(connection, acme, now, cost)
        if abs(level - cost) * per / amount > 1e-4:  # beyond what clocks tell apart
            assert (wait == 0) == (level >= cost), (level, cost)
        if wait == 0:
            let_in.append((now, cost))
            level -= cost
        else:
            assert wait >= (cost - level) / rate - 1e-4, "told to come back too early"
            assert wait <= (cost - level) / rate + 0.1 + 1e-4, "told to wait longer than needed"
            now += wait
            level, level_at = min(burst, level + wait * rate), now
            assert await taken(connection, acme, now, cost) == 0, "refused after waiting as told"
            let_in.append((now, cost))
            level -= cost
    for first in range(len(let_in)):
        sum_of = 0
        for at, cost in let_in[first:]:
            sum_of += cost
            assert sum_of <= burst + (at - let_in[first][0]) * rate + 1e-3


async def test_a_clock_that_goes_back_gives_nothing_away(connection: asyncpg.Connection[Any], acme: UUID) -> None:
    await set_limits(connection, start_run={"amount": 1, "per": 10, "burst": 2})
    assert [await taken(connection, acme, 1000) for _ in range(2)] == [0, 0]
    assert await taken(connection, acme, 0) > 0
    assert await taken(connection, acme, 1000) == 10
    assert await taken(connection, acme, 1010) == 0


async def test_buckets_are_an_organisations_own_and_each_token_has_one(
    connection: asyncpg.Connection[Any], acme: UUID
) -> None:
    other = await (await Tenants.on(connection)).organization("bolt")
    await (await Tenants.on(connection)).call(
        "set_limits",
        {"all": True, "limits": {"token": {"amount": 1, "per": 60}, "start_run": {"amount": 1, "per": 60}}},
    )
    for organization in (acme, other):
        for bucket in ("token:a", "token:b", "start_run"):
            assert await taken(connection, organization, 0, bucket=bucket) == 0
            assert await taken(connection, organization, 0, bucket=bucket) == 60


async def test_connections_that_take_at_once_get_no_more_than_there_is(database: Database) -> None:
    async with database.connect() as connection:
        acme = await (await Tenants.on(connection)).organization("acme")
        await set_limits(connection, start_run={"amount": 1, "per": 1000, "burst": 13})

    async def many() -> int:
        async with database.connect() as connection:
            return [await taken(connection, acme, 0) for _ in range(6)].count(0)

    assert sum(await asyncio.gather(*(many() for _ in range(10)))) == 13


async def test_a_look_takes_nothing_and_waits_for_nobody(database: Database) -> None:
    async with database.connect() as connection, database.connect() as other:
        acme = await (await Tenants.on(connection)).organization("acme")
        await set_limits(connection, start_run={"amount": 1, "per": 1000, "burst": 1})
        look = "select orbit_private.look($1, 'start_run', 1, $2)"
        await other.execute("set lock_timeout = '5s'")
        for _ in range(3):
            await other.execute(look, acme, BEGIN)
        async with connection.transaction():
            await connection.execute(TAKE, acme, "start_run", 1, BEGIN)
            await other.execute(look, acme, BEGIN)
        with pytest.raises(asyncpg.PostgresError) as refusal:
            await other.execute(look, acme, BEGIN)
        assert refusal.value.sqlstate == "OR006"


async def test_what_is_rolled_back_was_not_taken(connection: asyncpg.Connection[Any], acme: UUID) -> None:
    await set_limits(connection, start_run={"amount": 1, "per": 1000, "burst": 1})
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(TAKE, acme, "start_run", 1, BEGIN)
    await transaction.rollback()
    assert await taken(connection, acme, 0) == 0


async def test_more_than_the_burst_can_never_be_taken_and_nobody_is_told_to_wait(
    connection: asyncpg.Connection[Any], acme: UUID
) -> None:
    await set_limits(connection, start_run={"amount": 10, "per": 1, "burst": 3})
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await connection.execute(TAKE, acme, "start_run", 4, BEGIN)
    assert refusal.value.sqlstate == "OR007"


async def test_over_http_the_refusal_carries_its_status_and_when_to_retry(
    connection: asyncpg.Connection[Any], acme: UUID
) -> None:
    await set_limits(connection, start_run={"amount": 1, "per": 3.2, "burst": 1})
    await taken(connection, acme, 0)
    await connection.execute("select set_config('request.method', 'POST', false)")
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await connection.execute(TAKE, acme, "start_run", 1, BEGIN)
    assert refusal.value.sqlstate == "PGRST"
    said = json.loads(refusal.value.message or "")
    assert said["code"] == "OR006"
    assert said["details"] == "retry after 3.2 s"
    assert json.loads(refusal.value.detail or "") == {"status": 429, "headers": {"Retry-After": "4"}}
    assert await taken(connection, acme, 0) == 3.2, "the gateway reads it as the same error"


# Starts and saves --------------------------------------------------------------------------------------------------------


async def test_starts_are_limited_and_a_refused_one_leaves_nothing(connection: asyncpg.Connection[Any]) -> None:
    queue = Queue(connection)
    await (await Tenants.on(connection)).organization("acme")
    await queue.save({"a": []}, organization="acme")
    await set_limits(connection, start_run={"amount": 2, "per": 3600})
    await queue.start(organization="acme")
    await queue.start(organization="acme")
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await queue.start(organization="acme")
    assert refusal.value.sqlstate == "OR006"
    assert "start_run" in str(refusal.value)
    assert await connection.fetchval("select count(*) from orbit.test_runs") == 2
    assert await connection.fetchval("select count(*) from orbit.audit_log where action = 'run.start'") == 2


async def test_invitations_and_looks_at_secrets_are_limited(connection: asyncpg.Connection[Any], acme: UUID) -> None:
    tenants = await Tenants.on(connection)
    once = {"amount": 1, "per": 3600}
    await set_limits(connection, invite=once, read_secret=once)
    await tenants.call_as("olga", "invite_member", {"email": "new@example.com"})
    assert await tenants.refused("olga", "invite_member", {"email": "newer@example.com"}) == "OR006"
    secret = {"name": "pass", "secret": True, "value": "orbit.seal.v1.AAAAAAAA." + "B" * 60}
    await tenants.call("save_environment", {"organization": "acme", "name": "staging", "variables": [secret]})
    await tenants.call_as("olga", "read_secret", {"environment": "staging", "name": "pass"})
    assert await tenants.refused("olga", "read_secret", {"environment": "staging", "name": "pass"}) == "OR006"


async def test_saving_what_is_there_already_is_free(connection: asyncpg.Connection[Any]) -> None:
    queue = Queue(connection)
    await (await Tenants.on(connection)).organization("acme")
    await set_limits(connection, save_suite={"amount": 2, "per": 3600})
    for _ in range(5):
        await queue.save({"a": []}, organization="acme")
    await queue.save({"a": [], "b": []}, organization="acme")
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await queue.save({"a": [], "b": [], "c": []}, organization="acme")
    assert refusal.value.sqlstate == "OR006"


async def test_concurrent_starts_never_pass_the_number_of_runs_allowed(database: Database) -> None:
    async with database.connect() as connection:
        await (await Tenants.on(connection)).organization("acme")
        await Queue(connection).save({"a": []}, organization="acme")
        await set_limits(connection, concurrent_runs=7)

    refusals: list[asyncpg.PostgresError] = []

    async def starter() -> int:
        async with database.connect() as connection:
            queue, started = Queue(connection), 0
            for _ in range(4):
                try:
                    await queue.start(organization="acme")
                    started += 1
                except asyncpg.PostgresError as refusal:
                    refusals.append(refusal)
            return started

    assert sum(await asyncio.gather(*(starter() for _ in range(10)))) == 7
    assert {(one.sqlstate, one.detail) for one in refusals} == {("OR007", "used: 7, allowed: 7")}
    assert "cancel" in (refusals[0].hint or "")
    async with database.connect() as connection:
        queue = Queue(connection)
        await (await queue.worker()).run_to_end({})
        await queue.start(organization="acme")  # there is room again


async def test_another_organisations_runs_do_not_count(connection: asyncpg.Connection[Any]) -> None:
    queue = Queue(connection)
    for slug in ("acme", "bolt"):
        await (await Tenants.on(connection)).organization(slug)
        await queue.save({"a": []}, organization=slug)
    await (await Tenants.on(connection)).call("set_limits", {"all": True, "limits": {"concurrent_runs": 1}})
    await queue.start(organization="acme")
    await queue.start(organization="bolt")
    await set_limits(connection, concurrent_runs="unlimited")
    await queue.start(organization="acme")
    await set_limits(connection, concurrent_runs=None)  # the default again
    with pytest.raises(asyncpg.PostgresError, match="used up"):
        await queue.start(organization="acme")


async def test_results_kept_are_counted_and_the_count_is_renewed(connection: asyncpg.Connection[Any]) -> None:
    queue = Queue(connection)
    await (await Tenants.on(connection)).organization("acme")
    await queue.save({"a": [], "b": []}, organization="acme")
    await set_limits(connection, stored_results=2)
    await queue.start(organization="acme")
    await (await queue.worker()).run_to_end({})
    await queue.start(organization="acme")  # as last counted there was none
    await connection.execute("update orbit_private.stored_usage set counted_at = now() - interval '2 minutes'")
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await queue.start(organization="acme")
    assert (refusal.value.sqlstate, refusal.value.detail) == ("OR007", "used: 2, allowed: 2")


async def test_bytes_kept_are_limited(connection: asyncpg.Connection[Any]) -> None:
    queue = Queue(connection)
    await (await Tenants.on(connection)).organization("acme")
    await set_limits(connection, stored_bytes=1)
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await queue.save({"a": []}, organization="acme")
    assert refusal.value.sqlstate == "OR007"
    assert await connection.fetchval("select count(*) from orbit.test_suites") == 0


async def test_a_laptop_never_meets_a_limit(connection: asyncpg.Connection[Any]) -> None:
    assert await connection.fetchval("select count(*) from orbit.organization_limits") == 0
    queue = Queue(connection)
    await queue.save({"a": []})
    await queue.start()
    assert await connection.fetchval("select count(*) from orbit_private.limit_bucket") == 0


# Reading and setting -----------------------------------------------------------------------------------------------------


async def test_who_may_read_and_who_may_set(connection: asyncpg.Connection[Any], acme: UUID) -> None:
    tenants = await Tenants.on(connection)
    await tenants.person("stranger")
    request = {"organization": "acme", "limits": {"concurrent_runs": 1000}}
    assert await tenants.refused("olga", "set_limits", request) == "OR003"
    assert await tenants.refused("stranger", "get_limits", {"organization": "acme"}) == "OR002"
    assert await tenants.refused("stranger", "get_usage", {"organization": "acme"}) == "OR002"
    async with tenants.acting("vera"):
        assert (await tenants.call("get_limits", {}))["organization"] == "acme"
        assert (await tenants.call("get_usage", {}))["organization"] == "acme"
        for statement in (
            "insert into orbit.organization_limits (name, amount) values ('concurrent_runs', 1)",
            "update orbit.organization_limits set amount = 1",
            "delete from orbit.organization_limits",
        ):
            savepoint = connection.transaction()
            await savepoint.start()
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
            await savepoint.rollback()
    async with tenants.acting(None, role="service_role"):
        await tenants.call("set_limits", request)


async def test_where_a_limit_comes_from_and_what_is_used_of_it(connection: asyncpg.Connection[Any], acme: UUID) -> None:
    tenants = await Tenants.on(connection)
    await tenants.call(
        "set_limits", {"all": True, "limits": {"concurrent_runs": 5, "start_run": {"amount": 6, "per": 60}}}
    )
    answer = await set_limits(connection, concurrent_runs=9, stored_results="unlimited")
    found = {limit["name"]: limit for limit in answer["limits"]}
    assert (found["concurrent_runs"]["amount"], found["concurrent_runs"]["origin"]) == (9, "organization")
    assert (found["stored_results"]["amount"], found["stored_results"]["origin"]) == (None, "organization")
    assert (found["start_run"]["burst"], found["start_run"]["per"], found["start_run"]["origin"]) == (6, 60, "default")
    assert (found["invite"]["amount"], found["invite"]["origin"]) == (None, "none")
    await connection.execute("select orbit_private.take($1, 'start_run', 4)", acme)
    usage = {used["name"]: used for used in (await tenants.call("get_usage", {"organization": "acme"}))["usage"]}
    assert usage["start_run"] == {"name": "start_run", "kind": "rate", "used": 4, "allowed": 6}
    assert usage["concurrent_runs"] == {"name": "concurrent_runs", "kind": "quota", "used": 0, "allowed": 9}


@pytest.mark.parametrize(
    "limits",
    [
        {"colour": 1},
        {"concurrent_runs": -1},
        {"concurrent_runs": "many"},
        {"concurrent_runs": {"amount": 1, "per": 1}},
        {"start_run": 5},
        {"start_run": {"amount": 5}},
        {"start_run": {"amount": 0, "per": 1}},
        {"start_run": {"amount": 5, "per": 0}},
        {"start_run": {"amount": 5, "per": -1}},
        {"start_run": {"amount": 5, "per": "NaN"}},
        {"start_run": {"amount": 5, "per": 1, "burst": 0}},
        {"start_run": {"amount": 5, "per": 1, "colour": "red"}},
        [],
        None,
    ],
)
async def test_a_malformed_limit_is_refused_and_nothing_is_set(
    connection: asyncpg.Connection[Any], acme: UUID, limits: Any
) -> None:
    tenants = await Tenants.on(connection)
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await tenants.call("set_limits", {"organization": "acme", "limits": limits})
    assert refusal.value.sqlstate == "OR001", refusal.value
    assert await connection.fetchval("select count(*) from orbit.organization_limits") == 0


async def test_setting_a_limit_is_in_the_audit_log(connection: asyncpg.Connection[Any], acme: UUID) -> None:
    await set_limits(connection, concurrent_runs=5)
    await set_limits(connection, concurrent_runs=5)
    await set_limits(connection, concurrent_runs=6)
    await set_limits(connection, concurrent_runs=None)
    rows = await connection.fetch(
        "select action, before ->> 'amount' as before, after ->> 'amount' as after, resource_name from orbit.audit_log"
        " where organization_id = $1 and resource_type = 'limit' order by number",
        acme,
    )
    assert [tuple(row) for row in rows] == [
        ("limit.create", None, "5", "concurrent_runs"),
        ("limit.update", "5", "6", "concurrent_runs"),
        ("limit.delete", "6", None, "concurrent_runs"),
    ]


# A rate of people --------------------------------------------------------------------------------------------------------


async def test_organisations_are_made_by_one_person_no_faster_than_allowed(connection: asyncpg.Connection[Any]) -> None:
    tenants = await Tenants.on(connection)
    for person in ("ada", "eve"):
        await tenants.person(person)
    for number in range(3):  # nothing is limited until somebody says so
        await tenants.call_as("ada", "create_organization", {"name": f"Free {number}"})
    rate = {"create_organization": {"amount": 2, "per": 3600}}
    await tenants.call("set_limits", {"all": True, "limits": rate})
    for number in range(2):
        await tenants.call_as("ada", "create_organization", {"name": f"Ada {number}"})
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await tenants.call_as("ada", "create_organization", {"name": "Ada 3"})
    told = from_database(
        refusal.value.sqlstate or "", refusal.value.message or "", refusal.value.detail, refusal.value.hint
    )
    assert isinstance(told, TooManyRequestsError)
    assert told.retry_after is not None
    assert 1700 < told.retry_after <= 1800
    assert await connection.fetchval("select count(*) from orbit.organizations where name like 'Ada%'") == 2
    await tenants.call_as("eve", "create_organization", {"name": "Eve"})  # a bucket of her own
    for number in range(4):  # whoever runs the database is not limited
        await tenants.call("create_organization", {"name": f"Service {number}"})


async def test_the_rate_of_people_is_set_for_all_alone(connection: asyncpg.Connection[Any], acme: UUID) -> None:
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await set_limits(connection, create_organization={"amount": 2, "per": 3600})
    assert refusal.value.sqlstate == "OR001"
    usage = await (await Tenants.on(connection)).call("get_usage", {"organization": "acme"})
    assert "create_organization" not in {one["name"] for one in usage["usage"]}


async def test_stored_bytes_are_those_of_suites_and_data_sets(connection: asyncpg.Connection[Any], acme: UUID) -> None:
    tenants = await Tenants.on(connection)

    async def used() -> int:
        answer = await tenants.call("get_usage", {"organization": "acme"})
        return int(next(one["used"] for one in answer["usage"] if one["name"] == "stored_bytes"))

    before = await used()
    rows = [{"text": random.Random(number).randbytes(50).hex()} for number in range(200)]
    fixture = {"organization": "acme", "name": "texts", "rows": rows}
    await tenants.call("save_fixture", fixture)
    assert await used() > before + 10_000
    await set_limits(connection, stored_bytes=before + 10_000)
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await tenants.call("save_fixture", fixture | {"name": "more"})
    assert refusal.value.sqlstate == "OR007"
    assert (await tenants.call("save_fixture", fixture))["changed"] is False  # what is there already is free
    await tenants.call("delete_fixture", {"organization": "acme", "name": "texts"})
    assert await used() == before
