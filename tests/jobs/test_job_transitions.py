"""The changes of state that happen are those of orbit.state_transitions: every one of them, and no other."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from support.queue import retry
from support.tenants import Tenants

if TYPE_CHECKING:
    from support.queue import Queue

_LOG = """
create table public.seen (n bigint generated always as identity, place text, op text, job_id bigint, state int, lane bigint);
create function public.tg_seen() returns trigger language plpgsql as $$
declare r jsonb := to_jsonb(case tg_op when 'DELETE' then old else new end);
begin
  insert into public.seen (place, op, job_id, state, lane)
    values (tg_table_name, tg_op, coalesce(r ->> 'job_id', r ->> 'id')::bigint, (r ->> 'state')::int, (r ->> 'lane')::bigint);
  return null;
end $$;
create trigger "999_seen" after insert or update or delete on orbit_private.job for each row execute function public.tg_seen();
create trigger "999_seen" after insert or delete on orbit_private.ready for each row execute function public.tg_seen();
create trigger "999_seen" after insert or delete on orbit_private.parked for each row execute function public.tg_seen();
"""
"""Writes down what happens to the tables of the queue; their rows tell where a test stands."""


class _Place:
    """Where one test stands, from what was written down."""

    def __init__(self) -> None:
        self.state: int | None = None
        self.gone = self.parked = False
        self.lanes: list[int] = []

    def take(self, row: asyncpg.Record) -> str | None:
        if row["place"] == "job":
            self.gone, self.state = row["op"] == "DELETE", row["state"]
        elif row["place"] == "parked":
            self.parked = row["op"] == "INSERT"
        elif row["op"] == "INSERT":
            self.lanes.append(row["lane"])
        else:
            self.lanes.remove(row["lane"])
        if self.gone:
            return "finished"
        if self.state != 1:
            return {0: "blocked", 2: "held"}.get(self.state or 0) if self.state is not None else None
        if self.parked:
            return "parked"
        if any(lane < 0 for lane in self.lanes):
            return "put_off"
        return "ready" if self.lanes else None  # on its way from one to another, inside a statement


async def _of_tests(connection: asyncpg.Connection[Any]) -> set[tuple[str, str, str]]:
    places: dict[int, _Place] = defaultdict(_Place)
    standing: dict[int, str] = defaultdict(lambda: "new")
    found = set()
    for row in await connection.fetch("select * from public.seen order by n"):
        now = places[row["job_id"]].take(row)
        if now is not None and now != standing[row["job_id"]]:
            found.add(("test", standing[row["job_id"]], now))
            standing[row["job_id"]] = now
    return found


async def _live(queue: Queue) -> None:
    """Everything that may become of runs and tests, once."""
    connection = queue.connection
    await queue.save({"a": [], "b": ["a"], "c": retry(3), "f": [], "g": ["f"], "e": [], "t": []}, key="all")
    await queue.start(suite="all")
    worker = await queue.worker()
    jobs = {job.position: job for job in await worker.claim(10)}
    await worker.advance(
        [
            jobs[0].ended("passed"),
            jobs[2].ended("failed", retryable=True),
            jobs[3].ended("failed"),
            jobs[5].ended("errored"),
            jobs[6].ended("timed_out"),
        ]
    )
    await queue.make_due()
    await worker.run_to_end()

    await queue.save({"a": [], "b": ["a"]}, key="two")
    for status in ("passed", "errored"):
        await queue.start(suite="two")
        await worker.run_to_end({"b": status})
    await queue.cancel(await queue.start(suite="two"))
    running = await queue.start(suite="two")
    held = await worker.claim(1)
    await queue.cancel(running)
    await worker.advance([job.ended("cancelled") for job in held])
    await queue.start(suite="two", timeout=60)
    held = await worker.claim(1)
    await queue.ticks(now="2 minutes", lease="1 hour")
    await worker.advance([job.ended("cancelled") for job in held])

    await queue.save({"a": retry(2)}, key="retried")
    run = await queue.start(suite="retried")
    await worker.advance([job.ended("failed", retryable=True) for job in await worker.claim(1)])
    await queue.cancel(run)

    await queue.save({"a": {"skip": "later"}, "b": ["a"]}, key="off")
    await queue.start(suite="off")

    await queue.save({"a": [], "b": [], "c": []}, key="flat")
    run = await queue.start(suite="flat", concurrency=1)
    held = await worker.claim(3)
    await worker.advance([job.ended("passed") for job in held])
    await worker.claim(3)
    await queue.cancel(run)
    organization = await connection.fetchval("select organization_id from orbit.test_runs limit 1")
    await connection.execute("select orbit_private.set_gate($1, 'organization', '', 1, 5, 1)", organization)
    run = await queue.start(suite="flat")
    held = await worker.claim(3)
    await worker.advance([job.ended("passed") for job in held])
    await queue.cancel(run)
    await connection.execute("select orbit_private.set_gate($1, 'organization', '', null, null, null)", organization)

    lost = await queue.worker("lost")
    await queue.start(suite="flat")
    await lost.claim(3)
    await connection.execute("update orbit_private.worker set seen_at = '-infinity' where name = 'lost'")
    await queue.ticks(now="0")
    await worker.run_to_end()


async def test_every_change_that_happens_is_in_the_table_and_every_one_in_the_table_happens(queue: Queue) -> None:
    connection = queue.connection
    await connection.execute(_LOG)
    await _live(queue)
    happened = await _of_tests(connection)
    happened |= {
        ("run", row["from_state"], row["to_state"])
        for row in await connection.fetch("select distinct from_state, to_state from orbit_private.run_transition")
    }
    happened |= {
        ("result", "new", row["status"])
        for row in await connection.fetch("select distinct status from orbit.test_results")
    }
    listed = {
        tuple(row)
        for row in await connection.fetch("select subject, from_state, to_state from orbit.state_transitions")
    }
    assert happened - listed == set(), "happens, and is not in the table"
    assert listed - happened == set(), "is in the table, and does not happen here"


async def test_who_may_do_it_is_said_as_it_is(queue: Queue) -> None:
    await _live(queue)
    rows = await queue.connection.fetch(
        "select distinct t.from_state, t.to_state, t.by_whom, s.by_whom as allowed from orbit_private.run_transition t"
        " join orbit.state_transitions s on s.subject = 'run' and (s.from_state, s.to_state) = (t.from_state, t.to_state)"
    )
    assert {"caller", "worker", "system"} == {row["by_whom"] for row in rows}
    assert [tuple(row) for row in rows if row["allowed"] != "anybody" and row["by_whom"] not in row["allowed"]] == []


async def test_another_change_is_refused_and_leaves_the_run_as_it_was(queue: Queue) -> None:
    await queue.save({"a": []})
    run = await queue.start()
    for wrong in ("cancelled", "timed_out", "failed"):
        with pytest.raises(asyncpg.PostgresError) as refusal:
            await queue.connection.execute(
                "update orbit.test_runs set status = $1, counts = '{}', finished_at = now()", wrong
            )
        assert refusal.value.sqlstate == "OR004"
        assert f"queued does not become {wrong}" in str(refusal.value)
    assert (await queue.run(run))["status"] == "queued"
    await queue.connection.execute("update orbit.test_runs set status = status, base_dir = 'x'")


async def test_the_history_says_who_and_why(queue: Queue) -> None:
    tenants = await Tenants.on(queue.connection)
    await tenants.organization("acme", editor="ed", viewer="vera", owner="olga")
    await tenants.project("acme")
    await tenants.call_as("ed", "save_suite", {"key": "s", "document": {"tests": [_ping()]}, "dependencies": []})
    run = await tenants.call_as("ed", "start_run", {"suite": "s", "triggered_by": "api", "timeout": 60})
    worker = await queue.worker("hercules")
    await worker.claim(1)
    await tenants.call_as("olga", "cancel_run", {"run_id": run["id"], "reason": "wrong build"})
    async with tenants.acting("vera"):
        changes = await tenants.call("list_transitions", {"run_id": run["id"]})
    assert [(row["to"], row["by"], row["actor"], row["reason"]) for row in changes] == [
        ("queued", "caller", "ed@example.com", "api"),
        ("running", "worker", "hercules", None),
        ("cancelling", "caller", "olga@example.com", "wrong build"),
    ]
    assert changes[0]["user_id"] == str(tenants.id("ed"))
    await tenants.organization("other", owner="mallory")
    assert await tenants.refused("mallory", "list_transitions", {"run_id": run["id"]}) == "OR002"

    late = await tenants.call_as("ed", "start_run", {"suite": "s", "timeout": 60})
    await queue.ticks(now="2 minutes", lease="1 hour")
    changes = await queue.call("list_transitions", {"run_id": late["id"]})
    assert [(row["to"], row["by"]) for row in changes[1:]] == [("cancelling", "system"), ("timed_out", "system")]
    assert changes[-1]["reason"] == "the run took longer than it was given"


def _ping() -> dict[str, Any]:
    return {"key": "ping", "request": {"method": "GET", "url": "/ping"}}
