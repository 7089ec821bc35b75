"""`orbit rerun` and `orbit compare` as a user meets them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from support.command import OrbitCommand
    from support.postgres import Database
    from support.target import Target

OK = {"status": 200}


def shop() -> dict[str, Any]:
    """A login whose token is secret, two tests that need it, and one that expects what a variable says."""
    return {
        "login": {
            "request": {"POST": "/login", "json": {"password": "{{password}}"}},
            "capture": {"access_token": {"json": "$.access_token", "share": "token", "secret": True}},
            "expect": OK,
        },
        "me": {
            "request": {"GET": "/me", "auth": {"bearer": "{{shared_auth_tokens.access_token}}"}},
            "capture": {"user": "$.user"},
            "expect": OK,
        },
        "item": {
            "needs": ["login"],
            "request": {"POST": "/item/7", "json": {"password": "{{password}}"}},
            "expect": {"status": 200, "json": {"$.id": "{{want}}"}},
        },
    }


@pytest.fixture
async def failed(orbit: OrbitCommand, target: Target) -> str:
    """A run of which `item` failed; its id."""
    variables = {"want": 7, "password": {"value": "none", "secret": True}}
    suite = orbit.suite(shop(), base_url=target.url(""), variables=variables)
    done = await orbit("run", suite, "--var", "want:=8", "--var", "password=hunter2-and-more", "--json")
    assert done.code == 1, done.stderr
    assert done.statuses() == {"login": "passed", "me": "passed", "item": "failed"}
    target.requests.clear()
    return str(done.json["run"]["id"])


async def test_what_failed_is_run_again_and_the_gate_says_what_is_new(
    orbit: OrbitCommand, target: Target, failed: str, database: Database
) -> None:
    again = await orbit("rerun", failed, "--json")
    assert again.code == 1, again.stderr
    assert again.statuses() == {"login": "passed", "item": "failed"}
    assert (
        str(database.fetch("select rerun_of from orbit.test_runs order by created_at desc limit 1")[0]["rerun_of"])
        == failed
    )
    assert [request.target for request in target.requests] == ["/login", "/item/7"]
    assert all(b"hunter2-and-more" in request.body for request in target.requests), "the secret that was given then"
    assert "hunter2" not in again.stdout + again.stderr

    mended = await orbit("rerun", failed, "--all", "--var", "want:=7", "--quiet")
    assert mended.code == 0, mended.stderr
    compared = await orbit("compare", "last", "--fail-on", "new-failures", "--fail-on", "failures")
    assert compared.code == 0, compared.stderr
    assert "fixed" in compared.stdout
    assert "1 fixed" in compared.stdout.splitlines()[-1]

    worse = await orbit("compare", failed, "last", "--fail-on", "new-failures", "--json")
    assert worse.code == 6
    assert worse.stderr == "gate failed: 1 new failure\n"
    assert {test["key"]: test["change"] for test in worse.json["tests"]} == {"item": "new_failure"}
    assert (await orbit("compare", failed, "last", "--fail-on", "missing")).code == 0
    nothing = await orbit("rerun", "last")
    assert nothing.code == 5
    assert "every test of the run" in nothing.stderr


async def test_one_test_alone_uses_the_token_that_was_captured(
    orbit: OrbitCommand, target: Target, failed: str
) -> None:
    done = await orbit("rerun", failed, "--test", "me", "--with-context", "--json")
    assert done.code == 0, done.stderr
    assert done.statuses() == {"me": "passed"}
    assert [request.target for request in target.requests] == ["/me"]


async def test_a_secret_that_is_given_anew_stays_one(
    orbit: OrbitCommand, target: Target, failed: str, database: Database
) -> None:
    done = await orbit("rerun", failed, "--var", "password=another-secret", "--var", "want:=7", "--json")
    assert done.code == 0, done.stderr
    assert all(b"another-secret" in request.body for request in target.requests)
    stored = database.fetch("select string_agg(r::text, ' ') as all from orbit.test_runs r")[0]["all"]
    assert "another-secret" not in stored + done.stdout + done.stderr


async def test_a_rerun_can_be_left_to_the_workers(orbit: OrbitCommand, failed: str, database: Database) -> None:
    left = await orbit("rerun", failed, "--submit")
    assert left.code == 0, left.stderr
    [run] = database.fetch("select id, status, lane from orbit.test_runs where rerun_of is not null")
    assert (left.stdout, run["status"], run["lane"]) == (f"{run['id']}\n", "queued", 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("rerun", "last", "--all", "--failed"), "exclude each other"),
        (("rerun", "last", "--all", "--test", "a"), "exclude each other"),
        (("rerun", "last", "--wait"), "goes with --submit"),
        (("rerun", "last", "--submit", "--report", "junit=x.xml"), "no report before the run has ended"),
        (("rerun", "last", "--timeout", "0"), "more than zero"),
        (("compare", "last", "--floor", "soon"), "soon"),
        (("compare", "last", "--fail-on", "everything"), "everything"),
    ],
)
async def test_what_is_asked_wrongly(orbit: OrbitCommand, arguments: tuple[str, ...], words: str) -> None:
    done = await orbit(*arguments)
    assert done.code == 4
    assert words in done.stderr
