"""What holds where, what may be set, by whom, and that a start that is silent is given it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from support.queue import suite
from support.tenants import Tenants

if TYPE_CHECKING:
    from collections.abc import Mapping

PLACES: dict[str, dict[str, Any]] = {
    "installation": {"all": True},
    "organization": {"organization": "acme"},
    "project": {"organization": "acme", "project": "shop"},
    "environment": {"organization": "acme", "project": "shop", "environment": "staging"},
}


@pytest.fixture
async def acme(connection: asyncpg.Connection[Any]) -> Tenants:
    """acme with a project `shop` that has an environment `staging` and a suite, and a project `other`."""
    tenants = await Tenants.on(connection)
    await tenants.organization("acme", owner="olga", admin="adam", editor="ed", viewer="vera")
    await tenants.project("acme", "shop")
    await tenants.project("acme", "other")
    await tenants.call("save_environment", {"organization": "acme", "project": "shop", "name": "staging"})
    await tenants.call("save_suite", suite({"a": []}, organization="acme", project="shop"))
    return tenants


async def set_(tenants: Tenants, place: str, name: str, value: Any) -> Any:
    return await tenants.call("set_setting", PLACES[place] | {"name": name, "value": value})


async def held(tenants: Tenants, request: Mapping[str, Any], name: str) -> Any:
    answer = await tenants.call("list_settings", dict(request))
    return next(one for one in answer["settings"] if one["name"] == name)


async def refusal(tenants: Tenants, function: str, request: dict[str, Any]) -> asyncpg.PostgresError:
    with pytest.raises(asyncpg.PostgresError) as error:
        async with tenants.connection.transaction():
            await tenants.call(function, request)
    return error.value


# What holds ------------------------------------------------------------------------------------------------------------------


async def test_the_narrowest_place_that_says_something_counts(acme: Tenants) -> None:
    values = {"installation": 100, "organization": 200, "project": 300, "environment": 400}
    for place, value in values.items():
        answer = await set_(acme, place, "run.timeout", value)
        assert (answer["value"], answer["source"]) == (value, place)
    places = list(PLACES)
    for number, place in enumerate(places):
        one = await held(acme, PLACES[place], "run.timeout")
        assert (one["value"], one["source"]) == (values[place], place)
        assert one["shadows"] == [{"source": wider, "value": values[wider]} for wider in reversed(places[:number])]
    for place in reversed(places):
        assert await acme.call("unset_setting", PLACES[place] | {"name": "run.timeout"}) == {"deleted": True}
        wider = places[max(places.index(place) - 1, 0)]
        one = await held(acme, PLACES["environment"], "run.timeout")
        expected = ("default", None) if place == "installation" else (wider, values[wider])
        assert (one["source"], one["value"]) == expected


async def test_a_setting_holds_where_it_was_set_and_nowhere_beside_it(acme: Tenants) -> None:
    await acme.organization("evil", owner="mallory")
    await set_(acme, "project", "run.priority", 7)
    await set_(acme, "environment", "run.fail_fast", True)
    for place in ({"organization": "evil"}, {"organization": "acme"}, {"organization": "acme", "project": "other"}):
        assert (await held(acme, place, "run.priority"))["source"] == "default"
    assert (await held(acme, PLACES["project"], "run.fail_fast"))["source"] == "default"
    assert (await held(acme, PLACES["environment"], "run.priority"))["value"] == 7


async def test_a_default_that_is_hidden_is_told(acme: Tenants) -> None:
    answer = await set_(acme, "organization", "run.priority", 5)
    assert answer["shadows"] == [{"source": "default", "value": 0}]
    assert (answer["type"], answer["unit"]) == ("integer", "minutes of waiting")
    assert (answer["minimum"], answer["maximum"]) == (-100, 100)


async def test_none_lifts_what_a_wider_place_says(acme: Tenants) -> None:
    await set_(acme, "installation", "run.timeout", 60)
    answer = await set_(acme, "project", "run.timeout", "none")
    assert (answer["value"], answer["source"]) == (None, "project")
    assert answer["shadows"] == [{"source": "installation", "value": 60}]
    assert (
        await refusal(acme, "set_setting", PLACES["project"] | {"name": "run.priority", "value": "none"})
    ).sqlstate == "OR001"


async def test_every_definition_is_listed_with_its_default(acme: Tenants) -> None:
    rows = await acme.connection.fetch(
        'select name from orbit.setting_definitions where not takes_host order by name collate "C"'
    )
    answer = await acme.call("list_settings", {"organization": "acme"})
    assert [one["name"] for one in answer["settings"]] == [row["name"] for row in rows]
    assert {one["source"] for one in answer["settings"]} == {"default"}
    assert len(rows) >= 9


# What may be set -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("run.timeout", -5),
        ("run.timeout", 0),
        ("run.timeout", 1e300),
        ("run.timeout", "NaN"),
        ("run.timeout", "5 minutes"),
        ("run.timeout", True),
        ("run.timeout", None),
        ("run.timeout", [1]),
        ("run.priority", 101),
        ("run.priority", -101),
        ("run.priority", 0.5),
        ("run.concurrency", 0),
        ("run.concurrency", 10_001),
        ("run.fail_fast", 1),
        ("run.fail_fast", "yes"),
        ("concurrency.organization", -1),
        ("concurrency.organization", 10**9),
        ("concurrency.environment", 1.5),
        ("rate.host:api.example", 5),
        ("rate.host:api.example", {"per_second": 0}),
        ("rate.host:api.example", {"per_second": -1, "burst": 1}),
        ("rate.host:api.example", {"per_second": 1e9, "burst": 1}),
        ("rate.host:api.example", {"per_second": 1, "burst": 0}),
        ("rate.host:api.example", {"per_second": 1, "burst": 1.5}),
        ("rate.host:api.example", {"per_second": 1, "burst": 1, "per": 1}),
        ("rate.host:api.example", {"burst": 1}),
        ("group.size", 0),
        ("group.wait", -0.1),
        ("group.spread", "many"),
    ],
)  # fmt: skip
async def test_a_value_that_does_not_fit_is_refused_with_what_does(acme: Tenants, name: str, value: Any) -> None:
    error = await refusal(acme, "set_setting", {"organization": "acme", "name": name, "value": value})
    assert error.sqlstate == "OR001"
    assert str(error.message).startswith(f"{name} ")
    row = await acme.connection.fetchrow(
        "select minimum, maximum from orbit.setting_definitions where name = split_part($1, ':', 1)", name
    )
    assert row is not None
    expected = ["true or false"] if row["minimum"] is None else [f"{row['minimum']:g}", f"{row['maximum']:.0f}"]
    assert all(word in str(error.detail) for word in expected), error.detail
    assert await acme.connection.fetchval("select count(*) from orbit.settings") == 0


@pytest.mark.parametrize("name", ["run.tiemout", "concurrency.host", "run.timeout:api.example", "", ":", "rate.host"])
async def test_a_name_that_is_none_is_refused_with_those_there_are(acme: Tenants, name: str) -> None:
    error = await refusal(acme, "set_setting", {"organization": "acme", "name": name, "value": 1})
    assert error.sqlstate == "OR001"
    if name:
        assert "rate.host:<host>" in str(error.detail)
        assert "run.timeout" in str(error.detail)


@pytest.mark.parametrize(
    "host",
    ["http://api.example", "api.example:8080", "api.example/v1", "*.example", "api..example", "-api.example", "münchen.example",
     "api.example.", "a" * 64, ".".join(["a" * 60] * 5), "", "api example", "::1", "user@api.example"],
)  # fmt: skip
async def test_a_host_that_is_misspelt_is_refused(acme: Tenants, host: str) -> None:
    error = await refusal(
        acme, "set_setting", {"organization": "acme", "name": f"rate.host:{host}", "value": {"per_second": 1}}
    )
    assert error.sqlstate == "OR001"
    assert "is no host" in str(error.message)


@pytest.mark.parametrize(
    ("name", "place"),
    [("concurrency.organization", "project"), ("concurrency.organization", "environment"), ("rate.host:a.example", "project"),
     ("group.wait", "environment")],
)  # fmt: skip
async def test_a_level_at_which_it_makes_no_sense_is_refused(acme: Tenants, name: str, place: str) -> None:
    error = await refusal(acme, "set_setting", PLACES[place] | {"name": name, "value": 1})
    assert error.sqlstate == "OR001"
    assert place in str(error.message)
    assert "organization" in str(error.detail)


async def test_what_is_not_there_is_not_unset(acme: Tenants) -> None:
    await set_(acme, "organization", "run.priority", 1)
    for request in (PLACES["project"], {"all": True}):
        assert (await refusal(acme, "unset_setting", request | {"name": "run.priority"})).sqlstate == "OR002"
    assert (await refusal(acme, "unset_setting", {"organization": "acme", "name": "run.nothing"})).sqlstate == "OR002"


@pytest.mark.parametrize("function", ["set_setting", "list_settings", "unset_setting"])
async def test_all_and_a_place_contradict_each_other(acme: Tenants, function: str) -> None:
    request = {"all": True, "organization": "acme"}
    if function != "list_settings":
        request |= {"name": "run.priority"}
    if function == "set_setting":
        request |= {"value": 1}
    assert (await refusal(acme, function, request)).sqlstate == "OR001"


async def test_a_place_that_is_not_there_is_not_found(acme: Tenants) -> None:
    for place in ({"organization": "nobody"}, {"organization": "acme", "project": "shop", "environment": "moon"}):
        request = place | {"name": "run.priority", "value": 1}
        assert (await refusal(acme, "set_setting", request)).sqlstate == "OR002"
        assert (await refusal(acme, "list_settings", place)).sqlstate == "OR002"
    assert (await refusal(acme, "list_settings", {"organization": "acme", "project": "moon"})).sqlstate == "OR002"


# By whom -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["organization", "project", "environment"])
async def test_admins_set_and_everybody_else_reads(acme: Tenants, place: str) -> None:
    request = PLACES[place] | {"name": "run.priority", "value": 3}
    for person in ("vera", "ed"):
        assert await acme.refused(person, "set_setting", request) == "OR003"
    await acme.call_as("adam", "set_setting", request)
    for person in ("vera", "ed"):
        assert await acme.refused(person, "unset_setting", PLACES[place] | {"name": "run.priority"}) == "OR003"
        async with acme.acting(person):
            assert (await held(acme, PLACES[place], "run.priority"))["source"] == place
    await acme.organization("evil", owner="mallory")
    for function in ("set_setting", "list_settings"):
        given = request if function == "set_setting" else PLACES[place]
        assert await acme.refused("mallory", function, given) == "OR002"
    async with acme.acting("mallory"):
        assert await acme.connection.fetchval("select count(*) from orbit.settings") == 0
    async with acme.acting("vera"):
        assert await acme.connection.fetchval("select count(*) from orbit.settings") == 1


async def test_the_installation_is_set_by_those_who_run_the_database(acme: Tenants) -> None:
    request = {"all": True, "name": "run.priority", "value": 3}
    assert await acme.refused("olga", "set_setting", request) == "OR003"
    await acme.call("set_setting", request)
    assert await acme.refused("olga", "unset_setting", {"all": True, "name": "run.priority"}) == "OR003"
    async with acme.acting("vera"):
        assert (await held(acme, {"organization": "acme"}, "run.priority"))["source"] == "installation"
        assert (await held(acme, {"all": True}, "run.priority"))["value"] == 3


async def test_a_unit_does_not_see_the_settings_of_another(acme: Tenants) -> None:
    await acme.unit("acme", "payments", editor="pia")
    await acme.unit("acme", "search", viewer="sam")
    await acme.project("acme", "checkout", unit="payments")
    place = {"organization": "acme", "project": "checkout"}
    await acme.call("set_setting", place | {"name": "run.priority", "value": 3})
    async with acme.acting("pia"):
        assert (await held(acme, place, "run.priority"))["value"] == 3
    assert await acme.refused("sam", "list_settings", place) == "OR002"
    async with acme.acting("sam"):
        assert await acme.connection.fetchval("select count(*) from orbit.settings") == 0


async def test_each_change_is_in_the_audit_log_with_who(acme: Tenants) -> None:
    request = PLACES["project"] | {"name": "run.priority"}
    await acme.call_as("adam", "set_setting", request | {"value": 3})
    await acme.call_as("adam", "set_setting", request | {"value": 3})
    await acme.call_as("olga", "set_setting", request | {"value": 4})
    await acme.call_as("adam", "unset_setting", request)
    rows = await acme.connection.fetch(
        "select action, actor, resource_name, before ->> 'value' as was, after ->> 'value' as is from orbit.audit_log"
        " where resource_type = 'setting' order by number"
    )
    assert [tuple(row) for row in rows] == [
        ("setting.create", "adam@example.com", "run.priority", None, "3"),
        ("setting.update", "olga@example.com", "run.priority", "3", "4"),
        ("setting.delete", "adam@example.com", "run.priority", "4", None),
    ]


async def test_settings_go_with_what_they_were_set_for(acme: Tenants) -> None:
    for place in ("organization", "project", "environment"):
        await set_(acme, place, "run.priority", 1)
    await acme.call("delete_environment", {"organization": "acme", "project": "shop", "name": "staging"})
    assert await acme.connection.fetchval("select array_agg(level order by id) from orbit.settings") == [
        "organization",
        "project",
    ]
    await acme.call("delete_project", {"organization": "acme", "project": "shop", "confirm": "shop"})
    assert await acme.connection.fetchval("select array_agg(level) from orbit.settings") == ["organization"]
    await acme.call("delete_organization", {"organization": "acme", "confirm": "acme"})
    assert await acme.connection.fetchval("select count(*) from orbit.settings") == 0


async def test_the_first_setting_of_a_laptop_makes_its_organisation(connection: asyncpg.Connection[Any]) -> None:
    tenants = await Tenants.on(connection)
    answer = await tenants.call("set_setting", {"name": "run.priority", "value": 2})
    assert answer["source"] == "organization"
    assert await connection.fetchval("select array_agg(slug) from orbit.organizations") == ["default"]
    request = {"project": "shop", "name": "run.priority", "value": 3}
    assert (await refusal(tenants, "set_setting", request)).sqlstate == "OR002"  # what is named must be there


# What a start makes of it ------------------------------------------------------------------------------------------------------


async def started(tenants: Tenants, **request: Any) -> asyncpg.Record:
    run = await tenants.call("start_run", {"organization": "acme", "project": "shop", "suite": "suite"} | request)
    row = await tenants.connection.fetchrow(
        "select r.priority, r.concurrency, r.fail_fast, extract(epoch from p.deadline_at - r.created_at)::float8 as timeout"
        " from orbit.test_runs r join orbit_private.run_progress p on p.run_id = r.id where r.id = $1::uuid",
        run["id"],
    )
    assert row is not None
    return row


async def test_a_start_that_is_silent_is_given_what_was_set(acme: Tenants) -> None:
    assert tuple(await started(acme)) == (0, None, False, None)
    await set_(acme, "installation", "run.priority", 5)
    await set_(acme, "organization", "run.concurrency", 4)
    await set_(acme, "project", "run.timeout", 90)
    await set_(acme, "environment", "run.fail_fast", True)
    assert tuple(await started(acme)) == (5, 4, False, 90)
    assert tuple(await started(acme, environment="staging")) == (5, 4, True, 90)
    assert tuple(await started(acme, environment="staging", timeout=None)) == (5, 4, True, 90)


async def test_what_a_start_says_goes_before_what_was_set(acme: Tenants) -> None:
    for name, value in {"run.priority": 5, "run.concurrency": 4, "run.timeout": 90, "run.fail_fast": True}.items():
        await set_(acme, "environment", name, value)
    row = await started(acme, environment="staging", priority=0, concurrency=2, timeout=30, fail_fast=False)
    assert tuple(row) == (0, 2, False, 30)


async def test_an_editor_starts_with_settings_of_a_place_that_they_only_read(acme: Tenants) -> None:
    await set_(acme, "organization", "run.priority", 5)
    run = await acme.call_as("ed", "start_run", {"organization": "acme", "project": "shop", "suite": "suite"})
    assert await acme.connection.fetchval("select priority from orbit.test_runs where id = $1::uuid", run["id"]) == 5


async def test_group_settings_are_found_with_their_defaults(acme: Tenants) -> None:
    query = (
        "select (select orbit_private.setting_of($1, p.organization_id, p.id))::text"
        " from orbit.projects p where p.slug = 'shop'"
    )
    found = {name: await acme.connection.fetchval(query, name) for name in ("group.wait", "group.size", "group.spread")}
    assert found == {"group.wait": "0", "group.size": "1", "group.spread": "20"}
    await set_(acme, "project", "group.wait", 2.5)
    assert await acme.connection.fetchval(query, "group.wait") == "2.5"
