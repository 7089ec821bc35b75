"""`orbit login`, `logout` and `whoami`, and commands that ask as who is signed in; at a real REST and Auth server."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from orbit_runner.local.rest import Keys, RestServer
from support.gateways import PASSWORD, make_account
from support.tenants import Tenants

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.gateways import Account
    from support.postgres import Cluster, Database


class Keyboard:
    """Somebody with a configuration of their own, at a server whose tokens are good for a minute."""

    def __init__(self, server: RestServer, account: Account, home: Path) -> None:
        self.server, self.account, self.home = server, account, home
        self.file = home / "orbit" / "session.json"

    def orbit(self, *arguments: str, password: str | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"XDG_CONFIG_HOME": str(self.home), "ORBIT_HOME": str(self.home / "none")} | more
        return subprocess.run(
            [sys.executable, "-m", "orbit_runner", *arguments],
            env=environment, input=f"{password}\n" if password else "", capture_output=True, text=True, timeout=60, check=False,
            cwd=self.home,
        )  # fmt: skip

    def login(self, password: str = PASSWORD, **more: str) -> subprocess.CompletedProcess[str]:
        place = ("--url", self.server.url, "--key", self.server.keys.publishable, "--email", self.account.email)
        return self.orbit("login", *place, password=password, **more)

    @property
    def stored(self) -> dict[str, Any]:
        return dict(json.loads(self.file.read_text()))


@pytest.fixture(scope="module")
def served(
    cluster: Cluster, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Database, RestServer]]:
    with cluster.database(template) as database:
        log = tmp_path_factory.mktemp("rest") / "rest.log"
        # Renewed half a minute before the end: a token of 25 seconds is renewed at each call.
        with RestServer(database.dsn, Keys.generate(), token_seconds=25, log=log) as server:
            yield database, server


@pytest.fixture
def keyboard(served: tuple[Database, RestServer], cluster: Cluster, tmp_path: Path) -> Keyboard:
    """A member of acme, who has not signed in yet."""
    database, server = served

    async def make() -> Account:
        async with database.connect() as connection:
            account = await make_account(connection, "ada")
            tenants = await Tenants.on(connection)
            if not await connection.fetchval("select exists (select from orbit.organizations where slug = 'acme')"):
                await tenants.organization("acme")
                await tenants.project("acme")
            await connection.execute(
                "insert into orbit.organization_members (organization_id, user_id, role)"
                " select id, $1::text::uuid, 'viewer' from orbit.organizations where slug = 'acme'",
                account.id,
            )
            return account

    return Keyboard(server, cluster.wait_for(make()), tmp_path)


def test_signing_in_asking_and_signing_out(keyboard: Keyboard) -> None:
    done = keyboard.login()
    assert done.returncode == 0, done.stderr
    assert f"signed in as {keyboard.account.email}" in done.stdout
    assert stat.S_IMODE(keyboard.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(keyboard.file.parent.stat().st_mode) == 0o700
    assert [path.name for path in keyboard.file.parent.iterdir()] == ["session.json"]
    first = keyboard.stored

    who = keyboard.orbit("whoami", "--json")
    assert who.returncode == 0, who.stderr
    told = json.loads(who.stdout)
    assert (told["url"], told["user"]["email"]) == (keyboard.server.url, keyboard.account.email)
    assert [(one["slug"], one["role"]) for one in told["organizations"]] == [("acme", "viewer")]
    assert keyboard.account.email in keyboard.orbit("whoami").stdout

    renewed = keyboard.stored
    assert renewed["refresh_token"] != first["refresh_token"], "a session that was renewed is written back"
    assert stat.S_IMODE(keyboard.file.stat().st_mode) == 0o600
    shown = keyboard.orbit("show", "--json")
    assert shown.returncode == 0, shown.stderr
    assert "OR002" not in shown.stderr

    for output in (done, who, shown):
        said = output.stdout + output.stderr
        assert PASSWORD not in said
        assert first["access_token"] not in said
        assert first["refresh_token"] not in said

    assert keyboard.orbit("logout").stdout == "signed out\n"
    assert not keyboard.file.exists()
    assert keyboard.orbit("logout").stdout == "nobody is signed in\n"


def test_a_wrong_password_keeps_nothing(keyboard: Keyboard) -> None:
    done = keyboard.login("wrong horse")
    assert done.returncode != 0
    assert "wrong horse" not in done.stdout + done.stderr
    assert not keyboard.file.exists()


def test_the_password_from_the_environment(keyboard: Keyboard) -> None:
    assert keyboard.login("not this", ORBIT_PASSWORD=PASSWORD).returncode == 0
    assert keyboard.file.exists()


def test_nothing_is_asked_where_nobody_is(keyboard: Keyboard) -> None:
    done = keyboard.orbit("login")
    assert done.returncode == 4
    assert "--url" in done.stderr
    done = keyboard.orbit(
        "login", "--url", keyboard.server.url, "--key", keyboard.server.keys.publishable, "--email", "a@b.c"
    )
    assert "ORBIT_PASSWORD" in done.stderr


@pytest.mark.parametrize("key", ["secret", "service_role"])
def test_a_secret_key_is_no_key_to_sign_in_with(key: str, keyboard: Keyboard) -> None:
    value = str(getattr(keyboard.server.keys, key))
    done = keyboard.orbit("login", "--url", keyboard.server.url, "--key", value, "--email", "a@b.c", password=PASSWORD)
    assert done.returncode == 4
    assert "publishable" in done.stderr
    assert value not in done.stderr


def test_running_needs_postgres_and_says_so(keyboard: Keyboard) -> None:
    assert keyboard.login().returncode == 0
    for arguments in (("run", "suite.yaml"), ("worker",)):
        (keyboard.home / "suite.yaml").write_text("suite: s\ntests:\n  a:\n    request: GET http://127.0.0.1:1/\n")
        done = keyboard.orbit(*arguments)
        assert done.returncode != 0
        assert "ORBIT_DATABASE_URL" in done.stderr
        assert "orbit logout" in done.stderr
    assert not (keyboard.home / "none").exists(), "no embedded database was made"


def test_the_database_url_comes_before_the_session(keyboard: Keyboard, database: Database) -> None:
    assert keyboard.login().returncode == 0
    done = keyboard.orbit("whoami", "--json", ORBIT_DATABASE_URL=database.dsn)
    assert json.loads(done.stdout)["is_administrative"] is True


def test_a_key_alone_asks_as_what_it_stands_for(keyboard: Keyboard) -> None:
    done = keyboard.orbit(
        "whoami", "--json", SUPABASE_URL=keyboard.server.url, SUPABASE_SERVICE_ROLE_KEY=keyboard.server.keys.secret
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["is_administrative"] is True


def test_a_session_file_that_is_none(keyboard: Keyboard) -> None:
    keyboard.file.parent.mkdir()
    keyboard.file.write_text('{"access_token": "s3cr3t"')
    done = keyboard.orbit("whoami")
    assert done.returncode != 0
    assert "orbit login" in done.stderr
    assert "s3cr3t" not in done.stderr
    assert keyboard.orbit("logout").returncode == 0
    assert not keyboard.file.exists()


async def test_two_commands_at_once_keep_one_session(keyboard: Keyboard) -> None:
    """Both renew; the file is whole, and good for a third."""
    assert (await asyncio.to_thread(keyboard.login)).returncode == 0
    both = await asyncio.gather(*(asyncio.to_thread(keyboard.orbit, "whoami") for _ in range(2)))
    assert keyboard.stored["email"] == keyboard.account.email
    assert any(done.returncode == 0 for done in both)
