"""Resolving variables: by how many are visible, and beside how many of others.

    python -m benchmarks.variables [--others 500000] [--rounds 30] [--json PATH]

100, 1,000 and 10,000 definitions hold for one test, spread over five scopes so that some hide others; the table holds as many
definitions of other organisations as --others says. Measured is `orbit.resolve_variables` over one connection, whole and for five
names: medians, in milliseconds, of a call and its answer's way.

Runs on an embedded server of its own that is thrown away; with ORBIT_DATABASE_URL on that server, whose account must be allowed
to make databases.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import uvloop

if TYPE_CHECKING:
    from asyncpg import Connection

_DATABASE = "orbit_bench_variables"
_VISIBLE = (100, 1_000, 10_000)

_OTHERS = """
insert into orbit.organizations (slug, name) select 'other-' || o, 'Other' from generate_series(1, 100) o;
insert into orbit.variable_definitions (organization_id, name, value)
  select o.id, 'v' || n, to_jsonb('value ' || n) from orbit.organizations o cross join generate_series(1, $1 / 100) n
    where o.slug like 'other-%';
"""

_SCOPES = {
    "global": {},
    "project": {},
    "environment": {"environment": "staging"},
    "suite": {"suite": "bench"},
    "test": {"suite": "bench", "test": "a"},
}


async def _fill(connection: Connection, others: int) -> None:
    await _call(
        connection, "save_suite", key="bench", document={"tests": [{"key": "a", "request": {"url": "/{{v1}}"}}]}
    )
    await _call(connection, "save_environment", name="staging")
    await connection.execute("set session_replication_role = replica")  # versions and limits are not what is measured
    for statement in _OTHERS.replace("$1", str(others)).strip().split(";\n"):
        await connection.execute(statement)
    await connection.execute("set session_replication_role = origin")
    await connection.execute("vacuum analyze orbit.variable_definitions")


async def _call(connection: Connection, function: str, **request: Any) -> Any:
    answer = await connection.fetchval(f"select orbit.{function}($1::text::jsonb)::text", json.dumps(request))
    return json.loads(answer)


async def _median(connection: Connection, rounds: int, function: str, **request: Any) -> float:
    argument, taken = json.dumps(request), []
    for _ in range(rounds):
        began = time.perf_counter()
        await connection.fetchval(f"select orbit.{function}($1::text::jsonb)::text", argument)
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


async def _measure(dsn: str, others: int, rounds: int) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(dsn)
    rows = []
    try:
        await _fill(connection, others)
        where = {"environment": "staging", "suite": "bench", "test": "a"}
        for visible in _VISIBLE:
            for number, (scope, named) in enumerate(_SCOPES.items()):
                # Every scope a fifth of them; each shares half its names with the next.
                first = number * visible // 10
                entries = [{"name": f"v{n}", "value": f"{scope} {n}"} for n in range(first, first + visible // 5)]
                await _call(connection, "set_variables", scope=scope, variables=entries, replace=True, **named)
            await connection.execute("analyze orbit.variable_definitions, orbit.environment_variables")
            found = await _call(connection, "resolve_variables", **where)
            names = [f"v{n}" for n in range(1, 6)]
            rows.append(
                {
                    "visible": visible,
                    "names": len(found["variables"]),
                    "whole_ms": await _median(connection, rounds, "resolve_variables", **where),
                    "five_names_ms": await _median(connection, rounds, "resolve_variables", names=names, **where),
                }
            )
    finally:
        await connection.close()
    return rows


async def _run(dsn: str, others: int, rounds: int) -> list[dict[str, Any]]:
    from orbit_runner import migrate

    parts = urlsplit(dsn)
    own = urlunsplit(parts._replace(path=f"/{_DATABASE}"))
    admin = await asyncpg.connect(dsn)
    try:
        await admin.execute(f"drop database if exists {_DATABASE} with (force)")
        await admin.execute(f"create database {_DATABASE} template template0")
        connection = await asyncpg.connect(own)
        try:
            await migrate.push(connection)
        finally:
            await connection.close()
        return await _measure(own, others, rounds)
    finally:
        await admin.execute(f"drop database if exists {_DATABASE} with (force)")
        await admin.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the resolution of variables.")
    parser.add_argument("--others", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", metavar="PATH")
    options = parser.parse_args()
    if url := os.environ.get("ORBIT_DATABASE_URL"):
        rows = uvloop.run(_run(url, options.others, options.rounds))
    else:
        from orbit_runner.local import EPHEMERAL, Server

        with tempfile.TemporaryDirectory(prefix="orbit-bench-") as folder:
            Path(folder).chmod(0o755)  # as root, the server runs as an unprivileged account that must pass through
            server = Server(Path(folder) / "home", EPHEMERAL)
            server.start()
            try:
                rows = uvloop.run(_run(server.dsn(), options.others, options.rounds))
            finally:
                server.stop()
    print(f"{'visible':>8} {'names':>7} {'whole (ms)':>11} {'5 names (ms)':>13}   beside {options.others:,} of others")
    for row in rows:
        print(f"{row['visible']:>8,} {row['names']:>7,} {row['whole_ms']:>11.2f} {row['five_names_ms']:>13.2f}")
    if options.json:
        Path(options.json).write_text(json.dumps({"others": options.others, "rows": rows}, indent=2), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
