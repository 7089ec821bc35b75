"""Everybody tries everything: each table, view, sequence and function of the catalog, by each kind of caller.

What is allowed stands in the tables at the head of this file, and is derived from the columns where nothing is said: a row with a
project is read by those who may read the project, one of an organisation by its members, one of a person by that person; schema
orbit_private is nobody's; nobody writes a table. A relation or function that neither fits nor is listed fails by its name.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from support.attack import SCHEMAS, TENANCY, Battlefield, Relation, attempt, fill, places_of
from support.tenants import Tenants

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import asyncpg
    from support.attack import Attempt
    from support.postgres import Cluster, Database

# -- who may do what -----------------------------------------------------------------------------------------------------------

RANK = {"viewer": 1, "editor": 2, "admin": 3, "owner": 4}


class Caller(NamedTuple):
    """`places`: the role in the projects of each place; `acme`: in rows of the organisation as a whole."""

    role: str
    person: str | None
    places: dict[str, str]


CALLERS = {
    "no key": Caller("anon", None, {}),
    "the anon key with somebody's claims": Caller("anon", "olga", {}),
    "signed in as nobody": Caller("authenticated", None, {}),
    "a stranger": Caller("authenticated", "stranger", {}),
    "viewer": Caller("authenticated", "vera", {"open": "viewer", "acme": "viewer"}),
    "editor": Caller("authenticated", "ed", {"open": "editor", "acme": "editor"}),
    "admin": Caller("authenticated", "adam", dict.fromkeys(("open", "pay", "find", "acme"), "admin")),
    "owner": Caller("authenticated", "olga", dict.fromkeys(("open", "pay", "find", "acme"), "owner")),
    "another organisation's owner": Caller("authenticated", "mallory", {"evil": "owner"}),
    "a unit's editor": Caller("authenticated", "pia", {"open": "viewer", "pay": "editor", "acme": "viewer"}),
    "another unit's viewer": Caller("authenticated", "sam", {"open": "viewer", "find": "viewer", "acme": "viewer"}),
    "a runner": Caller("orbit_runner", None, {}),
}
READ = {
    # name: the least role, "self" (the person in user_id), "all" (whoever is signed in), "none", or "member" (of any project:
    # what is of no organisation, or of one's own)
    "actions": "all",
    "state_transitions": "all",
    "limits": "all",
    "setting_definitions": "all",
    "audit_log": "admin",
    "worker_tokens": "admin",
    "organization_invitations": "admin",
    "permission_assignments": "self or admin",
    "saved_searches": "self",  # or shared; those of the battlefield are not
    "api_credentials": "self",
    "workers": "member",
}
WRITE: dict[str, dict[str, str]] = {
    # name: statement → the least role, or "self"
    "users": {"update": "self"},
    "environments": dict.fromkeys(("insert", "update", "delete"), "admin"),
    "environment_variables": dict.fromkeys(("insert", "update", "delete"), "admin"),
    "user_preferences": dict.fromkeys(("insert", "update", "delete"), "self"),
    "api_credentials": dict.fromkeys(("insert", "update", "delete"), "self"),
}


def least(relation: Relation) -> str:
    """Who may read it: said above, or by its columns."""
    if relation.schema != "orbit":
        return "none"
    if relation.name in READ:
        return READ[relation.name]
    if {"organization_id", "project_id"} & set(relation.columns):
        return "viewer"
    assert "user_id" in relation.columns, f"{relation.full} is new: say in READ who may read it"
    return "self"


def places_for(caller: Caller, rule: str, field: Battlefield, relation: Relation) -> set[str]:
    """Where a caller may, by a rule."""
    if rule == "none" or caller.role != "authenticated":
        return set()
    if rule == "all" or (rule == "member" and caller.places):
        return set(field.places)
    if rule == "member":
        return set()
    found = set()
    if rule.startswith("self"):
        author = Tenants.id(caller.person) if caller.person else None
        found = {label for label, place in field.places.items() if place.author == author}
        if rule == "self":
            return found
        rule = rule.removeprefix("self or ")
    if "project_id" in relation.columns:
        return found | {label for label, role in caller.places.items() if RANK[role] >= RANK[rule]}
    # Of an organisation as a whole: the role in it counts, wherever the row was made.
    within = {"evil"} if "evil" in caller.places else set(field.places) - {"evil"} if "acme" in caller.places else set()
    role = caller.places.get("acme") or caller.places.get("evil") or "viewer"
    return found | (within if RANK[role] >= RANK[rule] else set())


# -- the battlefield -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def filled(cluster: Cluster, template: str) -> Iterator[tuple[Database, Battlefield]]:
    """One database for all attacks: each is undone."""
    with cluster.database(template) as database:

        async def make() -> Battlefield:
            async with database.connect() as connection:
                return await fill(connection)

        yield database, cluster.wait_for(make())


@pytest.fixture
def field(filled: tuple[Database, Battlefield]) -> Battlefield:
    return filled[1]


@pytest.fixture
async def connection(filled: tuple[Database, Battlefield]) -> AsyncIterator[asyncpg.Connection[Any]]:
    async with filled[0].connect() as connection:
        yield connection


async def test_every_table_has_rows_to_attack(connection: asyncpg.Connection[Any], field: Battlefield) -> None:
    """The control of all that follows: the rows are there, in every place, and the owner of the tables sees them."""
    for name, relation in field.relations.items():
        if relation.schema != "orbit" or relation.kind not in {"r", "p"} or relation.name in TENANCY:
            continue
        count = await connection.fetchval(f"select count(*) from {relation.full}")
        assert count > 0, name
        made = {label: len(field.rows.get((name, label), [])) for label in places_of(relation)}
        if any(made.values()):
            assert all(made.values()), f"{name}: {made}"
            assert count == sum(made.values()), name


@pytest.mark.parametrize("who", CALLERS)
async def test_reading(who: str, connection: asyncpg.Connection[Any], field: Battlefield) -> None:
    caller = CALLERS[who]
    names = [name for name, relation in field.relations.items() if relation.name not in TENANCY]
    outcomes = await attempt(
        connection, caller.person, caller.role, [f"select count(*) from {field.relations[name].full}" for name in names]
    )
    wrong = []
    for name, outcome in zip(names, outcomes, strict=True):
        relation = field.relations[name]
        there = {label: len(field.rows[(name, label)]) for label in field.places if (name, label) in field.rows}
        rule = least(relation)
        if rule in {"all", "member"} and not there:
            own = (
                " where coalesce(organization = any ($1), true)"
                if rule == "member"
                else " where $1::text[] is not null"
            )
            organizations = ["evil" if "evil" in caller.places else "acme"]
            total = await connection.fetchval(f"select count(*) from {relation.full}{own}", organizations)
            expected = total if places_for(caller, rule, field, relation) else 0
        elif relation.schema == "orbit" and not there:
            expected = await expected_of_view(connection, relation, places_for(caller, rule, field, relation), field)
        else:
            expected = sum(there.get(label, 0) for label in places_for(caller, rule, field, relation))
        seen = 0 if outcome.refused else int(outcome.told) if outcome.code is None else -1
        if seen != expected:
            wrong.append(f"{relation.full}: sees {seen}, should see {expected} ({there}) {outcome.code or ''}")
    assert not wrong, "\n".join(wrong)


async def expected_of_view(
    connection: asyncpg.Connection[Any], relation: Relation, places: set[str], field: Battlefield
) -> int:
    """By the columns of what it shows to its owner."""
    if not places:
        return 0
    projects = [field.places[label].project_id for label in places if label != "acme"]
    organizations = [field.places[label].organization_id for label in places]
    assert {"project_id", "organization_id"} & set(relation.columns), f"{relation.full} has no rows to attack"
    if "project_id" in relation.columns:
        return int(
            await connection.fetchval(f"select count(*) from {relation.full} where project_id = any ($1)", projects)
        )
    return int(
        await connection.fetchval(
            f"select count(*) from {relation.full} where organization_id = any ($1)", organizations
        )
    )


@pytest.mark.parametrize("who", CALLERS)
async def test_reading_who_there_is(who: str, connection: asyncpg.Connection[Any], field: Battlefield) -> None:
    """Of the tenancy itself: one's own organisation, units and projects."""
    caller = CALLERS[who]
    outcomes = await attempt(
        connection, caller.person, caller.role,
        [f"select coalesce(string_agg({column}, ',' order by {column}), '') from orbit.{name}" for name, column in (
            ("organizations", "slug"), ("projects", "slug"), ("business_units", "slug"),
            ("users", "name"), ("organization_members", "role"))],
    )  # fmt: skip
    if caller.role != "authenticated":
        assert {outcome.code for outcome in outcomes} == {"42501"}
        return
    told = [outcome.told for outcome in outcomes]
    projects = sorted(label for label in caller.places if label != "acme")
    assert told[1] == ",".join(projects)
    acme = "acme" in caller.places
    assert told[0] == ("acme" if acme else "evil" if projects else "")
    units = {
        "owner": "payments,search",
        "admin": "payments,search",
        "a unit's editor": "payments",
        "another unit's viewer": "search",
    }
    assert told[2] == units.get(who, "")
    people = "adam,ed,olga,pia,sam,vera" if acme else caller.person if caller.person else ""
    assert told[3] == people
    assert told[4] == ("admin,editor,owner,viewer,viewer,viewer" if acme else "owner" if projects else "")


async def granted(connection: asyncpg.Connection[Any], relation: Relation, privilege: str) -> list[str]:
    """The columns that people may write."""
    rows = await connection.fetch(
        "select a.attname from pg_attribute a where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped"
        " and has_column_privilege('authenticated', a.attrelid, a.attnum, $2) order by a.attnum",
        relation.full, privilege,
    )  # fmt: skip
    return [row["attname"] for row in rows]


@pytest.mark.parametrize("who", CALLERS)
async def test_writing(who: str, connection: asyncpg.Connection[Any], field: Battlefield) -> None:
    """Insert into every place, update each column (tenancy to another tenant), delete, truncate."""
    caller = CALLERS[who]
    tries: list[tuple[str, str, int, str]] = []
    for name, relation in field.relations.items():
        may = WRITE.get(relation.name, {}) if relation.schema == "orbit" else {}
        there = {label: field.rows[(name, label)] for label in field.places if (name, label) in field.rows}

        def rows_for(
            kind: str, may: dict[str, str] = may, there: dict[str, Any] = there, relation: Relation = relation
        ) -> int:
            if kind not in may:
                return 0
            if relation.name in TENANCY:
                return 1 if caller.person and caller.role == "authenticated" else 0
            return sum(len(there.get(label, ())) for label in places_for(caller, may[kind], field, relation))

        updatable = await granted(connection, relation, "update")
        insertable = await granted(connection, relation, "insert")
        tries.append((name, f"delete from {relation.full} where true", rows_for("delete"), "delete"))
        tries.append((name, f"truncate {relation.full} cascade", 0, "truncate"))
        tries += [
            (name, f'update {relation.full} set "{column}" = "{column}" where true', rows_for("update"), column)
            for column in updatable or relation.writable[:1]
        ]
        for column in {"organization_id", "project_id", "user_id", "business_unit_id"} & set(relation.columns):
            victim = field.places["pay" if caller.person == "mallory" else "evil"]
            value = getattr(victim, "author" if column == "user_id" else column) or victim.organization_id
            tries.append((name, f"update {relation.full} set \"{column}\" = '{value}' where true", 0, f"swap {column}"))
        for label in there:
            columns = insertable or [column for column in relation.writable if column in there[label][0]][:1]
            row = {column: value for column, value in there[label][0].items() if column in columns}
            quoted = ", ".join(f'"{column}"' for column in columns)
            document = json.dumps(row, default=str).replace("'", "''")
            allowed = int(label in places_for(caller, may["insert"], field, relation)) if "insert" in may else 0
            tries.append((
                name,
                (f"insert into {relation.full} ({quoted}) select {quoted}"
                f" from jsonb_populate_record(null::{relation.full}, '{document}'::jsonb)"),
                allowed, f"insert at {label}",
            ))  # fmt: skip
    outcomes = await attempt(connection, caller.person, caller.role, [statement for _, statement, _, _ in tries])
    wrong = []
    for (name, _, expected, what), outcome in zip(tries, outcomes, strict=True):
        relation = field.relations[name]
        if expected == 0:
            no_table = relation.kind == "v" and outcome.code in {"42809", "55000"}
            fine = outcome.refused or no_table or (outcome.code is None and outcome.rows == 0)
        elif what.startswith("insert"):
            fine = outcome.code in {None, "23505"}  # past row security; the same row is there already
        else:
            fine = outcome.code is None and outcome.rows == expected
        if not fine:
            wrong.append(f"{name}: {what}: {outcome.code or outcome.rows} instead of {expected} ({outcome.told[:80]})")
    assert not wrong, "\n".join(wrong)


async def test_the_owner_can_write_what_the_others_could_not(
    connection: asyncpg.Connection[Any], field: Battlefield
) -> None:
    """The control of the writes: the same statements go through for whoever stands above row security."""
    tables = [
        relation for relation in field.relations.values() if relation.kind in {"r", "p"} and relation.schema == "orbit"
    ]
    statements = [f"delete from {relation.full} where true" for relation in tables]
    statements += [f'update {relation.full} set "{relation.writable[0]}" = '
                   f'"{relation.writable[0]}" where true' for relation in tables]  # fmt: skip
    await connection.execute("set session_replication_role = replica")
    outcomes = await connection.fetch("select * from attack.attempt($1)", statements)
    refused = [statement for statement, row in zip(statements, outcomes, strict=True) if not row["rows"]]
    assert refused == []


async def test_secrets_are_in_no_column_that_people_may_select(connection: asyncpg.Connection[Any]) -> None:
    open_ = await connection.fetch(
        "select c.oid::regclass::text || '.' || a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid"
        " where c.relnamespace = any ($1::regnamespace[]) and a.attnum > 0 and not a.attisdropped"
        " and a.attname ~ '(^|_)(sealed|hash|ciphertext|password|token|private_key)$'"
        " and (has_column_privilege('authenticated', c.oid, a.attnum, 'select')"
        " or has_column_privilege('anon', c.oid, a.attnum, 'select'))",
        SCHEMAS,
    )
    assert {row[0] for row in open_} <= {"orbit.audit_log.hash"}  # what its chain is verified with


async def test_sequences_are_nobodys(connection: asyncpg.Connection[Any]) -> None:
    rows = await connection.fetch(
        "select c.oid::regclass::text, r from pg_class c, unnest('{anon,authenticated,orbit_runner}'::text[]) r"
        " where c.relkind = 'S' and c.relnamespace = any ($1::regnamespace[])"
        " and has_sequence_privilege(r, c.oid, 'usage, select, update')",
        SCHEMAS,
    )
    assert rows == []


@pytest.mark.parametrize("who", CALLERS)
async def test_broadcasts_are_nobodys(who: str, connection: asyncpg.Connection[Any]) -> None:
    """Today Orbit lets nobody into a channel: no policy on what Realtime reads."""
    await connection.execute(
        "insert into realtime.messages (topic, extension, private) values ('run:1', 'broadcast', true)"
    )
    caller = CALLERS[who]
    read, write = await attempt(
        connection, caller.person, caller.role,
        ["select count(*) from realtime.messages",
         "insert into realtime.messages (topic, extension) values ('run:1', 'broadcast')"],
    )  # fmt: skip
    assert read.code == "42501" or read.told == "0"
    assert write.code == "42501"


# -- functions -----------------------------------------------------------------------------------------------------------------

HELPERS = {
    # Functions of orbit_private that run with their owner's rights and that people may call by themselves.
    "my_organization_ids", "my_business_unit_ids", "my_project_ids", "may", "require", "sees",  # tell of the caller alone
    "preferred",  # the caller's own
    "organization_of", "business_unit_of", "project_of", "audit_chain_of",
    "visible_run", "visible_letter", "visible_pipeline",  # find what the caller sees
    "context_of", "events_of", "run_of", "run_secret_names",  # ask may_read_run
    "visible_workers",  # names of those alone that have the caller's tests
    "sealed_elsewhere",  # asks may_read_run
    "acts_administratively",  # tells of the transaction alone
    "set_paused",  # pause_schedule and resume_schedule; asks require
}  # fmt: skip
ADMINISTRATIVE = {"cleanup_expired_contexts", "set_limits", "set_worker_policy"}
"""Functions of schema orbit that no member may call, an owner neither."""


async def functions(connection: asyncpg.Connection[Any]) -> list[asyncpg.Record]:
    return list(
        await connection.fetch(
            """
            select n.nspname as schema, p.proname as name, p.oid::regprocedure::text as signature, p.prosrc as source,
                   p.prosecdef as definer, p.pronargs as arguments, coalesce(p.proargtypes[0], 0)::regtype::text as argument,
                   p.prorettype = 'trigger'::regtype as trigger,
                   array(select r from unnest('{anon,authenticated,service_role,orbit_runner}'::text[]) r
                          where has_function_privilege(r, p.oid, 'execute')
                            and has_schema_privilege(r, n.oid, 'usage')) as callers
              from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = any ($1) order by 1, 2
            """,
            SCHEMAS,
        )
    )


async def test_who_may_call_which_function(connection: asyncpg.Connection[Any]) -> None:
    found = await functions(connection)
    public = {row["name"] for row in found if row["schema"] == "orbit"}
    wrong = []
    for row in found:
        callers = set(row["callers"])
        if row["schema"] == "orbit":
            fine = callers <= {"authenticated", "service_role"} and callers and not row["definer"]
        elif row["schema"] == "orbit_runner":
            fine = callers <= {"service_role", "orbit_runner"}
        else:
            people = (
                row["name"] in HELPERS or (row["name"] in public and row["argument"] == "jsonb") or not row["definer"]
            )
            fine = callers <= ({"authenticated", "service_role"} if people else {"service_role"})
        if not fine:
            wrong.append(f"{row['signature']}: {', '.join(sorted(callers)) or 'nobody'}")
    assert not wrong, "say in HELPERS why, or take the privilege away:\n" + "\n".join(wrong)


def requests(source: str, field: Battlefield, place: str) -> list[dict[str, Any]]:
    """Requests that name what lies at a place, by the fields that a function's text says it takes."""
    fields = set()
    for listed in re.findall(r"refuse_unknown\(\s*p_request,\s*array\[([^\]]*)\]", source):
        fields |= set(re.findall(r"'([a-z_]+)'", listed))
    fields |= set(re.findall(r"p_request\s*->>?\s*'([a-z_]+)'", source))
    fields |= set(re.findall(r"required\(\s*p_request,\s*'([a-z_]+)'", source))

    def of(table: str, column: str) -> Any:
        return str(field.rows[(table, place)][0][column])

    known = {
        "organization": "acme", "project": place, "business_unit": {"pay": "payments", "find": "search"}.get(place),
        "run_id": of("orbit.test_runs", "id"), "run": of("orbit.test_runs", "id"), "base": of("orbit.test_runs", "id"),
        "suite": of("orbit.test_suites", "key"),
        "suite_id": of("orbit.test_suites", "id"), "environment": of("orbit.environments", "name"),
        "environment_id": of("orbit.environments", "id"), "test": of("orbit.test_cases", "key"),
        "test_case_id": of("orbit.test_cases", "id"), "user": str(field.places[place].author), "confirm": place,
    }  # fmt: skip
    base = {name: value for name, value in known.items() if name in fields and value is not None}
    found = [base]
    for name, column in (("id", "id"), ("name", "name"), ("key", "key"), ("token", "hash")):
        if name in fields:
            found += [
                base | {name: str(rows[0][column])}
                for (table, label), rows in field.rows.items()
                if label == place and rows[0].get(column) is not None and table.startswith("orbit.")
            ]
    return found


ATTACKERS = ("a stranger", "another organisation's owner", "another unit's viewer", "signed in as nobody")


@pytest.mark.parametrize("who", ATTACKERS)
async def test_calls_tell_nothing_and_change_nothing_of_others(
    who: str, connection: asyncpg.Connection[Any], field: Battlefield
) -> None:
    caller = CALLERS[who]
    found = await functions(connection)
    sources: dict[str, str] = {}
    for row in found:
        sources[row["name"]] = sources.get(row["name"], "") + row["source"]
    calls = [
        (row, request)
        for row in found
        if row["schema"] in {"orbit", "orbit_private"} and row["argument"] == "jsonb" and row["arguments"] == 1
        and "authenticated" in row["callers"]
        for request in requests(sources[row["name"]], field, "pay")
    ]  # fmt: skip
    outcomes = await attempt(
        connection, caller.person, caller.role,
        [f"select orbit_private_or_orbit.{row['name']}".replace("orbit_private_or_orbit", row["schema"])
         + "('" + json.dumps(request).replace("'", "''") + "'::jsonb)::text" for row, request in calls],
    )  # fmt: skip
    wrong = []
    for (row, request), outcome in zip(calls, outcomes, strict=True):
        heard = outcome.told
        for value in request.values():
            heard = heard.replace(str(value), "")  # what one says oneself is no news
        hidden = [f"MARK-{label}" for label in ("pay",) if label not in caller.places]
        leaked = [mark for mark in hidden if mark in heard]
        if leaked or outcome.changed:
            wrong.append(
                f"{row['signature']} {json.dumps(request)[:150]}: tells {leaked}, changes {outcome.changed}: {heard[:200]}"
            )
    assert not wrong, "\n".join(wrong)
    assert len(calls) > 60


@pytest.mark.parametrize("who", ATTACKERS)
async def test_helpers_tell_nothing_of_others(
    who: str, connection: asyncpg.Connection[Any], field: Battlefield
) -> None:
    """Those that take ids and not a request, with every id of a place that is not the caller's."""
    run = field.rows[("orbit.test_runs", "pay")][0]
    ids = [str(rows[0]["id"]) for (_, label), rows in field.rows.items() if label == "pay" and "id" in rows[0]]
    environment = field.rows[("orbit.environments", "pay")][0]["id"]
    document = json.dumps({"id": str(run["id"]), "queue_no": run["queue_no"]})
    literals = {
        "bigint": [str(run["queue_no"])], "integer": ["100"], "boolean": ["true"], "text": ["'captured'", "'token'", "'pay'"],
        "orbit.test_runs": [f"jsonb_populate_record(null::orbit.test_runs, '{document}')"], "timestamp with time zone": ["now()"],
        "uuid": [f"'{value}'" for value in ids if re.fullmatch(r"[0-9a-f-]{36}", value)],
    }  # fmt: skip
    statements = []
    for row in await functions(connection):
        if (
            row["schema"] != "orbit_private"
            or not row["definer"]
            or "authenticated" not in row["callers"]
            or row["trigger"]
        ):
            continue
        kinds = re.fullmatch(r".*?\((.*)\)", row["signature"], re.DOTALL)
        arguments = kinds[1].split(",") if kinds and kinds[1] else []
        if "jsonb" in arguments:
            continue
        unknown = [kind for kind in arguments if kind not in literals]
        assert not unknown, f"{row['signature']}: say in literals what {unknown} could be"
        for number in range(max(len(literals[kind]) for kind in arguments) if arguments else 1):
            values = [literals[kind][number % len(literals[kind])] for kind in arguments]
            if arguments[:2] == ["uuid", "uuid"]:
                values[0] = f"'{environment}'"
            statements.append(
                f"select string_agg(x::text, ' ') from orbit_private.{row['name']}({', '.join(values)}) x"
            )
    caller = CALLERS[who]
    outcomes = await attempt(connection, caller.person, caller.role, statements)
    told = [
        f"{statement}: {outcome.told[:200]}"
        for statement, outcome in zip(statements, outcomes, strict=True)
        if "MARK-pay" in outcome.told
    ]
    assert told == []
    heard = [
        outcome
        for outcome in await attempt(connection, "olga", "authenticated", statements)
        if "MARK-pay" in outcome.told
    ]
    assert len(heard) >= 2, "the control: whoever may is told"


async def test_the_same_calls_tell_the_owner(connection: asyncpg.Connection[Any], field: Battlefield) -> None:
    """The control of the calls: they name what is there, and whoever may hears of it."""
    found = [row for row in await functions(connection) if row["schema"] == "orbit" and row["argument"] == "jsonb"]
    private = {row["name"]: row["source"] for row in await functions(connection) if row["schema"] == "orbit_private"}
    told, refused = set(), set()
    for row in found:
        statements = [
            f"select orbit.{row['name']}('" + json.dumps(request).replace("'", "''") + "'::jsonb)::text"
            for request in requests(row["source"] + private.get(row["name"], ""), field, "pay")
        ]
        outcomes: list[Attempt] = await attempt(connection, "olga", "authenticated", statements)
        (told if any(outcome.code not in {"OR002", "OR003", "42501"} for outcome in outcomes) else refused).add(
            row["name"]
        )
    assert refused == ADMINISTRATIVE, "no request made for these is one that its owner may make: teach `requests`"
    assert len(told) > 15
