"""`orbit secret`: values come by standard input or a file, and go out only where they are asked for."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING

from orbit_context.seal import Sealer, generate_key

if TYPE_CHECKING:
    from support.command import OrbitCommand

VALUE = 'pa"ss\\wörd <1>'


async def fed(orbit: OrbitCommand, text: str, *arguments: str) -> tuple[int, str, str]:
    """A command that is given `text` on standard input."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orbit_runner", *arguments,
        cwd=orbit.folder, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"ORBIT_DATABASE_URL": orbit.dsn, "ORBIT_SECRET_KEY": orbit.key},
    )  # fmt: skip
    out, err = await process.communicate(text.encode())
    return process.returncode or 0, out.decode(), err.decode()


async def test_a_secret_through_its_life(orbit: OrbitCommand) -> None:
    environment = orbit.write("staging.yaml", "environment: staging\nvariables: {host: h}\n")
    assert (await orbit("env", "save", str(environment))).code == 0
    code, out, err = await fed(orbit, f"{VALUE}\n", "secret", "set", "password", "--env", "staging")
    assert (code, out) == (0, "set environment:staging:password\n"), err
    listed = await orbit("secret", "list")
    assert "environment:staging:password" in listed.stdout
    assert VALUE not in listed.stdout + (await orbit("secret", "list", "--json")).stdout
    got = await orbit("secret", "get", "password", "--env", "staging")
    assert got.stdout == f"{VALUE}\n"
    new = generate_key()
    rotated = await orbit("secret", "rotate", ORBIT_SECRET_KEY=f"{new},{orbit.key}")
    assert (rotated.code, rotated.stdout) == (0, "rotated 1 secret\n")
    refused = await orbit("secret", "get", "password", "--env", "staging")
    assert refused.code == 4
    assert "a key that is not here" in refused.stderr
    again = await orbit("secret", "get", "password", "--env", "staging", "--json", ORBIT_SECRET_KEY=new)
    assert json.loads(again.stdout)["value"] == VALUE
    [row] = json.loads((await orbit("secret", "list", "--json")).stdout)
    assert row["key_id"] == Sealer(new).key_id
    assert (await orbit("secret", "rm", "password", "--env", "staging")).code == 0
    assert (await orbit("secret", "list")).stdout == "There are no secrets; set one: orbit secret set NAME\n"


async def test_secrets_from_an_env_file(orbit: OrbitCommand) -> None:
    file = orbit.write("secrets.env", f"# ours\n\nexport TOKEN='{VALUE}'\nOTHER=a=b\n")
    assert (await orbit("secret", "set", "--from-file", str(file))).code == 0
    assert (await orbit("secret", "get", "TOKEN")).stdout == f"{VALUE}\n"
    assert (await orbit("secret", "get", "OTHER")).stdout == "a=b\n"
    bad = await orbit("secret", "set", "--from-file", str(orbit.write("bad.env", f"TOKEN={VALUE}\n{VALUE}\n")))
    assert bad.code == 4
    assert "line 2 is not NAME=VALUE" in bad.stderr
    assert "wörd" not in bad.stderr


async def test_without_a_value_nothing_is_set(orbit: OrbitCommand) -> None:
    refused = await orbit("secret", "set", "password")
    assert refused.code == 4
    assert "no value for password" in refused.stderr
    assert (await orbit("secret", "set")).code == 4


async def test_without_a_key_a_secret_is_refused_and_not_repeated(orbit: OrbitCommand) -> None:
    file = orbit.write("secrets.env", f"TOKEN={VALUE}\n")
    refused = await orbit("secret", "set", "--from-file", str(file), ORBIT_SECRET_KEY=None)
    assert refused.code == 4
    assert "there is no secret key" in refused.stderr
    assert "wörd" not in refused.stderr + refused.stdout
