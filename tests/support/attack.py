"""A database with rows in every table, made from the catalog, so that a new table is attacked as soon as it exists.

Every table holds, for each of five places, another power of two of rows: how many rows somebody counts says whose they are.

    evil (1)   another organisation's project
    open (2)   acme's project of no business unit
    pay  (4)   acme's project in the unit `payments`
    find (8)   acme's project in the unit `search`
    acme (16)  what belongs to acme as a whole, to no project

Each text in a row carries the mark of its place (`MARK-pay`), so that an answer that tells of it is recognised. The checks and
foreign keys of the copied database are taken away before it is filled: what is attacked are privileges, policies and functions.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
from support.tenants import Tenants

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

__all__ = [
    "PLACES",
    "SCHEMAS",
    "TENANCY",
    "Attempt",
    "Battlefield",
    "Place",
    "Relation",
    "attempt",
    "fill",
    "places_of",
]

PLACES = ("evil", "open", "pay", "find", "acme")
COUNTS = {place: 2**index for index, place in enumerate(PLACES)}
SCHEMAS = ["orbit", "orbit_private", "orbit_runner"]
TENANCY = {"users", "organizations", "organization_members", "business_units", "business_unit_members", "projects"}
"""Tables that `fill` makes as a story; their rows do not come in powers of two."""


@dataclass(frozen=True)
class Place:
    """Where rows lie; `author` is who wrote them."""

    organization_id: UUID
    project_id: UUID | None
    business_unit_id: UUID | None
    author: UUID


@dataclass
class Relation:
    """A table or view; `columns` are name → type, `parents` are the foreign keys, column → (table, column);
    `choices` is the first of the words that a check allows; `given` are identity columns."""

    schema: str
    name: str
    kind: str
    columns: dict[str, str]
    required: set[str]
    key: list[str]
    parents: dict[str, tuple[str, str]] = field(default_factory=dict)
    choices: dict[str, str] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)

    @property
    def writable(self) -> list[str]:
        """Its columns but those that the database numbers itself, the key's first."""
        ordered = [*self.key, *(column for column in self.columns if column not in self.key)]
        return [column for column in ordered if column not in self.given]

    @property
    def full(self) -> str:
        return f'{self.schema}."{self.name}"'


async def relations(connection: asyncpg.Connection[Any]) -> dict[str, Relation]:
    """Everything that has rows, partitions included, by `schema.name`."""
    found: dict[str, Relation] = {}
    for row in await connection.fetch(
        """
        select n.nspname, c.relname, c.relkind::text as kind, c.relispartition as leaf,
               (select jsonb_object_agg(a.attname, format_type(a.atttypid, a.atttypmod)) from pg_attribute a
                 where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '')::text as columns,
               array(select a.attname::text from pg_attribute a
                      where a.attrelid = c.oid and a.attnum > 0 and a.attnotnull) as required,
               array(select a.attname::text from pg_attribute a where a.attrelid = c.oid and a.attidentity <> '') as given,
               array(select a.attname::text from pg_index i
                      join pg_attribute a on a.attrelid = c.oid and a.attnum = any (i.indkey) and a.attidentity = ''
                         and a.attgenerated = ''
                      where i.indrelid = c.oid and i.indisunique and i.indpred is null) as key
          from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = any ($1) and c.relkind in ('r', 'p', 'v', 'm', 'f')
        """,
        SCHEMAS,
    ):
        kind = "partition" if row["leaf"] else row["kind"]
        found[f"{row['nspname']}.{row['relname']}"] = Relation(
            row["nspname"],
            row["relname"],
            kind,
            json.loads(row["columns"] or "{}"),
            set(row["required"]),
            list(row["key"]),
            given=set(row["given"]),
        )
    for row in await connection.fetch(
        """
        select c.conrelid::regclass::text as child, c.confrelid::regclass::text as parent, a.attname, f.attname as target
          from pg_constraint c cross join unnest(c.conkey, c.confkey) k (child, parent)
          join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.child
          join pg_attribute f on f.attrelid = c.confrelid and f.attnum = k.parent
         where c.contype = 'f' and c.conparentid = 0 and c.connamespace = any ($1::regnamespace[])
         order by cardinality(c.conkey), c.conname
        """,
        SCHEMAS,
    ):
        if row["child"] in found:
            found[row["child"]].parents.setdefault(row["attname"], (row["parent"], row["target"]))
    for row in await connection.fetch(
        """
        select c.conrelid::regclass::text as name, a.attname,
               substring(pg_get_constraintdef(c.oid) from '''([^'']*)''::text') as word
          from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and c.conkey = array[a.attnum]
         where c.contype = 'c' and c.connamespace = any ($1::regnamespace[]) and pg_get_constraintdef(c.oid) like '%ARRAY[%'
        """,
        SCHEMAS,
    ):
        if row["name"] in found and found[row["name"]].columns.get(row["attname"]) == "text" and row["word"]:
            found[row["name"]].choices[row["attname"]] = row["word"]
    return found


def places_of(relation: Relation) -> Sequence[str]:
    """Where a table can have rows: what asks for a project has none that belong to the organisation as a whole."""
    return PLACES[:-1] if "project_id" in relation.required else PLACES


@dataclass
class Battlefield:
    """What there is to attack: `rows` are what was put into a table at a place."""

    relations: dict[str, Relation]
    places: dict[str, Place]
    rows: dict[tuple[str, str], list[dict[str, Any]]]


async def fill(connection: asyncpg.Connection[Any]) -> Battlefield:
    """Make the people, the places, and a row of every kind; as a superuser."""
    tenants = await Tenants.on(connection)
    known = await relations(connection)
    await tenants.organization("evil", owner="mallory")
    await tenants.organization("acme", owner="olga", admin="adam", editor="ed", viewer="vera")
    await tenants.unit("acme", "payments", editor="pia")
    await tenants.unit("acme", "search", viewer="sam")
    await tenants.person("stranger")
    await tenants.project("evil", "evil")
    await tenants.project("acme", "open")
    await tenants.project("acme", "pay", unit="payments")
    await tenants.project("acme", "find", unit="search")
    rows = await connection.fetch("select slug, id, organization_id, business_unit_id from orbit.projects")
    authors = {"evil": "mallory", "open": "ed", "pay": "pia", "find": "sam", "acme": "olga"}
    places = {
        row["slug"]: Place(row["organization_id"], row["id"], row["business_unit_id"], tenants.id(authors[row["slug"]]))
        for row in rows
    }
    places["acme"] = Place(places["open"].organization_id, None, None, tenants.id("olga"))
    await connection.execute(
        "update orbit.projects set name = 'MARK-' || slug; update orbit.business_units set name = 'MARK-' || slug"
    )
    await connection.execute("set session_replication_role = replica")
    for row in await connection.fetch(
        "select conrelid::regclass::text as t, quote_ident(conname) as c from pg_constraint"
        " where contype in ('c', 'f', 'x') and conparentid = 0 and coninhcount = 0 and connamespace = any ($1::regnamespace[])"
        " and conrelid <> 0",
        SCHEMAS,
    ):
        await connection.execute(f"alter table {row['t']} drop constraint {row['c']}")
    values: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for name in _in_order(known):
        relation = known[name]
        if relation.kind not in {"r", "p"} or (relation.schema == "orbit" and relation.name in TENANCY):
            continue
        if await connection.fetchval(f"select exists (select from {relation.full})"):
            continue  # the migrations' own rows, such as the list of actions
        for label in places_of(relation):
            made = [await _row(relation, label, places[label], number, values) for number in range(COUNTS[label])]
            values[(name, label)] = made
            await _insert(connection, relation, made)
    await connection.execute("set session_replication_role = origin")
    await connection.execute((Path(__file__).parent / "attack.sql").read_text())
    await connection.execute("select attack.remember($1)", places["acme"].organization_id)
    return Battlefield(known, places, values)


async def _insert(connection: asyncpg.Connection[Any], relation: Relation, rows: list[dict[str, Any]]) -> None:
    columns = ", ".join(f'"{column}"' for column in rows[0])
    statement = (
        f"insert into {relation.full} ({columns}) overriding system value"
        f" select {columns} from jsonb_populate_recordset(null::{relation.full}, $1::text::jsonb)"
    )
    documents = {column for column, kind in relation.columns.items() if kind == "jsonb"}
    try:
        await connection.execute(statement, json.dumps(rows, default=str))
    except asyncpg.InvalidParameterValueError:  # a generated column counts what is an array
        lists = [row | {column: [row[column]] for column in documents if column in row} for row in rows]
        await connection.execute(statement, json.dumps(lists, default=str))
    except asyncpg.UniqueViolationError:  # one row a person, or a tenant
        await connection.execute(f"{statement} on conflict do nothing", json.dumps(rows[:1], default=str))
        del rows[1:]


def _in_order(known: dict[str, Relation]) -> Iterable[str]:
    """Parents before children."""
    done: set[str] = set()

    def visit(name: str) -> Iterable[str]:
        if name in done or name not in known:
            return
        done.add(name)
        for parent, _ in known[name].parents.values():
            yield from visit(parent)
        yield name

    for name in sorted(known):
        yield from visit(name)


_VALUES: dict[tuple[str, str], Any] = {("user_preferences", "preferences"): {}}  # what triggers look at
_numbers = iter(range(1, 10**9))


async def _row(
    relation: Relation, label: str, place: Place, number: int, values: dict[tuple[str, str], list[dict[str, Any]]]
) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for column, kind in relation.columns.items():
        parent = relation.parents.get(column)
        above = values.get((parent[0], label)) if parent else None
        if column == "secret_id" and column not in relation.required:
            continue  # what is secret is written by functions alone
        if column == "organization_id":
            row[column] = place.organization_id
        elif column == "project_id":
            row[column] = place.project_id
        elif column == "business_unit_id":
            row[column] = place.business_unit_id
        elif parent and parent[0] == "orbit.users":
            row[column] = place.author
        elif parent and above:
            row[column] = above[number % len(above)].get(parent[1])
        elif parent and column not in relation.required:
            continue
        elif (relation.name, column) in _VALUES:
            row[column] = _VALUES[(relation.name, column)]
        elif column in relation.choices:
            row[column] = relation.choices[column]
        elif column in {"deleted_at", "revoked_at", "accepted_at", "revoked_by", "deleted_by"}:
            continue
        elif column == "status" and relation.kind == "p":
            row[column] = "failed"  # the partition key
        else:
            row[column] = _value(kind, label)
    return row


def _value(kind: str, label: str) -> Any:
    n = next(_numbers)
    if kind.endswith("[]"):
        return None if kind.startswith("orbit") else []
    if kind == "uuid":
        return uuid4()
    if kind in {"text", "citext", "name"} or kind.startswith("character"):
        return f"MARK-{label}-{n}"
    if kind == "jsonb":
        return {"mark": f"MARK-{label}"}
    if kind in {"xid", "xid8"}:
        return str(n)
    if kind == "smallint":
        return n % 30_000
    if kind.startswith("numeric("):
        return n % 10
    if kind in {"integer", "bigint", "real", "double precision", "numeric"}:
        return n
    if kind == "boolean":
        return False
    if kind.startswith("timestamp") or kind == "date":
        return "now"
    if kind == "interval":
        return "1 hour"
    if kind == "bytea":
        return "\\x00" + f"{n:08x}"
    return None


@dataclass(frozen=True)
class Attempt:
    """How a statement ended: `code` is None where it went through; `told` is all that its caller heard, `changed` the tables in
    which acme's rows would be others."""

    code: str | None
    rows: int
    told: str
    changed: tuple[str, ...]

    @property
    def refused(self) -> bool:
        """Whether for want of a privilege, or by row security."""
        return self.code == "42501"


async def attempt(
    connection: asyncpg.Connection[Any], person: str | None, role: str, statements: Sequence[str]
) -> list[Attempt]:
    """Each statement as somebody, each undone, in one round trip; the outcomes in their order."""
    async with (await Tenants.on(connection)).acting(person, role=role):
        rows = await connection.fetch("select * from attack.attempt($1)", list(statements))
    return [Attempt(row["code"], row["rows"], row["told"] or "", tuple(row["changed"])) for row in rows]
