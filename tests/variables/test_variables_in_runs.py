"""Variables of the database in runs: resolved when a test begins, not when the run does."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from support.command import finished
from support.target import Target

if TYPE_CHECKING:
    import asyncpg
    from support.command import OrbitCommand
    from support.hostile import Request
    from support.postgres import Database


async def define(connection: asyncpg.Connection[Any], scope: str, values: dict[str, Any], **where: str) -> None:
    entries = [{"name": name, "value": value} for name, value in values.items()]
    await connection.fetchval(
        "select orbit.set_variables($1::text::jsonb)", json.dumps({"scope": scope, "variables": entries, **where})
    )


def said(target: Target) -> list[str]:
    """What the tests told the target, in order."""
    return [request.query["is"] for request in target.requests if "is" in request.query]


async def test_the_whole_order(orbit: OrbitCommand, database: Database, target: Target) -> None:
    names = ["in_suite", "in_global", "in_project", "in_env", "in_test", "by_var", "joined", "tag", "tag"]
    echo = "/text?is=" + "|".join(f"{{{{{name}}}}}" for name in names)
    variables = dict.fromkeys(("in_suite", "in_global", "in_project", "in_env", "in_test", "by_var"), "suite")
    tests = {"a": {"request": echo}, "b": {"needs": ["a"], "request": echo}}
    suite = orbit.suite(
        tests, base_url=target.url(""), suite="order",
        variables={**variables, "joined": "{{in_project}}+{{in_suite}}", "tag": "{{random_string(8)}}"},
    )  # fmt: skip
    first = await orbit("run", suite)
    assert first.code == 0, first.stderr
    before, again = said(target)
    assert before == again
    assert before.split("|")[:7] == [*["suite"] * 6, "suite+suite"]
    environment = orbit.write(
        "staging.yaml", json.dumps({"environment": "staging", "variables": {"in_env": "env", "by_var": "env"}})
    )
    assert (await orbit("env", "save", environment)).code == 0
    async with database.connect() as connection:
        everything = ("in_global", "in_project", "in_env", "in_test", "by_var")
        await define(connection, "global", dict.fromkeys(everything, "global"))
        await define(connection, "project", dict.fromkeys(everything[1:], "project"))
        await define(connection, "test", {"in_test": "test"}, suite="order", test="b")
    target.requests.clear()
    second = await orbit("run", suite, "--env", "staging", "--var", "by_var=line")
    assert second.code == 0, second.stderr
    a, b = (line.split("|") for line in said(target))
    assert a[:7] == ["suite", "global", "project", "env", "project", "line", "project+suite"]
    assert b[:7] == ["suite", "global", "project", "env", "test", "line", "project+suite"]
    assert a[7:] == b[7:]
    assert a[7] == a[8]
    target.requests.clear()
    own = orbit.suite({"a": {"request": "/text?is={{env.by_var}}"}}, base_url=target.url(""))
    assert (await orbit("run", own, "--env", "staging", "--var", "by_var=line")).code == 0
    assert said(target) == ["env"]


async def test_names_that_only_the_database_has(orbit: OrbitCommand, database: Database, target: Target) -> None:
    suite = orbit.suite({"a": {"request": "/text?is={{greeting}}"}}, base_url=target.url(""))
    unknown = await orbit("run", suite)
    assert (unknown.code, "greeting" in unknown.stderr) == (4, True)
    async with database.connect() as connection:
        await define(
            connection, "global", {"greeting": "hello {{whom}}", "whom": "{{upper_whom}}", "upper_whom": "you"}
        )
    done = await orbit("run", suite)
    assert done.code == 0, done.stderr
    assert said(target) == ["hello you"]


async def test_secrets_of_the_database_are_masked(orbit: OrbitCommand, database: Database, target: Target) -> None:
    secret = "canary-of-the-database-7f3a"
    assert (await orbit("var", "set", f"api_key={secret}", "--secret", "--global")).code == 0
    assert (await orbit("var", "set", "header=Bearer {{api_key}}")).code == 0
    tests = {"a": {"request": {"GET": "/text?is={{header}}"}, "expect": {"status": 404}}}
    done = await orbit("run", orbit.suite(tests, base_url=target.url("")), "--json")
    assert said(target) == [f"Bearer {secret}"]
    assert secret not in done.stdout + done.stderr
    async with database.connect() as connection:
        for table in (
            "orbit.test_result_details",
            "orbit.variable_definitions",
            "orbit_private.secret",
            "orbit.test_runs",
        ):
            for row in await connection.fetch(f"select t::text from {table} t"):
                assert secret not in row[0], table


@dataclass
class Timed(Target):
    """Keeps when it was told what, and says when it was told three things."""

    told: list[tuple[float, str]] = field(default_factory=list)
    began: asyncio.Event = field(default_factory=asyncio.Event)

    async def do_slow(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.told.append((asyncio.get_running_loop().time(), request.query["is"]))
        if len(self.told) == 3:
            self.began.set()
        await super().do_slow(request, writer)


async def test_a_change_is_seen_during_the_run(orbit: OrbitCommand, database: Database) -> None:
    """Each test waits for the one before, so that each begins when the target has answered that one."""
    tests: dict[str, Any] = {"t0": {"request": "/slow?seconds=0.1&is={{x}}"}}
    tests |= {f"t{n}": {"needs": [f"t{n - 1}"], "request": "/slow?seconds=0.1&is={{x}}"} for n in range(1, 40)}
    async with database.connect() as connection, Timed() as target:
        process = await orbit.start("run", orbit.suite(tests, base_url=target.url(""), variables={"x": "suite"}))
        async with asyncio.timeout(30):
            await target.began.wait()
        before = asyncio.get_running_loop().time()
        await define(connection, "project", {"x": "project"})
        changed = asyncio.get_running_loop().time()
        assert (await finished(process)).code == 0
    assert len(target.told) == len(tests)
    assert {value for at, value in target.told if at <= before} == {"suite"}
    late = [value for at, value in target.told if at > changed + 1.1]  # the tenth of a second is the way to the target
    assert len(late) > 5
    assert set(late) == {"project"}


async def test_what_a_run_saves_is_what_its_tests_use(orbit: OrbitCommand, database: Database, target: Target) -> None:
    tests = {"a": {"request": "/text?is={{one}}"}, "b": {"request": "/text?is={{captured_data.a.x}}", "needs": []}}
    tests["a"]["capture"] = {"x": {"header": "content-type"}}
    variables = {"one": "{{two}}", "two": "2", "three": "3"}
    assert (await orbit("run", orbit.suite(tests, base_url=target.url(""), variables=variables))).code == 0
    async with database.connect() as connection:
        rows = await connection.fetch("select key, uses from orbit.test_cases order by key")
    assert {row["key"]: row["uses"] for row in rows} == {"a": ["base_url", "one", "two"], "b": ["base_url"]}


async def test_var_commands(orbit: OrbitCommand) -> None:
    assert (await orbit("var", "set", "x=1", "y:=[1, 2]", "--priority", "3")).code == 0
    assert (await orbit("var", "set", "x=0", "--global")).code == 0
    resolved = await orbit("var", "resolve", "x", "--json")
    [x] = resolved.json["variables"]
    assert (x["value"], x["scope"], x["priority"], x["shadows"][0]["scope"]) == ("1", "project", 3, "global")
    assert "global" in (await orbit("var", "resolve")).stdout
    assert (await orbit("var", "get", "y")).stdout == "[1, 2]\n"
    assert [row["name"] for row in (await orbit("var", "list", "--project", "default", "--json")).json] == ["x", "y"]
    assert (await orbit("var", "rm", "y")).code == 0
    gone = await orbit("var", "get", "y")
    assert (gone.code, "no variable y" in gone.stderr) == (4, True)
    wrong = await orbit("var", "set", "1x=1")
    assert (wrong.code, "1x" in wrong.stderr) == (4, True)
    nowhere = await orbit("var", "set", "x=1", "--env", "moon")
    assert (nowhere.code, "moon" in nowhere.stderr) == (4, True)
    await orbit(
        "env",
        "save",
        orbit.write("e.yaml", json.dumps({"environment": "e", "variables": {"v": 1}, "secrets": {"s": "x"}})),
    )
    [listed] = (await orbit("env", "list", "--json")).json
    assert (listed["name"], listed["variables"], listed["secrets"]) == ("e", 1, 1)
    shown = await orbit("env", "show", "e")
    assert "(secret)" in shown.stdout
    assert (await orbit("env", "rm", "e")).code == 0
    assert (await orbit("env", "list", "--json")).json == []
