"""`orbit pipeline` from file to verdict, with a worker that is a process of its own."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from orbit_runner.cli.pipelines.tree import branches

if TYPE_CHECKING:
    from support.command import OrbitCommand
    from support.target import Target

FILE = """\
pipeline: release
steps:
  build: {suite: good}
  smoke: {suite: bad, needs: build, retries: 1}
  report: {suite: good, needs: smoke}
  clean: {suite: good, needs: smoke, when: finished}
  alarm: {suite: good, needs: [build, report], when: failed}
"""


async def save_suites(orbit: OrbitCommand, target: Target, **requests: str) -> None:
    """By running them once, as people do."""
    for name, request in requests.items():
        path = orbit.suite(
            {"one": {"request": request, "expect": {"status": 200}}}, suite=name, base_url=target.url("")
        )
        await orbit("run", path, "-q")


async def test_a_pipeline_from_file_to_verdict(orbit: OrbitCommand, target: Target) -> None:
    await save_suites(orbit, target, good="/item/1", bad="/flaky/smoke?fails=99")
    saved = await orbit("pipeline", "save", orbit.write("release.yaml", FILE))
    assert (saved.code, saved.stdout) == (0, "release: version 1, 5 steps\n")
    assert "is version 1 already" in (await orbit("pipeline", "save", "release.yaml")).stdout
    shown = await orbit("pipeline", "show", "release")
    assert "└─ smoke  suite bad; retries 1" in shown.stdout
    worker = await orbit.start("worker", "--slots", "4")
    done = await orbit("pipeline", "start", "release", "--wait", "--var", "who=ada", within=120)
    assert done.code == 1, done.stderr
    assert "attempt 2" in done.stderr
    assert "report: skipped (smoke failed)" in done.stderr
    assert done.stdout.splitlines()[-1].startswith("release version 1 failed after ")
    assert "1 of 1 tests did not pass" in done.stdout
    status = await orbit("pipeline", "status", "--json")
    assert status.code == 1
    run = json.loads(status.stdout)
    assert {step["key"]: step["status"] for step in run["steps"]} == {
        "build": "passed",
        "smoke": "failed",
        "report": "skipped",
        "clean": "passed",
        "alarm": "passed",
    }
    assert run["variables"] == {"who": "ada"}
    # Each began after what it needed was over.
    begun = {step["key"]: step["started_at"] for step in run["steps"]}
    ended = {step["key"]: step["finished_at"] for step in run["steps"]}
    assert ended["build"] <= begun["smoke"]
    assert ended["smoke"] <= min(begun["clean"], begun["alarm"])
    listed = await orbit("pipeline", "list", "--runs", "--json")
    assert [row["status"] for row in json.loads(listed.stdout)] == ["failed"]
    assert (await orbit("pipeline", "rm", "release")).code == 0
    assert (await orbit("pipeline", "list")).stdout == "no pipeline; save one: orbit pipeline save FILE\n"
    worker.terminate()
    await worker.wait()


async def test_a_pipeline_is_cancelled_in_the_middle(orbit: OrbitCommand, target: Target) -> None:
    target.release.set()
    await save_suites(orbit, target, slow="/hold", after="/item/1")
    target.release.clear()
    text = "pipeline: release\nsteps:\n  slow: {suite: slow}\n  after: {suite: after, needs: slow, when: finished}\n"
    await orbit("pipeline", "save", orbit.write("release.yaml", text))
    seen = len(target.requests)
    worker = await orbit.start("worker", "--slots", "2")
    waiting = await orbit.start("pipeline", "start", "release", "--wait")
    await target.until(lambda: len(target.requests) > seen)
    cancelled = await orbit("pipeline", "cancel", "last", "--reason", "wrong branch")
    assert "is cancelling" in cancelled.stdout
    async with asyncio.timeout(60):
        out, _ = await waiting.communicate()
    assert waiting.returncode == 2
    assert b"wrong branch" in out
    assert (await orbit("pipeline", "cancel", "last")).stdout.strip().endswith("was cancelled already")
    worker.terminate()
    await worker.wait()


async def test_what_is_wrong_on_the_command_line(orbit: OrbitCommand, target: Target) -> None:
    await save_suites(orbit, target, build="/item/1")
    cycle = "pipeline: p\nsteps:\n  a: {suite: build, needs: b}\n  b: {suite: build, needs: a}\n"
    done = await orbit("pipeline", "save", orbit.write("p.yaml", cycle))
    assert done.code == 4
    assert "p.yaml:3:" in done.stderr
    assert "the steps need each other: " in done.stderr
    done = await orbit("pipeline", "save", orbit.write("p.yaml", "pipeline: p\nsteps: {a: {suite: gone}}\n"))
    assert (done.code, "step a: no suite gone in project default" in done.stderr) == (4, True)
    done = await orbit("pipeline", "start", "gone")
    assert (done.code, "no pipeline gone" in done.stderr) == (4, True)
    done = await orbit("pipeline", "status")
    assert (done.code, "no pipeline has run yet" in done.stderr) == (4, True)


@pytest.mark.parametrize("symbols", [True, False])
def test_each_step_hangs_below_all_it_needs(symbols: bool) -> None:
    needs = {"a": [], "d": ["a", "c"], "b": ["a"], "c": ["b"], "x": []}
    drawn = list(branches(needs, symbols=symbols))
    last, line = ("└─ ", "   ") if symbols else ("`- ", "   ")
    assert drawn == [
        ("", "a", []),
        (last, "b", []),
        (line + last, "c", []),
        (line + line + last, "d", ["a"]),
        ("", "x", []),
    ]
