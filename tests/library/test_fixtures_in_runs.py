"""Data sets from the file that fills them to the run that uses them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from support.command import OrbitCommand
    from support.postgres import Database
    from support.target import Target

USERS = "id,name\n7,Ada\n8,Grace\n"


def items(orbit: OrbitCommand, target: Target, fixture: str = "users", **data: str) -> Path:
    test = {
        "data": {"fixture": fixture, **data},
        "request": "/item/{{row.id}}",
        "expect": {"status": 200, "json": {"$.id": "{{row.id | int}}"}},
    }
    return orbit.suite({"item": test}, base_url=target.url(""), suite="items")


async def test_a_run_uses_a_data_set_and_says_which_version(
    orbit: OrbitCommand, target: Target, database: Database
) -> None:
    added = await orbit("fixture", "add", orbit.write("users.csv", USERS), "--tag", "people", "--json")
    assert (added.json["version"], added.json["columns"], added.json["changed"]) == (1, ["id", "name"], True)
    suite = items(orbit, target, key="name")
    done = await orbit("run", suite, "--json")
    assert done.statuses() == {"item[Ada]": "passed", "item[Grace]": "passed"}, done.stderr

    assert not (await orbit("fixture", "add", orbit.folder / "users.csv", "--json")).json["changed"]
    again = await orbit("fixture", "add", orbit.write("users.csv", USERS + "9,Edsger\n"), "--json")
    assert (again.json["version"], again.json["row_count"]) == (2, 3)
    second = await orbit("run", suite, "--json")
    assert len(second.statuses()) == 3

    usage = (await orbit("fixture", "usage", "users", "--json")).json
    told = [(use["run_id"], use["version"], use["rows_used"], use["suite"]) for use in usage]
    assert told == [
        (second.json["run"]["id"], 2, 3, "items"),
        (None, 2, 3, "items"),
        (done.json["run"]["id"], 1, 2, "items"),
        (None, 1, 2, "items"),
    ]
    listed = (await orbit("fixture", "list", "--tag", "people", "--json")).json
    assert [(one["name"], one["row_count"], one["tags"]) for one in listed] == [("users", 3, ["people"])]
    assert (await orbit("fixture", "list", "--tag", "animals")).stdout.startswith("no data set")
    shown = await orbit("fixture", "show", "users")
    assert shown.stdout == USERS + "9,Edsger\n"


async def test_what_deletion_means(orbit: OrbitCommand, target: Target, database: Database) -> None:
    await orbit("fixture", "add", orbit.write("users.csv", USERS))
    suite = items(orbit, target)
    first = await orbit("run", suite, "--json")
    refused = await orbit("fixture", "rm", "users")
    assert refused.code == 4
    assert "suites use the fixture users" in refused.stderr
    assert "items" in refused.stderr
    gone = await orbit("fixture", "rm", "users", "--force", "--json")
    assert gone.json == {"name": "users", "version": 1, "suites": ["items"]}

    # The file cannot be loaded any more; what is saved goes on, and the history keeps name and version.
    refused = await orbit("run", suite)
    assert refused.code == 4
    assert "there is no fixture 'users' in the suite's project" in refused.stderr
    usage = (await orbit("fixture", "usage", "users", "--json")).json
    assert [(use["run_id"], use["version"], use["deleted"]) for use in usage] == [
        (first.json["run"]["id"], 1, True),
        (None, 1, True),
    ]
    saved = database.fetch("select (orbit.start_run('{\"suite\": \"items\"}') #>> '{counts,total}')::int as total")
    assert saved[0]["total"] == 2
    # A name used again goes on counting: a version names one set of rows for ever.
    assert (await orbit("fixture", "add", orbit.folder / "users.csv", "--json")).json["version"] == 2


async def test_a_data_set_that_is_not_there_is_named_with_its_place(orbit: OrbitCommand, target: Target) -> None:
    await orbit("fixture", "add", orbit.write("users.csv", USERS))
    suite = items(orbit, target, "user")
    for command in ("run", "validate"):
        refused = await orbit(command, suite)
        assert refused.code == 4
        line = 1 + suite.read_text().splitlines().index('    "fixture": "user"')
        assert f"{suite}:{line}" in refused.stderr
        assert "tests.item.data.fixture" in refused.stderr
        assert "there is no fixture 'user'" in refused.stderr
        assert "row has no" not in refused.stderr  # one mistake, one error
    told = (await orbit("validate", items(orbit, target), "--json")).json
    assert told[0]["valid"]
    assert told[0]["tests"] == 2


async def test_a_suite_without_data_sets_asks_no_database(orbit: OrbitCommand, tmp_path: Path) -> None:
    suite = orbit.suite({"a": {"request": "/a"}})
    done = await orbit("validate", suite, ORBIT_DATABASE_URL="postgresql://nobody@127.0.0.1:9/none")
    assert done.code == 0
    named = orbit.suite({"a": {"data": {"fixture": "users"}, "request": "/a"}})
    done = await orbit("validate", named, ORBIT_DATABASE_URL="postgresql://nobody@127.0.0.1:9/none")
    assert done.code == 3


async def test_files_that_are_no_data_set(orbit: OrbitCommand) -> None:
    cases: list[tuple[str, str, str]] = [
        ("empty.csv", "id,name\n", "there are no rows"),
        ("users.txt", USERS, "is no data file"),
        ("list.json", json.dumps([1, 2]), "a list of objects"),
        ("big.json", json.dumps([{"text": "x" * 2**20}]), "at most 1,048,576 bytes"),
    ]
    for name, text, message in cases:
        refused = await orbit("fixture", "add", orbit.write(name, text))
        assert refused.code == 4, name
        assert message in refused.stderr
        assert "x" * 100 not in refused.stderr
    refused = await orbit("fixture", "add", orbit.write("ok.csv", USERS), "--name", "a/b")
    assert "a/b cannot be the name of a data set" in refused.stderr
    assert (await orbit("fixture", "list", "--json")).json == []


async def test_values_keep_their_types(orbit: OrbitCommand, target: Target) -> None:
    rows: list[dict[str, Any]] = [{"id": 7, "tags": ["a"], "name": 'Ü; "x"', "no": None}]
    await orbit("fixture", "add", orbit.write("typed.json", json.dumps(rows)))
    assert (await orbit("fixture", "show", "typed", "--json")).json["rows"] == rows
    test = {
        "data": {"fixture": "typed"},
        "request": "/item/{{row.id}}",
        "expect": {"json": {"$.id": "{{row.id}}"}},
    }
    done = await orbit("run", orbit.suite({"item": test}, base_url=target.url("")), "--json")
    assert done.statuses() == {"item[1]": "passed"}, done.stderr
