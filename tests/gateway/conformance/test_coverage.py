"""Every function of the contract has a case here."""

from __future__ import annotations

import ast
from pathlib import Path

from orbit_context.gateway.port import FUNCTIONS

_ASKING = {"both", "call", "refused"}


def called(source: str) -> set[str]:
    """The functions that a test file names where it asks: the first argument of both(), call() or refused()."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in _ASKING
            and node.args
        ):
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                names.add(first.value)
    return names


def test_every_function_of_the_contract_is_called_over_both_ways() -> None:
    files = [path for path in Path(__file__).parent.glob("test_*.py") if path.name != Path(__file__).name]
    named = set().union(*(called(path.read_text(encoding="utf-8")) for path in files))
    missing = sorted(set(FUNCTIONS) - named)
    assert not missing, (
        f"no conformance case for {', '.join(missing)}: see the head of conftest.py for how to write one"
    )
    assert not named - set(FUNCTIONS), "called, and not in the contract"


def test_a_call_in_a_comment_is_none() -> None:
    assert called('# me.call("get_run")\nx = "me.call(\'get_run\')"\nme.called("get_run")') == set()
    assert called('async def f():\n    await me.call("get_run", run_id=1)') == {"get_run"}
