"""Several commands at once on one database, and the first ones ever."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.command import OrbitCommand, finished

from orbit_context.client import Orbit as Client
from orbit_context.suite.load import load_suite

if TYPE_CHECKING:
    from support.postgres import Database
    from support.target import Target

    from orbit_context.suite.load import LoadedSuite


def chained(count: int) -> dict[str, Any]:
    tests: dict[str, Any] = {"t0": {"request": "/item/0", "capture": {"id": "$.id"}}}
    for number in range(1, count):
        tests[f"t{number}"] = {
            "request": f"/item/{number}",
            "capture": {"id": "$.id"},
            "needs": [f"t{number // 2}"],
            "expect": {"json": {"$.id": number}},
        }
    return tests


async def test_different_suites_and_the_same_one_twice_at_once(
    orbit: OrbitCommand, target: Target, database: Database
) -> None:
    same = orbit.suite(chained(40), base_url=target.url(""), suite="same")
    others = [orbit.suite(chained(40), base_url=target.url(""), suite=f"other {number}") for number in range(2)]
    done = await asyncio.gather(*(orbit("run", suite, "--json") for suite in (same, same, *others)))
    assert [each.code for each in done] == [0, 0, 0, 0], [each.stderr[-1500:] for each in done if each.code]
    assert len({each.json["run"]["id"] for each in done}) == 4
    for each in done:
        assert each.json["run"]["counts"]["passed"] == 40
        assert {result["attempts"] for result in each.json["results"]} == {1}
    assert database.fetch("select count(*)::int as n from orbit.test_results")[0]["n"] == 160
    assert database.fetch("select count(*)::int as n from orbit.test_suites")[0]["n"] == 3
    assert database.fetch("select count(*)::int as n from orbit.test_suite_versions")[0]["n"] == 3
    assert database.fetch("select 1 from orbit_private.job") == []


async def test_a_suite_that_changes_while_it_runs_ends_as_it_began(orbit: OrbitCommand, target: Target) -> None:
    suite = orbit.suite(
        {"a": {"request": "/hold"}, "b": {"needs": ["a"], "request": "/item/1"}}, base_url=target.url("")
    )
    process = await orbit.start("run", suite, "--json")
    await target.until(lambda: target.requests)
    changed = orbit.suite({"c": {"request": "/item/2"}}, base_url=target.url(""), suite="suite 1")
    second = await orbit("run", changed, "--json")
    assert set(second.statuses()) == {"c"}
    target.release.set()

    first = await finished(process)
    assert first.statuses() == {"a": "passed", "b": "passed"}


@pytest.mark.slow
async def test_the_first_two_runs_ever_start_one_embedded_postgres(target: Target, tmp_path: Path) -> None:
    # Not below tmp_path: as root, the server runs as an unprivileged account that must pass through.
    place = Path(os.environ["ORBIT_HOME"]).with_name("first-runs")
    home: dict[str, Any] = {"ORBIT_HOME": str(place), "ORBIT_DATABASE_URL": None, "ORBIT_SECRET_KEY": None}
    async with OrbitCommand("unused", tmp_path) as orbit:
        suites = [orbit.suite(chained(10), base_url=target.url("")) for _ in range(2)]
        try:
            done = await asyncio.gather(*(orbit("run", suite, "--json", **home) for suite in suites))
            assert [each.code for each in done] == [0, 0], [each.stderr for each in done]
            listed = await orbit("show", "--json", **home)
            assert len(listed.json) == 2
            assert (await orbit("doctor", **home)).code == 0
            assert (await orbit("db", "start", **home)).code == 0
        finally:
            stopped = await orbit("db", "stop", **home)
            shutil.rmtree(place, ignore_errors=True)
        assert stopped.stdout == "stopped\n"


@pytest.mark.parametrize("once_more", range(4))
async def test_savers_and_starters_never_wait_for_each_other_in_a_circle(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, once_more: int
) -> None:
    monkeypatch.setattr("orbit_context.gateway.postgres._VICTIMS", 0)  # a deadlock is told, not tried again
    command = OrbitCommand(database.dsn, tmp_path)
    same, *others = (load_suite(command.suite(chained(40), suite=name)) for name in ("same", "one", "other"))

    async def save_and_start(suite: LoadedSuite) -> None:
        async with Client.connect(database.dsn) as client:
            for _ in range(5):
                saved = await client.suites.save(suite)
                await client.runs.start(suite_id=saved.suite_id, variables={"base_url": "http://127.0.0.1:9"})

    await asyncio.gather(*(save_and_start(suite) for suite in (same, same, same, same, *others)))
    assert database.fetch("select count(*)::int as n from orbit.test_suite_versions")[0]["n"] == 3
    assert database.fetch("select count(*)::int as n from orbit.test_runs")[0]["n"] == 30
