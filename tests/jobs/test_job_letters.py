"""Dead letters: looked into, replayed once by whoever comes first, dropped with a note; all of it in the audit log."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from support.queue import Queue

if TYPE_CHECKING:
    from support.postgres import Database


async def give_up(queue: Queue, suite: str = "suite", **options: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A run whose first test takes three workers with it; the run, and its letters."""
    run = await queue.start(suite=suite, **options)
    for _ in range(3):
        await (await queue.worker()).claim(1)
        await queue.ticks(now="1 hour")
    return run, [one for one in await queue.call("list_dead_letters", {}) if one["run_id"] == run["id"]]


async def test_a_replay_runs_the_test_with_what_it_needs_and_what_the_first_run_was_given(queue: Queue) -> None:
    await queue.save({"a": [], "b": ["a"], "c": []})
    environment = await queue.call("save_environment", {"name": "staging", "variables": []})
    run = await queue.start(variables={"x": 1}, environment="staging", priority=7)
    worker = await queue.worker()
    await worker.advance([job.ended("passed") for job in await worker.claim(2)])
    for _ in range(3):
        await (await queue.worker()).claim(1)
        await queue.ticks(now="1 hour")
    (letter,) = await queue.call("list_dead_letters", {})
    assert (letter["key"], letter["suite"], letter["state"]) == ("b", "suite", "open")
    assert (await queue.call("get_dead_letter", {"id": letter["id"][:8]}))["id"] == letter["id"]
    await queue.connection.execute(
        "insert into orbit_private.run_secret (queue_no, name, sealed, place)"
        " values ($1, 'password', 'orbit.seal.v1.x', 'run:' || $2 || ':password'),"
        " ($1, 'credentials.mine', 'orbit.seal.v1.y', 'credential:1')",
        run["queue_no"],
        run["id"],
    )
    answer = await queue.call("replay_dead_letters", {"ids": [letter["id"]], "note": "more memory"})
    (replayed,) = answer["replayed"]
    row = await queue.connection.fetchrow(
        "select r.*, (select array_agg(s.name || ' ' || s.place order by s.name) from orbit_private.run_secret s"
        " where s.queue_no = r.queue_no) as secrets from orbit.test_runs r where r.id = $1::text::uuid",
        replayed["run_id"],
    )
    assert json.loads(row["selection"]) == {"tests": ["b"]}
    assert (json.loads(row["variables"]), row["priority"], row["triggered_by"], row["lane"]) == (
        {"x": 1},
        7,
        "replay",
        0,
    )
    assert str(row["environment_id"]) == environment["environment_id"]
    assert row["secrets"] == ["credentials.mine credential:1", f"password run:{run['id']}:password"]
    assert (await queue.call("get_run", {"run_id": replayed["run_id"]}))["counts"]["total"] == 2
    kept = await queue.call("get_dead_letter", {"id": letter["id"]})
    assert (kept["state"], kept["note"], kept["replay_run_id"]) == ("replayed", "more memory", replayed["run_id"])
    again = await queue.call("replay_dead_letters", {"ids": [letter["id"]]})
    assert again == {
        "replayed": [],
        "skipped": [{"id": letter["id"], "reason": f"it was replayed in the run {replayed['run_id']}"}],
    }
    audited = await queue.connection.fetch(
        "select action from orbit.audit_log where resource_type = 'dead_letter' and resource_id = $1 order by number",
        letter["id"],
    )
    assert [entry["action"] for entry in audited] == ["dead_letter.create", "dead_letter.update"]
    await (await queue.worker()).run_to_end()
    assert (await queue.call("get_run", {"run_id": replayed["run_id"]}))["status"] == "passed"


async def test_two_who_replay_at_once_start_one_run(database: Database) -> None:
    async with database.connect() as one, database.connect() as two:
        queue = Queue(one)
        await queue.save({"a": []})
        _, (letter,) = await give_up(queue)
        answers = await asyncio.gather(
            *(Queue(connection).call("replay_dead_letters", {"all": True}) for connection in (one, two))
        )
        replayed = [one["id"] for answer in answers for one in answer["replayed"]]
        assert replayed == [letter["id"]]
        assert await one.fetchval("select count(*) from orbit.test_runs where triggered_by = 'replay'") == 1


async def test_what_cannot_be_replayed_is_left_alone_and_the_rest_is(queue: Queue) -> None:
    await queue.save({"a": []}, key="one")
    await queue.save({"a": []}, key="two")
    _, (gone,) = await give_up(queue, "one")
    _, (there,) = await give_up(queue, "two")
    await queue.save({"b": []}, key="one")  # its test is in no version any more
    answer = await queue.call("replay_dead_letters", {"project": "default"})
    assert [one["id"] for one in answer["replayed"]] == [there["id"]]
    assert answer["skipped"] == [{"id": gone["id"], "reason": "no test a in suite one"}]
    assert (await queue.call("get_dead_letter", {"id": gone["id"]}))["state"] == "open"
    dropped = await queue.call("drop_dead_letters", {"all": True, "note": "its test is gone"})
    assert dropped == {"dropped": [gone["id"]], "skipped": []}
    assert await queue.call("list_dead_letters", {}) == []
    states = {one["id"]: one["state"] for one in await queue.call("list_dead_letters", {"state": "all"})}
    assert states == {gone["id"]: "dropped", there["id"]: "replayed"}
    with pytest.raises(asyncpg.PostgresError, match="which dead letters is not said"):
        await queue.call("drop_dead_letters", {"ids": [gone["id"]], "all": True})
