"""The audit log's numbers and hashes: right whatever happens at once, and broken by whatever is done to them afterwards."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
import pytest
from support.tenants import Tenants

if TYPE_CHECKING:
    from uuid import UUID

    from support.postgres import Database

    Connection: TypeAlias = asyncpg.Connection[Any]

ENTRY = "select orbit_private.audit($1, 'thing.done', 'thing', $2)"
COLUMNS = (
    "organization_id", "number", "at", "user_id", "actor", "address", "agent", "action", "resource_type", "resource_id",
    "resource_name", "before", "after", "hash",
)  # fmt: skip


async def verify(connection: Connection, **request: Any) -> dict[str, Any]:
    request.setdefault("organization", "acme")
    answer: dict[str, Any] = json.loads(
        await connection.fetchval("select orbit.verify_audit($1::text::jsonb)", json.dumps(request))
    )
    return answer


async def numbers(connection: Connection, organization: UUID) -> list[int]:
    rows = await connection.fetch(
        "select number from orbit.audit_log where organization_id = $1 order by number", organization
    )
    return [row["number"] for row in rows]


@pytest.fixture
async def acme(connection: Connection) -> UUID:
    """An organisation whose chain has ten entries."""
    acme = await (await Tenants.on(connection)).organization("acme", owner="olga")
    for number in range(8):
        await connection.execute(ENTRY, acme, str(number))
    assert await numbers(connection, acme) == list(range(1, 11))
    return acme


# Numbers and hashes ------------------------------------------------------------------------------------------------------


async def test_many_transactions_over_several_organisations_give_whole_chains(database: Database) -> None:
    async with database.connect() as connection:
        tenants = await Tenants.on(connection)
        organizations = [await tenants.organization(slug) for slug in ("acme", "bolt", "cord")]

    async def writer(seed: int) -> int:
        chance = random.Random(seed)
        written = 0
        async with database.connect() as connection:
            for _ in range(15):
                transaction = connection.transaction()
                await transaction.start()
                # In any order: crosswise, they would wait for each other forever.
                for organization in chance.choices(organizations, k=chance.randint(1, 6)):
                    await connection.execute(ENTRY, organization, str(seed))
                    written += 1
                if chance.random() < 0.2:
                    await connection.execute("savepoint s")
                    await connection.execute(ENTRY, organizations[0], "never")
                    await connection.execute("rollback to savepoint s")
                await transaction.commit()
        return written

    written = await asyncio.gather(*(writer(seed) for seed in range(12)))
    async with database.connect() as connection:
        found = 0
        for slug, organization in zip(("acme", "bolt", "cord"), organizations, strict=True):
            chain = await numbers(connection, organization)
            assert chain == list(range(1, len(chain) + 1))
            report = await verify(connection, organization=slug)
            assert report["ok"], report
            assert report["rows"] == len(chain)
            found += len(chain) - 1  # without organization.create
        assert found == sum(written)
        assert not await connection.fetchval("select exists (select from orbit.audit_log where resource_id = 'never')")
        assert await connection.fetchval("select count(*) from orbit_private.audit_pending") == 0


async def test_transactions_of_one_organisation_do_not_wait_while_they_work(database: Database) -> None:
    async with database.connect() as first, database.connect() as second:
        acme = await (await Tenants.on(first)).organization("acme")
        await second.execute("set lock_timeout = '5s'")
        slow = first.transaction()
        await slow.start()
        await first.execute(ENTRY, acme, "slow")
        async with second.transaction():
            await second.execute(ENTRY, acme, "quick")
        await slow.commit()
        rows = await first.fetch("select resource_id from orbit.audit_log where action = 'thing.done' order by number")
        assert [row["resource_id"] for row in rows] == ["quick", "slow"]
        assert (await verify(first))["ok"]


async def test_entries_are_chained_after_all_else_that_was_put_off_until_the_commit(connection: Connection) -> None:
    acme = await (await Tenants.on(connection)).organization("acme")
    await connection.execute("""
        create table public.late (chained boolean);
        create function public.look() returns trigger language plpgsql as $$ begin
          update public.late set chained = exists (select from orbit.audit_log where action = 'thing.done'); return null; end $$;
        create constraint trigger look after insert on public.late deferrable initially deferred
          for each row execute function public.look();
    """)
    async with connection.transaction():
        await connection.execute(ENTRY, acme, "first")
        await connection.execute("insert into public.late values (null)")
    assert await connection.fetchval("select chained from public.late") is False
    assert await connection.fetchval("select count(*) from orbit.audit_log where action = 'thing.done'") == 1


async def test_what_was_rolled_back_is_no_entry_also_where_it_was_the_first(connection: Connection) -> None:
    acme = await (await Tenants.on(connection)).organization("acme")
    async with connection.transaction():
        await connection.execute("savepoint s")
        await connection.execute(ENTRY, acme, "undone")
        await connection.execute("rollback to savepoint s")
        await connection.execute(ENTRY, acme, "done")
        await connection.execute("savepoint s")
        await connection.execute(ENTRY, acme, "undone too")
        await connection.execute("rollback to savepoint s")
    rows = await connection.fetch("select resource_id from orbit.audit_log where action = 'thing.done'")
    assert [row["resource_id"] for row in rows] == ["done"]
    assert (await verify(connection))["ok"]


async def test_constraints_set_to_be_checked_at_once_change_nothing(connection: Connection) -> None:
    acme = await (await Tenants.on(connection)).organization("acme")
    async with connection.transaction():
        await connection.execute(ENTRY, acme, "1")
        await connection.execute("set constraints all immediate")
        await connection.execute(ENTRY, acme, "2")
        await connection.execute(ENTRY, acme, "3")
    rows = await connection.fetch("select resource_id from orbit.audit_log where action = 'thing.done' order by number")
    assert [row["resource_id"] for row in rows] == ["1", "2", "3"]
    assert (await verify(connection))["ok"]


async def test_the_hash_is_what_the_documentation_says(connection: Connection, acme: UUID) -> None:
    """Reckoned anew from the rows alone, without any function of Orbit's."""
    await connection.execute("set timezone = 'Asia/Tokyo'; set datestyle = 'German'; set extra_float_digits = 0")
    assert (await verify(connection))["ok"]
    rows = await connection.fetch(
        "select hash, jsonb_build_array(organization_id, number, to_char(at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US'),"
        " user_id, actor, address, agent, action, resource_type, resource_id, resource_name, before, after)::text as text"
        " from orbit.audit_log where organization_id = $1 order by number",
        acme,
    )
    last = hashlib.sha256(f"orbit.audit.v1 {acme}".encode()).digest()
    for row in rows:
        last = hashlib.sha256(last + row["text"].encode()).digest()
        assert row["hash"] == last


# Tampering ---------------------------------------------------------------------------------------------------------------


async def tamper(connection: Connection, sql: str, *arguments: Any) -> None:
    """As somebody who owns the database and has put every guard out of action."""
    async with connection.transaction():
        await connection.execute("set local session_replication_role = replica")
        await connection.execute(sql, *arguments)


async def first_bad(connection: Connection, **request: Any) -> tuple[int | None, str]:
    report = await verify(connection, **request)
    assert not report["ok"]
    return report["first_bad"]["number"], report["first_bad"]["why"]


async def test_every_column_is_part_of_what_is_hashed(connection: Connection) -> None:
    there = await connection.fetch(
        "select attname from pg_attribute where attrelid = 'orbit.audit_log'::regclass and attnum > 0 and not attisdropped"
    )
    assert {row["attname"] for row in there} == set(COLUMNS)


@pytest.mark.parametrize("column", [name for name in COLUMNS if name not in ("organization_id", "number")])
async def test_an_altered_field_is_found(connection: Connection, acme: UUID, column: str) -> None:
    another = {
        "at": "at + interval '1 microsecond'",
        "user_id": "gen_random_uuid()",
        "before": "'{}'",
        "after": "'{}'",
        "hash": "sha256(hash)",
    }.get(column, f"coalesce({column}, '') || 'x'")
    await tamper(
        connection, f"update orbit.audit_log set {column} = {another} where organization_id = $1 and number = 5", acme
    )
    assert (await first_bad(connection))[0] == 5


async def test_an_entry_altered_with_its_hash_reckoned_anew_is_found_at_the_next(
    connection: Connection, acme: UUID
) -> None:
    await tamper(
        connection, "update orbit.audit_log set actor = 'nobody' where organization_id = $1 and number = 5", acme
    )
    await tamper(
        connection,
        "update orbit.audit_log a set hash = sha256(p.hash || convert_to(orbit_private.audit_text(a), 'UTF8'))"
        " from orbit.audit_log p where a.organization_id = $1 and a.number = 5 and p.organization_id = $1 and p.number = 4",
        acme,
    )
    assert (await first_bad(connection))[0] == 6


async def test_a_deleted_row_is_found(connection: Connection, acme: UUID) -> None:
    await tamper(connection, "delete from orbit.audit_log where organization_id = $1 and number = 5", acme)
    number, why = await first_bad(connection)
    assert number == 5
    assert "missing" in why


async def test_a_deleted_first_row_is_found(connection: Connection, acme: UUID) -> None:
    await tamper(connection, "delete from orbit.audit_log where organization_id = $1 and number = 1", acme)
    assert (await first_bad(connection))[0] == 1


async def test_a_swapped_order_is_found(connection: Connection, acme: UUID) -> None:
    for was, becomes in ((4, 99), (5, 4), (99, 5)):
        await tamper(
            connection,
            "update orbit.audit_log set number = $3 where organization_id = $1 and number = $2",
            acme,
            was,
            becomes,
        )
    assert (await first_bad(connection))[0] == 4


async def test_an_inserted_row_is_found(connection: Connection, acme: UUID) -> None:
    for was in range(10, 4, -1):
        await tamper(
            connection,
            "update orbit.audit_log set number = number + 1 where organization_id = $1 and number = $2",
            acme,
            was,
        )
    await tamper(
        connection,
        "insert into orbit.audit_log (organization_id, number, at, actor, action, resource_type, hash)"
        " select organization_id, 5, at, actor, action, resource_type, hash from orbit.audit_log"
        " where organization_id = $1 and number = 4",
        acme,
    )
    assert (await first_bad(connection))[0] == 5


async def test_a_row_put_after_the_last_is_found(connection: Connection, acme: UUID) -> None:
    await tamper(
        connection,
        "insert into orbit.audit_log select (jsonb_populate_record(a, '{\"number\": 11}')).*"
        " from orbit.audit_log a where a.organization_id = $1 and a.number = 10",
        acme,
    )
    await tamper(
        connection,
        "update orbit.audit_log a set hash = sha256(p.hash || convert_to(orbit_private.audit_text(a), 'UTF8'))"
        " from orbit.audit_log p where a.organization_id = $1 and a.number = 11 and p.organization_id = $1 and p.number = 10",
        acme,
    )
    number, why = await first_bad(connection)
    assert number == 11
    assert "ends at 10" in why


async def test_a_truncated_tail_is_found_by_the_head(connection: Connection, acme: UUID) -> None:
    await tamper(connection, "delete from orbit.audit_log where organization_id = $1 and number > 7", acme)
    number, why = await first_bad(connection)
    assert number == 8
    assert "up to 10" in why


async def test_an_emptied_chain_is_found_by_the_head(connection: Connection, acme: UUID) -> None:
    await tamper(connection, "delete from orbit.audit_log where organization_id = $1", acme)
    assert (await first_bad(connection))[0] == 1


async def test_a_tail_and_its_head_cut_together_are_found_by_the_head_kept_outside_alone(
    connection: Connection, acme: UUID
) -> None:
    head = (await verify(connection))["head"]
    kept = f"{head['number']}:{head['hash']}"
    assert (await verify(connection, head=kept))["ok"]
    assert (await verify(connection, head=head["hash"]))["ok"]
    await tamper(connection, "delete from orbit.audit_log where organization_id = $1 and number > 7", acme)
    await tamper(
        connection,
        "update orbit_private.audit_head h set number = 7, hash = (select a.hash from orbit.audit_log a"
        " where a.organization_id = $1 and a.number = 7) where h.organization_id = $1",
        acme,
    )
    assert (await verify(connection))["ok"], "nothing inside the database tells"
    assert (await first_bad(connection, head=kept))[0] == 10
    assert (await first_bad(connection, head=head["hash"]))[0] is None
    for number in range(7):  # grown over it again
        await connection.execute(ENTRY, acme, str(number))
    assert (await verify(connection))["ok"]
    assert (await first_bad(connection, head=kept))[0] == 10


async def test_a_head_kept_outside_fits_for_ever_while_nothing_is_touched(connection: Connection, acme: UUID) -> None:
    head = (await verify(connection))["head"]
    for number in range(5):
        await connection.execute(ENTRY, acme, str(number))
    assert (await verify(connection, head=f"{head['number']}:{head['hash']}"))["ok"]
    assert (await first_bad(connection, head=f"{head['number'] + 1}:{head['hash']}"))[0] == 11


async def test_a_part_is_verified_on_what_lies_before_it(connection: Connection, acme: UUID) -> None:
    await tamper(connection, "update orbit.audit_log set actor = 'x' where organization_id = $1 and number = 3", acme)
    assert (await verify(connection, **{"from": 4}))["ok"]
    assert (await verify(connection, to=2)) | {"head": None} == {
        "rows": 2, "ok": True, "first_bad": None, "anchor": None, "head": None,
    }  # fmt: skip
    assert (await first_bad(connection, **{"from": 3, "to": 3}))[0] == 3


# Append only -------------------------------------------------------------------------------------------------------------

CHANGES = {
    "update": "update orbit.audit_log set actor = 'nobody'",
    "delete": "delete from orbit.audit_log",
    "truncate": "truncate orbit.audit_log",
    "truncate all": "truncate orbit.organizations, orbit.audit_log cascade",
    "insert": "insert into orbit.audit_log (organization_id, number, at, actor, action, resource_type, hash)"
    " values (gen_random_uuid(), 1, now(), 'x', 'x.y', 'x', sha256('x'))",
}


@pytest.mark.parametrize("role", ["owner", "service_role", "authenticated", "anon"])
@pytest.mark.parametrize("change", CHANGES)
async def test_nobody_changes_an_entry(connection: Connection, acme: UUID, role: str, change: str) -> None:
    if role != "owner":
        await connection.execute(f"set role {role}")
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await connection.execute(CHANGES[change])
    assert refusal.value.sqlstate == ("OR003" if role == "owner" else "42501")
    await connection.execute("reset role")
    assert (await verify(connection))["rows"] == 10


@pytest.mark.parametrize(
    "change",
    [
        "delete from orbit_private.audit_head",
        "truncate orbit_private.audit_head",
        "update orbit_private.audit_head set number = number - 1",
        "update orbit_private.audit_head set hash = sha256('x')",
        "update orbit_private.audit_head set anchor_hash = sha256('x')",
    ],
)
async def test_a_head_only_moves_forward(connection: Connection, acme: UUID, change: str) -> None:
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await connection.execute(change)
    assert refusal.value.sqlstate == "OR003"


async def test_a_person_cannot_write_an_entry_of_their_own(connection: Connection, acme: UUID) -> None:
    await connection.execute("set role authenticated")
    for statement in (
        "select orbit_private.audit(null, 'a.b', 'c', 'd')",
        "insert into orbit_private.audit_pending (first) values (true)",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)


# Retention ---------------------------------------------------------------------------------------------------------------


async def test_retention_leaves_an_anchor_on_which_the_rest_verifies(connection: Connection, acme: UUID) -> None:
    old = (await verify(connection))["head"]
    cut = await connection.fetchval("select at from orbit.audit_log where organization_id = $1 and number = 7", acme)
    assert await connection.fetchval("select orbit_private.drop_audit($1, $2)", acme, cut) == 6
    assert await numbers(connection, acme) == [7, 8, 9, 10, 11]
    report = await verify(connection)
    assert report["ok"], report
    assert report["rows"] == 5
    assert report["anchor"]["number"] == 6
    assert (await verify(connection, head=f"{old['number']}:{old['hash']}"))["ok"]
    last = await connection.fetchrow("select * from orbit.audit_log where organization_id = $1 and number = 11", acme)
    assert last is not None
    assert last["action"] == "audit.drop"
    assert json.loads(last["after"])["hash"] == report["anchor"]["hash"]
    # What is left is guarded as before.
    with pytest.raises(asyncpg.PostgresError, match="not deleted"):
        await connection.execute("delete from orbit.audit_log where number = 7")
    await tamper(connection, "update orbit.audit_log set actor = 'x' where organization_id = $1 and number = 7", acme)
    assert (await first_bad(connection))[0] == 7


async def test_retention_keeps_the_newest_and_takes_no_more_than_it_is_told(connection: Connection, acme: UUID) -> None:
    drop = "select orbit_private.drop_audit($1, 'infinity', $2)"
    assert await connection.fetchval(drop, acme, 4) == 4
    assert (await numbers(connection, acme))[0] == 5
    assert await connection.fetchval(drop, acme, 100) == 6  # 5 to 10; the entry of the first drop stays
    assert await numbers(connection, acme) == [11, 12]
    assert (await verify(connection))["ok"]
    assert await connection.fetchval("select orbit_private.drop_audit($1, '-infinity')", acme) == 0
    assert await numbers(connection, acme) == [11, 12]


async def test_a_head_older_than_the_anchor_is_told_apart_from_a_wrong_one(connection: Connection, acme: UUID) -> None:
    entry = await connection.fetchval(
        "select encode(hash, 'hex') from orbit.audit_log where organization_id = $1 and number = 3", acme
    )
    await connection.fetchval("select orbit_private.drop_audit($1, 'infinity', 5)", acme)
    number, why = await first_bad(connection, head=f"3:{entry}")
    assert number == 3
    assert "too old" in why


async def test_a_row_put_before_the_anchor_is_found(connection: Connection, acme: UUID) -> None:
    await connection.fetchval("select orbit_private.drop_audit($1, 'infinity', 5)", acme)
    await tamper(
        connection,
        "insert into orbit.audit_log select (jsonb_populate_record(a, '{\"number\": 2}')).*"
        " from orbit.audit_log a where a.organization_id = $1 and a.number = 10",
        acme,
    )
    assert (await first_bad(connection))[0] == 2
