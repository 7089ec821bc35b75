"""What a person keeps: preferences and searches, over the command."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.command import OrbitCommand
    from support.target import Target


async def test_preferences_are_set_and_taken_away(orbit: OrbitCommand) -> None:
    assert (await orbit("prefs", "list", "--json")).json == {}
    done = await orbit("prefs", "set", "theme=dark", "time_zone=Europe/Berlin", "rows=100", "--json")
    assert done.json == {"theme": "dark", "time_zone": "Europe/Berlin", "rows": 100}
    assert (await orbit("prefs", "unset", "theme", "--json")).json == {"time_zone": "Europe/Berlin", "rows": 100}
    for setting, message in (
        ("theme=pink", "the preference theme is system, light or dark"),
        ("time_zone=Mars/Olympus", "the preference time_zone is a time zone by its name"),
        ("rows=0", "the preference rows is a whole number, 1 to 500"),
        ("colour=1", "the preference colour is auto, always or never"),
        ("language=de", "there is no preference language"),
        ("project=A B", "the preference project is the slug of a project"),
        ("theme", "is not KEY=VALUE"),
    ):
        refused = await orbit("prefs", "set", setting)
        assert refused.code == 4
        assert message in refused.stderr
    assert (await orbit("prefs", "list", "--json")).json == {"time_zone": "Europe/Berlin", "rows": 100}


async def test_searches_are_saved_run_and_deleted(orbit: OrbitCommand, target: Target) -> None:
    tests = {
        "good": {"request": "/item/7", "tags": ["smoke"]},
        "bad": {"request": "POST /item/8", "expect": {"status": 404}},
    }
    suite = orbit.suite(tests, base_url=target.url(""), suite="cart", tags=["shop"])
    run = (await orbit("run", suite, "--json")).json["run"]["id"]

    filters = ("--filter", "status=failed", "--filter", "status=errored", "--filter", "since=7d")
    saved = await orbit("search", "save", "broken", "--entity", "runs", *filters)
    assert saved.code == 0, saved.stderr
    found = (await orbit("search", "run", "broken", "--json")).json
    assert [(row["id"], row["status"], row["suite"]) for row in found] == [(run, "failed", "cart")]
    (listed,) = (await orbit("search", "list", "--json")).json
    assert (listed["filter"], listed["mine"]) == ({"status": ["failed", "errored"], "since": "7d"}, True)

    async def tests_of(*arguments: str) -> list[str]:
        rows = (await orbit("search", "run", *arguments, "--json")).json
        return [row.get("test") or row["key"] for row in rows]

    assert await tests_of("--entity", "results", "--filter", "status=failed") == ["bad"]
    assert await tests_of("--entity", "results", "--filter", "test=good", "--filter", "suite=cart") == ["good"]
    assert await tests_of("--entity", "results", "--filter", "until=1d") == []
    assert await tests_of("--entity", "tests", "--filter", "tags=smoke") == ["good"]
    assert await tests_of("--entity", "tests", "--filter", "tags=shop") == ["bad", "good"]
    assert await tests_of("--entity", "tests", "--filter", "text=OO") == ["good"]
    assert await tests_of("--entity", "tests", "--filter", "text=%") == []
    assert await tests_of("--entity", "tests", "--filter", "enabled:=false") == []
    assert await tests_of("--entity", "suites", "--filter", "tags=shop") == ["cart"]
    assert await tests_of("--entity", "suites", "--filter", "tags=smoke") == []

    assert (await orbit("search", "rm", "broken")).code == 0
    refused = await orbit("search", "run", "broken")
    assert refused.code == 4
    assert "no search broken" in refused.stderr


async def test_filters_that_are_none(orbit: OrbitCommand, target: Target) -> None:
    await orbit("run", orbit.suite({"a": {"request": "/item/1"}}, base_url=target.url("")))
    for arguments, message in (
        (("--entity", "runs", "--filter", "colour=red"), "runs cannot be searched by colour"),
        (("--entity", "runs", "--filter", "since=yesterday"), "yesterday is no time"),
        (("--entity", "runs", "--filter", "status:=7"), "status is neither text nor a list of texts"),
        (("--entity", "tests", "--filter", "enabled=yes"), "enabled is not a boolean"),
        (("--entity", "results", "--filter", "slower_than=1"), "slower_than is not a number"),
        (("--entity", "runs", "--filter", "status"), "is not K=V"),
        (("--entity", "runs", "--filter", "status:={"), "the value of status is not JSON"),
        (("x", "--entity", "runs"), "a search has a name, or an entity"),
        (("x", "--filter", "a=b"), "a saved search has its own filter"),
        (("--entity", "runs", "--project", "nosuch"), "no project nosuch"),
    ):
        refused = await orbit("search", "run", *arguments)
        assert refused.code == 4, arguments
        assert message in refused.stderr
