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
    from collections.abc import Mapping, Sequence

    import asyncpg

    Connection: TypeAlias = asyncpg.Connection[Any]

__all__ = [
    "Applied",
    "Migration",
    "Removal",
    "Status",
    "is_current",
    "migrations",
    "platform",
    "push",
    "removal",
    "reset",
    "sql_directory",
    "status",
    "uninstall",
]

SCHEMAS = ("orbit", "orbit_private", "orbit_runner")
_ROLE = "orbit_runner"
_FILE_NAME = re.compile(r"(?P<version>\d+)_(?P<name>.+)\.sql")
_LOCK = 7_237_310_914_425_319_540  # pg_advisory_xact_lock: whoever migrates, one at a time ("orbit", read as a number)
_HISTORY = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
alter table supabase_migrations.schema_migrations add column if not exists statements text[];
alter table supabase_migrations.schema_migrations add column if not exists name text;
"""
_EXISTS = {"42P06", "42P07", "42701", "42710", "42723"}  # schema, relation, column, object, function that exist already
_OWN_TRANSACTION = re.compile(
    r"(?:begin|start\s+transaction|commit|end|rollback|abort)\b|(?:create|drop)\s+(?:unique\s+)?index\s+concurrently\b"
    r"|reindex\b.*\bconcurrently\b|vacuum\b|(?:create|drop)\s+database\b|alter\s+system\b",
    re.IGNORECASE | re.DOTALL,
)
_OUTSIDE = re.compile(
    r"create\s+(?:or\s+replace\s+)?(?:constraint\s+)?(?P<kind>trigger|policy)\s+(?P<name>\S+)\s.*?\bon\s+(?P<relation>[\w.\"]+)",
    re.IGNORECASE | re.DOTALL,
)
_DEPENDENTS = """
with ours as (
  select oid from pg_catalog.pg_namespace where nspname = any ($1)
), inside (classid, objid) as (
  select 'pg_class'::regclass, oid from pg_catalog.pg_class where relnamespace in (select oid from ours)
  union all select 'pg_proc'::regclass, oid from pg_catalog.pg_proc where pronamespace in (select oid from ours)
  union all select 'pg_type'::regclass, oid from pg_catalog.pg_type where typnamespace in (select oid from ours)
), dependent as (
  select distinct d.classid, d.objid from pg_catalog.pg_depend d
    join inside i on i.classid = d.refclassid and i.objid = d.refobjid
    where d.deptype in ('n', 'a')
), placed as (
  select d.*, coalesce(t.tgrelid, p.polrelid, r.ev_class, a.adrelid, nullif(c.conrelid, 0), k.oid) as relation,
         coalesce(f.pronamespace, y.typnamespace, s.stxnamespace) as namespace, coalesce(t.tgname, p.polname) as name
    from dependent d
    left join pg_catalog.pg_trigger t on d.classid = 'pg_trigger'::regclass and t.oid = d.objid
    left join pg_catalog.pg_policy p on d.classid = 'pg_policy'::regclass and p.oid = d.objid
    left join pg_catalog.pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
    left join pg_catalog.pg_attrdef a on d.classid = 'pg_attrdef'::regclass and a.oid = d.objid
    left join pg_catalog.pg_constraint c on d.classid = 'pg_constraint'::regclass and c.oid = d.objid
    left join pg_catalog.pg_class k on d.classid = 'pg_class'::regclass and k.oid = d.objid
    left join pg_catalog.pg_proc f on d.classid = 'pg_proc'::regclass and f.oid = d.objid
    left join pg_catalog.pg_type y on d.classid = 'pg_type'::regclass and y.oid = d.objid
    left join pg_catalog.pg_statistic_ext s on d.classid = 'pg_statistic_ext'::regclass and s.oid = d.objid
    where not coalesce(t.tgisinternal, false)
)
select case p.classid when 'pg_trigger'::regclass then 'trigger' when 'pg_policy'::regclass then 'policy' end as kind,
       p.name, n.nspname || '.' || k.relname as relation,
       case when p.classid = 'pg_rewrite'::regclass then 'view ' || p.relation::regclass
         else (select i.type || ' ' || i.identity from pg_catalog.pg_identify_object(p.classid, p.objid, 0) i) end as described
  from placed p left join pg_catalog.pg_class k on k.oid = p.relation
  left join pg_catalog.pg_namespace n on n.oid = coalesce(k.relnamespace, p.namespace)
  where n.oid is not null and n.oid not in (select oid from ours) and n.nspname !~ '^pg_toast'
  order by described
"""
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
    applications in the same database, which concern nobody here. `altered` is what somebody changed by hand since the last
    migration, such as `dropped column orbit.test_runs.status`.
    """

    applied: tuple[str, ...]
    pending: tuple[str, ...]
    changed: tuple[str, ...]
    unknown: tuple[str, ...]
    foreign: int
    altered: tuple[str, ...] = ()

    @property
    def current(self) -> bool:
        """Whether the database holds exactly this program's schema."""
        return not (self.pending or self.changed or self.unknown or self.altered)


@dataclass(frozen=True, slots=True)
class Removal:
    """What an uninstall removes, or has removed.

    `schemas` are there with all they hold; `outside` is what migrations put on tables of others, such as
    `trigger orbit_user on auth.users`; `migrations` counts rows of the history. `role` is orbit_runner where it goes too, else
    `role_kept` says why it stays.
    """

    schemas: tuple[str, ...]
    outside: tuple[str, ...]
    migrations: int
    role: str | None
    role_kept: str | None = None

    @property
    def nothing(self) -> bool:
        """Whether there is no Orbit in this database."""
        return not (self.schemas or self.outside or self.migrations)


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
    return (await status(conn, sql, by_hand=False)).current


async def status(conn: Connection, sql: Path | None = None, *, by_hand: bool = True) -> Status:
    """Compare every file with what is recorded; changes nothing. `by_hand`: also the schema with its fingerprint (0.1 s)."""
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
    foreign = len(others) - len(unknown)
    altered = await _altered(conn) if by_hand else ()
    return Status(tuple(applied), tuple(pending), tuple(changed), tuple(unknown), foreign, altered)


async def push(conn: Connection, sql: Path | None = None) -> Applied:
    """Apply the platform's shim where it is needed, then every pending file, each in a transaction of its own.

    Several programs may push at once: they take turns, and a file is applied once. Raises SchemaMismatchError where a file was
    changed after it had been applied, somebody changed the schema by hand, or the database holds a newer Orbit; DefinitionError
    with file and line where a statement fails (nothing of that file stays); the connection must not be inside a transaction.
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
    await conn.execute("notify pgrst, 'reload schema'")  # a PostgREST that is running sees the new functions
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

    Refused with ConflictError unless the database is the embedded one or `yes` is given, or where something else in the database
    depends on Orbit.
    """
    if not (embedded or yes):
        raise ConflictError(
            "a reset drops every suite, run and result of this database",
            hint="if that is what you want: `orbit db reset --yes`",
        )
    async with conn.transaction():
        await _take_turn(conn)
        await _drop(conn, sql)
    return await push(conn, sql)


async def removal(conn: Connection, sql: Path | None = None) -> Removal:
    """What `uninstall` would remove; changes nothing. Raises ConflictError where something of others depends on Orbit."""
    schemas = await conn.fetchval(
        "select array(select s from unnest($1::text[]) s where to_regnamespace(s) is not null)", SCHEMAS
    )
    recorded = await _recorded(conn)
    outside = await _outside(conn, sql)
    role, kept = await _role_to_drop(conn)
    return Removal(tuple(schemas), outside, len(_ours(recorded, sql)), role, kept)


async def uninstall(conn: Connection, sql: Path | None = None) -> Removal:
    """Remove Orbit's schemas with everything in them, and what it put elsewhere; the rest of the database stays as it is.

    All or nothing, except that the role orbit_runner stays where others use it. Raises ConflictError as `removal` does. What
    `platform` brought to a bare Postgres stays: an application may use it by now.
    """
    async with conn.transaction():
        await _take_turn(conn)
        found = await removal(conn, sql)
        await _drop(conn, sql)
        comment = await conn.fetchval("select obj_description(to_regnamespace('supabase_migrations'), 'pg_namespace')")
        if comment is not None and comment.startswith("orbit "):
            await conn.execute("comment on schema supabase_migrations is null")
        role, kept = await _drop_role(conn)
        return Removal(found.schemas, found.outside, found.migrations, role, kept)


async def _drop(conn: Connection, sql: Path | None) -> None:
    """The schemas and the rows of the history, inside the caller's transaction."""
    await _outside(conn, sql)
    recorded = await _recorded(conn)
    await conn.execute("set local client_min_messages = warning")
    for schema in SCHEMAS:
        # Takes along what migrations made on tables of others: it calls functions of these schemas. (To drop a trigger of
        # auth.users by name takes its owner's rights, which a project's `postgres` has not.)
        await conn.execute(f"drop schema if exists {schema} cascade")
    if recorded:
        await conn.execute(
            "delete from supabase_migrations.schema_migrations where version = any($1)", sorted(_ours(recorded, sql))
        )


def _ours(recorded: Mapping[str, tuple[str | None, list[str] | None]], sql: Path | None) -> set[str]:
    """The recorded versions that are Orbit's, also those that this program does not know."""
    known = {migration.version for migration in migrations(sql)}
    return {version for version, (_, texts) in recorded.items() if version in known or _changes_orbit(texts)}


async def _outside(conn: Connection, sql: Path | None) -> tuple[str, ...]:
    """What migrations put on tables of others; ConflictError where anything else out there depends on Orbit."""
    made = {
        (match["kind"].lower(), match["name"].strip('"'), match["relation"].replace('"', ""))
        for migration in migrations(sql)
        for statement in migration.statements
        if (match := _OUTSIDE.match(statement.bare))
    }
    rows = await conn.fetch(_DEPENDENTS, list(SCHEMAS))
    own = [row["described"] for row in rows if (row["kind"], row["name"], row["relation"]) in made]
    others = [row["described"] for row in rows if (row["kind"], row["name"], row["relation"]) not in made]
    if others:
        raise ConflictError(
            f"the application beside Orbit depends on it: {_in_short(others)}",
            detail="dropping Orbit's schemas would drop these too",
            hint="drop or change them first",
        )
    return tuple(own)


async def _role_to_drop(conn: Connection) -> tuple[str | None, str | None]:
    """orbit_runner, or why it stays; before the schemas are gone, what they granted it does not count."""
    row = await conn.fetchrow(
        """
        select array(select m.member::regrole::text from pg_catalog.pg_auth_members m
                      where m.roleid = r.oid and m.member <> current_user::regrole order by 1) as members,
               array(select distinct d.datname::text from pg_catalog.pg_shdepend s join pg_catalog.pg_database d on d.oid = s.dbid
                      where s.refclassid = 'pg_authid'::regclass and s.refobjid = r.oid and d.datname <> current_database()
                      order by 1) as databases
          from pg_catalog.pg_roles r where r.rolname = $1
        """,
        _ROLE,
    )
    if row is None:
        return None, None
    if row["members"]:
        return None, f"belong to it: {', '.join(row['members'])}"
    if row["databases"]:
        return None, f"used in the databases {', '.join(row['databases'])}"
    return _ROLE, None


async def _drop_role(conn: Connection) -> tuple[str | None, str | None]:
    import asyncpg

    role, kept = await _role_to_drop(conn)
    if role is None:
        return role, kept
    try:
        async with conn.transaction():
            await conn.execute(f"drop role {role}")
    except (asyncpg.InsufficientPrivilegeError, asyncpg.DependentObjectsStillExistError) as error:
        return None, "; ".join(str(part) for part in (error.args[0], error.detail) if part)
    return role, None


async def _altered(conn: Connection) -> tuple[str, ...]:
    """What differs from the fingerprint that the last migration took."""
    if not await conn.fetchval("select to_regclass('orbit_private.fingerprint') is not null"):
        return ()
    missing = await conn.fetchval("select to_regprocedure('orbit_private.schema_changes()') is null")
    if missing:
        return ("dropped function orbit_private.schema_changes()",)
    return tuple(
        f"{row['change']} {row['name']}" for row in await conn.fetch("select * from orbit_private.schema_changes()")
    )


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
    if found.altered:
        raise SchemaMismatchError(
            f"somebody changed Orbit's schema by hand: {_in_short(found.altered)}",
            hint="undo that; or `orbit db reset` drops Orbit's schemas with their data and applies the files anew",
        )


def _in_short(names: Sequence[str], limit: int = 10) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


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
        if await conn.fetchval("select to_regprocedure('orbit_private.take_fingerprint()') is not null"):
            await conn.execute("select orbit_private.take_fingerprint()")
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
    if error.sqlstate in _EXISTS:
        return DefinitionError(
            f"this was applied before, or somebody made the same by hand: {error.args[0]}",
            file=path.name,
            line=_line(text, offset),
            detail=detail,
            hint="nothing of this file was applied; where its row in supabase_migrations.schema_migrations was lost, "
            f"put it back: supabase migration repair --status applied {path.name.split('_')[0]}",
        )
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
