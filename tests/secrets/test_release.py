"""Secrets of a run follow the lease: who is given which, and who is not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from support.queue import Queue

from orbit_context.context import secret_place
from orbit_context.seal import Sealer, generate_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from support.postgres import Database
    from support.queue import Worker

VALUES = {"password": "pa$$ word-1", "token": "tok/en-22", "unused": "nobody-needs-me", "env.password": "own-pa$$ 3"}


@pytest.fixture
async def queue(database: Database) -> AsyncIterator[Queue]:
    async with database.connect() as connection:
        yield Queue(connection)


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(generate_key())


async def started(
    queue: Queue, sealer: Sealer, tests: int = 3, uses: dict[str, list[str]] | None = None
) -> dict[str, Any]:
    """A run with secrets; `uses` by test, the others say nothing."""
    await queue.save({f"t{number}": [] for number in range(tests)})
    await queue.connection.execute("update orbit.test_cases set uses = null")
    for key, names in (uses or {}).items():
        await queue.connection.execute("update orbit.test_cases set uses = $2 where key = $1", key, names)
    run_id = str(uuid4())
    sealed = {name: sealer.seal(value, secret_place(run_id, name)) for name, value in VALUES.items()}
    run: dict[str, Any] = await queue.start(run_id=run_id, secrets=sealed)
    return run


async def opened(worker: Worker, jobs: Iterable[int], sealer: Sealer, keys: list[str] | None = None) -> dict[str, Any]:
    rows = await worker.connection.fetch(
        "select name, sealed, place, value::text from orbit_runner.open_secrets($1, $2, $3)",
        worker.id,
        list(jobs),
        keys or [],
    )
    return {
        row["name"]: json.loads(row["value"]) if row["sealed"] is None else sealer.open(row["sealed"], row["place"])
        for row in rows
    }


async def releases(queue: Queue) -> list[Any]:
    rows = await queue.connection.fetch(
        "select after::text from orbit.audit_log where action = 'secret.release' order by at"
    )
    return [json.loads(row["after"]) for row in rows]


async def test_a_worker_that_holds_a_test_is_given_what_it_uses(queue: Queue, sealer: Sealer) -> None:
    await started(queue, sealer, uses={"t0": ["password", "base_url"], "t1": ["env.token"], "t2": []})
    worker = await queue.worker()
    jobs = {job.position: job.id for job in await worker.claim(3)}
    own = {name: VALUES[name] for name in ("password", "env.password")}
    assert await opened(worker, [jobs[0]], sealer) == own
    assert await opened(worker, [jobs[1]], sealer) == {"token": VALUES["token"]}
    assert await opened(worker, [jobs[2]], sealer) == {}
    assert await opened(worker, jobs.values(), sealer) == own | {"token": VALUES["token"]}


async def test_a_test_that_says_nothing_is_given_all(queue: Queue, sealer: Sealer) -> None:
    await started(queue, sealer)
    worker = await queue.worker()
    [job] = await worker.claim(1)
    assert await opened(worker, [job.id], sealer) == VALUES


async def test_who_does_not_hold_the_test_is_given_nothing(queue: Queue, sealer: Sealer) -> None:
    await started(queue, sealer)
    holder, other = await queue.worker(), await queue.worker()
    held, waiting = [job.id for job in await holder.claim(1)], None
    waiting = held[0] + 1
    assert await opened(other, [*held, waiting], sealer) == {}  # another's, and nobody's
    assert await opened(holder, [waiting], sealer) == {}
    assert await opened(holder, held, sealer) == VALUES
    await queue.connection.execute(
        "update orbit_private.worker set seen_at = now() - interval '11 seconds' where id = $1", holder.id
    )
    assert await opened(holder, held, sealer) == {}  # its lease ran out
    await holder.heartbeat()
    assert await opened(holder, held, sealer) == VALUES
    [job] = await other.claim(1)
    await other.advance([job.ended("passed")])
    assert await opened(other, [job.id], sealer) == {}  # reported, so no longer held
    await holder.retire()
    assert await opened(holder, held, sealer) == {}


async def test_each_release_is_in_the_log_once_for_a_worker(queue: Queue, sealer: Sealer) -> None:
    await started(queue, sealer, tests=30, uses={"t0": ["token"]})
    worker = await queue.worker()
    jobs = [job.id for job in await worker.claim(30)]
    assert await releases(queue) == []
    await opened(worker, jobs[:1], sealer)
    for job in jobs:
        await opened(worker, [job], sealer)
    assert await releases(queue) == [
        {"worker": worker.id, "names": ["token"]},
        {"worker": worker.id, "names": ["env.password", "password", "unused"]},
    ]


async def test_callers_are_told_the_names_only(queue: Queue, sealer: Sealer) -> None:
    run = await started(queue, sealer)
    context = await queue.call("get_context", {"run_id": run["id"]})
    assert context["secrets"] == sorted(VALUES)
    loaded = json.loads(await queue.connection.fetchval("select orbit_runner.load_run($1)::text", run["queue_no"]))
    assert loaded["secrets"] == sorted(VALUES)
    everything = json.dumps([context, loaded, await queue.call("get_run", {"run_id": run["id"]})])
    assert "orbit.seal" not in everything
    columns = await queue.connection.fetch(
        "select table_name, column_name from information_schema.columns where table_schema = 'orbit' and column_name = 'secrets'"
    )
    assert columns == []


async def test_what_the_database_sealed_it_opens_for_the_holder(queue: Queue, sealer: Sealer) -> None:
    run = await started(queue, sealer, tests=1)
    key = generate_key()
    place = "environment:staging:saved"
    await queue.connection.execute(
        "insert into orbit_private.run_secret (queue_no, name, sealed, place)"
        " select $1, 'saved', orbit_private.seal_pgp('\"from the browser\"', $2, $3), $2",
        run["queue_no"],
        place,
        key,
    )
    worker = await queue.worker()
    [job] = await worker.claim(1)
    assert await opened(worker, [job.id], sealer, [key]) == VALUES | {"saved": "from the browser"}
    [row] = await queue.connection.fetch(
        "select sealed, value from orbit_runner.open_secrets($1, $2) where name = 'saved'", worker.id, [job.id]
    )
    assert row["sealed"].startswith("orbit.pgp.v1.")  # no key, no value: whoever asked has to bring one
    assert row["value"] is None


async def test_secrets_go_when_the_context_goes(queue: Queue, sealer: Sealer) -> None:
    await started(queue, sealer, tests=1)
    count = "select count(*) from orbit_private.run_secret"
    await queue.connection.execute("update orbit_private.run_secret set expires_at = now() - interval '1 hour'")
    await queue.connection.execute("select orbit_private.cleanup_expired_contexts()")
    assert await queue.connection.fetchval(count) == len(VALUES)  # the run goes on
    worker = await queue.worker()
    [job] = await worker.claim(1)
    await worker.advance([job.ended("passed")])
    await queue.connection.execute("select orbit_private.cleanup_expired_contexts(now() + interval '23 hours')")
    assert await queue.connection.fetchval(count) == len(VALUES)
    await queue.connection.execute("select orbit_private.cleanup_expired_contexts(now() + interval '25 hours')")
    assert await queue.connection.fetchval(count) == 0
