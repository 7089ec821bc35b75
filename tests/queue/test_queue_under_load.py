"""The queue under several writers at once: nothing lost, nothing twice, nothing stuck, no deadlock."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest
from support.queue import Claimed, Queue, Worker, check_invariants, retry, test_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from support.postgres import Database

GROUPS, PARENTS, FILLERS = 1500, 8, 90_000


async def fan_in(queue: Queue) -> int:
    """A run of GROUPS joins, each of PARENTS jobs and a last one that waits for them, in a queue of more than 100,000 jobs."""
    await queue.save({"t": []})
    run, other = await queue.start(), await queue.start(private=True)
    number = run["queue_no"]
    connection = queue.connection
    await connection.execute("delete from orbit_private.job where id >> 20 = $1", number)
    await connection.execute("delete from orbit_private.ready where job_id >> 20 = $1", number)
    # Parents of one join lie a batch apart in the order, so that all workers end some of them at the same time.
    await connection.execute(
        """
        insert into orbit_private.job (id, lane, rank, test_case_id, pending, state, backoff, strict_children)
          select ($1 << 20) + p * $2 + g, 0, (g / 50 * $3 + p) * 50 + g % 50, c.id, 0, 1, '{1,1,1}'::real[],
                 array[($1 << 20) + $3 * $2 + g]
            from generate_series(0, $2 - 1) g, generate_series(0, $3 - 1) p, orbit.test_cases c
          union all
          select ($1 << 20) + $3 * $2 + g, 0, 1e6 + g, c.id, $3, 0, '{1,1,1}'::real[], '{}'::bigint[]
            from generate_series(0, $2 - 1) g, orbit.test_cases c
        """,
        number, GROUPS, PARENTS,
    )  # fmt: skip
    await connection.execute(
        "insert into orbit_private.job (id, lane, rank, test_case_id, pending, state, backoff)"
        " select ($1::bigint << 20) + 1 + n, $1, n, c.id, 1, 0, '{1,1,1}' from generate_series(1, $2) n, orbit.test_cases c",
        other["queue_no"], FILLERS,
    )  # fmt: skip
    await connection.execute(
        "insert into orbit_private.ready (lane, rank, job_id)"
        " select lane, rank, id from orbit_private.job where id >> 20 = $1 and state = 1",
        number,
    )
    total = GROUPS * (PARENTS + 1)
    await connection.execute(
        "update orbit_private.run_progress set total = $2, remaining = $2 where queue_no = $1", number, total
    )
    await connection.execute("analyze orbit_private.job, orbit_private.ready")
    assert await connection.fetchval("select count(*) from orbit_private.job") >= 100_000
    return int(number)


async def drain(database: Database, writers: int) -> None:
    async def writer() -> None:
        async with database.connect() as connection:
            worker = await Queue(connection).worker(slots=1000)
            reports: list[Any] = []
            empty = 0
            while empty < 3:  # what others are about to release
                answer = await worker.advance(reports, want=50)
                reports = [job.ended("passed") for job in answer.jobs]
                empty = 0 if reports else empty + 1

    await asyncio.gather(*(writer() for _ in range(writers)))
    # One more, for what the last of them released.
    async with database.connect() as connection:
        await (await Queue(connection).worker(slots=1000)).run_to_end()


async def test_four_writers_lose_no_update_in_a_queue_of_a_hundred_thousand(queue: Queue, database: Database) -> None:
    number = await fan_in(queue)
    await drain(database, 4)
    left = await queue.connection.fetchval("select count(*) from orbit_private.job where id >> 20 = $1", number)
    assert left == 0, f"{left} jobs wait for ever"
    counts = await queue.connection.fetchrow(
        "select count(*) as results, count(distinct position) as tests, count(*) filter (where status = 'passed') as passed"
        " from orbit.test_results"
    )
    assert counts is not None
    assert set(counts.values()) == {GROUPS * (PARENTS + 1)}
    run = await queue.connection.fetchrow(
        "select status, counts ->> 'passed' as passed from orbit.test_runs where queue_no = $1", number
    )
    assert run is not None
    assert (run["status"], int(run["passed"])) == ("passed", GROUPS * (PARENTS + 1))


# -- random graphs -----------------------------------------------------------------------------------------------------------

OUTCOMES = ("failed", "errored", "timed_out")


class Graph:
    """A random suite, what becomes of each test that is run, and what must therefore become of all."""

    def __init__(self, seed: int, size: int) -> None:
        chance = random.Random(seed)
        self.tests: dict[str, dict[str, Any]] = {}
        self.outcomes: dict[str, str] = {}
        self.attempts: dict[str, int] = {}
        keys = [f"t{n}" for n in range(size)]
        for position, key in enumerate(keys):
            earlier = keys[max(0, position - 60) : position]
            needed = chance.sample(earlier, min(len(earlier), chance.choice((0, 1, 1, 2, 3, 8))))
            test: dict[str, Any] = {
                "needs": [(need, chance.choice(("order", "order", "data", "token"))) for need in needed]
            }
            if chance.random() < 0.12:
                test["always"] = True
            if chance.random() < 0.1:
                test |= retry(3, initial=0.001, maximum=0.002)
                self.attempts[key] = chance.choice((1, 2, 2, 3))
            self.outcomes[key] = chance.choice(OUTCOMES) if chance.random() < 0.04 else "passed"
            self.tests[key] = test
        order = list(keys)
        chance.shuffle(order)
        self.tests = {key: self.tests[key] for key in order}
        self.expected: dict[str, str] = {}
        for key in keys:
            strict = [
                need for need, kind in self.tests[key]["needs"] if not self.tests[key].get("always") or kind != "order"
            ]
            if any(self.expected[need] not in ("passed", "passed_on_retry") for need in strict):
                self.expected[key] = "skipped"
            elif self.outcomes[key] == "passed" and self.attempts.get(key, 1) > 1:
                self.expected[key] = "passed_on_retry"
            else:
                self.expected[key] = self.outcomes[key]

    def report(self, key: str, job: Claimed, own: int) -> Any:
        """What becomes of the test's own attempt number `own`."""
        if own < self.attempts.get(key, 1):
            return job.ended("failed", retryable=True)
        return job.ended(self.outcomes[key])


class Crew:
    """Workers on connections of their own, some of which die with what they hold."""

    def __init__(self, database: Database, graphs: Mapping[int, Graph], seed: int, *, deaths: float) -> None:
        self.database = database
        self.graphs = graphs
        self.chance = random.Random(seed)
        self.deaths = deaths
        self.keys: dict[int, list[str]] = {}
        self.losses: dict[int, int] = {}
        self.died = 0
        self.late = 0

    async def work(self) -> None:
        async with self.database.connect() as connection:
            queue = Queue(connection)
            held: dict[int, Claimed] = {}
            reports: list[Any] = []
            worker = await self.register(queue)
            ghost: tuple[Worker, list[Any]] | None = None
            while True:
                answer = await worker.advance(reports, want=self.chance.randint(0, 12))
                if answer.unknown:
                    worker, held, reports = await self.register(queue), {}, []
                    continue
                for report in reports:
                    held.pop(report[0], None)
                held |= {job.id: job for job in answer.jobs}
                if self.chance.random() < self.deaths and held and all(self.losses.get(job, 0) < 2 for job in held):
                    await connection.execute(
                        "update orbit_private.worker set seen_at = '-infinity' where id = $1", worker.id
                    )
                    for job in held:
                        self.losses[job] = self.losses.get(job, 0) + 1
                    self.died += 1
                    ghost = worker, [job.ended("failed", reason="from the grave") for job in held.values()]
                    worker, held, reports = await self.register(queue), {}, []
                while (await queue.tick(lease="1 second")).get("more"):
                    pass
                if ghost is not None and not await connection.fetchval(
                    "select exists (select from orbit_private.worker where id = $1)", ghost[0].id
                ):  # fmt: skip
                    late = await ghost[0].advance(ghost[1])
                    assert len(late.stale) == len(ghost[1]), "a late report counted"
                    self.late += len(late.stale)
                    ghost = None
                reports = [await self.report(connection, job) for job in held.values() if self.chance.random() < 0.8]
                if not held and ghost is None and not await connection.fetchval(
                    "select exists (select from orbit_private.run_progress)"
                ):  # fmt: skip
                    await worker.retire()
                    return

    async def register(self, queue: Queue) -> Worker:
        worker = await queue.worker()
        await queue.connection.execute("update orbit_private.worker set seen_at = 'infinity' where id = $1", worker.id)
        return worker

    async def report(self, connection: Any, job: Claimed) -> Any:
        if job.queue_no not in self.keys:
            self.keys[job.queue_no] = await test_keys(connection, job.queue_no)
        losses = await connection.fetchval("select losses from orbit_private.job where id = $1", job.id)
        return self.graphs[job.queue_no].report(self.keys[job.queue_no][job.position], job, job.attempt - (losses or 0))


@pytest.mark.parametrize("seed", [1, 2])
async def test_six_workers_run_random_graphs_as_an_oracle_says(queue: Queue, database: Database, seed: int) -> None:
    graphs: dict[int, Graph] = {}
    runs = []
    for n in range(3):
        graph = Graph(seed * 10 + n, 250)
        await queue.save(graph.tests, key=f"g{n}")
        runs.append(await queue.start(suite=f"g{n}", priority=n))
        graphs[runs[-1]["queue_no"]] = graph
    crew = Crew(database, graphs, seed, deaths=0.05)
    async with asyncio.timeout(60):
        await asyncio.gather(*(crew.work() for _ in range(6)))
    for run in runs:
        graph = graphs[run["queue_no"]]
        assert await queue.statuses(run) == {key: graph.expected[key] for key in graph.tests}
        await queue.check_events(run)
    await queue.check()

    assert crew.late > 0
    assert await queue.connection.fetchval("select count(*) from orbit_private.job") == 0
    assert await queue.connection.fetchval("select count(*) from orbit_private.ready") == 0


async def test_runs_that_are_stopped_while_six_workers_are_at_it_end(queue: Queue, database: Database) -> None:
    graphs: dict[int, Graph] = {}
    runs = []
    for n in range(6):
        graph = Graph(100 + n, 150)
        await queue.save(graph.tests, key=f"g{n}")
        runs.append(await queue.start(suite=f"g{n}", fail_fast=n % 2 == 0))
        graphs[runs[-1]["queue_no"]] = graph
    crew = Crew(database, graphs, 7, deaths=0.03)

    async def cancel() -> None:
        async with database.connect() as connection:
            canceller = Queue(connection)
            for run in runs[2:5]:
                while (await canceller.run(run))["counts"]["passed"] < 20:
                    if (await canceller.run(run))["finished_at"]:
                        break
                    await asyncio.sleep(0)
                await canceller.cancel(run)

    async def look() -> None:
        """The counters equal a recount in every snapshot."""
        async with database.connect() as connection:
            while await connection.fetchval("select exists (select from orbit_private.run_progress)"):
                await check_invariants(connection)

    async with asyncio.timeout(60):
        await asyncio.gather(cancel(), look(), *(crew.work() for _ in range(6)))
    for run in runs:
        graph = graphs[run["queue_no"]]
        finished = await queue.run(run)
        assert finished["status"] in ("passed", "failed", "errored", "cancelled")
        statuses = await queue.statuses(run)
        assert len(statuses) == 150
        ran = {key: status for key, status in statuses.items() if status not in ("skipped", "cancelled")}
        assert ran.items() <= graph.expected.items(), "what was run ended as it must"
        await queue.check_events(run)
    await queue.check()
    assert await queue.connection.fetchval("select count(*) from orbit_private.job") == 0
