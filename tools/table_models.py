"""Writes orbit_context/models/tables.py: one model for each table and view of schema orbit, as PostgREST gives its rows.

python tools/table_models.py "$(orbit db url)" > orbit_context/models/tables.py      (make types)

The catalog is the one source: columns, types, what may be null, the values that a CHECK lists, and the comments.
"""

from __future__ import annotations

import asyncio
import re
import sys
import textwrap
from typing import Any

import asyncpg

__all__ = ["render"]

_COLUMNS = """
select c.relname as relation, obj_description(c.oid, 'pg_class') as relation_comment,
       a.attname as name, format_type(a.atttypid, null) as type, a.attnotnull as required,
       col_description(c.oid, a.attnum) as comment,
       (select min(pg_get_constraintdef(k.oid)) from pg_constraint k
          where k.conrelid = c.oid and k.contype = 'c' and k.conkey = array[a.attnum]
            and pg_get_constraintdef(k.oid) like 'CHECK ((% = ANY (ARRAY[%') as rule
  from pg_class c join pg_attribute a on a.attrelid = c.oid
  where c.relnamespace = 'orbit'::regnamespace and c.relkind in ('r', 'p', 'v') and a.attnum > 0 and not a.attisdropped
  order by c.relname, a.attnum
"""

_TYPES = {
    "uuid": "UUID",
    "text": "str",
    "inet": "str",
    "bytea": "str",
    "boolean": "bool",
    "smallint": "int",
    "integer": "int",
    "bigint": "int",
    "real": "float",
    "double precision": "float",
    "numeric": "float",
    "jsonb": "Any",
    "date": "date",
    "timestamp with time zone": "datetime",
    "interval": "str",
}
_SINGULAR = {
    "failure_analysis": "FailureAnalysis",
    "fixture_usage": "FixtureUsage",
    "user_preferences": "UserPreferences",
    "audit_log": "AuditLogEntry",
    "notification_outbox": "NotificationOutboxEntry",
}
_HEAD = '''"""One model for each table and view of schema `orbit`, as PostgREST gives its rows.

Written by tools/table_models.py from the database's catalog (`make types`); never by hand.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, ClassVar, Literal
from uuid import UUID

from orbit_context.models.base import Message
'''


def class_name(relation: str) -> str:
    """`test_runs` → `TestRun`: one row."""
    if relation in _SINGULAR:
        return _SINGULAR[relation]
    *first, last = relation.split("_")
    if last.endswith("ies"):
        last = last[:-3] + "y"
    elif last.endswith(("ches", "shes", "sses")):
        last = last[:-2]
    elif last.endswith("s") and not last.endswith("ss"):
        last = last[:-1]
    return "".join(part.capitalize() for part in [*first, last])


def annotation(type_name: str, rule: str | None) -> str:
    if type_name.endswith("[]"):
        return f"list[{annotation(type_name[:-2], None)}]"
    listed = re.fullmatch(r"CHECK \(\(\w+ = ANY \(ARRAY\[([^\]]*)\]\)\)\)", rule or "")
    if listed and type_name == "text":
        values = re.findall(r"'([^']*)'::text", listed[1])
        return f"Literal[{', '.join(repr(value) for value in values)}]".replace("'", '"')
    return _TYPES[type_name]


def docstring(text: str | None) -> str:
    quoted = (text or "").replace("\\", "\\\\").replace('"""', "'''")
    lines = textwrap.wrap(
        f'"""{quoted} """' if quoted.endswith('"') else f'"""{quoted}"""', 114, break_long_words=False
    )
    return "\n".join(f"    {line}" for line in lines)


async def render(connection: asyncpg.Connection[Any]) -> str:
    """The module's text, not yet formatted."""
    rows = await connection.fetch(_COLUMNS)
    relations: dict[str, list[asyncpg.Record]] = {}
    for row in rows:
        relations.setdefault(row["relation"], []).append(row)
    names = {relation: class_name(relation) for relation in relations}
    lines = [_HEAD, "__all__ = [", *(f'    "{name}",' for name in sorted(names.values())), "]\n"]
    for relation, columns in relations.items():
        lines += ["", f"class {names[relation]}(Message):", docstring(columns[0]["relation_comment"]), ""]
        if names[relation].startswith("Test"):
            lines += ["    __test__: ClassVar[bool] = False", ""]
        for column in columns:
            kind = annotation(column["type"], column["rule"])
            if not column["required"] and kind != "Any":
                kind = f"{kind} | None"
            default = "" if column["required"] else " = None"
            lines.append(f"    {column['name']}: {kind}{default}")
            if column["comment"]:
                lines.append(docstring(column["comment"]))
        lines.append("")
    return "\n".join(lines)


async def main(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        sys.stdout.write(await render(connection))
    finally:
        await connection.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
