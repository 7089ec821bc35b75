"""What a worker of the role orbit_runner may with a token, and what nobody may: over a login of that role, call by call."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest
from support.queue import Queue, Worker, suite
from support.tenants import Tenants

from orbit_context.context import secret_place
from orbit_context.seal import Sealer, generate_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.postgres import Database

SEALED = "s3cr3t-of-"


@dataclass
class Installation:
    """Two organisations, `acme` and `evil`, each with a suite that uses a secret; what their people and a runner's account do."""

    owner: asyncpg.Connection[Any]
    runner: asyncpg.Connection[Any]
    key: str

    async def call(self, function: str, **request: Any) -> Any:
        return await Queue(self.owner).call(function, request)

    async def token(self, organization: str | None, *capabilities: str, **request: Any) -> str:
        place = {"organization": organization} if organization else {"any_organization": True}
        name = request.pop("name", f"lab-{await self.owner.fetchval('select count(*) from orbit.worker_tokens')}")
        made = await self.call(
            "create_agent_token", name=name, capabilities=["http", *capabilities], **place, **request
        )
        return str(made["token"])

    async def register(
        self, token: str | None, name: str = "w", *, slots: int = 5, capabilities: list[str | None] | None = None
    ) -> Worker:
        number = await self.runner.fetchval(
            "select orbit_runner.register_worker($1, $2, $3, null, $4)", name, slots, capabilities or ["http"], token
        )
        return Worker(self.runner, number)

    async def refused(self, token: str | None, name: str = "w", **given: Any) -> str:
        """The SQLSTATE; whoever is refused is not told what the token is, and nothing is left of the attempt."""
        with pytest.raises(asyncpg.PostgresError) as refusal:
            await self.register(token, name, **given)
        assert len(token or "") < 20 or str(token) not in str(refusal.value.as_dict())
        assert await self.owner.fetchval("select count(*) from orbit_private.worker where name = $1", name) == 0
        assert refusal.value.hint
        return str(refusal.value.sqlstate)

    async def start(self, organization: str) -> dict[str, Any]:
        run_id = str(uuid4())
        sealed = Sealer(self.key).seal(SEALED + organization, secret_place(run_id, "typed"))
        started: dict[str, Any] = await self.call(
            "start_run",
            organization=organization,
            suite="suite",
            environment="lab",
            run_id=run_id,
            secrets={"typed": sealed},
        )
        return started

    async def load(self, run: dict[str, Any], worker: Worker) -> Any:
        told = await self.runner.fetchval("select orbit_runner.load_run($1, $2)::text", run["queue_no"], worker.id)
        return told and json.loads(told)

    async def secrets(self, worker: Worker, jobs: list[int]) -> list[asyncpg.Record]:
        query = "select * from orbit_runner.open_secrets($1, $2, $3)"
        return list(await self.runner.fetch(query, worker.id, jobs, [self.key]))

    async def variables(self, worker: Worker, jobs: list[int]) -> Any:
        query = "select orbit_runner.resolve_variables($1, $2, -1, $3)"
        return await self.runner.fetchval(query, worker.id, jobs, [self.key])


@pytest.fixture
async def place(database: Database, runner_login: str) -> AsyncIterator[Installation]:
    runner = await asyncpg.connect(runner_login)
    try:
        async with database.connect() as owner:
            made = Installation(owner, runner, generate_key())
            tenants = Tenants(owner)
            for name in ("acme", "evil"):
                await tenants.organization(name, owner=f"{name}-olga", editor=f"{name}-ed")
                tests = {"a": {"request": {"url": "/{{password}}"}}, "b": {"request": {"url": "/{{password}}"}}}
                await made.call("save_suite", organization=name, **suite(tests))
                await made.call("save_environment", organization=name, name="lab")
                secret = {"environment": "lab", "name": "password", "value": SEALED + name, "key": made.key}
                await made.call("set_secret", organization=name, **secret)
            await owner.execute("update orbit.test_cases set uses = null")  # each test uses everything
            yield made
    finally:
        await runner.close()


async def test_a_token_that_does_not_hold_opens_nothing(place: Installation) -> None:
    good = await place.token("acme")
    for forged in (
        "",
        "x",
        good[:-1],
        good + "0",
        good.upper(),
        "orbit_worker_" + "0" * 64,
        "orbit_worker_' or true --",
    ):
        assert await place.refused(forged) == "OR003", forged
    revoked = await place.token("acme", name="gone")
    await place.call("revoke_agent_token", organization="acme", name="gone")
    assert await place.refused(revoked) == "OR003"
    over = await place.token("acme", expires_at="2999-01-01T00:00:00Z")
    await place.owner.execute(
        "update orbit.worker_tokens set created_at = now() - interval '2 days', expires_at = now() - interval '1 day'"
        " where hash = sha256(convert_to($1, 'utf8'))",
        over,
    )
    assert await place.refused(over) == "OR003"
    assert (await place.register(good)).id
    # All that is kept of a token does not make one.
    kept = await place.owner.fetchval("select jsonb_agg(t)::text from orbit.worker_tokens t")
    assert good not in kept
    assert "last_used_at" in kept
    used = "select count(*) from orbit.worker_tokens where last_used_at is not null"
    assert await place.owner.fetchval(used) == 1


async def test_what_a_worker_says_of_itself_is_bounded(place: Installation) -> None:
    token = await place.token("acme", "docker", "android")
    assert await place.refused(token, capabilities=["http", "ios"]) == "OR003"
    for wrong in (["Docker"], [""], ["a b"], [None], ["x" * 64], ["-x"]):
        assert await place.refused(token, capabilities=wrong) == "OR001", wrong
    for slots in (0, -1, 10_001, 2**31 - 1):
        assert await place.refused(token, slots=slots) == "OR001", slots
    for name in ("", "x" * 201, "a\nb", "a\x1b[2Jb"):
        assert await place.refused(token, name) == "OR001", name
    assert (await place.register(token, "fine", slots=10_000, capabilities=["android", "http"])).id


async def test_a_living_workers_name_is_taken(place: Installation) -> None:
    acme, evil = await place.token("acme"), await place.token("evil")
    first = await place.register(acme, "box")
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await place.register(acme, "box")
    assert refusal.value.sqlstate == "OR004"
    assert "name" in str(refusal.value.hint)
    assert (await place.register(evil, "box")).id != first.id  # another organisation's box
    await first.retire()
    second = await place.register(acme, "box")
    await place.owner.execute("update orbit_private.worker set seen_at = now() - interval '11 seconds'")
    assert (await place.register(acme, "box")).id != second.id  # that one is dead, whoever finds it first


async def test_a_worker_of_one_organisation_gets_nothing_of_another(place: Installation) -> None:
    ours, theirs = await place.start("acme"), await place.start("evil")
    # Before there were tokens, runs went to whoever came by; from now on they are their organisation's.
    token, other = await place.token("acme"), await place.token("evil")
    theirs_too = await place.start("evil")
    ours_too = await place.start("acme")
    mallory, ally = await place.register(other, "mallory"), await place.register(token, "ally")

    claimed = await ally.claim(10)
    assert {job.queue_no for job in claimed} <= {ours["queue_no"], ours_too["queue_no"]}
    assert ours_too["queue_no"] in {job.queue_no for job in claimed}
    jobs = [job.id for job in claimed]
    assert await place.load(ours_too, ally)
    assert {row["name"] for row in await place.secrets(ally, jobs)} == {"typed"}
    assert SEALED + "acme" in await place.variables(ally, [job for job in jobs if job >> 20 == ours_too["queue_no"]])

    # The other organisation's worker names everything of theirs that it can guess: runs, jobs, numbers of workers.
    for run in (ours, ours_too):
        assert await place.load(run, mallory) is None
    assert await place.secrets(mallory, jobs) == []
    assert await place.variables(mallory, jobs) is None
    answer = await mallory.advance([job.ended("passed") for job in claimed])
    assert {job_id for job_id, _ in answer.stale} == set(jobs)
    own_lane = Worker(place.runner, mallory.id, lane=ours_too["queue_no"])
    assert await own_lane.claim(10) == []
    assert {job.queue_no for job in await mallory.claim(10)} <= {theirs["queue_no"], theirs_too["queue_no"]}

    # Numbers that lists and results show are no keys.
    public = await place.owner.fetchval("select id from orbit_private.worker where name = 'ally'")
    assert public != ally.id
    guess = Worker(place.runner, public)
    assert (await guess.heartbeat())[0] is False
    assert await guess.held() == {}
    assert (await guess.advance([job.ended("passed") for job in claimed], want=5)).jobs == []
    assert await place.secrets(guess, jobs) == []
    assert await place.load(ours_too, guess) is None
    await guess.retire()
    await place.runner.execute("select orbit_runner.drain_worker($1)", public)
    assert await ally.held() == {job.id: job.attempt for job in claimed}
    assert await place.owner.fetchval("select not draining from orbit_private.worker where name = 'ally'")
    assert (await ally.heartbeat())[0] is True


async def test_keys_are_drawn_from_many(place: Installation) -> None:
    token = await place.token("acme")
    keys = [(await place.register(token, f"w{number}")).id for number in range(30)]
    assert len(set(keys)) == 30
    assert sum(key.bit_length() > 52 for key in keys) > 25, keys
    shown = await place.call("list_workers")
    assert not {str(key) for key in keys} & set(json.dumps(shown).replace(",", " ").replace("}", " ").split())


async def test_a_workers_own_organisation_has_its_runs_to_itself(place: Installation) -> None:
    await place.token("acme")
    run = await place.start("acme")
    passer_by = await place.register(await place.token("evil"), "passer-by")
    assert await passer_by.claim(10) == []
    helper = await place.register(await place.token(None), "helper")  # an administrative role's, for everybody
    assert {job.queue_no for job in await helper.claim(10)} == {run["queue_no"]}


async def test_an_installation_may_require_tokens(place: Installation) -> None:
    assert (await place.register(None, "early")).id
    assert (await place.call("set_worker_policy"))["tokens_required"] is False
    assert (await place.call("set_worker_policy", tokens_required=True))["tokens_required"] is True
    assert await place.refused(None) == "OR003"
    assert (await place.register(await place.token("acme"), "late")).id
    # Who runs the database needs none: `orbit run` brings its own worker.
    assert await place.owner.fetchval("select orbit_runner.register_worker('own', 1)")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await place.runner.fetchval("select orbit.set_worker_policy('{\"tokens_required\": false}')")
    for given in ("yes", 1):
        with pytest.raises(asyncpg.PostgresError) as refusal:
            await place.call("set_worker_policy", tokens_required=given)
        assert refusal.value.sqlstate == "OR001"
    assert (await place.call("set_worker_policy", tokens_required=False))["tokens_required"] is False
    assert (await place.register(None, "again")).id


async def test_a_token_that_is_revoked_ends_its_workers(place: Installation) -> None:
    run = await place.start("acme")
    worker = await place.register(await place.token("acme", name="lab"), "lab-1")
    other = await place.register(await place.token("acme"), "other")
    run = await place.start("acme")
    jobs = await worker.claim(10)
    assert run["queue_no"] in {job.queue_no for job in jobs}
    await place.call("revoke_agent_token", organization="acme", name="lab")
    assert (await worker.heartbeat())[0] is False
    assert (await other.heartbeat())[0] is True
    await Queue(place.owner).ticks(now="0")
    taken = await other.claim(10)
    assert {job.id for job in taken} == {job.id for job in jobs}
    answer = await worker.advance([job.ended("passed") for job in jobs], want=10)
    assert (answer.jobs, len(answer.stale), answer.unknown) == ([], len(jobs), True)
    assert await place.secrets(worker, [job.id for job in jobs]) == []
    assert await place.load(run, worker) is None


async def test_a_runners_account_gives_up_nobody_who_is_alive(place: Installation) -> None:
    victim = await place.register(None, "victim")
    await place.owner.execute("update orbit_private.worker set seen_at = clock_timestamp() - interval '5 seconds'")
    told = json.loads(await place.runner.fetchval("select orbit_runner.tick('1 second')::text"))
    assert "lost_worker" not in told
    for lease, now in (("0.5 seconds", None), ("10 seconds", "2999-01-01T00:00:00Z")):
        with pytest.raises(asyncpg.PostgresError) as refusal:
            await place.runner.fetchval(
                "select orbit_runner.tick($1::text::interval, $2::text::timestamptz)", lease, now
            )
        assert refusal.value.sqlstate == "OR003"
    assert (await victim.heartbeat())[0] is True
    await place.owner.execute("update orbit_private.worker set seen_at = clock_timestamp() - interval '11 seconds'")
    async with asyncio.timeout(30):  # the control; after the server's start everybody gets a lease's time
        while "lost_worker" not in told:
            told = json.loads(await place.runner.fetchval("select orbit_runner.tick()::text"))
    assert told["lost_worker"] == "victim"


async def test_every_function_that_a_worker_speaks_to_asks_for_its_key(place: Installation) -> None:
    """By the catalog, so that one that is new has to be tried above."""
    takes = "select proname from pg_proc where pronamespace = 'orbit_runner'::regnamespace and 'p_worker' = any (proargnames)"
    tried = {
        "advance", "drain_worker", "group_ready", "heartbeat", "held_jobs", "load_run", "open_secrets", "resolve_variables",
        "retire_worker",
    }  # fmt: skip
    assert {row["proname"] for row in await place.owner.fetch(takes)} == tried
    worker = await place.register(await place.token("acme"), "w")
    number = await place.owner.fetchval("select id from orbit_private.worker where name = 'w'")
    assert await place.runner.fetchval("select orbit_runner.group_ready($1, 0, true)", number) is False
    assert await place.variables(Worker(place.runner, number), []) is None
    assert (await worker.heartbeat())[0] is True


async def test_people_and_tokens(place: Installation) -> None:
    """Admins of the organisation make and see its tokens; nobody else, and nobody for everybody."""
    tenants = Tenants(place.owner)
    await place.token("acme", name="lab")
    for person in ("acme-ed", "evil-olga"):
        expected = "OR003" if person == "acme-ed" else "OR002"
        for function, request in (
            ("create_agent_token", {"name": "x"}),
            ("list_agent_tokens", {}),
            ("revoke_agent_token", {"name": "lab"}),
        ):
            assert await tenants.refused(person, function, {"organization": "acme", **request}) == expected
        async with tenants.acting(person):
            assert await place.owner.fetchval("select count(*) from orbit.worker_tokens") == 0
    assert await tenants.refused("acme-olga", "create_agent_token", {"name": "x", "any_organization": True}) == "OR003"
    async with tenants.acting("acme-olga"):
        assert [row["name"] for row in await tenants.call("list_agent_tokens", {})] == ["lab"]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await place.owner.fetchval("select hash from orbit.worker_tokens")
    log = await place.call("list_audit", organization="acme")
    [entry] = (
        [row for row in log["entries"] if row["action"] == "worker_token.create"]
        if isinstance(log, dict)
        else [row for row in log if row["action"] == "worker_token.create"]
    )
    assert entry["after"]["hash"] == "(masked)"
