"""What every migration keeps to: read from the files (pglast) and from the catalog that they make."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from orbit_runner import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMAS = "('orbit', 'orbit_private', 'orbit_runner')"
WITHOUT_PRIMARY_KEY = {
    "orbit_private.ready": "insert and delete only, a row per ready job; every further key byte is paid for by each hand-out",
}
HOT = {"advance", "release", "skip_below", "sweep", "retire_worker"}
POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")


def parsed() -> Iterator[tuple[Path, Any, str]]:
    """Every statement of every migration, with its text."""
    import pglast

    for path in sorted((migrate.sql_directory() / "migrations").glob("*.sql")):
        text = path.read_text()
        for raw in pglast.parse_sql(text):
            begin = raw.stmt_location or 0
            end = begin + raw.stmt_len if raw.stmt_len else len(text)
            yield path, raw.stmt, text[begin:end]  # pglast counts characters


def functions() -> Iterator[tuple[str, str, dict[str, Any], str]]:
    """Schema, name, options and text of every function."""
    import pglast.ast as nodes

    for _, statement, text in parsed():
        if isinstance(statement, nodes.CreateFunctionStmt):
            schema, name = (part.sval for part in statement.funcname or ())
            yield schema, name, {option.defname: option.arg for option in statement.options or ()}, text


def test_every_function_fixes_its_search_path() -> None:
    missing = [
        f"{schema}.{name}" for schema, name, _, text in functions() if not re.search(r"set search_path = ''", text)
    ]
    assert missing == []


def test_security_definers_live_where_nothing_is_exposed_and_say_why() -> None:
    found = 0
    text_of_files = "\n".join(
        path.read_text() for path in sorted((migrate.sql_directory() / "migrations").glob("*.sql"))
    )
    for schema, name, options, _ in functions():
        if "security" not in options or not options["security"].boolval:
            continue
        found += 1
        assert schema in ("orbit_private", "orbit_runner"), f"{schema}.{name} is exposed"
        if schema == "orbit_private":
            before = text_of_files.split(f"create function {schema}.{name}(")[0].rstrip().rsplit("\n\n", 1)[-1]
            assert "Definer" in before, f"{schema}.{name} does not say why it needs its owner's rights"
    assert found > 15


def test_hot_functions_lock_before_they_write() -> None:
    """UPDATE … FROM and DELETE … USING come after the ordered lock pass, or in a function that says who holds the locks."""
    looked_at = set()
    for _, name, _, text in functions():
        if name not in HOT:
            continue
        looked_at.add(name)
        body = text[text.index("$$") :]
        first_write = re.search(r"\b(update|delete from) orbit_private\.job\b", body)
        lock = re.search(r"from orbit_private\.job j\b.*?\border by j\.id for (?:no key )?update", body, re.DOTALL)
        says = re.search(r"the caller holds the locks|locks the run's progress", body, re.IGNORECASE)
        assert first_write is None or says or (lock and lock.start() < first_write.start()), name
    assert looked_at == HOT


def test_every_file_ends_by_taking_execute_from_everybody() -> None:
    """From the fingerprint's file on, the fingerprint is taken after it: the Supabase CLI does not."""
    revoked = "revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;"
    fingerprinted = f"{revoked}\nselect orbit_private.take_fingerprint();"
    paths = sorted((migrate.sql_directory() / "migrations").glob("*.sql"))
    first = next(index for index, path in enumerate(paths) if path.stem.endswith("_fingerprint"))
    for index, path in enumerate(paths):
        assert path.read_text().rstrip().endswith(revoked if index < first else fingerprinted), path


async def test_every_table_is_protected_keyed_and_described(connection: asyncpg.Connection[Any]) -> None:
    rows = await connection.fetch(
        f"""
        select n.nspname || '.' || c.relname as name, c.relrowsecurity, c.relkind, c.relispartition,
               obj_description(c.oid, 'pg_class') as comment,
               exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary) as keyed
          from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname in {SCHEMAS} and c.relkind in ('r', 'p', 'v')
        """
    )
    assert len(rows) > 25
    for row in rows:
        table = row["relkind"] != "v" and row["relkind"] != b"v"
        if table:
            assert row["relrowsecurity"], f"{row['name']} has no row level security"
            assert row["keyed"] or row["name"] in WITHOUT_PRIMARY_KEY, f"{row['name']} has no primary key"
        if not row["relispartition"]:
            assert row["comment"], f"{row['name']} has no comment"


async def test_every_table_people_see_has_a_policy(connection: asyncpg.Connection[Any]) -> None:
    rows = await connection.fetch(
        "select c.relname from pg_class c where c.relnamespace = 'orbit'::regnamespace and c.relkind in ('r', 'p')"
        " and not exists (select from pg_policy p where p.polrelid = c.oid)"
    )
    assert rows == []


async def test_every_function_people_or_runners_call_is_described(connection: asyncpg.Connection[Any]) -> None:
    rows = await connection.fetch(
        "select p.oid::regprocedure::text from pg_proc p"
        " where p.pronamespace in ('orbit'::regnamespace, 'orbit_runner'::regnamespace)"
        " and obj_description(p.oid, 'pg_proc') is null"
    )
    assert rows == []


async def test_views_ask_as_their_reader(connection: asyncpg.Connection[Any]) -> None:
    rows = await connection.fetch(
        f"select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname in {SCHEMAS}"
        " and c.relkind = 'v'"
        " and not coalesce('security_invoker=true' = any (c.reloptions), false)"
    )
    assert rows == []


# -- as hosted Supabase applies them ------------------------------------------------------------------------------------------


@pytest.fixture
def postgres_15(tmp_path: Path) -> Iterator[str]:
    """A throw-away server of the oldest supported version; the directory of its socket."""
    if not (POSTGRES_15 / "initdb").exists():
        pytest.skip(f"no PostgreSQL 15 in {POSTGRES_15}")
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        pytest.skip("as root, and no runuser to start a server with")
    account = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    home = Path(
        subprocess.run(
            [*account, "mktemp", "-d", "/tmp/orbit-pg15-XXXXXX"], check=True, capture_output=True, text=True
        ).stdout.strip()
    )

    def run(*command: str) -> None:
        subprocess.run([*account, *command], check=True, capture_output=True, cwd="/", timeout=60)

    try:
        run(
            str(POSTGRES_15 / "initdb"),
            "-D",
            str(home / "data"),
            "-U",
            "root_of_all",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
            "--locale=C",
        )
        options = f"-c listen_addresses='' -c unix_socket_directories={home} -c fsync=off"
        run(
            str(POSTGRES_15 / "pg_ctl"),
            "-D",
            str(home / "data"),
            "-w",
            "-s",
            "-l",
            str(home / "log"),
            "-o",
            options,
            "start",
        )
        try:
            yield str(home)
        finally:
            run(str(POSTGRES_15 / "pg_ctl"), "-D", str(home / "data"), "-m", "immediate", "-s", "stop")
    finally:
        run("rm", "-rf", str(home))


async def test_they_apply_to_postgres_15_as_an_account_that_is_no_superuser(postgres_15: str) -> None:
    root = await asyncpg.connect(host=postgres_15, user="root_of_all", database="postgres")
    try:
        # Hosted Supabase: the platform is there, and `postgres` is no superuser.
        await migrate.platform(root)
        await root.execute("create role supabase_admin superuser")
        await root.execute("create role postgres login createrole createdb bypassrls replication")
        await root.execute("grant create on database postgres to postgres; grant all on schema public to postgres")
        await root.execute("grant anon, authenticated, service_role to postgres")
        await root.execute("grant select, references, trigger on auth.users to postgres")
    finally:
        await root.close()
    connection = await asyncpg.connect(host=postgres_15, user="postgres", database="postgres")
    try:
        applied = await migrate.push(connection)
        assert len(applied.files) >= 8
        from support.queue import Queue

        queue = Queue(connection)
        await queue.save({"a": [], "b": ["a"], "c": [], "clean": {"always": True, "needs": ["b"]}})
        run = await queue.start()
        await (await queue.worker()).run_to_end({"a": "failed"})
        assert await queue.statuses(run) == {"a": "failed", "b": "skipped", "c": "passed", "clean": "passed"}
        await queue.check()
        await queue.check_events(run)
    finally:
        await connection.close()
