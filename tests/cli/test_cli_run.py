"""`orbit run` as a user meets it: exit codes, what stands on which stream, selection, variables, reports, signals."""

from __future__ import annotations

import asyncio
import json
import signal
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import pytest
from support.command import finished, line_with

if TYPE_CHECKING:
    from support.command import OrbitCommand
    from support.postgres import Database
    from support.target import Target

OK = {"status": 200}


def chain(target_status: int = 200) -> dict[str, Any]:
    """A login, what needs its token, what needs that, and one that stands alone."""
    return {
        "login": {
            "tags": ["smoke"],
            "request": {"POST": "/login"},
            "capture": {"access_token": {"json": "$.access_token", "share": "token"}},
            "expect": OK,
        },
        "me": {
            "name": "who I am",
            "tags": ["smoke", "user"],
            "request": {"GET": "/me", "auth": {"bearer": "{{shared_auth_tokens.access_token}}"}},
            "capture": {"user": "$.user"},
            "expect": {"status": target_status},
        },
        "echo": {
            "request": {"POST": "/echo", "json": {"user": "{{captured_data.me.user}}", "n": "{{n}}"}},
            "expect": OK,
        },
        "alone": {"tags": ["smoke"], "request": "/item/7", "expect": {"status": 200, "json": {"$.id": 7}}},
    }


async def test_a_passing_suite_is_one_object_on_stdout_and_a_summary_on_stderr(
    orbit: OrbitCommand, target: Target, database: Database
) -> None:
    suite = orbit.suite(chain(), base_url=target.url(""), variables={"n": 3})
    done = await orbit("run", suite, "--json")
    assert done.code == 0, done.stderr
    run, results = done.json["run"], done.json["results"]
    assert set(done.json) == {"run", "results"}
    assert run["status"] == "passed"
    assert run["counts"]["total"] == run["counts"]["passed"] == 4
    assert run["duration"] > 0
    assert run["started_at"] < run["finished_at"]
    for result in results:
        assert {"id", "name", "status", "reason", "duration", "attempts", "failures"} <= set(result)
        assert result["attempts"] == 1
    assert done.result("me")["name"] == "who I am"
    (sent,) = (request for request in target.requests if request.target == "/echo")
    assert json.loads(sent.body) == {"user": "demo", "n": 3}
    # The terminal: a line for each test, the verdict, no control codes where there is no terminal.
    assert "who I am" in done.stderr or "me" in done.stderr
    assert "4 passed" in done.stderr
    assert "\x1b" not in done.stderr
    assert database.fetch("select count(*)::int as n from orbit.test_results")[0]["n"] == 4

    shown = await orbit("show", "last", "--json")
    assert shown.code == 0
    assert shown.json == done.json
    quiet = await orbit("run", suite, "--quiet")
    assert (quiet.code, quiet.stdout) == (0, "")
    assert "4 passed" in quiet.stderr
    assert "✓ alone" in done.stderr
    assert "✓ alone" not in quiet.stderr


async def test_a_failure_is_exit_1_and_what_needs_it_says_why_it_was_skipped(
    orbit: OrbitCommand, target: Target
) -> None:
    done = await orbit(
        "run",
        orbit.suite(chain(target_status=204), base_url=target.url(""), variables={"n": 3}),
        "--json",
        *("--report", "junit=out/r.xml", "--report", "html=r.html", "--report", "json=r.json"),
    )
    assert done.code == 1
    assert done.statuses() == {"login": "passed", "me": "failed", "echo": "skipped", "alone": "passed"}
    assert done.result("echo")["reason"] == "me failed"
    (failure,) = done.result("me")["failures"]
    assert (failure["where"], failure["expected"], failure["actual"]) == ("status", 204, 200)
    for told in ("who I am", "204", "200", "curl", "GET", "/me", "1 failed", "1 skipped"):
        assert told in done.stderr
    assert target.token not in done.stdout + done.stderr

    tree = ET.parse(orbit.folder / "out/r.xml").getroot()
    cases = {case.get("name"): case for case in tree.iter("testcase")}
    assert len(cases) == 4
    assert sum(1 for case in cases.values() if case.find("failure") is not None) == 1
    assert sum(1 for case in cases.values() if case.find("skipped") is not None) == 1
    assert json.loads((orbit.folder / "r.json").read_text()) == done.json
    html = (orbit.folder / "r.html").read_text()
    assert "who I am" in html
    assert "http://" not in html.replace(target.url(""), "").replace(
        "http://www.w3.org", ""
    )  # one file, nothing fetched


async def test_no_connection_is_no_pass(orbit: OrbitCommand) -> None:
    done = await orbit("run", orbit.suite({"ping": {"request": "http://127.0.0.1:9/"}}), "--json")
    assert done.code == 1
    assert done.json["run"]["status"] == "errored"
    assert done.result("ping")["category"] == "connect"


async def test_nothing_selected_is_exit_5(orbit: OrbitCommand, target: Target, database: Database) -> None:
    suite = orbit.suite(chain(), base_url=target.url(""), variables={"n": 3})
    for selection in (["--tag", "nope"], ["-k", "nope"]):
        done = await orbit("run", suite, *selection)
        assert (done.code, done.stdout) == (5, "")
        assert done.stderr.startswith("error: ")
        assert "orbit validate --list" in done.stderr
    assert target.requests == []
    assert database.fetch("select 1 from orbit.test_runs") == []


async def test_tags_and_words_choose_tests_with_what_they_need(orbit: OrbitCommand, target: Target) -> None:
    suite = orbit.suite(chain(), base_url=target.url(""), variables={"n": 3})
    assert set((await orbit("run", suite, "--json", "--tag", "smoke,other", "--tag", "user")).statuses()) == {
        "login",  # me needs it
        "me",
    }
    assert set((await orbit("run", suite, "--json", "-k", "alone or nothing")).statuses()) == {"alone"}
    assert set((await orbit("run", suite, "--json", "-k", "echo and not alone")).statuses()) == {"login", "me", "echo"}
    bad = await orbit("run", suite, "-k", "alone and (")
    assert bad.code == 4
    assert "-k" in bad.stderr


async def test_variables_by_precedence_and_type(orbit: OrbitCommand, target: Target) -> None:
    tests = {
        "echo": {
            "request": {
                "POST": "/echo",
                "json": {"a": "{{a}}", "b": "{{b}}", "c": "{{c}}", "d": "{{d}}", "own": "{{env.b}}"},
            },
            "expect": OK,
        }
    }
    suite = orbit.suite(
        tests, base_url=target.url(""), variables={"a": "suite", "b": "suite", "c": "suite", "d": "suite"}
    )
    environment = orbit.write(
        "staging.yaml",
        "environment: staging\nvariables: {b: environment, c: environment}\nsecrets: {d: s3cret-d-value}\n",
    )
    overrides = ("--var", "c:=[1, 2.5, null]", "--var", "a=7")
    expected = {"a": "7", "b": "environment", "c": [1, 2.5, None], "d": "s3cret-d-value", "own": "environment"}

    def sent() -> Any:
        return json.loads(target.requests.pop().body)

    done = await orbit("run", suite, "--env", environment, *overrides)
    assert done.code == 0, done.stderr
    assert sent() == expected
    saved = await orbit("env", "save", environment)
    assert saved.code == 0, saved.stderr
    assert "2 variables, 1 secret" in saved.stdout
    environment.unlink()
    done = await orbit("run", suite, "--env", "staging", *overrides, "--json")
    assert done.code == 0, done.stderr
    assert sent() == expected
    assert done.json["run"]["environment"] == "staging"
    unknown = await orbit("run", suite, "--env", "stagin")
    assert unknown.code == 4
    assert "stagin" in unknown.stderr
    assert "staging" in unknown.stderr.replace("stagin\n", "")
    for bad in ("novalue", "c:={", "=x"):
        refused = await orbit("run", suite, "--var", bad)
        assert refused.code == 4, bad
        assert refused.stderr.startswith("error: ")
        assert "Traceback" not in refused.stderr


async def test_concurrency_is_how_many_run_at_once(orbit: OrbitCommand, target: Target) -> None:
    suite = orbit.suite({f"t{n}": {"request": "/hold", "expect": OK} for n in range(5)}, base_url=target.url(""))
    process = await orbit.start("run", suite, "--concurrency", "2")
    await target.until(lambda: len(target.requests) == 2)
    await asyncio.sleep(0.3)
    assert len(target.requests) == 2
    target.release.set()
    assert (await finished(process)).code == 0
    assert len(target.requests) == 5


async def test_fail_fast_ends_the_run_but_cleans_up(orbit: OrbitCommand, target: Target) -> None:
    tests = {
        "bad": {"request": "/status/500"},
        **{f"later{n}": {"request": f"/item/{n}"} for n in range(6)},
        "tidy": {"needs": ["later5"], "always": True, "request": "/echo"},
    }
    done = await orbit(
        "run", orbit.suite(tests, base_url=target.url("")), "--json", "--fail-fast", "--concurrency", "1"
    )
    assert done.code == 1
    statuses = done.statuses()
    assert statuses["bad"] == "failed"
    assert statuses["tidy"] == "passed"
    assert [status for key, status in statuses.items() if key.startswith("later")].count("skipped") >= 5
    assert "first failure" in done.result("later5")["reason"]
    assert "/echo" in target.paths()


async def test_a_run_that_takes_too_long_is_exit_7(orbit: OrbitCommand, target: Target, database: Database) -> None:
    tests = {
        "stuck": {"request": {"GET": "/hold", "timeout": "60s"}},
        "after": {"needs": ["stuck"], "request": "/echo"},
    }
    done = await orbit("run", orbit.suite(tests, base_url=target.url("")), "--json", "--timeout", "1s")
    assert done.code == 7, done.stderr
    assert done.json["run"]["status"] == "timed_out"
    assert 1 <= done.json["run"]["duration"] < 2
    assert set(done.statuses().values()) == {"cancelled"}
    assert "longer than it was given" in done.stderr
    for bad in ("soon", "0", "-1"):
        refused = await orbit("run", "x.yaml", f"--timeout={bad}")
        assert refused.code == 4
        assert "--timeout" in refused.stderr
    assert database.fetch("select count(*)::int as n from orbit.test_runs")[0]["n"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_one_signal_cancels_the_run_and_tells_what_there_is(
    orbit: OrbitCommand, target: Target, number: signal.Signals
) -> None:
    tests: dict[str, Any] = {"quick": {"request": "/echo"}}
    tests |= {"stuck": {"needs": ["quick"], "request": {"GET": "/hold", "timeout": "60s"}}}
    tests |= {"later": {"needs": ["stuck"], "request": "/echo"}}
    process = await orbit.start("run", orbit.suite(tests, base_url=target.url("")), "--json")
    await target.until(lambda: "/hold" in target.paths())
    process.send_signal(number)
    done = await finished(process, within=10)
    assert done.code == 2, done.stderr
    assert done.json["run"]["status"] == "cancelled"
    assert done.statuses() == {"quick": "passed", "stuck": "cancelled", "later": "cancelled"}
    assert "interrupt again to leave at once" in done.stderr
    assert "1 passed" in done.stderr
    assert "2 cancelled" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_second_signal_leaves_at_once_and_the_run_can_be_read(orbit: OrbitCommand, target: Target) -> None:
    process = await orbit.start("run", orbit.suite({"stuck": {"request": "/hold"}}, base_url=target.url("")), "--json")
    await target.until(lambda: "/hold" in target.paths())
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    done = await finished(process, within=10)
    assert (done.code, done.stdout == "" or done.json["run"]["status"] == "cancelled") == (2, True)
    assert "Traceback" not in done.stderr
    shown = await orbit("show", "last", "--json")
    assert shown.code == 2  # cancelled, not left hanging
    assert shown.statuses() == {"stuck": "cancelled"}


async def test_a_reader_that_goes_away_is_no_traceback(orbit: OrbitCommand, target: Target) -> None:
    suite = orbit.suite({f"t{n}": {"request": "/echo"} for n in range(3)}, base_url=target.url(""))
    process = await orbit.start("run", suite, "--json")
    await line_with(process.stderr, "t0")
    process.stdout._transport.close()  # type: ignore[union-attr]
    assert process.stderr is not None
    rest = (await process.stderr.read()).decode()
    assert await process.wait() == 3
    assert "Traceback" not in rest
    assert "Exception ignored" not in rest
    assert "3 passed" in rest


async def test_reports_that_cannot_be_written_are_told_before_anything_runs(
    orbit: OrbitCommand, target: Target
) -> None:
    suite = orbit.suite(chain(), base_url=target.url(""), variables={"n": 3})
    for report, told in (("pdf=x", "pdf"), ("junit", "junit=")):
        done = await orbit("run", suite, "--report", report)
        assert done.code == 4
        assert told in done.stderr
        assert "Traceback" not in done.stderr
    assert target.requests == []
    (orbit.folder / "folder").mkdir()
    done = await orbit("run", suite, "--report", "junit=folder")
    assert done.code == 4
    assert "folder" in done.stderr
    assert "Traceback" not in done.stderr
    assert target.requests == []


async def test_the_database_that_is_not_there_is_exit_3(orbit: OrbitCommand, target: Target) -> None:
    suite = orbit.suite(chain(), base_url=target.url(""), variables={"n": 3})
    done = await orbit("run", suite, ORBIT_DATABASE_URL="postgresql://who:s3cret-pw@127.0.0.1:9/none")
    assert (done.code, done.stdout) == (3, "")
    assert "127.0.0.1:9/none" in done.stderr
    assert "orbit doctor" in done.stderr
    assert "s3cret-pw" not in done.stderr
    assert "Traceback" not in done.stderr
