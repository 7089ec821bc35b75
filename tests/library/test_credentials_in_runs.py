"""Credentials from the keyboard to the request that carries them, and nowhere else."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support.command import Done

from orbit_context.client import Orbit
from orbit_context.errors import ConflictError, InvalidRequestError, NotFoundError
from orbit_context.seal import Sealer
from orbit_context.suite.load import load_suite

if TYPE_CHECKING:
    from support.command import OrbitCommand
    from support.postgres import Database
    from support.target import Target

CANARY = "tok-canary-9f31c7d2"
PASSWORD = "pass-canary-51aa0e"
SAID = "said-canary-77e1bd"
USE = {"request": {"POST": "/echo", "body": "{{credentials.github.token}}"}, "expect": {"status": 200}}


async def typed(orbit: OrbitCommand, secret: str, *arguments: str) -> Done:
    """The command with something on its standard input."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orbit_runner", *arguments,
        cwd=orbit.folder, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=dict(os.environ) | {"ORBIT_DATABASE_URL": orbit.dsn, "ORBIT_SECRET_KEY": orbit.key},
    )  # fmt: skip
    out, err = await process.communicate(secret.encode())
    return Done(process.returncode or 0, out.decode(), err.decode())


async def add(orbit: OrbitCommand, name: str, secret: str, *options: str) -> None:
    done = await typed(orbit, secret + "\n", "credential", "add", name, *options)
    assert done.code == 0, done.stderr


async def everything_in(database: Database) -> str:
    """Every row of every table of Orbit's, as text."""
    async with database.connect() as connection:
        tables = await connection.fetch(
            "select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname in ('orbit', 'orbit_private', 'orbit_runner') and c.relkind in ('r', 'p')"
        )
        assert len(tables) > 40
        return "\n".join([str(await connection.fetch(f"select t::text from {table['name']} t")) for table in tables])


async def test_a_run_is_given_credentials_and_keeps_them_to_itself(
    orbit: OrbitCommand, target: Target, database: Database
) -> None:
    await add(orbit, "github", CANARY)
    await add(orbit, "quiet", SAID)
    await add(orbit, "shop", PASSWORD, "--type", "basic", "--username", "ada")
    await add(orbit, "keyed", PASSWORD, "--type", "api_key", "--header", "X-Key")
    tests = {
        "token": {
            "request": {
                "POST": "/echo",
                "auth": {"bearer": "{{credentials.github.token}}"},
                "body": "say {{credentials.github.token}}",
            },
            "expect": {"status": 200, "body": "nothing of the kind"},
        },
        "basic": {
            "request": {
                "POST": "/echo",
                "auth": {"basic": {"username": "{{credentials.shop.username}}", "password": "{{credentials.shop.password}}"}},
                "body": "{{credentials['shop'].username}}",
            },
        },
        "key": {
            "request": {
                "POST": "/echo",
                "headers": {"X-Key": "{{credentials.keyed.key}}"},
                "body": "{{credentials.keyed.header}}",
            },
        },
        # Where nothing but its origin tells that it is secret.
        "said": {
            "request": {"POST": "/echo", "body": "say {{credentials.quiet.token}}"},
            "expect": {"status": 200, "body": "nothing of the kind"},
        },
        "none": {"request": {"POST": "/echo", "body": "plain"}},
    }  # fmt: skip
    suite = orbit.suite(tests, base_url=target.url(""))
    names = [word for name in ("github", "quiet", "shop", "keyed") for word in ("--credential", name)]
    done = await orbit("run", suite, *names, "--json", "--report", "html=r.html", "--report", "json=r.json")
    assert done.statuses() == {
        "token": "failed",
        "basic": "passed",
        "key": "passed",
        "said": "failed",
        "none": "passed",
    }, done.stderr
    sent = {r.body: {name.lower(): value for name, value in r.headers} for r in target.requests}
    assert sent[f"say {CANARY}".encode()]["authorization"] == f"Bearer {CANARY}"
    basic = base64.b64encode(f"ada:{PASSWORD}".encode()).decode()
    assert sent[b"ada"]["authorization"] == f"Basic {basic}"
    assert sent[b"X-Key"]["x-key"] == PASSWORD

    shown = (
        done.stdout
        + done.stderr
        + (await orbit("logs", "last")).stdout
        + (await orbit("credential", "list", "--json")).stdout
    )
    reports = "".join((orbit.folder / name).read_text() for name in ("r.html", "r.json"))
    kept = await everything_in(database)
    assert "credentials.github" in kept
    for secret in (CANARY, PASSWORD, SAID, basic):
        for name, text in (("shown", shown), ("reports", reports), ("database", kept)):
            assert secret not in text, name
    listed = {one["name"]: one for one in (await orbit("credential", "list", "--json")).json}
    assert listed["shop"]["fields"] == ["password", "username"]
    assert all(one["last_used_at"] for one in listed.values())


async def test_a_credential_that_the_run_is_not_given_is_one_clear_error(orbit: OrbitCommand, target: Target) -> None:
    suite = orbit.suite({"a": USE}, base_url=target.url(""))
    assert (await orbit("validate", suite)).code == 0
    refused = await orbit("run", suite)
    assert refused.code == 4
    assert "credentials has no 'github'" in refused.stderr
    assert "--credential github" in refused.stderr
    assert "tests.a.request" in refused.stderr
    assert f"{suite.name}:" in refused.stderr
    missing = await orbit("run", suite, "--credential", "github")
    assert missing.code == 4
    assert "no credential github of your own" in missing.stderr
    await add(orbit, "github", CANARY, "--type", "basic", "--username", "ada")
    wrong = await orbit("run", suite, "--credential", "github")
    assert wrong.code == 4
    assert "credentials.github has no 'token'" in wrong.stderr
    assert target.requests == []


async def test_what_the_keyboard_may_get_wrong(orbit: OrbitCommand) -> None:
    for arguments, secret, message in (
        (("x",), "", "no value for x"),
        (("x", "--expires", "soon"), CANARY, "is no time"),
        (("x", "--type", "basic"), CANARY, "basic_has_username"),
    ):
        refused = await typed(orbit, secret, "credential", "add", *arguments)
        assert refused.code == 4, arguments
        assert message in refused.stderr
        assert CANARY not in refused.stderr
    assert (await orbit("credential", "rm", "x")).code == 4
    await add(orbit, "x", CANARY)
    assert (await orbit("credential", "rm", "x", "--json")).json == {"name": "x"}
    assert (await orbit("credential", "list")).stdout == "no credential; add one: orbit credential add NAME\n"


async def test_a_worker_opens_what_the_run_was_given_at_its_start(
    orbit: OrbitCommand, target: Target, database: Database
) -> None:
    """Changed and deleted meanwhile: the run keeps what it was given."""
    sealer = Sealer(orbit.key)
    suite = load_suite(orbit.suite({"a": USE}, base_url=target.url("")))
    async with Orbit.connect(database.dsn, sealer=sealer) as client:
        saved = await client.suites.save(suite)
        await client.credentials.save("github", "bearer", CANARY)
        run = await client.runs.start(suite_id=saved.suite_id, credentials=["github"], variables={})
        without = await client.runs.start(suite_id=saved.suite_id, variables={})
        await client.credentials.save("github", "bearer", "another")
        await client.credentials.delete("github")
        worker = await orbit.start("worker", "--slots", "2")
        assert (await client.runs.wait(run.id, timeout=60)).status == "passed"
        assert (await client.runs.wait(without.id, timeout=60)).status == "errored"
        (lacking,) = await client.runs.results(without.id)
        worker.terminate()
        await worker.wait()
    assert [request.body for request in target.requests] == [CANARY.encode()]
    assert (lacking.status, lacking.category) == ("errored", "template")
    assert "credentials has no 'github'" in str(lacking.reason)


async def test_what_is_refused_at_the_start(orbit: OrbitCommand, target: Target, database: Database) -> None:
    suite = load_suite(orbit.suite({"a": USE}, base_url=target.url("")))
    async with Orbit.connect(database.dsn, sealer=Sealer(orbit.key)) as client:
        saved = await client.suites.save(suite)
        await client.credentials.save("github", "bearer", CANARY)

        async def start(**options: Any) -> None:
            await client.runs.start(suite_id=saved.suite_id, **options)

        for given in ("github", [1], {"github": 1}):
            with pytest.raises(InvalidRequestError, match="credentials is no list of names"):
                await start(credentials=given)
        with pytest.raises(InvalidRequestError, match="a secret variable is called credentials"):
            await start(secrets={"credentials.github": Sealer(orbit.key).seal("x", "y")})
        with pytest.raises(NotFoundError, match="no credential nosuch of your own"):
            await start(credentials=["github", "nosuch"])
        database.fetch("update orbit.api_credentials set expires_at = now() - interval '1 second' returning 1")
        with pytest.raises(ConflictError, match="the credential github has expired") as expired:
            await start(credentials=["github"])
        assert "orbit credential add github" in str(expired.value.hint)
        database.fetch("update orbit.api_credentials set expires_at = null, secret_id = null returning 1")
        with pytest.raises(ConflictError, match="has no secret"):
            await start(credentials=["github"])
        assert await client.runs.latest() == []
    assert database.fetch("select last_used_at from orbit.api_credentials")[0]["last_used_at"] is None


def test_which_names_a_test_uses(database: Database) -> None:
    """What is released goes by this: spelt with a dot or in brackets."""
    written = [
        "{{credentials.a.token}}",
        "{{ credentials['b-c'].token | base64 }}",
        "{{vars.x}}",
        "{{credentials.my-key.token}}",
    ]
    (row,) = database.fetch(
        f"select orbit_private.names_in('{json.dumps(written).replace(chr(39), chr(39) * 2)}') as names"
    )
    assert row["names"] == ["credentials.a", "credentials.b-c", "credentials.my-key", "x"]
