"""Nobody gives, takes or changes more than they have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

if TYPE_CHECKING:
    from support.tenants import Tenants


def mail(name: str) -> str:
    return f"{name}@example.com"


LATER = (datetime.now(UTC) + timedelta(days=1)).isoformat()
SOONER = (datetime.now(UTC) + timedelta(hours=1)).isoformat()

REFUSED: list[tuple[str, str, dict[str, Any], str]] = [
    # by role
    ("vera", "set_member_role", {"user": "me", "role": "admin"}, "OR003"),
    ("ed", "set_member_role", {"user": "me", "role": "admin"}, "OR003"),
    ("adam", "set_member_role", {"user": "me", "role": "owner"}, "OR003"),
    ("adam", "set_member_role", {"user": mail("vera"), "role": "owner"}, "OR003"),
    ("adam", "set_member_role", {"user": mail("olga"), "role": "admin"}, "OR003"),
    ("adam", "remove_member", {"user": mail("olga")}, "OR003"),
    ("ed", "remove_member", {"user": mail("vera")}, "OR003"),
    ("eve", "set_member_role", {"user": mail("vera"), "role": "admin"}, "OR002"),
    ("eve", "remove_member", {"user": mail("vera")}, "OR002"),
    ("adam", "delete_organization", {"confirm": "acme"}, "OR003"),
    ("ed", "update_organization", {"name": "Ed's"}, "OR003"),
    ("eve", "update_organization", {"name": "Eve's"}, "OR002"),
    # by invitation
    ("adam", "invite_member", {"email": "x@example.com", "role": "owner"}, "OR003"),
    ("ed", "invite_member", {"email": "x@example.com"}, "OR003"),
    ("una", "invite_member", {"email": "x@example.com", "business_unit": "payments"}, "OR003"),
    ("eve", "invite_member", {"email": "x@example.com"}, "OR002"),
    ("eve", "list_invitations", {}, "OR002"),
    ("ed", "list_invitations", {}, "OR003"),
    # by unit
    ("pia", "set_unit_member", {"business_unit": "payments", "user": "me", "role": "admin"}, "OR003"),
    ("una", "set_unit_member", {"business_unit": "search", "user": "me", "role": "viewer"}, "OR002"),
    ("ed", "set_unit_member", {"business_unit": "payments", "user": "me", "role": "viewer"}, "OR002"),
    ("una", "set_unit_member", {"business_unit": "payments", "user": mail("eve")}, "OR002"),
    ("pia", "remove_unit_member", {"business_unit": "payments", "user": mail("una")}, "OR003"),
    ("sam", "list_unit_members", {"business_unit": "payments"}, "OR002"),
    ("una", "delete_business_unit", {"business_unit": "search"}, "OR002"),
    ("ed", "save_business_unit", {"business_unit": "new"}, "OR003"),
    ("ed", "save_business_unit", {"business_unit": "payments", "name": "Ed's"}, "OR003"),
    ("una", "save_project", {"project": "index", "business_unit": "payments"}, "OR004"),
    ("una", "save_project", {"project": "website", "business_unit": "payments"}, "OR003"),
    ("una", "save_project", {"project": "checkout", "business_unit": None}, "OR003"),
    ("una", "save_project", {"project": "checkout", "business_unit": "search"}, "OR002"),
    ("ed", "save_project", {"project": "mine", "business_unit": "payments"}, "OR002"),
    ("vera", "save_project", {"project": "mine"}, "OR003"),
    ("pia", "delete_project", {"project": "checkout", "confirm": "checkout"}, "OR003"),
    # by grant
    ("ed", "grant_permission", {"user": "me", "permission": "admin", "project": "website"}, "OR003"),
    ("ed", "grant_permission", {"user": mail("vera"), "permission": "viewer", "project": "website"}, "OR003"),
    ("una", "grant_permission", {"user": "me", "permission": "viewer", "project": "index"}, "OR002"),
    ("una", "grant_permission", {"user": mail("eve"), "permission": "viewer", "project": "checkout"}, "OR002"),
    ("olga", "grant_permission", {"user": "me", "permission": "admin", "resource_type": "system"}, "OR003"),
    ("olga", "grant_permission", {"user": mail("vera"), "permission": "owner", "project": "website"}, "OR001"),
    ("olga", "grant_permission", {"user": mail("vera"), "permission": "organization.delete", "project": "website"}, "OR001"),
    ("olga", "grant_permission", {"user": mail("vera"), "permission": "business_unit.write", "project": "website"}, "OR001"),
    ("olga", "grant_permission", {"user": mail("vera"), "permission": "admin"}, "OR001"),
    ("olga", "grant_permission", {"user": "me", "permission": "viewer", "project": "index", "expires_at": "2020-01-01"}, "OR001"),
    ("eve", "grant_permission", {"user": "me", "permission": "viewer", "project": "website"}, "OR002"),
    ("vera", "explain_access", {"action": "run.start", "user": mail("ed"), "project": "website"}, "OR003"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("person", "function", "request_", "code"),
    REFUSED,
    ids=[f"{person} {function} {' '.join(map(str, fields.values()))}" for person, function, fields, _ in REFUSED],
)
async def test_who_asks_for_more_than_they_have_is_refused(
    acme: Tenants, person: str, function: str, request_: dict[str, Any], code: str
) -> None:
    assert await acme.refused(person, function, {"organization": "acme"} | request_) == code


ALLOWED: list[tuple[str, str, dict[str, Any]]] = [
    ("adam", "set_member_role", {"user": mail("vera"), "role": "admin"}),
    ("adam", "remove_member", {"user": mail("ed")}),
    ("vera", "remove_member", {"user": "me"}),
    ("olga", "set_member_role", {"user": mail("adam"), "role": "owner"}),
    ("olga", "invite_member", {"email": "x@example.com", "role": "owner"}),
    ("una", "set_unit_member", {"business_unit": "payments", "user": mail("vera"), "role": "admin"}),
    ("adam", "set_unit_member", {"business_unit": "payments", "user": mail("vera"), "role": "editor"}),
    ("pia", "remove_unit_member", {"business_unit": "payments", "user": "me"}),
    ("una", "save_project", {"project": "refunds", "business_unit": "payments"}),
    ("adam", "save_project", {"project": "checkout", "business_unit": "search"}),
    ("ed", "save_project", {"project": "mine"}),
    ("una", "grant_permission", {"user": mail("vera"), "permission": "admin", "project": "checkout"}),
    ("una", "explain_access", {"action": "run.start", "user": mail("pia"), "project": "checkout"}),
    ("vera", "explain_access", {"action": "run.start", "user": mail("vera"), "project": "website"}),
]


@pytest.mark.parametrize(
    ("person", "function", "request_"),
    ALLOWED,
    ids=[f"{person} {function} {' '.join(map(str, fields.values()))}" for person, function, fields in ALLOWED],
)
async def test_what_somebody_has_they_may_give(
    acme: Tenants, person: str, function: str, request_: dict[str, Any]
) -> None:
    async with acme.acting(person):
        assert await acme.call(function, {"organization": "acme"} | request_)


async def test_a_grant_lasts_no_longer_than_what_it_is_given_from(acme: Tenants) -> None:
    grant = {"organization": "acme", "permission": "admin", "project": "index"}
    await acme.call_as("olga", "grant_permission", grant | {"user": mail("pia"), "expires_at": SOONER})
    for end in ({}, {"expires_at": LATER}):
        assert await acme.refused("pia", "grant_permission", grant | {"user": mail("vera")} | end) == "OR003"
        assert await acme.refused("pia", "grant_permission", grant | {"user": "me"} | end) == "OR003"
    await acme.call_as("pia", "grant_permission", grant | {"user": mail("vera"), "expires_at": SOONER})


async def test_who_may_only_grant_gives_nothing_they_lack(acme: Tenants) -> None:
    """`permission.write` alone makes nobody an admin."""
    on = {"organization": "acme", "project": "index"}
    await acme.call_as("olga", "grant_permission", on | {"user": mail("sam"), "permission": "permission.write"})
    assert await acme.refused("sam", "grant_permission", on | {"user": "me", "permission": "admin"}) == "OR003"
    assert await acme.refused("sam", "grant_permission", on | {"user": "me", "permission": "secret.read"}) == "OR003"
    made = await acme.call_as("sam", "grant_permission", on | {"user": mail("vera"), "permission": "viewer"})
    assert made["granted_by"] == mail("sam")


async def test_who_cannot_give_a_grant_cannot_take_it(acme: Tenants) -> None:
    on = {"organization": "acme", "project": "index"}
    await acme.call_as("olga", "grant_permission", on | {"user": mail("sam"), "permission": "permission.write"})
    made = await acme.call_as("olga", "grant_permission", on | {"user": mail("vera"), "permission": "admin"})
    assert await acme.refused("sam", "revoke_permission", {"id": made["id"]}) == "OR003"
    for stranger in ("eve", "ed", "una"):
        assert await acme.refused(stranger, "revoke_permission", {"id": made["id"]}) == "OR002"
    assert await acme.call_as("vera", "revoke_permission", {"id": made["id"]}) == {"id": made["id"], "changed": True}


async def test_who_sent_an_invitation_and_went_leaves_no_way_in(acme: Tenants) -> None:
    for name, what in (("first", {"set_member_role": {"role": "editor"}}), ("second", {"remove_member": {}})):
        invited = await acme.call_as(
            "adam", "invite_member", {"organization": "acme", "email": mail(name), "role": "admin"}
        )
        await acme.person(name)
        for function, fields in what.items():
            await acme.call_as("olga", function, {"organization": "acme", "user": mail("adam")} | fields)
        assert await acme.refused(name, "accept_invitation", {"token": invited["token"]}) == "OR004"
        await acme.member("acme", "adam", "admin")
        await acme.connection.execute(
            "update orbit.organization_members set role = 'admin' where user_id = $1", acme.id("adam")
        )


async def test_grants_end_by_the_clock_and_by_hand(acme: Tenants) -> None:
    ask = {"organization": "acme", "action": "environment.write", "project": "website"}
    grant = {"organization": "acme", "user": mail("vera"), "permission": "environment.write", "project": "website"}

    async def allowed() -> bool:
        return bool((await acme.call_as("vera", "can", ask))["allowed"])

    assert not await allowed()
    made = await acme.call_as("adam", "grant_permission", grant | {"expires_at": LATER})
    assert made["granted_by"] == mail("adam")
    assert await allowed()
    await acme.connection.execute(
        "update orbit.permission_assignments set granted_at = now() - interval '2 h', expires_at = now() - interval '1 s'"
    )
    assert not await allowed()
    assert await acme.call_as("vera", "list_permissions", {"organization": "acme"}) == []
    again = await acme.call_as("adam", "grant_permission", grant)
    assert await allowed()
    assert not (await acme.call_as("adam", "grant_permission", grant))["changed"]
    await acme.call_as("olga", "revoke_permission", {"id": again["id"]})
    assert not await allowed()
    told = await acme.call_as("vera", "list_permissions", {"organization": "acme", "history": True})
    assert [(one["granted_by"], one["revoked_by"]) for one in told] == [
        (mail("adam"), mail("olga")),
        (mail("adam"), mail("adam")),
    ]


async def test_a_grant_on_an_environment_opens_no_project(acme: Tenants) -> None:
    saved = await acme.call_as(
        "olga", "save_environment", {"organization": "acme", "project": "index", "name": "staging"}
    )
    on = {"organization": "acme", "resource_type": "environment", "resource_id": saved["environment_id"]}
    ask = {"action": "environment.write", "resource_type": "environment", "resource_id": saved["environment_id"]}
    for who in ("vera", "sam"):
        await acme.call_as("olga", "grant_permission", on | {"user": mail(who), "permission": "admin"})
    assert await acme.refused("vera", "can", ask) == "OR002", "vera does not see the project"
    assert (await acme.call_as("sam", "can", ask))["allowed"]
    assert not (
        await acme.call_as("sam", "can", {"organization": "acme", "project": "index", "action": "environment.write"})
    )["allowed"]


@pytest.mark.parametrize("person", ["vera", "olga", "eve"])
async def test_the_tables_are_not_written_directly(acme: Tenants, person: str) -> None:
    tables = ["organizations", "organization_members", "business_units", "business_unit_members", "projects",
              "permission_assignments", "organization_invitations", "actions"]  # fmt: skip
    for table in tables:
        for sql in (f"delete from orbit.{table}", f"insert into orbit.{table} default values"):
            async with acme.acting(person):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await acme.connection.execute(sql)
    async with acme.acting(person):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await acme.connection.execute("update orbit.organization_members set role = 'owner'")
    async with acme.acting(person):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await acme.connection.execute("update orbit.users set email = 'x@example.com'")
    async with acme.acting(person):
        changed = await acme.connection.execute("update orbit.users set name = 'x'")
        assert changed == "UPDATE 1", "one's own name, and nobody else's"


async def test_what_is_not_seen_is_not_there(acme: Tenants) -> None:
    """An id of somebody else's and one of nothing are told alike."""
    ids = {
        kind: str(await acme.connection.fetchval(f"select id from orbit.{table} where slug = $1", slug))
        for kind, table, slug in (
            ("project", "projects", "index"),
            ("business_unit", "business_units", "search"),
            ("organization", "organizations", "acme"),
        )
    }
    for kind, one in ids.items():
        told = []
        for place in (one, "00000000-0000-0000-0000-000000000000"):
            async with acme.acting("eve"):
                with pytest.raises(asyncpg.PostgresError) as refusal:
                    await acme.call("can", {"action": "run.start", "resource_type": kind, "resource_id": place})
                told.append((refusal.value.sqlstate, refusal.value.message, refusal.value.detail, refusal.value.hint))
        assert told[0] == told[1]
        assert told[0][0] == "OR002"


async def test_explanations_name_every_way_in(acme: Tenants) -> None:
    await acme.call_as(
        "una",
        "grant_permission",
        {
            "organization": "acme",
            "user": mail("pia"),
            "permission": "secret.read",
            "project": "checkout",
            "expires_at": LATER,
        },
    )
    told = await acme.call_as(
        "pia", "explain_access", {"organization": "acme", "project": "checkout", "action": "secret.read"}
    )
    assert told["allowed"]
    assert told["takes"] == "admin"
    assert [(one["via"], one["permission"], one["granted_by"], one["suffices"]) for one in told["because"]] == [
        ("project", "secret.read", mail("una"), True), ("business_unit", "editor", None, False)]  # fmt: skip
    assert told["reason"] == "secret.read in the project suffices: secret.read takes admin"
    other = await acme.call_as("vera", "can", {"organization": "acme", "project": "website", "action": "run.start"})
    assert other == {
        "allowed": False,
        "reason": "run.start takes editor, and the most there is here is viewer in the organization",
    }
