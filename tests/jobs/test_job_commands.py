"""`orbit submit`, `status`, `list`, `watch`, `queue`, `workers`, `stats`, `health`, `dead-letters`, as somebody types them."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from typing import TYPE_CHECKING

import pytest
from orbit_runner.cli.jobs.screen import keep_showing, table
from support.bench import until
from support.command import OrbitCommand, finished

if TYPE_CHECKING:
    from pathlib import Path

    from orbit_runner.report.terminal import Line
    from support.postgres import Database
    from support.target import Target

OK = {"expect": {"status": 200}}


async def test_from_submitting_to_looking_back(orbit: OrbitCommand, target: Target, database: Database) -> None:
    suite = orbit.suite(
        {"one": {"request": "/item/1", **OK}, "two": {"request": "/item/2", "needs": ["one"], **OK}},
        base_url=target.url(""),
        suite="Shop",
        id="shop",
        variables={"pin": {"secret": True, "value": "s3cr3t-canary"}},
    )
    assert (await orbit("health")).code == 0
    submitted = await orbit("submit", suite, "--priority", "5")
    assert (submitted.code, "queued" in submitted.stdout, "Shop" in submitted.stdout) == (0, True, True)
    assert "no worker is alive that serves it; start one: orbit worker" in submitted.stderr
    down = await orbit("health")
    assert (down.code, down.stdout.splitlines()[0]) == (3, "down")
    told = (await orbit("status", "last", "--json")).json
    assert [(reason["reason"], reason["tests"]) for reason in told["waiting"]["reasons"]] == [
        ("no_worker", 1),
        ("requirements", 1),
    ]
    assert "needs one" in (await orbit("queue")).stdout
    (row,) = database.fetch("select variables::text as clear, priority, lane from orbit.test_runs")
    assert "canary" not in row["clear"]
    assert (row["priority"], row["lane"]) == (5, 0)

    worker = await orbit.start("worker", "--slots", "3", "--name", "hercules")
    watched = await orbit("watch", "last")
    assert (watched.code, "passed" in watched.stdout) == (0, True)
    status = await orbit("status", "last")
    assert "by worker hercules" in status.stdout
    listed = (await orbit("workers", "--json")).json
    assert [(one["name"], one["slots"]) for one in listed] == [("hercules", 3)]
    assert "hercules" in (await orbit("workers", "--capability", "http")).stdout
    assert "no worker is alive" in (await orbit("workers", "--capability", "docker")).stdout

    failing = orbit.suite({"odd": {"request": "/item/3", "expect": {"status": 418}}}, base_url=target.url(""), id="odd")
    both = await orbit("submit", "shop", failing, "--wait", "--json")
    assert both.code == 1
    runs = both.json["runs"]
    assert [run["status"] for run in runs] == ["passed", "failed"]
    assert {run["batch_id"] for run in runs} == {both.json["batch_id"]}
    assert (await orbit("status", both.json["batch_id"], "--json")).json["runs"] != []
    batch = (await orbit("list", "--batch", both.json["batch_id"], "--json")).json
    assert {run["id"] for run in batch} == {run["id"] for run in runs}
    only = (await orbit("list", "--status", "failed", "--suite", "odd", "--since", "1h", "--mine", "--json")).json
    assert [run["id"] for run in only] == [runs[1]["id"]]
    chosen = await orbit("submit", "shop", "--test", "one", "--wait", "--json")
    assert chosen.json["runs"][0]["counts"]["total"] == 1
    assert (await orbit("show", "--json")).json == (await orbit("list", "--json")).json
    stats = (await orbit("stats", "--json")).json
    assert (stats["total"]["runs"]["total"], stats["total"]["runs"]["failed"]) == (4, 1)
    assert "75.0 %" in (await orbit("stats")).stdout
    assert "nothing waits or runs" in (await orbit("status")).stdout
    worker.terminate()
    assert (await finished(worker)).code == 0


async def test_dead_letters(orbit: OrbitCommand, target: Target, database: Database) -> None:
    suite = orbit.suite({"bomb": {"request": "/item/1", **OK}, "other": {"request": "/item/2", **OK}}, id="bombs")
    await orbit("submit", suite)
    letters = [
        str(row["id"])
        for row in database.fetch(
            "insert into orbit.dead_letters (project_id, run_id, test_case_id, position, attempts, reason, previous_attempts)"
            " select r.project_id, r.id, c.id, case c.key when 'bomb' then 0 else 1 end, 3, 'its worker w3 was lost',"
            """ '[{"number": 1, "status": "lost", "reason": "its worker w1 was lost"}]'"""
            " from orbit.test_runs r join orbit.test_cases c on c.suite_id = r.suite_id order by c.key returning id"
        )
    ]
    listed = await orbit("dead-letters", "list")
    assert all(letter[:8] in listed.stdout for letter in letters)
    shown = await orbit("dead-letters", "show", letters[0][:8])
    assert "attempt 1 lost: its worker w1 was lost" in shown.stdout
    replayed = await orbit("dead-letters", "replay", letters[0], "--note", "flaky host")
    assert (replayed.code, "bomb is tried anew in the run" in replayed.stdout) == (0, True)
    again = await orbit("dead-letters", "replay", letters[0], "--json")
    assert (again.json["replayed"], len(again.json["skipped"])) == ([], 1)
    dropped = await orbit("dead-letters", "drop", "--all", "--json")
    assert dropped.json["dropped"] == [letters[1]]
    assert "none is open" in (await orbit("dead-letters", "list")).stdout
    kept = (await orbit("dead-letters", "list", "--state", "replayed", "--json")).json
    assert [(one["id"], one["note"]) for one in kept] == [(letters[0], "flaky host")]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["submit"], "SUITE"),
        (["submit", "none.yaml"], "none.yaml"),
        (["submit", "x", "--priority", "101"], "--priority"),
        (["submit", "x", "--priority", "-101"], "--priority"),
        (["submit", "x", "--priority", "high"], "--priority"),
        (["submit", "x", "--timeout", "0"], "--timeout"),
        (["submit", "x", "--env", "staging.yaml"], "--env"),
        (["list", "--since", "soon"], "--since"),
        (["list", "--status", "lucky"], "--status"),
        (["list", "--limit", "0"], "--limit"),
        (["queue", "--limit", "201"], "--limit"),
        (["stats", "--days", "0"], "--days"),
        (["dead-letters", "replay"], "which dead letters"),
        (["dead-letters", "drop", "abcd", "--all"], "which dead letters"),
        (["dead-letters", "list", "--state", "lost"], "--state"),
        (["watch"], "RUN"),
    ],
)
async def test_what_cannot_be_meant_is_exit_4_and_one_message(tmp_path: Path, arguments: list[str], told: str) -> None:
    done = await OrbitCommand("postgresql://127.0.0.1:9/none", tmp_path)(*arguments)
    assert (done.code, done.stdout) == (4, "")
    assert told in done.stderr
    assert done.stderr.count("error:") == 1
    assert "Traceback" not in done.stderr


async def test_a_watched_table_prints_what_changed_and_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter(["one", "one", "two", "two", "three"])

    async def look() -> list[Line]:
        return [[(next(looks, "three"), "good")]]

    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    showing = asyncio.ensure_future(keep_showing(look, interval=0))
    await until(lambda: "three" in out.getvalue())
    showing.cancel()
    assert out.getvalue().split() == ["one", "two", "three"]


def test_a_table_leaves_out_what_nobody_has_and_colours_what_is_a_state() -> None:
    rows = [
        {"id": "a", "status": "failed", "empty": None, "name": "\x1b[2J"},
        {"id": "b", "status": "odd", "name": "n"},
    ]
    lines = table(rows, ("id", "status", "empty", "name"))
    text = ["".join(piece for piece, _ in line).split() for line in lines]
    assert text[0] == ["id", "status", "name"]
    assert [tone for _, tone in lines[1]] == ["", "bad", ""]
    assert [tone for _, tone in lines[2]] == ["", "", ""]
    assert "\x1b" not in json.dumps(lines, ensure_ascii=False)
