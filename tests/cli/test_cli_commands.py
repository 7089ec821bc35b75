"""The commands beside `run`: validate, show, logs, cancel, db, env, doctor, secret, version; and what is no command at all."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from support.command import OrbitCommand, finished

from orbit_context import __version__
from orbit_context.seal import Sealer

if TYPE_CHECKING:
    from pathlib import Path

    from support.postgres import Cluster, Database
    from support.target import Target

NOWHERE = {"ORBIT_DATABASE_URL": "postgresql://127.0.0.1:9/none"}


@pytest.fixture
async def offline(tmp_path: Path) -> OrbitCommand:
    """Commands that must not touch a database: there is none."""
    return OrbitCommand(NOWHERE["ORBIT_DATABASE_URL"], tmp_path)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run"], "SUITE"),
        (["run", "none.yaml"], "none.yaml"),
        (["run", "none.yaml", "--concurrency", "0"], "--concurrency"),
        (["run", "none.yaml", "--concurrency", "many"], "--concurrency"),
        (["run", "none.yaml", "--nope"], "--nope"),
        (["nonsense"], "nonsense"),
        (["worker", "--slots", "0"], "--slots"),
        (["show", "last"], None),
    ],
)
async def test_what_cannot_be_understood_is_exit_4_and_one_message(
    offline: OrbitCommand, arguments: list[str], told: str | None
) -> None:
    done = await offline(*arguments)
    assert (done.code, done.stdout) == (4 if told else 3, "")
    assert done.stderr.startswith("error: ")
    assert (told or "127.0.0.1:9") in done.stderr
    assert "hint: " in done.stderr or "there is no such file" in done.stderr
    assert done.stderr.count("error:") == 1
    assert "Traceback" not in done.stderr


async def test_help_and_version_need_nothing(offline: OrbitCommand) -> None:
    done = await offline("--help")
    assert (done.code, done.stderr) == (0, "")
    for command in ("run", "validate", "doctor", "show", "logs", "cancel", "worker", "db", "env", "secret"):
        assert f"\n  {command} " in done.stdout
    bare = await offline()
    assert (bare.code, bare.stdout) == (4, "")  # nothing was asked for, so nothing passed
    assert "Usage: orbit" in bare.stderr
    assert (await offline("version")).stdout == f"{__version__}\n"


async def test_a_secret_key_is_new_each_time_and_fits(offline: OrbitCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = await asyncio.gather(offline("secret", "key"), offline("secret", "key"))
    assert first.stdout != second.stdout
    monkeypatch.setenv("ORBIT_SECRET_KEY", first.stdout.strip())
    sealer = Sealer.from_environment()
    assert sealer.open(sealer.seal("s", aad="here"), aad="here") == "s"


async def test_validate_looks_at_every_file_whatever_is_wrong_with_another(offline: OrbitCommand) -> None:
    good = offline.suite(
        {
            "a": {"request": "/a", "tags": ["x"], "capture": {"id": "$.id"}},
            "b": {"request": "/b/{{captured_data.a.id}}"},
        },
        suite="good one",
    )
    offline.write("folder/bad.yaml", "suite: bad\ntests:\n  a:\n    request: /a\n    expcet: {status: 200}\n")
    offline.write("folder/notes.yaml", "this: is no suite\n")
    listed = await offline("validate", good, "--list")
    assert (listed.code, listed.stderr) == (0, "")
    assert "good one, 2 tests, 1 dependencies" in listed.stdout
    assert "a  [x]" in listed.stdout
    assert "b  needs a (data)" in listed.stdout
    both = await offline("validate", good, offline.folder / "folder")
    assert both.code == 4
    assert "good one" in both.stdout
    assert "folder/bad.yaml:5:5" in both.stderr
    assert "expcet" in both.stderr
    assert "expect" in both.stderr.replace("expcet", "")
    told = (await offline("validate", good, offline.folder / "folder", "--json", "--list")).json
    assert [entry["valid"] for entry in told] == [True, False]
    assert told[0]["tests"][1] == {"key": "b", "name": "b", "tags": [], "needs": ["a (data)"]}
    (error,) = told[1]["errors"]
    assert (error["line"], error["column"]) == (5, 5)
    (offline.folder / "empty").mkdir()
    nothing = await offline("validate", offline.folder / "empty")
    assert (nothing.code, nothing.stdout) == (5, "")


async def test_show_logs_and_cancel(orbit: OrbitCommand, target: Target) -> None:
    none = await orbit("show")
    assert none.code == 0
    assert "orbit run" in none.stdout
    missing = await orbit("show", "last")
    assert missing.code == 4
    assert "there is no run yet" in missing.stderr
    tests: dict[str, Any] = {
        "good": {"request": "/item/7"},
        "bad": {"request": {"POST": "/echo", "json": {"x": 1}}, "expect": {"status": 418}},
        "after": {"needs": ["bad"], "request": "/echo"},
        "wobbly": {"request": "/flaky/w", "retry": {"max": 2, "on": ["5xx"], "backoff": {"initial": "10ms"}}},
    }
    done = await orbit("run", orbit.suite(tests, base_url=target.url(""), suite="seen"), "--json")
    run_id = done.json["run"]["id"]
    assert done.statuses()["wobbly"] == "passed_on_retry"

    latest = await orbit("show")
    assert run_id[:8] in latest.stdout
    assert "failed" in latest.stdout
    assert (await orbit("show", "--json")).json[0]["id"] == run_id
    shown = await orbit("show", run_id[:8], "--report", "junit=later.xml")
    assert shown.code == 1
    for word in ("seen", "bad", "418", "after", "bad failed", "curl"):
        assert word in shown.stdout
    assert (orbit.folder / "later.xml").exists()

    told = await orbit("logs", run_id)
    assert told.code == 0
    for line in ("run queued", "run started", "bad  failed", "after  skipped", "test retried  wobbly", "run finished"):
        assert line in told.stdout, line
    lines = [json.loads(line) for line in (await orbit("logs", "last", "--json")).stdout.splitlines()]
    assert (lines[0]["kind"], lines[-1]["kind"]) == ("run_queued", "run_finished")
    one = await orbit("logs", run_id, "bad")
    assert "POST" in one.stdout
    assert "418" in one.stdout
    assert (await orbit("logs", run_id, "wobbly", "--json")).json["previous_attempts"][0]["status"] == "failed"
    other = await orbit("logs", run_id, "nope")
    assert other.code == 4
    assert "nope" in other.stderr
    again = await orbit("cancel", run_id)
    assert "failed" in again.stdout  # it was over: nothing changed


async def test_cancel_from_another_process_stops_what_runs(orbit: OrbitCommand, target: Target) -> None:
    tests: dict[str, Any] = {
        "stuck": {"request": {"GET": "/hold", "timeout": "60s"}},
        "next": {"needs": ["stuck"], "request": "/"},
    }
    process = await orbit.start("run", orbit.suite(tests, base_url=target.url("")), "--json")
    await target.until(lambda: target.requests)
    asked = await orbit("cancel", "last", "--json")
    assert asked.code == 0
    assert asked.json["status"] == "cancelling"
    done = await finished(process, within=6)  # at the latest at the next heartbeat
    assert done.code == 2
    assert done.statuses() == {"stuck": "cancelled", "next": "cancelled"}
    assert "cancelled by hand" in done.stderr


async def test_the_database_commands(cluster: Cluster, empty_database: Database, tmp_path: Path) -> None:
    orbit = OrbitCommand(empty_database.dsn, tmp_path)
    url = await orbit("db", "url")
    assert (url.code, url.stdout.strip()) == (0, empty_database.dsn)
    before = await orbit("db", "status", "--json")
    assert before.code == 3
    assert before.json["pending"]
    assert not before.json["current"]
    early = await orbit("run", orbit.suite({"a": {"request": "/a"}}))
    assert early.code == 3
    assert "orbit db push" in early.stderr
    sick = await orbit("doctor")
    assert sick.code == 3
    assert "orbit db push" in sick.stdout

    # The first push of all, by two at once.
    pushed = await asyncio.gather(orbit("db", "push", "--json"), orbit("db", "push", "--json"))
    assert [done.code for done in pushed] == [0, 0], pushed
    count = len(before.json["pending"])
    assert sum(len(done.json["applied"]) for done in pushed) == count  # each file once, by either
    assert {len(done.json["applied"]) + done.json["already"] for done in pushed} == {count}
    after = await orbit("db", "status")
    assert after.code == 0
    assert "pending" not in after.stdout

    refused = await orbit("db", "reset")
    assert refused.code == 4
    assert "--yes" in refused.stderr
    empty_database.fetch("insert into orbit.organizations (name, slug) values ('o', 'gone') returning 1")
    assert (await orbit("db", "reset", "--yes")).code == 0
    assert empty_database.fetch("select 1 from orbit.organizations where slug = 'gone'") == []


async def test_doctor_says_what_is_wrong_and_what_to_do(orbit: OrbitCommand) -> None:
    well = await orbit("doctor", "--json")
    assert well.code == 0, well.stdout
    states = {finding["name"]: finding["state"] for finding in well.json}
    assert {"python", "database", "postgres", "schema", "row security", "secret key", "clock"} <= set(states)
    assert "wrong" not in states.values()
    plain = await orbit("doctor", ORBIT_SECRET_KEY=None)
    assert plain.code == 0
    assert "warning  secret key" in plain.stdout
    for environment, told in (
        (NOWHERE, "127.0.0.1:9"),
        ({"ORBIT_DATABASE_URL": "mysql://x"}, "not a Postgres URL"),
        ({"ORBIT_SECRET_KEY": "short"}, "secret key"),
        ({"ORBIT_DATABASE_URL": None, "SUPABASE_URL": "http://x", "SUPABASE_KEY": "k"}, "ORBIT_DATABASE_URL"),
    ):
        sick = await orbit("doctor", **environment)
        assert sick.code == 3, (environment, sick.stdout, sick.stderr)
        assert "wrong " in sick.stdout
        assert told in sick.stdout
        assert "→" in sick.stdout
        assert "Traceback" not in sick.stderr
