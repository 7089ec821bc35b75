"""Accounts, invitations, owners: also where two come at once."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from support.tenants import Tenants

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.postgres import Database


def mail(name: str) -> str:
    return f"{name}@example.com"


async def roles(tenants: Tenants, organization: str = "acme") -> dict[str, str]:
    rows = await tenants.connection.fetch(
        "select u.name, m.role from orbit.organization_members m join orbit.users u on u.id = m.user_id"
        " join orbit.organizations o on o.id = m.organization_id where o.slug = $1",
        organization,
    )
    return {row["name"]: row["role"] for row in rows}


async def both(database: Database, *attempts: tuple[str, str, dict[str, Any]]) -> list[str]:
    """Two people's calls at once, each in a transaction of its own that is open when the other begins: SQLSTATEs, '' for done."""
    async with database.connect() as one, database.connect() as other, database.connect() as watcher:
        told: list[str] = ["", ""]
        first, second = Tenants(one), Tenants(other)
        transaction = one.transaction()
        await transaction.start()
        person, function, request = attempts[0]
        await first._become(person, "authenticated")
        await first.call(function, request)

        async def come_second() -> None:
            person, function, request = attempts[1]
            try:
                await second.call_as(person, function, request)
            except asyncpg.PostgresError as error:
                told[1] = str(error.sqlstate)

        waiting = asyncio.create_task(come_second())
        pid = other.get_server_pid()
        while not waiting.done() and not await watcher.fetchval(  # noqa: ASYNC110 - another server's lock
            "select exists (select from pg_locks where pid = $1 and not granted)", pid
        ):
            await asyncio.sleep(0.005)
        assert not waiting.done(), "the second does not wait for the first"
        await transaction.commit()
        await waiting
        return told


# Accounts ------------------------------------------------------------------------------------------------------------------


async def account(connection: asyncpg.Connection[Any], name: str, meta: Any) -> None:
    await connection.execute(
        "insert into auth.users (id, email, raw_user_meta_data) values ($1, $2, $3::text::jsonb)",
        Tenants.id(name), f"{name.upper()}@Example.com", json.dumps(meta),
    )  # fmt: skip


async def test_an_account_is_followed_as_it_comes_changes_and_goes(connection: asyncpg.Connection[Any]) -> None:
    await account(connection, "ada", {"full_name": "Ada L"})
    await account(connection, "bob", json.dumps({"name": "Bob"}))
    await account(connection, "cat", "not JSON")
    await account(connection, "dan", {"name": "x" * 1000})
    rows = await connection.fetch("select email, name from orbit.users order by email")
    assert [(row["email"], row["name"]) for row in rows] == [
        (mail("ada"), "Ada L"), (mail("bob"), "Bob"), (mail("cat"), None), (mail("dan"), "x" * 200)]  # fmt: skip

    async def ada() -> tuple[str, str]:
        row = await connection.fetchrow("select email, name from orbit.users where id = $1", Tenants.id("ada"))
        return row["email"], row["name"]

    await connection.execute("update orbit.users set name = 'Countess' where id = $1", Tenants.id("ada"))
    await connection.execute("update auth.users set email = 'NEW@example.com' where id = $1", Tenants.id("ada"))
    assert await ada() == ("new@example.com", "Countess")
    await connection.execute(
        """update auth.users set raw_user_meta_data = '{"name": "Ada King"}' where id = $1""", Tenants.id("ada")
    )
    assert await ada() == ("new@example.com", "Ada King")
    await connection.execute("delete from auth.users")
    assert await connection.fetchval("select count(*) from orbit.users") == 0


async def test_a_fault_of_orbit_stops_no_sign_up_and_no_deletion(connection: asyncpg.Connection[Any]) -> None:
    await account(connection, "ada", {})
    heard: list[Any] = []
    connection.add_log_listener(lambda _, message: heard.append(message))
    await connection.execute("alter table orbit.users add constraint broken check (email is null) not valid")
    await connection.execute(
        "create function orbit.never() returns trigger language plpgsql as $$ begin raise 'no'; end $$;"
        "create trigger never before delete on orbit.users for each row execute function orbit.never()"
    )
    await account(connection, "bob", {})
    await connection.execute("delete from auth.users where id = $1", Tenants.id("ada"))
    left = await connection.fetch("select id from orbit.users")
    assert [row["id"] for row in left] == [Tenants.id("ada")]
    assert len([one for one in heard if "was not followed" in one.message]) == 2
    assert not [one for one in heard if "@" in one.message], "no address in the log"
    await connection.execute("alter table orbit.users drop constraint broken; drop function orbit.never cascade")
    assert await connection.fetchval("select orbit_private.sync_accounts()") == 2
    left = await connection.fetch("select id from orbit.users")
    assert [row["id"] for row in left] == [Tenants.id("bob")]


async def test_who_was_missed_is_taken_over_when_they_come(connection: asyncpg.Connection[Any]) -> None:
    tenants = await Tenants.on(connection)
    await account(connection, "ada", {"name": "Ada"})
    await connection.execute("delete from orbit.users")
    told = await tenants.call_as("ada", "whoami", {})
    assert told == {
        "user": {"id": str(Tenants.id("ada")), "email": mail("ada"), "name": "Ada"},
        "is_administrative": False,
        "organizations": [],
    }


async def test_a_token_that_outlived_its_account_makes_nothing(connection: asyncpg.Connection[Any]) -> None:
    tenants = await Tenants.on(connection)
    await account(connection, "ada", {})
    await connection.execute("delete from auth.users")
    assert await tenants.refused("ada", "whoami", {}) == "OR003"
    assert await tenants.refused("ada", "create_organization", {"name": "Ghost"}) == "OR003"


async def test_an_organisation_without_its_only_owner_has_an_heir(acme: Tenants) -> None:
    await acme.connection.execute("insert into auth.users (id, email) values ($1, $2)", acme.id("olga"), mail("olga"))
    await acme.connection.execute("insert into auth.users (id, email) values ($1, $2)", acme.id("eve"), mail("eve"))
    await acme.connection.execute("delete from auth.users")
    assert (await roles(acme))["adam"] == "owner"
    assert "olga" not in await roles(acme)
    assert await roles(acme, "evil") == {}
    assert await acme.connection.fetchval("select count(*) from orbit.organizations where slug = 'evil'") == 1


# Owners --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "fields"),
    [("remove_member", {"user": "me"}), ("set_member_role", {"user": "me", "role": "admin"})],
)
async def test_the_last_owner_stays(acme: Tenants, function: str, fields: dict[str, Any]) -> None:
    assert await acme.refused("olga", function, {"organization": "acme"} | fields) == "OR004"
    await acme.call_as("olga", "set_member_role", {"organization": "acme", "user": mail("adam"), "role": "owner"})
    await acme.call_as("olga", function, {"organization": "acme"} | fields)
    assert (await roles(acme))["adam"] == "owner"


@pytest.mark.parametrize("first", ["remove_member", "set_member_role"])
@pytest.mark.parametrize("second", ["remove_member", "set_member_role"])
async def test_of_two_owners_who_go_at_once_one_stays(
    acme: Tenants, database: Database, first: str, second: str
) -> None:
    await acme.call_as("olga", "set_member_role", {"organization": "acme", "user": mail("adam"), "role": "owner"})
    fields: Callable[[str, str], dict[str, Any]] = lambda function, user: {  # noqa: E731
        "organization": "acme", "user": user} | ({"role": "viewer"} if function == "set_member_role" else {})  # fmt: skip
    told = await both(database, ("olga", first, fields(first, "me")), ("adam", second, fields(second, "me")))
    assert told == ["", "OR004"]
    assert list((await roles(acme)).values()).count("owner") == 1


async def test_who_was_just_demoted_demotes_nobody(acme: Tenants, database: Database) -> None:
    await acme.call_as("olga", "set_member_role", {"organization": "acme", "user": mail("adam"), "role": "owner"})
    told = await both(
        database,
        ("olga", "set_member_role", {"organization": "acme", "user": mail("adam"), "role": "viewer"}),
        ("adam", "set_member_role", {"organization": "acme", "user": mail("olga"), "role": "viewer"}),
    )
    assert told == ["", "OR003"]
    assert (await roles(acme))["olga"] == "owner"


async def test_who_was_just_demoted_removes_nobody(acme: Tenants, database: Database) -> None:
    """Not even somebody whose role they still have."""
    told = await both(
        database,
        ("olga", "set_member_role", {"organization": "acme", "user": mail("adam"), "role": "viewer"}),
        ("adam", "remove_member", {"organization": "acme", "user": mail("vera")}),
    )
    assert told == ["", "OR003"]
    assert (await roles(acme))["vera"] == "viewer"


# Invitations ---------------------------------------------------------------------------------------------------------------


async def invited(acme: Tenants, **fields: Any) -> dict[str, Any]:
    await acme.person("nina")
    answer: dict[str, Any] = await acme.call_as(
        "adam", "invite_member", {"organization": "acme", "email": " Nina@Example.com "} | fields
    )
    return answer


async def test_an_invitation_leads_where_it_says(acme: Tenants) -> None:
    told = await invited(acme, role="editor", business_unit="search", business_unit_role="admin")
    listed = await acme.call_as("adam", "list_invitations", {"organization": "acme"})
    assert [(one["email"], one["status"], one["invited_by"]) for one in listed] == [
        (mail("nina"), "open", mail("adam"))
    ]
    assert told["token"] not in json.dumps(listed)
    joined = await acme.call_as("nina", "accept_invitation", {"token": told["token"]})
    assert (joined["slug"], joined["role"]) == ("acme", "editor")
    members = await acme.call_as("nina", "list_unit_members", {"organization": "acme", "business_unit": "search"})
    assert [(one["email"], one["role"]) for one in members] == [(mail("nina"), "admin"), (mail("sam"), "viewer")]
    assert await acme.refused("nina", "accept_invitation", {"token": told["token"]}) == "OR004"
    stored = await acme.connection.fetchval("select string_agg(i::text, '') from orbit.organization_invitations i")
    assert told["token"].removeprefix("orbit_invite_") not in stored


async def test_a_token_alone_opens_nothing(acme: Tenants) -> None:
    told = await invited(acme)
    assert await acme.refused("eve", "accept_invitation", {"token": told["token"]}) == "OR003"
    assert await acme.refused(None, "accept_invitation", {"token": told["token"]}) == "OR003"
    assert await acme.refused("nina", "accept_invitation", {"token": told["id"]}) == "OR002"


async def test_an_invitation_that_is_over_opens_nothing(acme: Tenants) -> None:
    told = await invited(acme)
    await acme.connection.execute(
        "update orbit.organization_invitations set created_at = now() - interval '8 d', expires_at = now() - interval '1 s'"
    )
    assert await acme.refused("nina", "accept_invitation", {"token": told["token"]}) == "OR004"
    again = await invited(acme)
    assert await acme.refused("nina", "accept_invitation", {"token": told["token"]}) == "OR004"
    assert await acme.call_as("adam", "revoke_invitation", {"id": again["id"]}) == {"id": again["id"], "changed": True}
    assert await acme.call_as("adam", "revoke_invitation", {"id": again["id"]}) == {"id": again["id"], "changed": False}
    assert await acme.refused("nina", "accept_invitation", {"token": again["token"]}) == "OR004"
    assert await acme.refused("eve", "revoke_invitation", {"id": again["id"]}) == "OR002"
    assert await acme.refused("ed", "revoke_invitation", {"id": again["id"]}) == "OR003"
    assert "nina" not in await roles(acme)


async def test_of_two_who_accept_at_once_one_does(acme: Tenants, database: Database) -> None:
    told = await invited(acme)
    accept = ("nina", "accept_invitation", {"token": told["token"]})
    assert await both(database, accept, accept) == ["", "OR004"]
    assert (await roles(acme))["nina"] == "viewer"
    assert await acme.refused("adam", "revoke_invitation", {"id": told["id"]}) == "OR004"
    assert await acme.refused("adam", "invite_member", {"organization": "acme", "email": mail("nina")}) == "OR004"


async def test_who_accepts_while_it_is_taken_back_is_not_in(acme: Tenants, database: Database) -> None:
    told = await invited(acme)
    accept = ("nina", "accept_invitation", {"token": told["token"]})
    assert await both(database, ("adam", "revoke_invitation", {"id": told["id"]}), accept) == ["", "OR004"]
    again = await invited(acme)
    accept = ("nina", "accept_invitation", {"token": again["token"]})
    assert await both(database, accept, ("adam", "revoke_invitation", {"id": again["id"]})) == ["", "OR004"]
    assert (await roles(acme))["nina"] == "viewer"


async def test_who_leaves_loses_units_and_grants(acme: Tenants) -> None:
    await acme.call_as(
        "olga",
        "grant_permission",
        {"organization": "acme", "user": mail("pia"), "permission": "viewer", "project": "index"},
    )
    await acme.call_as("pia", "remove_member", {"organization": "acme", "user": "me"})
    for table in ("organization_members", "business_unit_members", "permission_assignments"):
        assert not await acme.connection.fetchval(
            f"select exists (select from orbit.{table} where user_id = $1)", acme.id("pia")
        )
    async with acme.acting("pia"):
        assert await acme.call("list_projects", {}) == []
