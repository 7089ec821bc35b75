"""Bad suites and hostile servers through the whole command: what the user reads, the exit code, and nothing half-done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from support.command import finished

if TYPE_CHECKING:
    from support.command import OrbitCommand
    from support.postgres import Database
    from support.target import Target

BROKEN = {
    "no YAML": ("tests: [a: {b\n", ["bad.yaml:"]),
    "an unknown key": ("tests:\n  a: {request: /a, expcet: {status: 200}}\n", ["bad.yaml:3:", "expcet", "expect"]),
    "a wrong type": ("tests:\n  a: {request: /a, always: 12}\n", ["bad.yaml:3:", "always"]),
    "no tests": ("tests: {}\n", ["bad.yaml:", "tests"]),
    "a cycle": (
        "tests:\n  a: {needs: [b], request: /a}\n  b: {needs: [c], request: /b}\n  c: {needs: [a], request: /c}\n",
        ["bad.yaml:", "a", "b", "c", "→"],
    ),
    "a need that is not there": ("tests:\n  log_in: {request: /a}\n  b: {needs: [login], request: /b}\n", ["login", "log_in"]),
    "an unknown name": (
        'variables: {user_name: u}\ntests:\n  a: {request: "/a/{{user_nmae}}"}\n',
        ["bad.yaml:4:", "user_nmae", "user_name"],
    ),
    "a capture nobody makes": (
        'tests:\n  a: {request: /a, capture: {item_id: $.id}}\n  b: {request: "/b/{{captured_data.a.itemid}}"}\n',
        ["bad.yaml:4:", "itemid", "item_id"],
    ),
    "a template that does not parse": ('tests:\n  a: {request: "/a/{{ b | }}"}\n', ["bad.yaml:3:"]),
    "a JSONPath that does not parse": ('tests:\n  a: {request: /a, capture: {id: "$.[["}}\n', ["bad.yaml:3:", "$.[["]),
    "a regular expression that does not": (
        'tests:\n  a: {request: /a, expect: {body: {matches: "(("}}}\n',
        ["bad.yaml:3:", "(("],
    ),
    "an alias bomb": (
        "a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [" + ",".join(["*a"] * 30) + "]\nc: [" + ",".join(["*b"] * 30) + "]\ntests: {}\n",
        ["alias"],
    ),
    "too deep": ("tests: " + "[" * 5000 + "]" * 5000 + "\n", ["deep"]),
}  # fmt: skip


async def test_broken_suites_are_refused_before_anything_is_done(orbit: OrbitCommand, database: Database) -> None:
    files = {
        what: orbit.write(f"broken/{n:02}.yaml", f"suite: x\n{text}")
        for n, (what, (text, _)) in enumerate(BROKEN.items())
    }
    done = await orbit("validate", *files.values())
    assert (done.code, done.stdout) == (4, "")
    assert "Traceback" not in done.stderr
    assert len(done.stderr) < 10_000
    for what, (_, told) in BROKEN.items():
        said = "\n".join(part for part in done.stderr.split("error: ") if files[what].name in part)
        for word in told:
            assert word.replace("bad.yaml", files[what].name) in said, (what, word, said)
    for what in ("no YAML", "an unknown key", "a cycle", "an unknown name"):
        done = await orbit("run", files[what])
        assert (done.code, done.stdout) == (4, ""), (what, done.stderr)
        assert done.stderr.startswith("error: "), what
        for word in BROKEN[what][1]:
            assert word.replace("bad.yaml", files[what].name) in done.stderr, (what, word, done.stderr)
    for table in ("test_runs", "test_suites", "test_cases", "projects"):
        assert database.fetch(f"select 1 from orbit.{table}") == [], table


async def test_hostile_answers_end_each_test_with_what_was_wrong_and_spare_the_others(
    orbit: OrbitCommand, target: Target, database: Database
) -> None:
    ok = {"status": 200}
    tests: dict[str, Any] = {
        "reset": {"request": "/reset-midway"},
        "drips": {"request": {"GET": "/drip-body", "timeout": "1s"}},
        "silent": {"request": {"GET": "/silent", "timeout": "1s"}},
        "two_gib": {"request": "/endless"},
        "two_gib_announced": {"request": "/endless?announced"},
        "bomb": {"request": "/gzip-bomb"},
        "not_utf8": {"request": "/bytes", "expect": {"json": {"$.a": "x"}}},
        "loop": {"request": "/loop/1"},
        "no_json": {"request": "/text?is=hello", "capture": {"id": "$.id"}},
        "no_capture": {"request": "/item/7", "capture": {"nothing": "$.nothing"}},
        "needs_it": {"request": "/echo?x={{captured_data.no_capture.nothing}}"},
        "needs_that": {"needs": ["needs_it"], "request": "/echo"},
        "fine": {"request": "/item/7", "expect": {**ok, "json": {"$.id": 7}}},
    }
    done = await orbit("run", orbit.suite(tests, base_url=target.url("")), "--json")
    assert done.code == 1
    seen = {key: (done.result(key)["status"], done.result(key)["category"]) for key in tests}
    assert seen == {
        "reset": ("errored", "reset"),
        "drips": ("timed_out", "timeout"),
        "silent": ("timed_out", "timeout"),
        "two_gib": ("errored", "body_too_large"),
        "two_gib_announced": ("errored", "body_too_large"),
        "bomb": ("errored", "body_too_large"),
        "not_utf8": ("failed", "assertion"),
        "loop": ("errored", "too_many_redirects"),
        "no_json": ("failed", "capture_missing"),
        "no_capture": ("failed", "capture_missing"),
        "needs_it": ("skipped", "dependency"),
        "needs_that": ("skipped", "dependency"),
        "fine": ("passed", None),
    }
    assert done.result("needs_it")["reason"] == "no_capture failed"
    assert "needs_it" not in [path for path in target.paths() if "x=" in path]
    assert "JSON" in done.result("no_json")["reason"]
    assert "UTF-8" in done.result("not_utf8")["reason"]
    assert "$.nothing" in done.result("no_capture")["reason"]
    for key in tests:
        assert done.result(key)["duration"] < 3, key
        assert key in done.stderr
    assert database.fetch("select count(*)::int as n from orbit.test_results")[0]["n"] == len(tests)
    assert database.fetch("select 1 from orbit_private.job") == []


def saying(kind: str, content: str) -> dict[str, Any]:
    return {"GET": f"/{kind}", "query": {"is": content}}


async def test_expressions_that_explode_are_cut_and_the_heart_beats_on(
    orbit: OrbitCommand, target: Target, database: Database
) -> None:
    nested = "[" * 100 + "1" + "]" * 100
    page = "<a>" + "<b><c/></b>" * 900 + "</a>"
    tests: dict[str, Any] = {
        "regex": {"request": saying("text", "a" * 40 + "!"), "expect": {"body": {"matches": "^(a+)+$"}}},
        "jsonpath": {
            "request": saying("json", nested),
            "expect": {"json": "$..*..*..*..*..[?@ == 9]", "exists": True},
        },
        "xpath": {
            "request": saying("text", page),
            "expect": {"xpath": "//*[count(//*[count(//*)>0])>0]", "exists": True},
        },
        "hold": {"request": {"GET": "/hold", "timeout": "30s"}},
        "fine": {"needs": ["hold"], "request": "/item/1", "expect": {"status": 200}},
    }
    process = await orbit.start("run", orbit.suite(tests, base_url=target.url("")), "--json")
    await target.until(lambda: "/hold" in target.paths())

    async with database.connect() as connection, asyncio.timeout(10):
        seen: set[object] = set()
        while len(seen) < 2:  # a beat has come while the expressions were at it
            seen.add(await connection.fetchval("select seen_at from orbit_private.worker"))
            await asyncio.sleep(0.1)
    target.release.set()
    done = await finished(process, within=30)
    assert done.code == 1
    assert done.result("regex")["status"] == "failed"
    assert done.result("regex")["duration"] < 1
    for key in ("jsonpath", "xpath"):
        assert done.result(key)["status"] == "errored", done.result(key)
        assert done.result(key)["category"] == "expression"
        assert done.result(key)["duration"] < 5
    assert done.result("fine")["status"] == "passed"
