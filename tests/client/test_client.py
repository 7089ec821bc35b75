"""The client and the context manager, over the gateway straight to Postgres."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from support.queue import Queue, suite

from orbit_context import Orbit, Sealer, build_suite
from orbit_context.errors import ConflictError, DatabaseUnavailableError, NotFoundError, SecretKeyError
from orbit_context.gateway.postgres import PostgresGateway
from orbit_context.seal import generate_key, is_sealed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from support.postgres import Database

    from orbit_context.models.runs import Run, RunEvent

DOCUMENT = {
    "version": 1,
    "suite": "Shop",
    "tests": {
        "login": {"request": "http://127.0.0.1:9/login", "capture": {"user": "$.id"}},
        "cart": {"request": "http://127.0.0.1:9/cart/{{captured_data.login.user}}"},
        "log_out": {"request": "http://127.0.0.1:9/out", "needs": ["login"], "always": True},
    },
}


class Counting(PostgresGateway):
    """Counts the calls."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self.calls: list[str] = []

    async def call(self, function: str, request: Mapping[str, Any]) -> Any:
        self.calls.append(function)
        return await super().call(function, request)


@pytest.fixture
async def gateway(database: Database) -> AsyncIterator[Counting]:
    async with Counting(database.dsn) as gateway:
        yield gateway


@pytest.fixture
async def orbit(gateway: Counting) -> Orbit:
    return Orbit(gateway, sealer=Sealer(generate_key()))


@pytest.fixture
async def queue(database: Database) -> AsyncIterator[Queue]:
    async with database.connect() as connection:
        yield Queue(connection)


@pytest.fixture
async def run(orbit: Orbit) -> Run:
    saved = await orbit.suites.save(build_suite(DOCUMENT))
    return await orbit.runs.start(suite_id=saved.suite_id)


# -- suites and environments ----------------------------------------------------------------------------------------------------


async def test_a_suite_is_saved_with_its_inferred_dependencies(orbit: Orbit, queue: Queue) -> None:
    first = await orbit.suites.save(build_suite(DOCUMENT))
    again = await orbit.suites.save(build_suite(DOCUMENT))
    assert (first.version, first.tests, first.changed) == (1, 3, True)
    assert again == first.model_copy(update={"changed": False})
    kinds = await queue.connection.fetch("select dependency_type from orbit.test_dependencies order by 1")
    assert [row[0] for row in kinds] == ["data", "order"]


async def test_environments(orbit: Orbit) -> None:
    sealed = f"orbit.seal.v1.AAAAAAAA.{'B' * 40}"
    number = await orbit.environments.save("staging", {"host": "h", "port": 80}, sealed={"password": sealed})
    found = await orbit.environments.get("staging")
    assert found.environment_id == number
    assert [(v.name, v.value, v.secret) for v in found.variables] == [
        ("host", "h", False),
        ("password", None, True),  # told by secrets.read alone, which writes it down
        ("port", 80, False),
    ]
    assert await orbit.environments.ensure("staging") == number
    assert (await orbit.environments.get("staging")).variables == found.variables
    await orbit.environments.save("staging", {"host": "other"})
    assert [(v.name, v.value) for v in (await orbit.environments.get("staging")).variables] == [("host", "other")]
    with pytest.raises(NotFoundError) as error:
        await orbit.environments.get("nowhere")
    assert "staging" in (error.value.detail or "")


# -- runs --------------------------------------------------------------------------------------------------------------------


async def test_a_run_from_start_to_results(orbit: Orbit, queue: Queue, run: Run) -> None:
    assert (run.status, run.counts.total, run.suite, run.is_final) == ("queued", 3, "Shop", False)
    assert [found.id for found in await orbit.runs.latest()] == [run.id]
    worker = await queue.worker()
    [login] = await worker.claim(1)
    await worker.advance(
        [login.ended("failed", 0.25, reason="no", category="assertion", failures=[{"message": "m"}], exchange={"x": 1})]
    )
    await worker.run_to_end()
    finished = await orbit.runs.wait(run.id, timeout=10)
    assert (finished.status, finished.is_final, finished.counts.failed, finished.counts.skipped) == (
        "failed",
        True,
        1,
        1,
    )
    assert finished.duration is not None
    results = await orbit.runs.results(run.id)
    assert [(result.key, result.status, result.category) for result in results] == [
        ("login", "failed", "assertion"), ("cart", "skipped", "dependency"), ("log_out", "passed", None),
    ]  # fmt: skip
    assert (results[0].failures, results[0].exchange, results[0].duration) == ([{"message": "m"}], None, 0.25)
    assert [result.key for result in await orbit.runs.results(run.id, status=["skipped"])] == ["cart"]
    assert (await orbit.runs.results(run.id, details=True))[0].exchange == {"x": 1}
    assert [found.id for found in await orbit.runs.latest(status="failed")] == [run.id]
    assert await orbit.runs.latest(project="other") == []


async def test_more_results_than_a_page(orbit: Orbit, queue: Queue) -> None:
    count = 2_300
    await queue.call("save_suite", suite({f"t{n}": [] for n in range(count)}))
    started = await orbit.runs.start(suite="suite")
    await (await queue.worker(slots=1000)).run_to_end(batch=500)
    results = await orbit.runs.results(started.id)
    assert [result.position for result in results] == list(range(count))
    failed = await orbit.runs.results(started.id, status=["failed"])
    assert failed == []


async def test_cancelling(orbit: Orbit, run: Run) -> None:
    assert (await orbit.runs.cancel(str(run.id)[:8], reason="enough")).status == "cancelled"
    found = await orbit.runs.get(run.id)
    assert (found.reason, found.counts.cancelled) == ("enough", 3)
    with pytest.raises(NotFoundError):
        await orbit.runs.get("ffffffff")


# -- watch -------------------------------------------------------------------------------------------------------------------


async def watched(orbit: Orbit, run: Run, **options: Any) -> list[RunEvent]:
    async with asyncio.timeout(20):
        return [event async for event in orbit.runs.watch(run.id, interval=0.001, **options)]


async def test_early_and_late_watchers_see_the_same_without_gap_or_duplicate(
    orbit: Orbit, queue: Queue, database: Database
) -> None:
    await queue.call("save_suite", suite({f"t{n}": [f"t{n - 1}"] if n % 10 else [] for n in range(100)}))
    run = await orbit.runs.start(suite="suite")
    async with Orbit.connect(database.dsn) as one, Orbit.connect(database.dsn) as two:
        early = asyncio.create_task(watched(one, run))
        worker = await queue.worker()
        reports: list[Any] = []
        middle = None
        while not (answer := await worker.advance(reports, want=7)).done:
            reports = [job.ended("failed" if job.position == 55 else "passed") for job in answer.jobs]
            if middle is None and (await orbit.runs.get(run.id)).counts.passed > 30:
                middle = asyncio.create_task(watched(two, run))
        assert middle is not None
        late = await watched(orbit, run)
        assert await early == await middle == late
    assert {event.seq for event in late} == set(range(1, late[-1].seq + 1))
    assert late[0].kind == "run_queued"
    assert [event.kind for event in late].count("run_started") == 1
    assert late[-1].kind == "run_finished"
    assert late[-1].counts == (await orbit.runs.get(run.id)).counts
    told = {event.key: event.status for event in late if event.kind == "test_finished"}
    assert told == {result.key: result.status for result in await orbit.runs.results(run.id)}
    assert len([event for event in late if event.kind == "test_finished"]) == 100


async def test_watching_goes_on_after_a_number(orbit: Orbit, queue: Queue, run: Run) -> None:
    await (await queue.worker()).run_to_end()
    events = await watched(orbit, run)
    for after in range(events[-1].seq):
        assert await watched(orbit, run, after=after) == [event for event in events if event.seq > after]


async def test_watching_a_run_that_is_over_from_its_end_ends_at_once(orbit: Orbit, queue: Queue, run: Run) -> None:
    await (await queue.worker()).run_to_end()
    finished = await orbit.runs.get(run.id)
    assert await watched(orbit, run, after=finished.event_seq) == []


async def test_a_nudge_is_heeded_before_the_interval(orbit: Orbit, queue: Queue, run: Run) -> None:
    nudge = asyncio.Event()
    events = orbit.runs.watch(run.id, interval=3600, nudge=nudge)
    assert (await anext(events)).kind == "run_queued"
    following = asyncio.ensure_future(anext(events))
    await orbit.runs.get(run.id)  # it has looked, and waits
    await (await queue.worker()).claim(1)
    nudge.set()
    async with asyncio.timeout(20):
        while not following.done():
            nudge.set()
            await asyncio.sleep(0)
    assert following.result().kind == "run_started"
    await events.aclose()  # type: ignore[attr-defined]


async def test_changes_of_the_context_are_told(orbit: Orbit, run: Run) -> None:
    async with orbit.context(run.id) as context:
        await context.update_shared_variables({"x": 1})
    await orbit.runs.cancel(run.id)
    assert [event.kind for event in await watched(orbit, run)][:2] == ["run_queued", "context_changed"]


async def test_waiting_gives_up_and_the_run_goes_on(orbit: Orbit, run: Run) -> None:
    with pytest.raises(TimeoutError):
        await orbit.runs.wait(run.id, timeout=0.01)
    assert (await orbit.runs.get(run.id)).status == "queued"


# -- the context -------------------------------------------------------------------------------------------------------------


async def test_tokens_are_sealed_on_the_way_and_opened_on_the_way_back(
    orbit: Orbit, gateway: Counting, run: Run
) -> None:
    async with orbit.context(run.id) as context:
        await context.update_shared_auth_tokens({"access_token": "t0p-s3cret"})
        await context.update_shared_variables({"colour": "red"})
        assert await context.shared_auth_tokens() == {"access_token": "t0p-s3cret"}
        assert await context.shared_variables() == {"colour": "red"}
    stored = await gateway.call("get_context", {"run_id": str(run.id)})
    assert is_sealed(stored["shared_auth_tokens"]["access_token"])
    assert "t0p-s3cret" not in str(stored)
    async with Orbit(gateway).context(run.id) as without_key:
        assert is_sealed((await without_key.shared_auth_tokens())["access_token"])
        with pytest.raises(SecretKeyError):
            await without_key.update_shared_auth_tokens({"other": "x"})
    with pytest.raises(SecretKeyError):
        await Orbit(gateway, sealer=Sealer(generate_key())).context(run.id).get_test_run_context()


async def test_a_sealed_value_opens_in_its_own_run_only(orbit: Orbit, gateway: Counting, run: Run) -> None:
    async with orbit.context(run.id) as context:
        await context.update_shared_auth_tokens({"access_token": "t0p"})
    sealed = (await gateway.call("get_context", {"run_id": str(run.id)}))["shared_auth_tokens"]["access_token"]
    other = await orbit.runs.start(suite_id=run.suite_id)
    entry = {"kind": "token", "name": "access_token", "value": sealed, "secret": True}
    await gateway.call("put_context", {"run_id": str(other.id), "entries": [entry]})
    with pytest.raises(SecretKeyError):
        await orbit.context(other.id).shared_auth_tokens()


async def test_what_was_read_is_kept_until_something_is_written(orbit: Orbit, gateway: Counting, run: Run) -> None:
    context = orbit.context(str(run.id)[:10])
    for _ in range(3):
        await context.get_test_run_context()
        await context.captured_data()
    assert gateway.calls.count("get_context") == 1
    assert context.run_id == str(run.id), "in full, once it is known"
    await context.update_shared_variables({"x": 1})
    assert await context.shared_variables() == {"x": 1}
    assert gateway.calls.count("get_context") == 2
    await context.get_test_run_context(fresh=True)
    assert gateway.calls.count("get_context") == 3


async def test_writing_a_secret_before_reading_binds_it_to_the_whole_id(orbit: Orbit, run: Run) -> None:
    """With the beginning of an id, and without `async with`."""
    await orbit.context(str(run.id)[:10]).update_shared_auth_tokens({"access_token": "t0p"})
    assert await orbit.context(run.id).shared_auth_tokens() == {"access_token": "t0p"}


async def test_dependencies_and_environment_variables(orbit: Orbit, queue: Queue, run: Run) -> None:
    await orbit.environments.save("staging", {"host": "h"})
    async with orbit.context(run.id) as context:
        needs = await context.resolve_dependencies("cart")
        assert [(need.test, need.kind, need.status) for need in needs.needs] == [("login", "data", "waiting")]
        assert (needs.is_ready, needs.is_impossible) == (False, False)
        worker = await queue.worker()
        [login] = await worker.claim(1)
        await worker.advance([login.ended("passed", captures=[{"name": "user", "value": 7}])])
        needs = await context.resolve_dependencies("cart")
        assert (needs.is_ready, needs.needs[0].captured) == (True, {"user": 7})
        assert [(v.name, v.value) for v in (await context.get_environment_variables("staging")).variables] == [
            ("host", "h")
        ]
        assert (await context.get_test_run_context(fresh=True)).test_order == ["login", "cart", "log_out"]
        with pytest.raises(NotFoundError):
            await context.resolve_dependencies("nobody")


async def test_a_finished_run_takes_no_values(orbit: Orbit, run: Run) -> None:
    await orbit.runs.cancel(run.id)
    async with orbit.context(run.id) as context:
        with pytest.raises(ConflictError):
            await context.update_shared_variables({"x": 1})
        assert await context.cleanup_expired_contexts() == 0


async def test_there_is_no_context_without_a_run(orbit: Orbit) -> None:
    with pytest.raises(NotFoundError):
        async with orbit.context("00000000-0000-0000-0000-000000000000"):
            pass


async def test_expired_contexts_are_deleted(orbit: Orbit, queue: Queue, run: Run) -> None:
    async with orbit.context(run.id) as context:
        await context.update_shared_variables({"x": 1, "y": 2})
        await orbit.runs.cancel(run.id)
        await queue.connection.execute(
            "update orbit.test_runs set finished_at = now() - interval '25 hours', created_at = created_at - interval '26 hours'"
        )
        await queue.connection.execute("update orbit_private.context_entry set expires_at = now() - interval '1 hour'")
        assert await context.cleanup_expired_contexts() == 2
        assert (await context.get_test_run_context(fresh=True)).shared_variables == {}


async def test_a_client_whose_database_is_away_says_so() -> None:
    async with Orbit.connect("postgresql://someone:s3cret@127.0.0.1:1/orbit") as orbit:
        with pytest.raises(DatabaseUnavailableError) as error:
            await orbit.runs.latest()
    assert "s3cret" not in f"{error.value!r} {error.value.detail}"
    assert "127.0.0.1:1/orbit" in str(error.value)
