"""Every function of the contract has a case here."""

from __future__ import annotations

import ast
from pathlib import Path

from orbit_context.gateway.port import FUNCTIONS

_ONE_WAY = {"gateway", "tenants", "connection"}
"""What a single way is called in these files: a call of theirs compares nothing."""


def called(source: str) -> set[str]:
    """The functions that a test file asks over both ways: `someone.both("f", …)`, `me.call("f", …)`, `me.refused("f", …)`."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=who), attr="both" | "refused" | "call"),
                args=[ast.Constant(value=str(name)), *_],
            ) if who not in _ONE_WAY:
                names.add(name)
            case ast.Call(
                func=ast.Attribute(value=ast.Call(), attr="both" | "refused"), args=[ast.Constant(value=str(name)), *_]
            ):
                names.add(name)
    return names


def test_every_function_of_the_contract_is_called_over_both_ways() -> None:
    files = [path for path in Path(__file__).parent.glob("test_*.py") if path.name != Path(__file__).name]
    named = set().union(*(called(path.read_text(encoding="utf-8")) for path in files))
    missing = sorted(set(FUNCTIONS) - named)
    assert not missing, (
        f"no conformance case for {', '.join(missing)}: see the head of conftest.py for how to write one"
    )
    assert not named - set(FUNCTIONS), "called, and not in the contract"


def test_what_counts_as_asked_over_both_ways() -> None:
    for source in (
        '# me.call("f")',
        "x = \"me.call('f')\"",
        'me.called("f")',
        'me.call(name, x="f")',
        'me.postgres.call("f", {})',
        'gateway.call("f", {})',
        'gateways.tenants.call("f", {})',
        'gateways.rest(key).call("f", {})',
    ):
        assert called(source) == set(), source
    for source in ('me.call("f", run_id=1)', 'someone.both("f")', 'me.refused("f")', 'gateways.service().both("f")'):
        assert called(f"async def story():\n    await {source}") == {"f"}, source
