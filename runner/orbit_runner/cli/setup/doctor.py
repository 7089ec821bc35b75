"""`orbit doctor`: what Orbit stands on, checked; each line says what is wrong and what to do about it."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orbit_context import __version__
from orbit_context.errors import OrbitError
from orbit_context.gateway.postgres import connect
from orbit_runner import migrate
from orbit_runner.cli.answers import print_answer, told
from orbit_runner.cli.exits import Exit
from orbit_runner.cli.target import ensure_schema, find_database, find_sealer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from asyncpg import Connection

    from orbit_runner.connection import DatabaseTarget

__all__ = ["Finding", "doctor", "version"]

_LOSES_UPDATES = (180000, 180001)
_LOW_DISK = 500 * 2**20
_SUPPORTED = 150000


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `state` is ok, warning or wrong."""

    name: str
    state: str
    found: str
    advice: str | None = None


def doctor(*, as_json: bool) -> Exit:
    """Exit code 3 where something is wrong; warnings alone are no failure."""
    findings = list(_of_this_machine())
    findings += asyncio.run(_of_database())
    if as_json:
        print_answer([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            sys.stdout.write(f"{finding.state:8} {finding.name:16} {finding.found}\n")
            if finding.advice:
                sys.stdout.write(f"{'':25} → {finding.advice}\n")
    return Exit.INFRASTRUCTURE if any(finding.state == "wrong" for finding in findings) else Exit.PASSED


def version(*, as_json: bool) -> Exit:
    return told({"version": __version__}, __version__, as_json=as_json)


def _of_this_machine() -> Iterator[Finding]:
    yield Finding("orbit", "ok", __version__)
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)}")
    for module in ("pycurl", "uvloop", "lxml.etree", "re2", "jsonschema", "cryptography"):
        try:
            __import__(module)
        except ImportError as error:
            yield Finding(module, "wrong", str(error), "install the extra: pip install 'orbit-context[runner]'")
    free = shutil.disk_usage(Path.cwd()).free
    advice = "make room: the embedded Postgres stops when the disk is full" if free < _LOW_DISK else None
    yield Finding("disk", "warning" if advice else "ok", f"{free / 2**30:.1f} GiB free here", advice)


async def _of_database() -> list[Finding]:
    try:
        target = await asyncio.to_thread(find_database)
    except OrbitError as error:
        return [Finding("database", "wrong", str(error), error.hint)]
    findings = [Finding("database", "ok", f"{target.shown}, chosen by {target.origin}")]
    try:
        connection = await connect(target.dsn)
    except OrbitError as error:
        found = f"{error}: {error.detail}" if error.detail else str(error)
        return [*findings, Finding("connection", "wrong", found, "is the server up, and are name and password right?")]
    try:
        findings += [finding async for finding in _of_connection(connection, target)]
    finally:
        await connection.close()
    return findings


async def _of_connection(connection: Connection, target: DatabaseTarget) -> AsyncIterator[Finding]:
    began = time.perf_counter()
    await connection.fetchval("select 1")
    yield Finding("round trip", "ok", f"{(time.perf_counter() - began) * 1e3:.1f} ms")
    version = int(await connection.fetchval("show server_version_num"))
    shown = await connection.fetchval("show server_version")
    if version in _LOSES_UPDATES:
        advice = "PostgreSQL 18.0 and 18.1 silently lose concurrent updates; use 18.2 or later, or 17"
        yield Finding("postgres", "wrong", shown, advice)
    elif version < _SUPPORTED:
        yield Finding("postgres", "wrong", shown, "Orbit needs PostgreSQL 15 or later")
    else:
        yield Finding("postgres", "ok", shown)
    offset = time.time() - float(await connection.fetchval("select extract(epoch from clock_timestamp())::float8"))
    skewed = abs(offset) > 1
    clock = f"{offset * 1e3:+.0f} ms against the database"
    if skewed:
        advice = "set this machine's clock; only what is shown suffers, for leases and order go by the database's"
        yield Finding("clock", "warning", clock, advice)
    else:
        yield Finding("clock", "ok", clock)
    status = await migrate.status(connection)
    if target.kind == "embedded" and status.pending and not (status.changed or status.unknown):
        await ensure_schema(connection, target)  # as the next run would
        status = await migrate.status(connection)
    if status.current:
        yield Finding("schema", "ok", f"{len(status.applied)} migrations")
        yield await _of_row_security(connection)
        yield await _of_schedules(connection)
    elif status.altered and not (status.pending or status.changed or status.unknown):
        found = f"changed by hand: {', '.join(status.altered[:5])}{' …' if len(status.altered) > 5 else ''}"
        yield Finding("schema", "wrong", found, "undo that; `orbit db status` lists it all")
    else:
        found = f"pending {len(status.pending)}, changed {len(status.changed)}, unknown {len(status.unknown)}"
        advice = "this program is older than the database: update Orbit" if status.unknown else "run: orbit db push"
        yield Finding("schema", "wrong", found, advice)
    yield _of_key(target)


async def _of_row_security(connection: Connection) -> Finding:
    bare = await connection.fetch(
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace "
        "where n.nspname in ('orbit', 'orbit_private') and c.relkind in ('r', 'p') and not c.relrowsecurity"
    )
    if bare:
        names = ", ".join(row[0] for row in bare)
        return Finding(
            "row security", "wrong", f"switched off on {names}", "somebody changed the schema by hand: orbit db push"
        )
    return Finding("row security", "ok", "on for every table")


async def _of_schedules(connection: Connection) -> Finding:
    """Workers start what is due: without one, schedules are only written down."""
    readable = await connection.fetchval(
        "select bool_and(has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select'))"
        " from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = 'orbit' and c.relname = 'schedules' or n.nspname = 'orbit_private' and c.relname = 'worker'"
    )
    if not readable:
        return Finding("schedules", "ok", "not for this role to see")
    waiting, late, alive = await connection.fetchrow(
        "select count(*), coalesce(min(coalesce(retry_at, next_run_at)) < now() - interval '1 minute', false),"
        " exists (select from orbit_private.worker w where w.seen_at > now() - interval '1 minute')"
        " from orbit.schedules where not paused and next_run_at is not null"
    )
    if waiting and (late or not alive):
        found = f"{waiting} wait, {'and nothing starts them' if late else 'and no worker is alive to start them'}"
        return Finding("schedules", "warning", found, "start one: orbit worker")
    return Finding("schedules", "ok", f"{waiting} wait for their time")


def _of_key(target: DatabaseTarget) -> Finding:
    try:
        sealer = find_sealer(target)
    except OrbitError as error:
        return Finding("secret key", "wrong", str(error), error.hint)
    if sealer is None:
        advice = "suites with secrets need one: orbit secret key, then set ORBIT_SECRET_KEY"
        return Finding("secret key", "warning", "none", advice)
    return Finding(
        "secret key",
        "ok",
        "from ORBIT_SECRET_KEY" if os.environ.get("ORBIT_SECRET_KEY") else "beside the embedded data",
    )
