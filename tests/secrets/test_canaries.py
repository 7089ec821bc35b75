"""Twenty awkward secrets, said back by a server in fourteen encodings: nowhere is any of them found afterwards.

The same search finds a value that is no secret, in every place where it may be.
"""

from __future__ import annotations

import asyncio
import base64
import html
import json
import traceback
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus
from uuid import uuid4

from support.target import Target

from orbit_context.client import Orbit
from orbit_context.context import secret_place
from orbit_context.seal import Sealer
from orbit_context.suite.load import load_suite
from orbit_context.suite.variables import resolve_variables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import asyncpg
    from support.command import Done, OrbitCommand
    from support.hostile import Request
    from support.postgres import Database

CANARIES = {
    "c00": "can-8chr",
    "c01": 'quo"ted-canary-1',
    "c02": "back\\slash\\canary\\2",
    "c03": "<angle>canary</angle>",
    "c04": "amp&ersand&canary&4",
    "c05": "per%cent%20canary%2F5",
    "c06": "plus+canary+six+6",
    "c07": "eq=uals=canary==7",
    "c08": "sla/sh/canary/eight",
    "c09": "café-crème-canari-é9",
    "c10": "with some spaces canary 10",
    "c11": "840917365528104417",
    "c12": "Y2FuYXJ5LXR3ZWx2ZS1sb29rcw==",
    "c13": "eyJhbGciOiJub25lIn0.canary13.",
    "c14": "it's'quoted'canary'14",
    "c15": "sémi;colon:canary,fifteen",
    "c16": "{curly}[canary]sixteen",
    "c17": "deadbeefcafe1717deadbeefcafe1717",
    "c18": "ünïcödé€canary-18-日本",
    "c19": "all \"of\\<them>%é+/=&' canary 19",
}
PLAIN = 'no "secret" <at> all & so/to be=found é'


def _offset(text: str, before: bytes) -> str:
    return base64.b64encode(before + text.encode()).decode()


def _traceback(text: str) -> str:
    try:
        raise ValueError({"password": text})
    except ValueError:
        return traceback.format_exc()


ENCODINGS = {
    "plain": str,
    "json": lambda s: json.dumps({"p": s}),
    "json in json": lambda s: json.dumps({"body": json.dumps({"p": s})}),
    "url": lambda s: quote(s, safe=""),
    "double url": lambda s: quote(quote(s, safe=""), safe=""),
    "form": lambda s: f"p={quote_plus(s)}",
    "html": lambda s: f"<p>{html.escape(s)}</p>",
    "base64": lambda s: _offset(s, b""),
    "base64 offset 1": lambda s: _offset(s, b"u"),
    "base64 offset 2": lambda s: _offset(s, b"u:"),
    "base64url": lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
    "hex": lambda s: s.encode().hex(),
    "header": lambda s: f"Authorization: Bearer {s}",
    "traceback": _traceback,
}


def spellings(secret: str) -> set[str]:
    """What of each encoding depends on the secret alone."""
    inner = json.dumps(secret)[1:-1]
    found = {secret, inner, json.dumps(secret, ensure_ascii=False)[1:-1], json.dumps(inner)[1:-1], repr(secret)[1:-1]}
    found |= {quote(secret, safe=""), quote(quote(secret, safe=""), safe=""), quote_plus(secret), html.escape(secret)}
    found |= {secret.encode().hex(), base64.urlsafe_b64encode(secret.encode()).decode().rstrip("=")[:-1]}
    # Without the first and last characters, which what stands around it has a share in.
    found |= {base64.b64encode(b"\0" * n + secret.encode() + b"\0\0").decode()[4:-6] for n in range(3)}
    return found


class Teller(Target):
    """Says back the body it is sent, in every encoding, in body and headers."""

    async def do_tell(self, request: Request, writer: asyncio.StreamWriter) -> None:
        said = request.body.decode()
        told = "\n".join(f"{name}: {encode(said)}" for name, encode in ENCODINGS.items())
        headers = [("X-Echo", quote(said)), ("X-Base64", _offset(said, b"u:")), ("Set-Cookie", f"s={quote(said)}")]
        self.reply(writer, request, 500, told.encode(), [("Content-Type", "text/plain; charset=utf-8"), *headers])

    async def do_give(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self._say(writer, request, {"echo": request.body.decode()})


def suite_of(names: Iterable[str]) -> dict[str, Any]:
    """For each name a test that fails with all the server said, one that captures it as secret, one that uses the capture."""
    tests: dict[str, Any] = {}
    for n, name in enumerate(names):
        value = f"{{{{{name}}}}}"
        auth = (
            {"bearer": "{{c00}}"},
            {"basic": {"username": "u", "password": value}},
            {"api_key": {"name": "k", "value": value, "in": "query"}},
        )[n % 3]
        tests[f"told-{name}"] = {
            "request": {"POST": "/tell", "body": value, "auth": auth},
            "expect": {"status": 200, "body": {"not_contains": value}},
        }
        tests[f"took-{name}"] = {
            "request": {"POST": "/give", "body": value},
            "expect": {"status": 200},
            "capture": {"got": {"json": "$.echo", "secret": True, **({"share": "token"} if n % 4 == 0 else {})}},
        }
        tests[f"uses-{name}"] = {
            "request": {"POST": "/tell", "body": f"{{{{captured_data.took-{name}.got}}}}"},
            "expect": {"status": 200, "body": f"is {{{{captured_data.took-{name}.got}}}}"},
        }
    tests["plain"] = {"request": {"POST": "/tell", "body": "{{plain}}"}, "expect": {"status": 200}}
    return tests


def strings(value: Any) -> Iterator[str]:
    """Every text in a JSON value, names included, and in texts that are JSON themselves."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield name
            yield from strings(member)
    elif isinstance(value, list):
        for member in value:
            yield from strings(member)
    elif isinstance(value, str):
        yield value
        if value[:1] in ("{", "[", '"'):
            with suppress(ValueError):
                yield from strings(json.loads(value))
    elif value is not None:
        yield str(value)


async def tables(connection: asyncpg.Connection[Any]) -> dict[str, str]:
    """What every table holds, partitions and all: as text, and with what JSON escapes taken back."""
    names = await connection.fetch(
        "select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where c.relkind in ('r', 'm') and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_toast'"
    )
    held: dict[str, str] = {}
    for name in (row["name"] for row in names):
        rows = await connection.fetch(f"select t::text as row, to_jsonb(t)::text as json from {name} t")
        held[name] = "\n".join(part for row in rows for part in (row["row"], *strings(json.loads(row["json"]))))
    return held


async def _read(folder: Path, log: Path, logged: int) -> dict[str, str]:
    return await asyncio.to_thread(_read_files, folder, log, logged)


def _read_files(folder: Path, log: Path, logged: int) -> dict[str, str]:
    """The reports, also with what HTML and JSON escape taken back, and what the server logged since."""
    places = {}
    for path in folder.glob("report.*"):
        text = path.read_text(encoding="utf-8")
        unescaped = strings(json.loads(text)) if path.suffix == ".json" else [html.unescape(text)]
        places[path.name] = "\n".join([text, *unescaped])
    if log.exists():
        with log.open("rb") as opened:
            opened.seek(logged)
            places["the server's log"] = opened.read().decode(errors="replace")
    return places


def search(places: dict[str, str], secrets: dict[str, str]) -> list[str]:
    hits = []
    for name, secret in secrets.items():
        for spelling in spellings(secret):
            for place, text in places.items():
                if (at := text.find(spelling)) >= 0:
                    hits.append(f"{name} as {spelling!r} in {place}: …{text[max(at - 60, 0) : at + 60]}…")
    return hits


async def watched(connection: asyncpg.Connection[Any], seen: set[str]) -> None:
    while True:
        rows = await connection.fetch("select distinct query from pg_stat_activity where pid <> pg_backend_pid()")
        seen |= {row["query"] for row in rows}
        await asyncio.sleep(0.05)


async def looked_at(orbit: OrbitCommand, run: str) -> dict[str, Done]:
    """What people see of a run."""
    return {
        "show": await orbit("show", run),
        "show --json": await orbit("show", run, "--json"),
        "logs": await orbit("logs", run),
        "logs of a test": await orbit("logs", run, "told-c19"),
        "logs of a capture": await orbit("logs", run, "uses-c19"),
    }


async def found_after(
    database: Database, folder: Path, runs: dict[str, Done], statements: set[str], log: Path, logged: int
) -> dict[str, str]:
    places = {
        f"{name}: {stream}": getattr(done, stream) for name, done in runs.items() for stream in ("stdout", "stderr")
    }
    places |= await _read(folder, log, logged)
    async with database.connect() as connection:
        places |= await tables(connection)
        if await connection.fetchval("select to_regclass('pg_stat_statements') is not null"):
            statements |= {row[0] for row in await connection.fetch("select query from pg_stat_statements")}
    places["statements"] = "\n".join(statements)
    return places


async def server_log(connection: asyncpg.Connection[Any]) -> tuple[Path, int]:
    log = Path(await connection.fetchval("select current_setting('data_directory')")).parent / "postgres.log"
    return log, log.stat().st_size if log.exists() else 0


async def test_no_canary_is_found_after_a_run_of_the_command(
    orbit: OrbitCommand, database: Database, tmp_path: Path
) -> None:
    names = list(CANARIES)
    by_suite, by_environment, by_command = names[:6], names[6:13], names[13:]
    variables: dict[str, Any] = {name: {"value": CANARIES[name], "secret": True} for name in by_suite}
    variables |= {name: {"value": "to be replaced", "secret": True} for name in by_command}
    variables["plain"] = PLAIN
    secrets = {name: CANARIES[name] for name in by_environment}
    environment = orbit.write("e.yaml", json.dumps({"environment": "saved", "secrets": secrets}))
    given = [part for name in by_command for part in ("--var", f"{name}={CANARIES[name]}")]
    reports = [part for kind in ("junit", "html", "json") for part in ("--report", f"{kind}=report.{kind}")]
    shown: dict[str, Done] = {}
    statements: set[str] = set()
    async with database.connect() as connection, Teller() as server:
        log, logged = await server_log(connection)
        watching = asyncio.create_task(watched(connection, statements))
        shown["env save"] = await orbit("env", "save", environment)
        file = orbit.write(
            "more.env", "".join(f"{name}={value}\n" for name, value in CANARIES.items() if "'" not in value)
        )
        shown["secret set"] = await orbit("secret", "set", "--from-file", file)
        for path in (environment, file):
            path.unlink()
        suite = orbit.suite(suite_of(names), base_url=server.url(""), variables=variables)
        shown["run"] = await orbit("run", suite, "--env", "saved", *given, *reports, within=120)
        shown["run --json"] = await orbit("run", suite, "--env", "saved", *given, "--json", within=120)
        broken = orbit.suite({"a": {"request": "{{nowhere}} {{c19}}"}}, variables=variables)
        shown["a broken suite"] = await orbit("run", broken, "--env", "saved", *given)
        shown["secret list"] = await orbit("secret", "list", "--json")
        shown["doctor"] = await orbit("doctor", "--json")
        shown |= await looked_at(orbit, "last")
        watching.cancel()
        sent = "".join(request.body.decode("latin-1") for request in server.requests)
    assert shown["env save"].code == shown["secret set"].code == 0, shown["secret set"].stderr
    assert shown["a broken suite"].code == 4
    statuses = shown["run --json"].statuses()
    assert {status for key, status in statuses.items() if key.startswith("took-")} == {"passed"}
    assert {status for key, status in statuses.items() if not key.startswith("took-")} == {"failed"}
    assert all(value in sent.encode("latin-1").decode() for value in CANARIES.values())  # they were used

    places = await found_after(database, tmp_path, shown, statements, log, logged)
    assert search(places, CANARIES | {"key": orbit.key}) == []
    # The same search finds what is no secret.
    hits = defaultdict(set)
    for name, text in places.items():
        for spelling in spellings(PLAIN):
            if spelling in text:
                hits[name].add(spelling)
    assert {"report.junit", "report.html", "report.json", "run --json: stdout", "show --json: stdout"} <= hits.keys()
    assert any(name.startswith("orbit_private.test_result_details") for name in hits)
    assert "orbit.test_runs" in hits
    assert len(hits["report.json"]) >= 8
    assert {
        "orbit_private.run_event",
        "orbit_private.run_secret",
        "orbit.audit_log",
        "orbit_private.secret",
    } <= places.keys()
    assert places["orbit_private.run_secret"].count("orbit.seal.v1.") >= 20
    assert "advance" in places["statements"]


async def test_no_canary_is_found_after_a_run_of_a_worker(
    orbit: OrbitCommand, database: Database, tmp_path: Path
) -> None:
    """Started through the SDK: the worker hears the secrets from the database, for it holds tests that use them."""
    sealer = Sealer(orbit.key)
    variables: dict[str, Any] = {name: {"value": None, "secret": True} for name in CANARIES}
    async with database.connect() as connection, Teller() as server:
        log, logged = await server_log(connection)
        path = orbit.suite(suite_of(CANARIES), base_url=server.url(""), variables={**variables, "plain": PLAIN})
        suite = load_suite(path)
        values = {
            name: value for name, value in resolve_variables(suite.document).values.items() if name not in CANARIES
        }
        run_id = str(uuid4())
        worker = await orbit.start("worker", "--slots", "4")
        async with Orbit.connect(database.dsn, sealer=sealer) as client:
            saved = await client.suites.save(suite)
            sealed = {name: sealer.seal(value, secret_place(run_id, name)) for name, value in CANARIES.items()}
            await client.runs.start(run_id=run_id, suite_id=saved.suite_id, variables=values, secrets=sealed)
            run = await client.runs.wait(run_id, timeout=60)
            async with client.context(run_id) as context:
                assert (await context.get_test_run_context()).secrets == sorted(CANARIES)
        assert (run.counts.passed, run.counts.failed) == (20, 41), run.counts
        worker.terminate()
        out, err = await worker.communicate()
        sent = b"".join(request.body for request in server.requests).decode()
        shown = await looked_at(orbit, run_id)
    assert all(value in sent for value in CANARIES.values())
    places = await found_after(database, tmp_path, shown, set(), log, logged)
    places |= {"worker: stdout": out.decode(), "worker: stderr": err.decode()}
    assert search(places, CANARIES | {"key": orbit.key}) == []
    assert search({"logs": places["logs of a test: stdout"]}, {"plain": "told-c19"})
    released = [line for line in places["orbit.audit_log"].splitlines() if line == "secret.release"]
    assert len(released) >= 1
