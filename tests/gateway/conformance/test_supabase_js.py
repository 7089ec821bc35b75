"""The same calls by the library that dashboards and Edge Functions use, under Deno: supabase-js."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from orbit_runner.local.npm import deno
from orbit_runner.local.rest import packages
from support.gateways import told
from support.queue import suite

from orbit_context.errors import OrbitError

if TYPE_CHECKING:
    from support.gateways import Account, Gateways


def lock_supabase_js(folder: Path) -> None:
    """A deno.json and a lock for the supabase-js that the REST server's packages bring along: no more is fetched."""
    lock = json.loads((packages.SOURCES / "deno.lock").read_text())
    (resolved,) = [name for name in lock["npm"] if name.startswith("@supabase/supabase-js@")]
    version = resolved.removeprefix("@supabase/supabase-js@")
    specifier = f"npm:@supabase/supabase-js@{version.partition('_')[0]}"
    lock["specifiers"] = {specifier: version}
    (folder / "deno.lock").write_text(json.dumps(lock | {"workspace": {"dependencies": [specifier]}}))
    (folder / "deno.json").write_text(json.dumps({"imports": {"@supabase/supabase-js": specifier}}))


async def supabase_js(
    gateways: Gateways, account: Account, calls: list[tuple[str, dict[str, Any]]], folder: Path
) -> dict[str, Any]:
    """What supabase-js answers to the account's calls."""
    lock_supabase_js(folder)
    argv = [deno(), "run", "--quiet", "--no-prompt", "--no-check", "--cached-only", f"--config={folder / 'deno.json'}"]
    argv += [
        f"--allow-net=127.0.0.1:{urlsplit(gateways.server.url).port}",
        "--allow-env",
        str(Path(__file__).with_name("calls.ts")),
    ]
    program = await asyncio.create_subprocess_exec(
        *argv,
        env={
            "PATH": os.environ["PATH"],
            "DENO_DIR": str(packages.install()),
            "DENO_NO_UPDATE_CHECK": "1",
            "NO_COLOR": "1",
        },
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    asked = {
        "url": gateways.server.url,
        "key": gateways.server.keys.publishable,
        "email": account.email,
        "password": account.password,
        "calls": calls,
    }
    answer, words = await program.communicate(json.dumps(asked).encode())
    assert program.returncode == 0, words.decode()
    return dict(json.loads(answer))


async def test_supabase_js_hears_what_the_gateways_hear(gateways: Gateways, tmp_path: Path) -> None:
    account = await gateways.account("editor")
    me = await gateways.of(account)
    await me.postgres.call("save_suite", suite({"a": [], "b": [("a", "data")]}))
    run = (await me.postgres.call("start_run", {"suite": "suite", "variables": {"é": [1.5, None, "123"]}}))["id"]
    await me.postgres.call("cancel_run", {"run_id": run})
    calls: list[tuple[str, dict[str, Any]]] = [
        ("get_run", {"run_id": run}),
        ("list_runs", {"limit": 5}),
        ("list_results", {"run_id": run, "details": True}),
        ("read_events", {"run_id": run}),
        ("get_context", {"run_id": run}),
        ("get_run", {"run_id": "nonsense"}),
        ("get_run", {"run_id": "00000000-0000-0000-0000-000000000000"}),
        ("start_run", {"suite": "suite", "colour": "red"}),
        ("save_suite", suite({"a": ["b"], "b": ["a"]})),
    ]
    heard = await supabase_js(gateways, account, calls, tmp_path)
    assert heard["user"] == account.email
    for (function, request), answer in zip(calls, heard["answers"], strict=True):
        expected: dict[str, Any] = {"data": None, "error": None, "status": 200}
        try:
            expected["data"] = await me.both(function, **request)
        except OrbitError as refusal:
            seen = told(refusal)
            words = {"message": seen["message"], "details": seen["detail"], "hint": seen["hint"]}
            expected |= {"error": {"code": seen["sqlstate"]} | words, "status": 400}
        if answer["error"]:
            answer["error"] = {name: word or None for name, word in answer["error"].items()}
        assert answer == expected, function
