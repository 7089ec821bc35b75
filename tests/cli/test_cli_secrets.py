"""Secrets are nowhere in clear: not in a table, a stream, a report or the server's log."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from support.target import Target

if TYPE_CHECKING:
    import asyncio

    import asyncpg
    from support.command import OrbitCommand
    from support.hostile import Request
    from support.postgres import Cluster, Database

SECRETS = {
    "password": 'p4ss "quoted" \\ & <é> canary',
    "api_key": "key-canary-8fe1b2",
    "env_secret": "canary-of-the-environment",
    "sealed_name": "canary-saved-under-a-name",
    "override": "canary-by-the-command-line",
}
TOKEN = "tok-canary-Zx81+/="
CAPTURED = "canary-that-was-captured"


class Teller(Target):
    """Gives out a secret, and says back whatever it is told: in errors, headers, cookies and encodings."""

    async def do_make(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self._say(writer, request, {"secret": CAPTURED, "nested": {"a": [CAPTURED]}})

    async def do_tell(self, request: Request, writer: asyncio.StreamWriter) -> None:
        said = request.body.decode() + request.target + str(request.headers)
        told = {
            "error": f"invalid credentials: {said}",
            "base64": base64.b64encode(said.encode()).decode(),
            "url": quote(said),
            "hex": said.encode().hex(),
        }
        headers = [("Content-Type", "application/json"), ("X-Echo", quote(said)), ("Set-Cookie", f"echo={quote(said)}")]
        self.reply(writer, request, 403, json.dumps(told).encode(), headers)


def spellings(secret: str) -> set[str]:
    """How a secret may be written down."""
    raw = secret.encode()
    written = {secret, quote(secret), quote(secret, safe=""), json.dumps(secret)[1:-1], raw.hex()}
    written |= {base64.b64encode(raw).decode().rstrip("="), json.dumps(secret, ensure_ascii=False)[1:-1]}
    written |= {json.dumps(json.dumps(secret)[1:-1])[1:-1]}
    return written


async def everything(connection: asyncpg.Connection[Any]) -> str:
    """All text of all rows of all tables, materialised views and large objects' comments of the database."""
    tables = await connection.fetch(
        "select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where c.relkind in ('r', 'm') and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_toast'"
    )
    assert {"orbit_private.context_entry", "orbit.environment_variables"} <= {table["name"] for table in tables}
    parts = []
    for table in tables:
        rows = await connection.fetch(f"select t::text as row from {table['name']} t")
        parts += [f"{table['name']}: {row['row']}" for row in rows]
    return "\n".join(parts)


async def test_no_secret_is_found_anywhere(
    orbit: OrbitCommand, database: Database, cluster: Cluster, tmp_path: Path
) -> None:
    async with database.connect() as connection:
        log = Path(await connection.fetchval("select current_setting('data_directory')")).parent / "postgres.log"
        logged = log.stat().st_size if log.exists() else 0
    server = Teller(token=TOKEN)
    async with server:
        names = (
            "password",
            "api_key",
            "env_secret",
            "override",
            "captured_data.make.value",
            "shared_auth_tokens.token",
        )
        all_of_them = " ".join(f"{{{{{name}}}}}" for name in names)
        tests: dict[str, Any] = {
            "login": {
                "request": {"POST": "/login", "json": {"password": "{{password}}"}},
                "capture": {"token": {"json": "$.access_token", "share": "token"}},
            },
            "make": {
                "request": "/make",
                "capture": {"value": {"json": "$.secret", "secret": True}, "all": {"json": "$.nested", "secret": True}},
            },
            "basic": {"request": {"GET": "/tell", "auth": {"basic": {"username": "u", "password": "{{password}}"}}}},
            "bearer": {"request": {"GET": "/tell", "auth": {"bearer": "{{shared_auth_tokens.token}}"}}},
            "api_key": {"request": {"GET": "/tell", "auth": {"api_key": {"name": "X-Key", "value": "{{api_key}}"}}}},
            "key_in_query": {
                "request": {"GET": "/tell", "auth": {"api_key": {"name": "k", "value": "{{api_key}}", "in": "query"}}}
            },
            "body": {"request": {"POST": "/tell", "json": {"all": all_of_them, "{{api_key}}": 1}}},
            "query": {
                "request": {
                    "GET": "/tell",
                    "query": {"q": all_of_them},
                    "headers": {"X-All": "{{api_key}} {{override}}"},
                }
            },
            "form": {"request": {"POST": "/tell", "form": {"f": all_of_them}, "cookies": {"c": "{{env_secret}}"}}},
            "shows": {
                "request": {"POST": "/echo", "json": {"is": all_of_them}},
                "expect": {"json": {"$.body": "not {{password}}"}},
            },
            "finds": {
                "request": {"POST": "/echo", "body": "{{captured_data.make.value}}"},
                "expect": {"body": {"not_contains": "{{captured_data.make.value}}"}},
            },
            "matches": {
                "request": {"POST": "/echo", "body": "{{api_key}}"},
                "expect": {"json": {"$.body": {"matches": "^{{override}}$"}}},
            },
            "nowhere": {"request": "http://127.0.0.1:9/{{api_key}}?p={{password}}"},
            "no_url": {"request": "http://{{override}} {{password}}/"},
            "no_json": {"request": {"POST": "/tell", "body": "{{password}}"}, "capture": {"x": "$.nope"}},
            "retried": {
                "request": {"POST": "/tell", "body": "{{env_secret}}"},
                "retry": {"max": 1, "on": "any", "backoff": {"initial": "1ms"}},
            },
        }
        variables: dict[str, Any] = {"from_it": "prefix-{{api_key}}", "env_secret": {"value": None, "secret": True}}
        variables |= {name: {"value": SECRETS[name], "secret": True} for name in ("password", "api_key")}
        variables["override"] = {"value": "to be replaced", "secret": True}
        environment = orbit.write(
            "e.yaml",
            f"environment: saved\nsecrets: {{env_secret: {SECRETS['env_secret']}, other: {SECRETS['sealed_name']}}}\n",
        )
        assert (await orbit("env", "save", environment)).code == 0
        environment.unlink()
        suite = orbit.suite(tests, base_url=server.url(""), variables=variables)
        reports = [part for kind in ("junit", "html", "json") for part in ("--report", f"{kind}=report.{kind}")]
        override = f"override={SECRETS['override']}"
        done = await orbit("run", suite, "--json", "--env", "saved", "--var", override, *reports)
        assert done.code == 1, done.stderr
        assert done.statuses()["login"] == done.statuses()["make"] == "passed", done.stderr
        assert len([status for status in done.statuses().values() if status not in ("passed", "skipped")]) == 14
        sent = "".join(request.body.decode("latin-1") + request.target for request in server.requests)
        assert CAPTURED in sent  # the secrets were used
        shown = [
            await orbit(*words)
            for words in (("show", "last"), ("show", "last", "--json"), ("logs", "last"), ("logs", "last", "shows"))
        ]
    assert shown[0].code == 1

    places = {f"report.{kind}": (tmp_path / f"report.{kind}").read_text() for kind in ("junit", "html", "json")}
    places |= {"stdout": done.stdout, "stderr": done.stderr}
    places |= {f"shown {number}": each.stdout + each.stderr for number, each in enumerate(shown)}
    async with database.connect() as connection:
        places["the database"] = await everything(connection)
        assert "orbit.seal.v1." in places["the database"]
    if log.exists():
        with log.open("rb") as opened:
            opened.seek(logged)
            places["the server's log"] = opened.read().decode(errors="replace")
    found = []
    for name, secret in {**SECRETS, "token": TOKEN, "captured": CAPTURED, "key": orbit.key}.items():
        for place, text in places.items():
            found += [
                f"{name} as {spelling!r} in {place}: …{text[max(at.start() - 60, 0) : at.end() + 20]}"
                for spelling in spellings(secret)
                for at in [re.search(re.escape(spelling), text)]
                if at
            ]
    assert found == []
    assert "***" in places["stderr"]
