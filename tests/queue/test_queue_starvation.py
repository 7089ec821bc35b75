"""Nothing starves: however much arrives later, and however urgent it is, a test is overtaken by what arrives within as many
minutes as there are steps of priority between them, and by nothing else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg
import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from support.drills import LONG
from support.queue import Queue, check_invariants

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.postgres import Database

LOWEST, HIGHEST = -100, 100
ARRIVAL = st.tuples(
    st.integers(0, 90),  # minutes since the arrival before
    st.integers(LOWEST, HIGHEST),  # its priority
    st.integers(1, 3),  # its tests
    st.integers(0, 2),  # claims before the next arrival
)


class Clock:
    """A queue in which minutes pass when they are told to: everything that waits becomes so much older."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: asyncpg.Connection[Any]) -> None:
        self.loop = loop
        self.connection = connection
        self.queue = Queue(connection)

    def wait(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def passes(self, minutes: int) -> None:
        for table in ("job", "ready", "parked"):
            self.wait(self.connection.execute(f"update orbit_private.{table} set rank = rank - 60 * $1", minutes))


@pytest.fixture
def clock(database: Database) -> Iterator[Clock]:
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(asyncpg.connect(database.dsn))
    clock = Clock(loop, connection)
    for size in (1, 2, 3):
        clock.wait(
            clock.queue.save(
                {f"t{n}": {"retry": {"max": 1, "backoff": {"initial": 1, "max": 1, "factor": 1}}} for n in range(size)},
                key=f"of {size}",
            )
        )
    yield clock
    loop.run_until_complete(connection.close())
    loop.close()


@pytest.mark.timeout(600 if LONG else 120)
def test_a_test_is_overtaken_for_as_many_minutes_as_there_are_steps_between(clock: Clock) -> None:
    most: list[int] = []

    @settings(
        max_examples=400 if LONG else 30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=not LONG,
    )
    @given(
        priority=st.integers(LOWEST, HIGHEST),
        arrivals=st.lists(ARRIVAL, min_size=1, max_size=12),
        batch=st.integers(1, 4),
        repeated=st.booleans(),
    )
    def check(priority: int, arrivals: list[tuple[int, int, int, int]], batch: int, repeated: bool) -> None:
        queue, wait = clock.queue, clock.wait
        worker = wait(queue.worker())
        waits = wait(queue.start(suite="of 1", priority=priority))
        before = 0
        if repeated:  # what is tried again keeps its place
            [job] = wait(worker.claim(1))
            wait(worker.advance([job.ended("failed", retryable=True)]))
            clock.passes(1)
            before = 1
        minute, later, overtook, reached = before, {}, [], False

        def claim() -> bool:
            """Whether it was its turn."""
            jobs = wait(worker.claim(batch))
            wait(worker.advance([job.ended("passed") for job in jobs]))
            for job in jobs:
                if job.queue_no == waits["queue_no"]:
                    return True
                overtook.append(job.queue_no)
            assert jobs, "it is there, and is not handed out"
            return False

        for minutes, urgency, size, claims in arrivals:
            clock.passes(minutes)
            minute += minutes
            run = wait(queue.start(suite=f"of {size}", priority=urgency))
            later[run["queue_no"]] = (minute, urgency, size)
            for _ in range(claims):
                reached = reached or claim()
        # All that may go before it, by the rule that users are told; one that arrives within the same second may.
        first = {number for number, (at, urgency, _) in later.items() if at <= urgency - priority}
        bound = sum(later[number][2] for number in first)
        for _ in range(bound + 1):
            reached = reached or claim()
        assert reached, f"not claimed within {bound + 1} claims"
        assert set(overtook) <= first, "overtaken by what came too late to do so"
        most.append(len(overtook))
        wait(worker.run_to_end())
        wait(worker.retire())
        wait(check_invariants(clock.connection))

    check()
    assert max(most) > 3, "nothing was ever overtaken: this proves little"
