"""The plans of the statements that are run most, as the server chose them inside the functions (auto_explain)."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import asyncpg
    from support.queue import Queue

READY = 50_000


class Plans(list[dict[str, Any]]):
    """The plans of everything that was run, nested statements included."""

    def of(self, text: str) -> list[dict[str, Any]]:
        """The nodes of the plans of statements that contain `text`."""
        found = [node for plan in self if text in plan["Query Text"] for node in nodes(plan["Plan"])]
        assert found, f"no statement with {text!r} was run"
        return found


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


@contextmanager
def explaining(connection: asyncpg.Connection[Any]) -> Iterator[Plans]:
    plans = Plans()

    def hear(_: object, message: Any) -> None:
        head, _, body = message.message.partition("plan:\n")
        if head.startswith("duration"):
            plans.append(json.loads(body))

    connection.add_log_listener(hear)
    try:
        yield plans
    finally:
        connection.remove_log_listener(hear)


@pytest.fixture
async def watched(queue: Queue) -> Queue:
    """Its connection tells the plan of every statement, with the rows that were really touched."""
    await queue.connection.execute(
        "load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_analyze = on;"
        " set auto_explain.log_format = json; set auto_explain.log_nested_statements = on; set auto_explain.log_level = notice;"
        " set auto_explain.log_timing = off"
    )
    return queue


async def fill(queue: Queue) -> None:
    """As many ready jobs, of a run of their own and behind all others in the lane."""
    await queue.save({"filler": []}, key="filler")
    run = await queue.start(suite="filler", private=True)
    number = run["queue_no"]
    await queue.connection.execute(
        "insert into orbit_private.job (id, lane, rank, test_case_id, pending, state, backoff)"
        " select ($1::bigint << 20) + n, 0, 3e9 + n, c.id, 0, 1, '{1,1,1}' from generate_series(1, $2::int) n, orbit.test_cases c"
        " where c.key = 'filler'",
        number, READY,
    )  # fmt: skip
    await queue.connection.execute(
        "insert into orbit_private.ready (lane, rank, job_id)"
        " select lane, rank, id from orbit_private.job where id > ($1::bigint << 20)",
        number,
    )


@pytest.mark.parametrize("analyzed", [False, True])
async def test_a_claim_reads_what_it_takes(watched: Queue, analyzed: bool) -> None:
    await fill(watched)
    await watched.save({f"t{n}": [] for n in range(40)})
    await watched.start()
    if analyzed:
        await watched.connection.execute("analyze orbit_private.ready, orbit_private.job")
    worker = await watched.worker()
    for _ in range(2):
        with explaining(watched.connection) as plans:
            jobs = await worker.claim(10)
        assert len(jobs) == 10
        claim = plans.of("x.rank >= v_low")
        [scan] = [
            node for node in claim if node.get("Relation Name") == "ready" and node["Node Type"].startswith("Index")
        ]
        assert scan["Index Name"] == "idx_ready_lane_rank"
        assert scan["Actual Rows"] == 10
        for node in claim:
            assert node["Actual Rows"] * node["Actual Loops"] <= 20, (
                f"{node['Node Type']} touches {node['Actual Rows']} rows"
            )
            assert node["Node Type"] != "Seq Scan" or node["Actual Rows"] == 0, node


@pytest.mark.parametrize("analyzed", [False, True])
async def test_a_report_reads_what_it_ends_and_releases(watched: Queue, analyzed: bool) -> None:
    await fill(watched)
    await watched.save({f"t{n}": [f"t{n - 20}"] if n >= 20 else [] for n in range(40)})
    await watched.start()
    if analyzed:
        await watched.connection.execute("analyze orbit_private.ready, orbit_private.job")
    worker = await watched.worker()
    jobs = await worker.claim(20)
    with explaining(watched.connection) as plans:
        answer = await worker.advance([job.ended("failed" if job.position == 5 else "passed") for job in jobs], want=19)
    assert len(answer.jobs) == 19
    for plan in plans:
        for node in nodes(plan["Plan"]):
            if node.get("Relation Name") in ("job", "ready"):
                touched = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
                assert touched <= 60, f"{touched} rows: {plan['Query Text'][:200]}"


async def test_the_results_of_a_run_are_found_by_the_key_in_the_partitions_of_its_time(watched: Queue) -> None:
    for ahead in range(3, 40, 3):
        await watched.connection.fetchval(
            "select orbit_private.ensure_partitions(now() + make_interval(weeks => $1))", ahead
        )
    await watched.save({f"t{n}": [] for n in range(20)})
    run = await watched.start()
    await (await watched.worker()).run_to_end({"t3": "failed"})
    await watched.connection.execute("analyze orbit.test_results, orbit.test_result_details")
    with explaining(watched.connection) as plans:
        assert len(await watched.results(run)) == 20
    scans = [
        node
        for node in plans.of("from orbit.test_results")
        if str(node.get("Relation Name", "")).startswith("test_result")
    ]
    names = {node["Relation Name"] for node in scans}
    assert all(
        name.rsplit("_", 1)[0] in {f"test_results_{week(run)}", f"test_result_details_{week(run)}"} for name in names
    ), names
    for node in scans:
        assert "Index" in node["Node Type"] or node["Actual Rows"] <= 20, node


def week(run: dict[str, Any]) -> str:
    from support.queue import timestamp

    year, number, _ = timestamp(run["created_at"]).isocalendar()
    return f"{year}w{number:02}"
