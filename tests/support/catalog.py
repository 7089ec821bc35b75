"""A database's catalog as it is, rows and object ids: what is equal before and after was not touched, nor made anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncpg

__all__ = ["catalog_without_orbit", "difference", "schema_objects"]

# Of each catalog: the columns that say nothing about a definition, and where a row lies (`t` is the row).
_STATISTICS = (
    "relpages,reltuples,relallvisible,relallfrozen,relfrozenxid,relminmxid,relhastriggers,relhassubclass,relhasindex"
)
_CATALOGS: dict[str, tuple[str, str]] = {
    "pg_namespace": ("", "t.oid"),
    "pg_class": (_STATISTICS, "t.relnamespace"),
    "pg_attribute": ("attstattarget", "(select c.relnamespace from pg_class c where c.oid = t.attrelid)"),
    "pg_attrdef": ("", "(select c.relnamespace from pg_class c where c.oid = t.adrelid)"),
    "pg_proc": ("", "t.pronamespace"),
    "pg_type": ("", "t.typnamespace"),
    "pg_enum": ("", "(select y.typnamespace from pg_type y where y.oid = t.enumtypid)"),
    "pg_constraint": ("", "t.connamespace"),
    "pg_index": ("", "(select c.relnamespace from pg_class c where c.oid = t.indexrelid)"),
    "pg_trigger": ("", "(select c.relnamespace from pg_class c where c.oid = t.tgrelid)"),
    "pg_policy": ("", "(select c.relnamespace from pg_class c where c.oid = t.polrelid)"),
    "pg_rewrite": ("", "(select c.relnamespace from pg_class c where c.oid = t.ev_class)"),
    "pg_sequence": ("", "(select c.relnamespace from pg_class c where c.oid = t.seqrelid)"),
    "pg_default_acl": ("", "null::oid"),
    "pg_extension": ("", "null::oid"),
    "pg_event_trigger": ("", "null::oid"),
    "pg_publication": ("", "null::oid"),
    "pg_publication_rel": ("", "null::oid"),
    "pg_cast": ("", "null::oid"),
    "pg_language": ("", "null::oid"),
    "pg_auth_members": ("", "null::oid"),
    "pg_roles": ("", "null::oid"),
    "pg_db_role_setting": ("", "null::oid"),
}


async def catalog_without_orbit(connection: asyncpg.Connection[Any]) -> dict[str, set[str]]:
    """Every row of every catalog that is not Orbit's, nor lies in the migrations' history."""
    left_out = "('orbit', 'orbit_private', 'orbit_runner', 'supabase_migrations')"
    found = {}
    for name, (ignored, namespace) in _CATALOGS.items():
        rows = await connection.fetch(
            f"select (to_jsonb(t) - $1::text[])::text as row from pg_catalog.{name} t"
            f" left join pg_catalog.pg_namespace n on n.oid = {namespace}"
            f" where n.oid is null or (n.nspname not in {left_out} and n.nspname !~ '^pg_(toast|temp)')",
            ignored.split(","),
        )
        found[name] = {row["row"] for row in rows if '"rolname": "orbit_runner"' not in row["row"]}
    role = await connection.fetchval("select oid::text from pg_roles where rolname = 'orbit_runner'")
    if role:  # its maker is a member of it, since 16
        found["pg_auth_members"] = {row for row in found["pg_auth_members"] if f'"roleid": "{role}"' not in row}
    return found


def difference(before: dict[str, set[str]], after: dict[str, set[str]]) -> dict[str, tuple[set[str], set[str]]]:
    """Rows that went and rows that came, by catalog."""
    return {
        name: (before[name] - after[name], after[name] - before[name]) for name in before if before[name] != after[name]
    }


async def schema_objects(connection: asyncpg.Connection[Any]) -> dict[str, str]:
    """What Orbit's migrations made, by name, with a digest of each definition."""
    rows = await connection.fetch("select name, digest from orbit_private.schema_object")
    return {row["name"]: row["digest"] for row in rows}
