"""Which names the templates of a value say, as SQL finds them: the same as the template language itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from orbit_context.template import NAMESPACES, compile_value

if TYPE_CHECKING:
    import asyncpg

VALUES: list[tuple[Any, set[str]]] = [
    ("plain", set()),
    ("{ {no} } }}", set()),
    ("{{a}}", {"a"}),
    ("{{ a }} and {{b.c[0].d}}", {"a", "b"}),
    ({"url": "{{base}}/x", "deep": [{"k": "{{n1}}"}, "{{n2}}"]}, {"base", "n1", "n2"}),
    ({"{{key}}": "{{value}}"}, {"key", "value"}),
    ("{{vars.user}} {{env.host}}", {"user", "host"}),
    ("{{ vars['user'] }} {{env[\"host\"].x}}", {"user", "host"}),
    ("{{ vars['a name'] }}", {"a name"}),
    ("{{captured_data.login.token}} {{shared_auth_tokens.t}} {{row.x}} {{run.id}} {{test.key}} {{shared_variables.v}}", set()),
    ("{{a | upper}} {{b|default(c)}}", {"a", "b", "c"}),
    ("{{a ?? b ?? 'c'}}", {"a", "b"}),
    ("{{uuid()}} {{random_int(1, n)}}", {"n"}),
    ("{{random_int(a=low, b=high)}}", {"low", "high"}),
    ("{{a ?? '}}'}} {{b}}", {"a", "b"}),
    ("{{a ?? \"say \\\"x\\\" }}\"}} {{b}}", {"a", "b"}),
    ("{{a ?? 'it\\'s q'}} {{b}}", {"a", "b"}),
    ("{{true}} {{x ?? null}} {{1}} {{1e5}} {{'x'}}", {"x"}),
    ("{{with-hyphen}} {{ünï}} {{_u1}}", {"with-hyphen", "ünï", "_u1"}),
    ("line\n{{a\n}}\ttab", {"a"}),
    ("back\\slash {{a}}", {"a"}),
    ("{{captured_data['b'][0].x}} {{items[0].b}}", {"items"}),
]  # fmt: skip


async def test_names_are_found(connection: asyncpg.Connection[Any]) -> None:
    found = {}
    for value, _ in VALUES:
        written = json.dumps(value)
        found[written] = set(await connection.fetchval("select orbit_private.names_in($1::text::jsonb)", written))
    assert found == {json.dumps(value): names for value, names in VALUES}


def test_the_cases_are_templates() -> None:
    """As the template language reads them: what it calls a variable is what SQL has to find."""
    for value, names in VALUES:
        said = set()
        for reference in compile_value(value).references:
            if reference.is_bare:
                said.add(reference.root)
            elif reference.root in ("vars", "env") and reference.path:
                said.add(str(reference.path[0]))
            assert reference.is_bare or reference.root in NAMESPACES
        assert said == names, value
