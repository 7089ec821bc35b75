"""Definitions by scope: which of them a test gets, what they may be, who may see and write them, and how they go."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from support.acme import EVERYWHERE, SEALED, WHERE

if TYPE_CHECKING:
    from conftest import Acme

SCOPES = list(WHERE)


async def test_the_narrowest_scope_wins(acme: Acme) -> None:
    for number, scope in enumerate(SCOPES):
        await acme.set(scope, x=scope)
        found = (await acme.resolve(**EVERYWHERE))["x"]
        assert (found["value"], found["scope"]) == (scope, scope)
        assert [shadow["scope"] for shadow in found["shadows"]] == SCOPES[:number][::-1]
        assert [shadow["value"] for shadow in found["shadows"]] == SCOPES[:number][::-1]


async def test_priority_goes_before_scope(acme: Acme) -> None:
    for scope in SCOPES:
        await acme.set(scope, x=scope)
    await acme.set("business_unit", [{"name": "x", "priority": 7}])
    await acme.set("test", [{"name": "x", "priority": -1}])
    found = (await acme.resolve(**EVERYWHERE))["x"]
    assert (found["value"], found["priority"]) == ("business_unit", 7)
    assert [(shadow["scope"], shadow["priority"]) for shadow in found["shadows"]] == [
        ("suite", 0), ("environment", 0), ("project", 0), ("global", 0), ("test", -1),
    ]  # fmt: skip


async def test_what_is_not_named_does_not_hold(acme: Acme) -> None:
    for scope in SCOPES:
        await acme.set(scope, [{"name": "in_" + scope, "value": 1}])
    assert set(await acme.resolve(**EVERYWHERE)) == {"in_" + scope for scope in SCOPES}
    assert set(await acme.resolve(project="shop", environment="live", suite="checkout", test="b")) == {
        "in_global", "in_business_unit", "in_project", "in_suite",
    }  # fmt: skip
    assert set(await acme.resolve(project="site")) == {"in_global"}
    assert set(await acme.resolve()) == {"in_global"}
    assert set(await acme.resolve(**EVERYWHERE, names=["in_suite", "nothing"])) == {"in_suite"}
    await acme.connection.execute("update orbit.projects set business_unit_id = null where slug = 'shop'")
    assert "in_business_unit" not in await acme.resolve(**EVERYWHERE)


async def test_values_keep_their_type(acme: Acme) -> None:
    values = {"string": "x", "number": 1.5, "boolean": False, "object": {"a": [1]}, "array": [None], "any": None}
    for kind, value in values.items():
        await acme.set("project", [{"name": f"v_{kind}", "value": value, "type": kind}])
        for other, wrong in values.items():
            if kind not in (other, "any"):
                error = await acme.refused(
                    "set_variables", scope="project", project="shop", variables=[{"name": f"v_{kind}", "value": wrong}]
                )
                assert error.sqlstate == "OR001"
                assert f"v_{kind}" in str(error)
    found = await acme.resolve(project="shop")
    assert {name.removeprefix("v_"): variable["value"] for name, variable in found.items()} == values
    with pytest.raises(asyncpg.CheckViolationError, match="value_fits_type"):
        await acme.connection.execute("update orbit.variable_definitions set value = '[]' where name = 'v_string'")


async def test_what_is_left_out_stays(acme: Acme) -> None:
    await acme.set("project", [{"name": "x", "value": 1, "type": "number", "priority": 3, "description": "why"}])
    before = await acme.call("list_variables", scope="project", project="shop")
    answer = await acme.set("project", [{"name": "x", "value": 1}])
    assert (answer["changed"], await acme.call("list_variables", scope="project", project="shop")) == (0, before)
    await acme.set("project", [{"name": "x", "priority": 4}])
    [after] = await acme.call("list_variables", scope="project", project="shop")
    assert (after["value"], after["type"], after["priority"], after["description"]) == (1, "number", 4, "why")


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"scope": "planet"}, "OR001", "planet"),
    ({"scope": None}, "OR001", "scope"),
    ({"colour": "red"}, "OR001", "colour"),
    ({"variables": None}, "OR001", "variables"),
    ({"variables": {"x": 1}}, "OR001", "variables"),
    ({"variables": ["x"]}, "OR001", "variables[0]"),
    ({"variables": [{"value": 1}]}, "OR001", "variables[0].name"),
    ({"variables": [{"name": 7, "value": 1}]}, "OR001", "variables[0].name"),
    ({"variables": [{"name": "ok", "value": 1}, {"name": "1x", "value": 1}]}, "OR001", "variables[1].name"),
    ({"variables": [{"name": "a.b", "value": 1}]}, "OR001", "a.b"),
    ({"variables": [{"name": "a b", "value": 1}]}, "OR001", "a b"),
    ({"variables": [{"name": "x" * 201, "value": 1}]}, "OR001", "variables[0].name"),
    ({"variables": [{"name": "x"}]}, "OR001", "value of variables[0] (x)"),
    ({"variables": [{"name": "x", "value": 1, "colour": 1}]}, "OR001", "variables[0].colour"),
    ({"variables": [{"name": "x", "value": 1, "type": "date"}]}, "OR001", "type date"),
    ({"variables": [{"name": "x", "value": "1", "type": "number"}]}, "OR001", "value of variables[0] (x)"),
    ({"variables": [{"name": "x", "value": 1, "priority": 1001}]}, "OR001", "priority of variables[0] (x)"),
    ({"variables": [{"name": "x", "value": 1, "priority": 1.5}]}, "OR001", "priority of variables[0] (x)"),
    ({"variables": [{"name": "x", "value": 1, "priority": "high"}]}, "OR001", "priority of variables[0] (x)"),
    ({"variables": [{"name": "x", "value": 1, "secret": "yes"}]}, "OR001", "secret of variables[0] (x)"),
    ({"variables": [{"name": "x", "value": 1, "uses": "y"}]}, "OR001", "uses of variables[0] (x)"),
    ({"variables": [{"name": "x", "value": "y" * 65536}]}, "OR001", "64 KiB"),
    ({"variables": [{"name": "x", "value": 1}, {"name": "x", "value": 2}]}, "OR001", "x twice"),
    ({"variables": [{"name": "x", "value": "clear", "secret": True}]}, "OR008", "no secret key"),
    ({"suite": "checkout"}, "OR001", "suite is no part of the scope project"),
    ({"scope": "test", "suite": "checkout"}, "OR001", "test"),
    ({"scope": "test", "suite": "checkout", "test": "nobody"}, "OR002", "nobody"),
    ({"scope": "suite", "suite": "nothing"}, "OR002", "nothing"),
    ({"scope": "environment", "environment": "moon"}, "OR002", "moon"),
    ({"scope": "environment"}, "OR001", "environment"),
]


async def test_bad_requests_are_refused_by_name_and_whole(acme: Acme) -> None:
    before = await acme.all()
    for change, code, word in BAD:
        request = {"scope": "project", "project": "shop", "variables": [{"name": "x", "value": 1}], **change}
        error = await acme.refused("set_variables", **request)
        assert (error.sqlstate, word in str(error)) == (code, True), (change, str(error))
    assert await acme.all() == before
    for function, request, code, word in (
        ("resolve_variables", {"test": "a"}, "OR001", "suite"),
        ("resolve_variables", {"project": "nowhere"}, "OR002", "nowhere"),
        ("resolve_variables", {"organization": "nowhere"}, "OR002", "nowhere"),
        ("resolve_variables", {"names": "x"}, "OR001", "names"),
        ("resolve_variables", {"scope": "x"}, "OR001", "scope"),
        ("list_variables", {"scope": "planet"}, "OR001", "planet"),
        ("list_variables", {"limit": "many"}, "OR001", "limit"),
        ("list_variables", {"scope": "business_unit", "business_unit": "none"}, "OR002", "none"),
        ("delete_variable", {"scope": "global"}, "OR001", "name"),
        ("delete_variable", {"scope": "global", "name": "none"}, "OR002", "none"),
        ("delete_variable", {"name": "none"}, "OR001", "scope"),
        ("delete_environment", {"project": "shop"}, "OR001", "name"),
        ("delete_environment", {"project": "shop", "name": "moon"}, "OR002", "moon"),
        ("list_environments", {"project": "nowhere"}, "OR002", "nowhere"),
    ):
        error = await acme.refused(function, **request)
        assert (error.sqlstate, word in str(error)) == (code, True), (function, request, str(error))


async def test_a_scope_holds_ten_thousand(acme: Acme) -> None:
    many = [{"name": f"v{n}", "value": n} for n in range(10_000)]
    assert (await acme.set("project", many))["changed"] == 10_000
    for request in (
        {"scope": "project", "project": "shop"},
        {"scope": "suite", "project": "shop", "suite": "checkout"},
    ):
        entries = [{"name": "one_more", "value": 1}]
        if request["scope"] == "project":
            error = await acme.refused("set_variables", **request, variables=entries)
            assert (error.sqlstate, "10,000" in str(error)) == ("OR001", True)
        else:
            await acme.call("set_variables", **request, variables=entries)
    assert len(await acme.all()) == 10_001
    first = await acme.call("list_variables", scope="project", project="shop", limit=3)
    assert [row["name"] for row in first] == ["v0", "v1", "v10"]
    following = await acme.call("list_variables", scope="project", project="shop", limit=2, after="v10")
    assert [row["name"] for row in following] == ["v100", "v1000"]


async def test_secrets_are_never_told(acme: Acme) -> None:
    await acme.set("project", [{"name": "x", "value": SEALED, "secret": True}])
    await acme.set("suite", [{"name": "x", "value": "open"}])
    found = (await acme.resolve(**EVERYWHERE))["x"]
    assert (found["value"], found["secret"], found["shadows"][0]["value"]) == ("open", False, None)
    [listed] = await acme.call("list_variables", scope="project", project="shop")
    assert (listed["secret"], listed["value"]) == (True, None)
    [secret] = await acme.connection.fetch("select place, sealed from orbit_private.secret")
    assert (secret["place"], secret["sealed"]) == ("project:shop:x", SEALED)
    answers = json.dumps([found, listed])
    assert "seal.v1" not in answers
    with pytest.raises(asyncpg.CheckViolationError, match="value_or_secret"):
        await acme.connection.execute("update orbit.variable_definitions set value = '1' where secret_id is not null")
    # No secret any more: its sealed value goes. And the other way round.
    await acme.set("project", [{"name": "x", "value": 1, "secret": False}])
    assert await acme.connection.fetchval("select count(*) from orbit_private.secret") == 0
    await acme.set("project", [{"name": "x", "value": SEALED, "secret": True}])
    await acme.call("delete_variable", scope="project", project="shop", name="x")
    assert await acme.connection.fetchval("select count(*) from orbit_private.secret") == 0


@pytest.mark.parametrize(
    ("statement", "left"),
    [
        (
            "delete from orbit.test_cases where key = 'a'",
            {"global", "business_unit", "project", "environment", "suite"},
        ),
        ("delete from orbit.test_suites", {"global", "business_unit", "project", "environment"}),
        ("delete from orbit.environments", {"global", "business_unit", "project", "suite", "test"}),
        ("delete from orbit.projects where slug = 'shop'", {"global", "business_unit"}),
        ("delete from orbit.organizations where slug = 'acme'", set()),
    ],
)
async def test_variables_go_with_what_they_belong_to(acme: Acme, statement: str, left: set[str]) -> None:
    for scope in SCOPES:
        await acme.set(scope, [{"name": "x", "value": 1}, {"name": "s", "value": SEALED, "secret": True}])
    await acme.connection.execute(statement)
    assert {scope for scope, _, _ in await acme.all()} == left
    assert await acme.connection.fetchval("select count(*) from orbit_private.secret") == len(left)


async def test_units_do_not_see_each_other(acme: Acme) -> None:
    for scope in SCOPES:
        await acme.set(scope, [{"name": "x", "value": scope}])
    for person, seen in (("una", set(SCOPES)), ("vera", {"global"}), ("adam", set(SCOPES)), ("eve", set())):
        async with acme.tenants.acting(person):
            rows = await acme.connection.fetch(
                "select scope from orbit.variable_definitions union all select 'environment' from orbit.environment_variables"
            )
            assert {row[0] for row in rows} == seen, person
    assert (await acme.call_as("una", "resolve_variables", **EVERYWHERE))["variables"][0]["value"] == "test"
    for person in ("vera", "eve"):
        for function in ("resolve_variables", "list_variables"):
            assert (await acme.refused(function, person=person, **EVERYWHERE)).sqlstate == "OR002"
    assert (
        await acme.refused("list_variables", person="vera", scope="business_unit", business_unit="payments")
    ).sqlstate == "OR002"


async def test_admins_write_and_others_do_not(acme: Acme) -> None:
    for scope in SCOPES:
        request = {"scope": scope, "variables": [{"name": "x", "value": 1}], **WHERE[scope]}
        await acme.call_as("adam", "set_variables", **request)
        for person in ("una", "ed", "vera", "eve"):
            # A project that they do not see: setting could make it, and is not allowed; what is to be deleted is not found.
            code = (await acme.refused("set_variables", person=person, **request)).sqlstate
            assert code in ("OR003", "OR002"), (scope, person)
            deletion = {"scope": scope, "name": "x", **WHERE[scope]}
            code = (await acme.refused("delete_variable", person=person, **deletion)).sqlstate
            assert code in ("OR003", "OR002"), (scope, person)
        await acme.call_as("adam", "delete_variable", scope=scope, name="x", **WHERE[scope])
    assert await acme.all() == []


async def test_environments_by_direct_writing(acme: Acme) -> None:
    await acme.set("environment", [{"name": "s", "value": SEALED, "secret": True}])
    insert = (
        "insert into orbit.environment_variables (environment_id, name, value)"
        " select id, 'x', '\"{{y}}\"' from orbit.environments where name = 'staging'"
    )
    for person, allowed in (("adam", True), ("una", False)):
        async with acme.tenants.acting(person):
            if not allowed:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await acme.connection.execute(insert)
                continue
            await acme.connection.execute(insert)
            row = await acme.connection.fetchrow("select * from orbit.environment_variables where name = 'x'")
            assert row is not None
            assert (row["uses"], row["project_id"] is not None) == (["y"], True)
            assert await acme.connection.execute("update orbit.environment_variables set priority = 3") == "UPDATE 1"
            assert await acme.connection.execute("delete from orbit.environment_variables") == "DELETE 1"
            for column in ("secret_id", "uses", "project_id"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    async with acme.connection.transaction():
                        await acme.connection.execute(f"update orbit.environment_variables set {column} = default")
            assert await acme.connection.execute("delete from orbit.environments where name = 'live'") == "DELETE 1"
    async with acme.tenants.acting("una"):
        assert await acme.connection.execute("delete from orbit.environments") == "DELETE 0"


async def test_each_change_is_a_new_version(acme: Acme) -> None:
    async def version() -> int:
        return int((await acme.call("resolve_variables"))["version"])

    heard: list[str] = []
    async with acme.database.connect() as listener:
        await listener.add_listener("orbit_variables", lambda *notice: heard.append(notice[-1]))
        before = await version()
        await acme.set("project", x=1)
        after = await version()
        assert after > before
        await acme.set("project", x=1)  # nothing changed
        await acme.call("save_environment", name="staging", project="shop", replace=False)
        assert await version() == after
        await acme.connection.execute("update orbit.variable_definitions set value = '2'")
        changed = await version()
        assert changed > after
        await acme.call("delete_environment", project="shop", name="live")  # it had no variables
        assert await version() == changed
        await acme.connection.execute("update orbit.projects set business_unit_id = null where slug = 'shop'")
        assert await version() > changed
        await listener.execute("select 1")
        acme_id = await acme.connection.fetchval("select id::text from orbit.organizations where slug = 'acme'")
        assert set(heard) == {acme_id}


async def test_writers_at_once_lose_nothing(acme: Acme) -> None:
    async def write(number: int) -> None:
        async with acme.database.connect() as connection:
            for turn in range(5):
                entries = [
                    {"name": f"v{n}", "value": [number, turn]} for n in (range(20) if number % 2 else range(19, -1, -1))
                ]
                entries.append({"name": f"own_{number}_{turn}", "value": 1})
                request = {"organization": "acme", "scope": "project", "project": "shop", "variables": entries}
                await connection.fetchval("select orbit.set_variables($1::text::jsonb)", json.dumps(request))

    await asyncio.gather(*(write(number) for number in range(4)))
    found = await acme.resolve(project="shop")
    assert len(found) == 20 + 4 * 5
    assert len({json.dumps(found[f"v{n}"]["value"]) for n in range(20)}) == 1  # one writer's, whole


async def test_environments_are_listed_and_deleted(acme: Acme) -> None:
    await acme.set("environment", [{"name": "x", "value": 1}, {"name": "s", "value": SEALED, "secret": True}])
    listed = await acme.call_as("una", "list_environments", project="shop")
    assert [(e["name"], e["variables"], e["secrets"]) for e in listed] == [("live", 0, 0), ("staging", 1, 1)]
    assert (await acme.refused("delete_environment", person="una", project="shop", name="staging")).sqlstate == "OR003"
    assert await acme.call_as("adam", "delete_environment", project="shop", name="staging") == {
        "deleted": True,
        "variables": 2,
    }
    assert [e["name"] for e in await acme.call("list_environments", project="shop")] == ["live"]
    assert await acme.connection.fetchval("select count(*) from orbit_private.secret") == 0


async def test_saving_an_environment_keeps_its_contract(acme: Acme) -> None:
    variables = [{"name": "a b", "value": None}, {"name": "s", "value": SEALED, "secret": True, "description": "d"}]
    await acme.call("save_environment", project="shop", name="staging", variables=variables)
    read = await acme.call("get_environment", project="shop", name="staging")
    assert [(v["name"], v["value"], v["secret"]) for v in read["variables"]] == [
        ("a b", None, False),
        ("s", None, True),
    ]
    for person in ("adam", "una"):  # whoever may open it asks read_secret, which writes that down
        theirs = await acme.call_as(person, "get_environment", project="shop", name="staging")
        assert theirs["variables"][1]["value"] is None
    await acme.call("save_environment", project="shop", name="staging", variables=[{"name": "s", "value": "now clear"}])
    [left] = (await acme.call("get_environment", project="shop", name="staging"))["variables"]
    assert (left["value"], left["secret"]) == ("now clear", False)


async def test_names_are_keys_of_the_index(acme: Acme) -> None:
    for scope in SCOPES:
        await acme.set(scope, [{"name": f"v{n}", "value": n} for n in range(400)])
    await acme.connection.execute("analyze orbit.variable_definitions, orbit.environment_variables")
    names = [f"v{n}" for n in range(5)]
    asked = json.dumps({"organization": "acme", "names": names, **EVERYWHERE})
    plans: list[dict[str, Any]] = []

    def hear(_: object, message: Any) -> None:
        if message.message.startswith("duration"):
            plans.append(json.loads(message.message.partition("plan:\n")[2]))

    await acme.connection.execute(
        "load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_analyze = on;"
        " set auto_explain.log_format = json; set auto_explain.log_nested_statements = on; set auto_explain.log_level = notice"
    )
    acme.connection.add_log_listener(hear)
    await acme.connection.fetchval("select orbit.resolve_variables($1::text::jsonb)", asked)
    acme.connection.remove_log_listener(hear)

    def below(plan: dict[str, Any]) -> list[dict[str, Any]]:
        return [plan, *(node for child in plan.get("Plans", ()) for node in below(child))]

    nodes = [node for plan in plans for node in below(plan["Plan"])]
    tables = {"variable_definitions", "environment_variables"}
    read = [node for node in nodes if node.get("Relation Name") in tables and node["Actual Loops"]]
    # By the name too: what a filter had to throw away had been read.
    assert {node["Relation Name"] for node in read} == tables
    assert sum(node.get("Rows Removed by Filter", 0) for node in read) == 0
    used = [
        node["Index Cond"]
        for node in nodes
        if node["Actual Loops"] and node.get("Index Name", "").endswith("_name_key")
    ]
    assert len([condition for condition in used if "name = ANY" in condition]) == len(tables)
