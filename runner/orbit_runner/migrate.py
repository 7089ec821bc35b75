"""Bringing a database to this program's schema, and seeing whether it is there.

The migrations are the files `sql/migrations/<digits>_<name>.sql`. What was applied is written to
`supabase_migrations.schema_migrations (version, statements, name)`, the Supabase CLI's own table and in its own form, so that
`orbit db push` and `supabase db push` see each other's work. Orbit adds one thing: a comment on the schema
`supabase_migrations` with a digest of the files and of the versions recorded, which answers "is it current?" in one query.

A file is one transaction. It is changed freely until a release is tagged, and never after; a database that holds an earlier
text of a file is recognised by the recorded statements.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from orbit_context.errors import ConflictError, DefinitionError, InfrastructureError, SchemaMismatchError
from orbit_runner.statements import Statement, split

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    Connection: TypeAlias = asyncpg.Connection[Any]

__all__ = [
    "Applied",
    "Migration",
    "Status",
    "is_current",
    "migrations",
    "platform",
    "push",
    "reset",
    "sql_directory",
    "status",
]

SCHEMAS = ("orbit", "orbit_private", "orbit_runner")
_FILE_NAME = re.compile(r"(?P<version>\d+)_(?P<name>.+)\.sql")
_LOCK = 7_237_310_914_425_319_540  # pg_advisory_xact_lock: whoever migrates, one at a time ("orbit", read as a number)
_HISTORY = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
alter table supabase_migrations.schema_migrations add column if not exists statements text[];
alter table supabase_migrations.schema_migrations add column if not exists name text;
"""
_OWN_TRANSACTION = re.compile(
    r"(?:begin|start\s+transaction|commit|end|rollback|abort)\b|(?:create|drop)\s+(?:unique\s+)?index\s+concurrently\b"
    r"|reindex\b.*\bconcurrently\b|vacuum\b|(?:create|drop)\s+database\b|alter\s+system\b",
    re.IGNORECASE | re.DOTALL,
)
_ORBIT = r'"?orbit(?:_private|_runner)?"?'
_CHANGES_ORBIT = re.compile(
    rf"""(?:create|alter|drop)\s+(?:or\s+replace\s+)?
        (?: (?:unlogged\s+)?(?:table|view|materialized\s+view|function|procedure|type|domain|sequence)
            \s+(?:if\s+(?:not\s+)?exists\s+)?(?:only\s+)?{_ORBIT}\s*\.
          | schema\s+(?:if\s+(?:not\s+)?exists\s+)?{_ORBIT}
          | (?:constraint\s+)?(?:unique\s+)?(?:index|policy|trigger)\b.*?\son\s+(?:only\s+)?{_ORBIT}\s*\.)""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Migration:
    """One file; `statements` as the Supabase CLI splits it."""

    version: str
    name: str
    path: Path
    text: str = field(repr=False)

    @property
    def statements(self) -> list[Statement]:
        """Its statements in order."""
        return split(self.text)


@dataclass(frozen=True, slots=True)
class Applied:
    """What a push did: file names in order, and how many had been applied before."""

    files: tuple[str, ...]
    already: int


@dataclass(frozen=True, slots=True)
class Status:
    """How a database stands to this program's migrations, each by file name.

    `unknown` are recorded versions that change Orbit's schemas and are not in this program; `foreign` counts those of other
    applications in the same database, which concern nobody here.
    """

    applied: tuple[str, ...]
    pending: tuple[str, ...]
    changed: tuple[str, ...]
    unknown: tuple[str, ...]
    foreign: int

    @property
    def current(self) -> bool:
        """Whether the database holds exactly this program's schema."""
        return not (self.pending or self.changed or self.unknown)


def sql_directory() -> Path:
    """Where `migrations/` and `platform/` lie: inside the installed package, or at the root of a source checkout."""
    here = Path(__file__).parent
    packaged = here / "sql"
    return packaged if packaged.is_dir() else here.parents[1] / "sql"


def migrations(sql: Path | None = None) -> list[Migration]:
    """The files in the order of their versions; DefinitionError where two share a version."""
    found: dict[str, Migration] = {}
    for path in sorted(((sql or sql_directory()) / "migrations").glob("*.sql")):
        if match := _FILE_NAME.fullmatch(path.name):
            version = match["version"]
            if version in found:
                raise DefinitionError(
                    f"two migrations have the version {version}", file=path.name, detail=found[version].path.name
                )
            found[version] = Migration(version, match["name"], path, path.read_text(encoding="utf-8"))
    return sorted(found.values(), key=lambda migration: migration.version)


async def is_current(conn: Connection, sql: Path | None = None) -> bool:
    """Whether nothing needs to be pushed: one query where the last push was this program's, else a full comparison."""
    import asyncpg

    try:
        comment, versions = await conn.fetchrow(
            "select obj_description(to_regnamespace('supabase_migrations'), 'pg_namespace'),"
            " array(select version from supabase_migrations.schema_migrations order by version)"
        )
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return False
    if comment == _seal(sql or sql_directory(), versions):
        return True
    return (await status(conn, sql)).current


async def status(conn: Connection, sql: Path | None = None) -> Status:
    """Compare every file with what is recorded; changes nothing."""
    recorded = await _recorded(conn)
    known = migrations(sql)
    versions = {migration.version for migration in known}
    applied: list[str] = []
    pending: list[str] = []
    changed: list[str] = []
    for migration in known:
        if migration.version not in recorded:
            pending.append(migration.path.name)
            continue
        _, statements = recorded[migration.version]
        same = statements is None or statements == [statement.text for statement in migration.statements]
        (applied if same else changed).append(migration.path.name)
    others = {version: entry for version, entry in recorded.items() if version not in versions}
    unknown = [
        f"{version}_{name}.sql" if name else version
        for version, (name, texts) in others.items()
        if _changes_orbit(texts)
    ]
    return Status(tuple(applied), tuple(pending), tuple(changed), tuple(unknown), len(others) - len(unknown))


async def push(conn: Connection, sql: Path | None = None) -> Applied:
    """Apply the platform's shim where it is needed, then every pending file, each in a transaction of its own.

    Several programs may push at once: they take turns, and a file is applied once. Raises SchemaMismatchError where a file was
    changed after it had been applied, or the database holds a newer Orbit; DefinitionError with file and line where a statement
    fails (nothing of that file stays); the connection must not be inside a transaction.
    """
    await platform(conn, sql)
    await _prepare_history(conn)
    before = await status(conn, sql)
    _refuse(before)
    applied = [
        migration.path.name
        for migration in migrations(sql)
        if migration.path.name in before.pending and await _apply(conn, migration)
    ]
    await _write_seal(conn, sql or sql_directory())
    return Applied(tuple(applied), len(before.applied) + len(before.pending) - len(applied))


async def platform(conn: Connection, sql: Path | None = None) -> bool:
    """Give a bare Postgres what Supabase brings (sql/platform); False where it is Supabase and nothing was done."""
    import asyncpg

    if await conn.fetchval("select exists (select from pg_catalog.pg_roles where rolname = 'supabase_admin')"):
        return False
    async with conn.transaction():
        await _take_turn(conn)
        await conn.execute("set local client_min_messages = warning")
        for path in sorted(((sql or sql_directory()) / "platform").glob("*.sql")):
            text = path.read_text(encoding="utf-8")
            try:
                await conn.execute(text)
            except asyncpg.InsufficientPrivilegeError as error:
                raise InfrastructureError(
                    f"this database lacks what Supabase brings ({path.name}), and the account may not make it: {error}",
                    hint="connect once as a superuser (`orbit db push`), or use a Supabase project",
                ) from error
            except asyncpg.PostgresError as error:
                raise _failure(error, path, text, 0) from error
    return True


async def reset(conn: Connection, *, embedded: bool, yes: bool = False, sql: Path | None = None) -> Applied:
    """Drop Orbit's schemas with everything in them, and push anew. What else is in the database stays.

    Refused with ConflictError unless the database is the embedded one or `yes` is given.
    """
    if not (embedded or yes):
        raise ConflictError(
            "a reset drops every suite, run and result of this database",
            hint="if that is what you want: `orbit db reset --yes`",
        )
    recorded = await _recorded(conn)
    ours = {migration.version for migration in migrations(sql)}
    ours |= {version for version, (_, texts) in recorded.items() if _changes_orbit(texts)}
    async with conn.transaction():
        await _take_turn(conn)
        await conn.execute("set local client_min_messages = warning")
        for schema in SCHEMAS:
            await conn.execute(f"drop schema if exists {schema} cascade")
        if recorded:
            await conn.execute(
                "delete from supabase_migrations.schema_migrations where version = any($1)", sorted(ours)
            )
    return await push(conn, sql)


async def _take_turn(conn: Connection) -> None:
    """One at a time migrates, until the end of the transaction."""
    await conn.execute("select pg_advisory_xact_lock($1)", _LOCK)
    # Opening a table makes the server process hear what was committed while it waited; without it, its cache still says that
    # there is no such schema, and `create schema if not exists` fails on the one that another has just made.
    await conn.execute("select from pg_catalog.pg_namespace limit 0")


async def _prepare_history(conn: Connection) -> None:
    async with conn.transaction():
        await _take_turn(conn)
        await conn.execute("set local client_min_messages = warning")
        await conn.execute(_HISTORY)


async def _recorded(conn: Connection) -> dict[str, tuple[str | None, list[str] | None]]:
    """Version → (name, statements); empty where nothing was ever pushed. Columns may be missing in old projects."""
    columns = await conn.fetchval(
        "select array_agg(attname::text) from pg_catalog.pg_attribute"
        " where attrelid = to_regclass('supabase_migrations.schema_migrations') and attnum > 0 and not attisdropped"
    )
    if not columns:
        return {}
    name, statements = (column if column in columns else "null" for column in ("name", "statements"))
    rows = await conn.fetch(
        f"select version, {name} as name, {statements} as statements from supabase_migrations.schema_migrations order by version"  # noqa: S608
    )
    return {row["version"]: (row["name"], row["statements"]) for row in rows}


def _changes_orbit(statements: Sequence[str] | None) -> bool:
    return any(_CHANGES_ORBIT.match(Statement(text, 0).bare) for text in statements or ())


def _refuse(found: Status) -> None:
    if found.unknown:
        raise SchemaMismatchError(
            f"the database holds a newer Orbit: it has migrations that this program does not know ({', '.join(found.unknown)})",
            hint="upgrade this program (`pip install --upgrade orbit-context`)",
        )
    if found.changed:
        raise SchemaMismatchError(
            f"the database holds an earlier text of {', '.join(found.changed)}",
            detail="these files were changed after they had been applied",
            hint="`orbit db reset` drops Orbit's schemas with their data and applies the files anew",
        )


async def _apply(conn: Connection, migration: Migration) -> bool:
    """Apply one file; False where somebody else did in the meantime."""
    import asyncpg

    statements = migration.statements
    for statement in statements:
        if _OWN_TRANSACTION.match(statement.bare):
            raise DefinitionError(
                "a migration runs in one transaction and cannot control it, nor hold what refuses to run in one",
                file=migration.path.name,
                line=_line(migration.text, statement.offset + len(statement.text) - len(statement.bare)),
                detail=statement.bare.splitlines()[0],
            )
    async with conn.transaction():
        await _take_turn(conn)
        taken = "select exists (select from supabase_migrations.schema_migrations where version = $1)"
        if await conn.fetchval(taken, migration.version):
            return False
        await conn.execute("set local statement_timeout = 0")
        for statement in statements:
            try:
                await conn.execute(statement.text)
            except asyncpg.PostgresError as error:
                raise _failure(error, migration.path, migration.text, statement.offset, statement) from error
        await conn.execute(
            "insert into supabase_migrations.schema_migrations (version, name, statements) values ($1, $2, $3)",
            migration.version,
            migration.name,
            [statement.text for statement in statements],
        )
    return True


def _failure(
    error: asyncpg.PostgresError, path: Path, text: str, offset: int, statement: Statement | None = None
) -> DefinitionError:
    """`error` with the file and the line; a position counts characters of the statement from 1."""
    position = getattr(error, "position", None)
    if position:
        offset += int(position) - 1
    elif statement:
        offset += len(statement.text) - len(statement.bare)
    detail = "; ".join(str(part) for part in (error.sqlstate, error.detail, error.context) if part)
    return DefinitionError(
        f"the database refused this statement: {error.args[0]}",
        file=path.name,
        line=_line(text, offset),
        detail=detail,
        hint=error.hint or "nothing of this file was applied",
    )


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def _seal(sql: Path, versions: Sequence[str]) -> str:
    """A digest of all SQL files and of the versions recorded in the database."""
    digest = sha256(",".join(versions).encode())
    for folder in ("platform", "migrations"):
        for path in sorted((sql / folder).glob("*.sql")):
            digest.update(b"\0" + path.name.encode() + b"\0" + path.read_bytes())
    return f"orbit {digest.hexdigest()}"


async def _write_seal(conn: Connection, sql: Path) -> None:
    versions = await conn.fetchval(
        "select array(select version from supabase_migrations.schema_migrations order by version)"
    )
    await conn.execute(f"comment on schema supabase_migrations is '{_seal(sql, versions)}'")
