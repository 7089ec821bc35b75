"""A worker uses what the database sealed itself, with a key that the worker brings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from support.target import Target

from orbit_context.client import Orbit
from orbit_context.context import secret_place
from orbit_context.seal import Sealer, generate_key, is_sealed, is_sealed_by_database
from orbit_context.suite.load import load_suite

if TYPE_CHECKING:
    from support.command import OrbitCommand
    from support.postgres import Database

PLACE = "environment:staging:saved"


async def test_a_worker_brings_the_key_for_what_the_database_sealed(orbit: OrbitCommand, database: Database) -> None:
    sealer = Sealer(orbit.key)
    variables: dict[str, Any] = {name: {"value": None, "secret": True} for name in ("saved", "own")}
    async with database.connect() as connection, Target() as server:
        tests = {"a": {"request": {"POST": "/echo", "body": "{{saved}} {{own}}"}, "expect": {"status": 200}}}
        suite = load_suite(orbit.suite(tests, variables=variables))
        run_id = str(uuid4())
        async with Orbit.connect(database.dsn) as client:
            saved = await client.suites.save(suite)
            own = sealer.seal("sealed by the client", secret_place(run_id, "own"))
            run = await client.runs.start(
                run_id=run_id,
                suite_id=saved.suite_id,
                variables={"base_url": server.url("")},
                secrets={"own": own},
            )
            sealed = await connection.fetchval(
                "insert into orbit_private.run_secret (queue_no, name, sealed, place)"
                " values ($1, 'saved', orbit_private.seal_pgp('\"sealed by the database\"', $2, $3), $2) returning sealed",
                run.queue_no,
                PLACE,
                orbit.key,
            )
            assert is_sealed_by_database(sealed)
            assert not is_sealed(sealed)
            worker = await orbit.start("worker", "--slots", "2")
            assert (await client.runs.wait(run_id, timeout=60)).status == "passed"
            worker.terminate()
            await worker.wait()
        assert [request.body for request in server.requests] == [b"sealed by the database sealed by the client"]


def test_the_keys_for_a_database_are_those_given_the_first_one_first() -> None:
    first, second = generate_key(), generate_key()
    sealer = Sealer(f"{first}, {second}")
    assert sealer.keys_for_database() == (first, second)
    assert first not in repr(sealer)
    assert not is_sealed_by_database(sealer.seal("x", "y"))
    assert not is_sealed_by_database(None)
