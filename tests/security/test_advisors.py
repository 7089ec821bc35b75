"""What others' checkers say of Orbit's schema: Supabase's advisors, plpgsql_check, and what safeupdate refuses."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from orbit_runner import migrate

if TYPE_CHECKING:
    import asyncpg
    from support.hosted import Hosted
    from support.postgres import Database

CLI = os.environ.get("ORBIT_TEST_SUPABASE_CLI") or shutil.which("supabase")
CHECKER = Path("/usr/share/postgresql/15/extension/plpgsql_check.control")
KNOWN = [
    # Of plpgsql_check's findings, those that are none.
    "control reached end of function without RETURN",  # what ends with refuse() or malformed() does not get there
    "target type is different type than source type",  # constants, such as '{}', are text to it
    "unused parameter",  # functions that stand for each other take the same
    'relation "vault.decrypted_secrets" does not exist',  # asked where there is a Vault
]
PROJECT = Path(__file__).parents[2] / "supabase"


@pytest.mark.skipif(not CLI, reason="no Supabase CLI: `npm install supabase`, then ORBIT_TEST_SUPABASE_CLI=…")
async def test_supabases_advisors_have_nothing_to_say(database: Database, tmp_path: Path) -> None:
    shutil.copytree(PROJECT, tmp_path / "supabase", ignore=shutil.ignore_patterns(".temp", "migrations"))

    async def advised() -> list[dict[str, Any]]:
        done = await asyncio.to_thread(
            subprocess.run,
            [str(CLI), "db", "advisors", f"--remote={database.dsn}?sslmode=disable", "--level", "info", "--agent", "no",
             "--output-format", "json"],
            cwd=tmp_path, env=os.environ | {"DO_NOT_TRACK": "1"}, capture_output=True, text=True, timeout=100,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return list(json.loads(done.stdout)["results"])

    said = {
        (one["name"], one["metadata"].get("schema"), one["metadata"].get("name"))
        for one in await advised()
        if "orbit" in json.dumps(one)
    }
    # Nothing was asked yet, so that no index was used; nobody is to read what has no policy.
    unsaid = {one for one in said if one[0] == "unused_index" or one[:2] == ("rls_enabled_no_policy", "orbit_private")}
    assert said - unsaid == {("no_primary_key", "orbit_private", "ready")}  # a row a ready job, insert and delete only
    async with database.connect() as connection:
        await connection.execute("create table orbit.bare (id int); grant select on orbit.bare to authenticated")
    assert [one for one in await advised() if "bare" in json.dumps(one)], "it looks at the schema orbit"


@pytest.mark.skipif(not CHECKER.exists(), reason="no plpgsql_check: apt-get install postgresql-15-plpgsql-check")
async def test_plpgsql_check_finds_nothing(hosted_15: Hosted) -> None:
    """Every plpgsql function, and every trigger function on each table that it serves, with its transition tables."""
    async with hosted_15.project() as project:
        async with project.connect() as connection:
            await migrate.push(connection)
        async with project.connect("supabase_admin") as connection:
            await connection.execute("create extension plpgsql_check with schema extensions")
            rows = await connection.fetch(
                """
                with checked as (
                  select p.oid, 0::oid as relation, null::name as old, null::name as new from pg_proc p
                    where p.prolang = (select l.oid from pg_language l where l.lanname = 'plpgsql')
                      and p.pronamespace = any ('{orbit,orbit_private,orbit_runner}'::regnamespace[])
                      and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
                  union
                  select t.tgfoid, t.tgrelid, t.tgoldtable, t.tgnewtable from pg_trigger t join pg_proc p on p.oid = t.tgfoid
                    where not t.tgisinternal and p.pronamespace = any ('{orbit,orbit_private,orbit_runner}'::regnamespace[])
                )
                select c.oid::regprocedure::text as function, c.relation::regclass::text as relation, c.old, c.new,
                       f.lineno, f.statement, f.level, f.sqlstate, f.message, f.detail, f.query
                  from checked c left join lateral extensions.plpgsql_check_function_tb(c.oid, c.relation, oldtable => c.old,
                    newtable => c.new, fatal_errors => false, extra_warnings => true, performance_warnings => false,
                    security_warnings => true) f on true
                """
            )
    assert len({(row["function"], row["relation"]) for row in rows}) > 80
    # One function serves several triggers: a line is wrong where it is wrong in each, for it asks which of them it is in.
    ways: dict[str, set[tuple[Any, ...]]] = {}
    wrong: dict[tuple[str, int | None, str], set[tuple[Any, ...]]] = {}
    for row in rows:
        way = (row["relation"], row["old"], row["new"])
        ways.setdefault(row["function"], set()).add(way)
        if row["message"] and not any(re.search(known, row["message"]) for known in KNOWN):
            wrong.setdefault((row["function"], row["lineno"], row["message"]), set()).add(way)
    lines: dict[tuple[str, int | None], set[tuple[Any, ...]]] = {}
    for (function, line, _), found in wrong.items():
        lines.setdefault((function, line), set()).update(found)
    told = [
        f"{function} line {line}: {message}"
        for function, line, message in wrong
        if lines[(function, line)] == ways[function]
    ]
    assert told == [], "\n".join(told)


async def test_no_statement_is_refused_by_safeupdate(connection: asyncpg.Connection[Any]) -> None:
    """Hosted Supabase loads it for the API: an UPDATE or DELETE without WHERE fails there, in a function too."""
    rows = await connection.fetch(
        "select p.oid::regprocedure::text as name, p.prosrc as source from pg_proc p"
        " where p.pronamespace = any ('{orbit,orbit_private,orbit_runner}'::regnamespace[]) and p.prosrc is not null"
    )
    bare, looked = [], 0
    for row in rows:
        source = re.sub(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", " ", row["source"], flags=re.DOTALL)
        for statement in re.finditer(r"\b(?:delete\s+from|(?<!for )(?<!key )(?<!do )update)\s+orbit\w*\.", source):
            looked += 1
            depth, rest = 0, ""
            for character in source[statement.start() :]:  # to the end of the statement, or of what it stands in
                depth += (character == "(") - (character == ")")
                if depth < 0 or (character == ";" and depth == 0):
                    break
                rest += character if depth == 0 else " "
            if not re.search(r"\bwhere\b", rest):
                bare.append(f"{row['name']}: {' '.join(rest.split())[:100]}")
    assert bare == []
    assert looked > 40
