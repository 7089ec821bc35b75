"""The documentation's examples, run.

A block's info string says what it is: ```yaml suite is checked as a suite (`version` and `suite` may be left out), ```yaml runs
is executed, ```yaml request, expect and capture are parts of a test, ```yaml holds and fails are assertions about the answer
that their page shows.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from orbit_runner.assertions.compiler import compile_checks
from orbit_runner.execute.suite import compile_suite
from orbit_runner.local.rest import Keys, RestServer
from orbit_runner.sandbox import Sandbox
from support.command import OrbitCommand, finished, line_with
from support.documentation import Block, page, pages
from support.gateways import make_account

from orbit_context.errors import TemplateError
from orbit_context.extract.capture import CaptureError, compile_capture
from orbit_context.extract.view import ResponseView
from orbit_context.suite.checks import Capture
from orbit_context.suite.data import FixtureRows
from orbit_context.suite.document import Test
from orbit_context.suite.load import load_environment, load_suite
from orbit_context.template import NAMESPACES, Scope, compile_value

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.postgres import Database

BLOCKS = [block for one in pages() for block in one.blocks]
KINDS = {
    "yaml": {"suite", "runs", "request", "expect", "capture", "holds", "fails", "environment", "scope", "pipeline"}
    | {"compose", "kubernetes"},
    "ini": {"systemd"},
    "python": {""},
    "console": {""},
    "json": {""},
    "http": {""},
    "text": {""},
    "sql": {""},
    "": {""},
}
NAMES = ("base_url", "user", "password", "access_token", "api_key", "order_id")
"""Variables that the parts of tests use."""


def blocks(language: str, *kinds: str) -> pytest.MarkDecorator:
    found = [block for block in BLOCKS if block.language == language and block.kind in kinds]
    assert found
    return pytest.mark.parametrize("block", found, ids=str)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_says_what_it_is(block: Block) -> None:
    assert block.kind in KINDS.get(block.language, ())


@blocks("yaml", "suite", "runs")
def test_suites_are_valid(block: Block, folder: Path) -> None:
    head = "" if re.search(r"(?m)^suite:", block.text) else "version: 1\nsuite: example\n"
    file = folder / "suite.yaml"
    file.write_text(head + block.text)
    users = FixtureRows("users", 1, [{"id": 1, "name": "ada"}])
    compile_suite(load_suite(file, fixtures={"users": users}))


@blocks("yaml", "request", "expect", "capture", "holds", "fails")
def test_parts_of_tests_are_valid(block: Block, folder: Path) -> None:
    kind = "expect" if block.kind in ("holds", "fails") else block.kind
    test: dict[str, Any] = {"request": "/", kind: yaml.safe_load(block.text)}
    document = {
        "version": 1,
        "suite": "example",
        "variables": dict.fromkeys(NAMES, "x"),
        "defaults": {"base_url": "{{base_url}}"},
        "tests": {"example": test},
    }
    file = folder / "suite.yaml"
    file.write_text(yaml.safe_dump(document))
    compile_suite(load_suite(file))


@blocks("yaml", "environment")
def test_environments_are_valid(block: Block, folder: Path) -> None:
    file = folder / "environment.yaml"
    file.write_text(block.text)
    load_environment(file)


@blocks("json", "")
def test_json_parses(block: Block) -> None:
    json.loads(block.text)


async def test_the_readme_run_prints_what_the_readme_shows(database: Database, cart: Path, shop: str) -> None:
    shown, *_ = (block for block in page("README.md").blocks if block.language == "console")
    commands = [line[2:] for line in shown.text.splitlines() if line.startswith("$ ")]
    assert commands[-1] == ".venv/bin/orbit run cart.yaml"
    async with OrbitCommand(database.dsn, cart.parent) as orbit:
        done = await orbit("run", cart.name)
    assert done.code == 1, done.stderr  # as the README says
    printed = {_settled(line) for line in done.stderr.replace(shop, "http://127.0.0.1:8080").splitlines()}
    expected = [line for line in shown.text.splitlines() if line.strip() not in ("", "…") and not line.startswith("$ ")]
    assert len(expected) > 8
    for line in expected:
        assert _settled(line) in printed


async def test_the_commands_with_many_workers_do_what_the_readme_says(database: Database, cart: Path) -> None:
    _run, many, _team = (block for block in page("README.md").blocks if block.language == "console")
    worker, *commands = (shlex.split(line.split("#")[0])[1:] for line in many.text.splitlines())
    # The suite expects a wrong number, also when it is run again: no new failure.
    codes = {"submit": 1, "rerun": 1}
    assert len(commands) == 4
    async with OrbitCommand(database.dsn, cart.parent) as orbit:
        await orbit.start(*worker[1:])
        for program, *arguments in commands:
            assert program == "orbit"
            done = await orbit(*arguments)
            assert done.code == codes.get(arguments[0], 0), (arguments, done.stdout, done.stderr)


async def test_the_commands_of_a_team_are_understood_in_that_order(database: Database, tmp_path: Path) -> None:
    *_, team = (block for block in page("README.md").blocks if block.language == "console")
    commands = [line.split("#")[0].split()[1:] for line in team.text.splitlines()]
    assert len(commands) >= 7
    async with OrbitCommand(database.dsn, tmp_path) as orbit:
        for program, *arguments in commands:
            assert program == "orbit"
            done = await orbit(*arguments, said="s3cret")
            assert done.code == 0, (arguments, done.stderr)


def _settled(line: str) -> str:
    """A line without what differs from run to run."""
    return re.sub(r"\b[\d.,]+ (ms|s|tests/s)(?=\W|$)", r"N \1", line).replace("N s", "N ms").rstrip()


_PROGRAM = """
import ast, asyncio
code = compile(open("program.py").read(), "program.py", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
if (coroutine := eval(code, {"__name__": "__main__"})) is not None:
    asyncio.run(coroutine)
"""


@asynccontextmanager
async def supabase_project(database: Database) -> AsyncIterator[dict[str, str]]:
    """A REST and Auth server over the database, where ada has an account; what the examples find in their environment."""
    server = RestServer(database.dsn, Keys.generate())
    try:
        url = await asyncio.to_thread(server.start)
        async with database.connect() as connection:
            ada = await make_account(connection, "ada", "ada@example.com")
        yield {"SUPABASE_URL": url, "SUPABASE_ANON_KEY": server.keys.publishable, "ADA_PASSWORD": ada.password}
    finally:
        await asyncio.to_thread(server.stop)


@pytest.mark.parametrize("name", ["README.md", "docs/sdk.md"])
async def test_python_runs(name: str, database: Database, cart: Path) -> None:
    """A page's blocks are one program, on a database that a worker serves, and a REST server where it speaks of Supabase."""
    program = "\n".join(block.text for block in page(name).blocks if block.language == "python")
    (cart.parent / "program.py").write_text(program)
    supabase: dict[str, str] = {}
    async with OrbitCommand(database.dsn, cart.parent) as orbit, AsyncExitStack() as stack:
        if "SUPABASE_URL" in program:
            supabase = await stack.enter_async_context(supabase_project(database))
        worker = await orbit.start("worker")
        await line_with(worker.stderr, "serves")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _PROGRAM),
            cwd=cart.parent,
            env={**os.environ, **supabase, "ORBIT_DATABASE_URL": database.dsn, "ORBIT_SECRET_KEY": orbit.key},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            done = await finished(process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert done.code == 0, done.stderr
    assert "run_finished" in done.stdout
    rows = database.fetch("select status, count(*) from orbit.test_results group by status")
    runs = database.fetch("select status from orbit.test_runs")
    assert [run["status"] for run in runs] == ["failed"] * len(runs)  # the README's suite expects a wrong number
    assert {row["status"]: row["count"] for row in rows} == {"passed": 3 * len(runs), "failed": len(runs)}


async def test_sql_runs(database: Database, cart: Path) -> None:
    async with OrbitCommand(database.dsn, cart.parent) as orbit:
        assert (await orbit("run", cart.name)).code == 1
    answers = [database.fetch(block.text) for block in page("docs/sdk.md").blocks if block.language == "sql"]
    assert len(answers) == 4
    assert all(answers)
    assert [row["failed"] for row in answers[3]] == [1, 0, 0, 0]


TEMPLATES = [
    (f"{table.page}:{table.line + 2 + number}", row)
    for table in page("docs/templates.md").tables
    if table.header[0] == "expression"
    for number, row in enumerate(table.rows)
]


@pytest.mark.parametrize(("place", "row"), TEMPLATES, ids=[place for place, _ in TEMPLATES])
def test_templates_give_what_is_said(place: str, row: list[str]) -> None:
    (values,) = (yaml.safe_load(block.text) for block in page("docs/templates.md").blocks if block.kind == "scope")
    assert sorted(values) == sorted(NAMESPACES)
    expression, gives = row[0][1:-1], row[1]
    scope = Scope(**values, clock=lambda: 1773480413.0, random=Random(7))
    if gives == "error":
        with pytest.raises(TemplateError):
            compile_value(expression).render(scope)
        return
    assert json.dumps(compile_value(expression).render(scope)) == json.dumps(json.loads(gives[1:-1]))


@pytest.fixture
def answer() -> ResponseView:
    """The answer that docs/assertions.md shows."""
    (block,) = (block for block in page("docs/assertions.md").blocks if block.language == "http")
    head, _, body = block.text.partition("\n\n")
    status, *lines = head.splitlines()
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    url = "http://127.0.0.1:8080/orders/7"
    return ResponseView(
        int(status.split()[1]), headers=headers, body=body.strip().encode(), url=url, elapsed=0.12, redirects=1
    )


@blocks("yaml", "holds", "fails")
async def test_assertions_hold_or_fail_as_is_said(block: Block, answer: ResponseView) -> None:
    checks = Test.model_validate({"request": "/", "expect": yaml.safe_load(block.text)}).expect
    async with Sandbox() as sandbox:
        for check in checks:
            failures = await compile_checks([check]).evaluate_with(answer, None, sandbox)
            assert bool(failures) is (block.kind == "fails"), (check, failures)
            assert {failure.category for failure in failures} <= {"assertion"}


CAPTURES = page("docs/assertions.md").section("Captures").table("capture").rows


@pytest.mark.parametrize("row", CAPTURES, ids=[row[0] for row in CAPTURES])
def test_captures_give_what_is_said(row: list[str], answer: ResponseView) -> None:
    capture = compile_capture("example", Capture.model_validate(yaml.safe_load(row[0][1:-1])))
    if row[1] == "error":
        with pytest.raises(CaptureError):
            capture.take(answer)
        return
    assert json.dumps(capture.take(answer).value) == json.dumps(json.loads(row[1][1:-1]))
