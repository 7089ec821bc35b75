"""Workers that are killed in the middle of a run, and a test that kills whoever runs it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from support.bench import until
from support.drills import LONG, settled, some_tests, tell, worst
from support.target import Target

if TYPE_CHECKING:
    from asyncio import StreamWriter

    from support.bench import Bench
    from support.fleet import Fleet
    from support.hostile import Request

    from orbit_context.models.runs import Result


@pytest.mark.timeout(300 if LONG else 120)
@pytest.mark.parametrize("repeat", range(3 if LONG else 1))
async def test_half_of_the_fleet_is_killed(bench: Bench, fleet: Fleet, target: Target, repeat: int) -> None:
    """Four workers, two of them killed at once: what they held is run by the others, and nothing else is run again."""
    count, seconds, slots, lease = (600, 0.35, 8, None) if LONG else (120, 0.2, 5, 1.0)
    names = ("one", "two", "three", "four")
    await fleet.start_many(*names, slots=slots, lease=lease)
    began = time.monotonic()
    run = await bench.start(some_tests(count, seconds), base_url=target.url(""))
    await until(lambda: len(target.requests) > count / 4, within=60)
    fleet.kill("one", "two")
    async with bench.database.connect() as connection:
        killed_at = await connection.fetchval("select clock_timestamp()")
        # Nobody can go on for them: what they hold from here on is what is lost.
        held = await connection.fetch(
            "select j.id & 1048575 as position, j.attempt from orbit_private.job j join orbit_private.worker w"
            " on w.id = j.worker_id where j.state = 2 and w.name in ('one', 'two')"
        )
    done = await bench.finished(run, within=120)
    assert (done.status, done.counts.passed) == ("passed", count + 1)
    results = await settled(bench, run)
    again = {result.position: result for result in results if result.attempts > 1}
    assert set(again) == {row["position"] for row in held}
    assert again, "killed when they held nothing"
    for result in again.values():
        (earlier,) = result.previous_attempts
        assert earlier.status == "lost"
        assert earlier.reason in ("its worker one was lost", "its worker two was lost")
    sent = Counter(request.target for request in target.requests)
    twice = {target for target, number in sent.items() if number > 1}
    allowed = {f"/slow?seconds={seconds}&n={result.key[1:]}" for result in again.values()} | {"/item/1"}
    assert twice <= allowed, "sent twice, and no killed worker had it"
    claims: dict[int, float] = {}
    after = 0
    while events := [event async for event in bench.orbit.runs.events(run.id, after=after)]:
        for event in events:
            if event.kind == "test_started" and event.position in again and event.attempt == 2:
                claims[event.position] = (event.at - killed_at).total_seconds()
        after = events[-1].seq
    assert set(claims) == set(again)
    tell(
        f"R1, round {repeat + 1}: {count + 1} tests, 4 workers x {slots}, 2 killed with {len(again)} tests in hand; an orphan was"
        f" claimed again after: {worst(claims.values())}; the run took {time.monotonic() - began:.1f} s"
    )
    if LONG:
        assert max(claims.values()) <= 15


class Poisoned(Target):
    """A request of /poison kills the worker that sent it."""

    def arm(self, bench: Bench, fleet: Fleet) -> None:
        self._bench = bench
        self._fleet = fleet
        self.killed: list[str] = []

    async def do_poison(self, request: Request, writer: StreamWriter) -> bool:
        async with self._bench.database.connect() as connection:
            name = await connection.fetchval(
                "select w.name from orbit_private.job j join orbit_private.worker w on w.id = j.worker_id"
                " join orbit.test_cases c on c.id = j.test_case_id where c.key = 'poison'"
            )
        self._fleet.kill(name)
        self.killed.append(name)
        return False


def rate(results: list[Result]) -> float:
    """Tests a second, from the first one's start to the last one's end."""
    began = min(result.started_at for result in results if result.started_at is not None)
    return len(results) / (max(result.finished_at for result in results) - began).total_seconds()


@pytest.mark.timeout(300 if LONG else 120)
async def test_a_test_that_kills_its_worker_costs_its_own_result_and_nothing_else(bench: Bench, fleet: Fleet) -> None:
    """Whoever is killed is started again, as a service manager would; three times, and the test is a dead letter."""
    count, seconds, lease = (1600, 0.5, None) if LONG else (40, 0.4, 1.0)
    innocent = {f"t{n}": {"request": f"/slow?seconds={seconds}&n={n}"} for n in range(count)}
    tests = {
        "poison": {"request": {"GET": "/poison", "timeout": "60s"}},
        "after": {"needs": ["poison"], "request": "/x"},
    } | innocent
    async with Poisoned() as target:
        target.arm(bench, fleet)
        await fleet.start_many("w0", "w1", "w2", "w3", slots=4, lease=lease)
        without = None
        if LONG:
            run = await bench.start(innocent, base_url=target.url(""))
            await bench.finished(run, within=100)
            without = rate(await settled(bench, run))
            target.requests.clear()
        run = await bench.start(tests, base_url=target.url(""))

        async def keep_up() -> None:
            for number in range(3):
                await until(lambda number=number: len(target.killed) > number, within=90)  # type: ignore[misc]
                await fleet.start(f"again{number}", slots=4, lease=lease)

        keeper = asyncio.create_task(keep_up())
        done = await bench.finished(run, within=200)
        await keeper
        assert len(target.killed) == 3
        results = {result.key: result for result in await settled(bench, run)}
        poison = results.pop("poison")
        assert (poison.status, poison.category, poison.attempts) == ("errored", "runner_lost", 3)
        assert [attempt.status for attempt in poison.previous_attempts] == ["lost", "lost"]
        assert (results["after"].status, results.pop("after").reason) == ("skipped", "poison reached no verdict")
        assert done.status == "errored"
        # What lay beside it when its worker died was run again and is none the worse for it: nobody is blamed.
        assert {result.status for result in results.values()} == {"passed"}
        letters = await bench.orbit._gateway.call("list_dead_letters", {"state": "all"})
        assert [letter["key"] for letter in letters] == ["poison"]
        sent = Counter(urlsplit(request.target).path for request in target.requests)
        assert sent["/poison"] == 3
        beside = sum(result.attempts > 1 for result in results.values())
        tell(f"R7: {count} innocent tests beside one poison: {beside} were run again, none blamed")
        if without is not None:
            kept = rate(list(results.values())) / without
            tell(f"R7: {without:.1f} tests a second without the poison; beside it {kept:.0%} of that")
            assert kept >= 0.9
