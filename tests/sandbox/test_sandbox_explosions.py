"""What explodes: each is cut within about a second of processor time and 256 MiB, and the event loop never stops."""

from __future__ import annotations

import asyncio
import json
import resource
import time
from typing import TYPE_CHECKING, Any

import pytest
from orbit_runner.assertions.compiler import compile_checks
from orbit_runner.sandbox import Sandbox

from orbit_context.extract.capture import compile_capture, take_all
from orbit_context.extract.view import ResponseView
from orbit_context.suite.checks import Capture, Check

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable
    from pathlib import Path

    from orbit_context.models.outcome import Failure


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as opened:
        await opened.evaluate("schema", '{"root":"x","resources":{"x":true},"aliases":{}}', b"{}")
        await opened.evaluate("xpath_xml", "//a", b"<a/>")
        yield opened


async def _cut(work: Awaitable[Any]) -> Any:
    """The result of `work`, which keeps the loop free and the processor's time and the memory within bounds."""
    gaps = [0.0]

    async def tick() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.005)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(0)
    before = resource.getrusage(resource.RUSAGE_CHILDREN), resource.getrusage(resource.RUSAGE_SELF)
    begin = time.perf_counter()
    result = await work
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN), resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.sleep(0)
    gaps.append(time.perf_counter() - begin if len(gaps) == 1 else 0.0)  # it never let go of the loop
    ticker.cancel()
    assert max(gaps) < 1.0
    here = after[1].ru_utime - before[1].ru_utime
    assert here < 0.5
    # Children that ended are charged; a start of about 0.1 s and the libraries are in it.
    assert after[0].ru_utime - before[0].ru_utime < 2.5
    assert wall < 8
    return result


def _response(body: bytes, media_type: str = "application/json") -> ResponseView:
    return ResponseView(200, headers=[("Content-Type", media_type)], body=body)


async def _check(sandbox: Sandbox, view: ResponseView, **check: Any) -> Failure:
    checks = compile_checks([Check.model_validate(check)])
    (failure,) = await _cut(checks.evaluate_with(view, None, sandbox))
    assert isinstance(failure.message, str)
    assert len(failure.message) < 1000
    return failure  # type: ignore[no-any-return]


async def _capture(sandbox: Sandbox, view: ResponseView, **capture: Any) -> Failure:
    compiled = compile_capture("x", Capture.model_validate(capture))
    _, (failure,) = await _cut(take_all([compiled], view, sandbox))
    assert len(failure.message) < 1000
    return failure  # type: ignore[no-any-return]


MEGABYTE = json.dumps([{"a": {"b": [{"c": number} for number in range(20)]}} for _ in range(5000)]).encode()


@pytest.mark.parametrize("dialect", ["rfc9535", "ng"])
async def test_descendants_of_descendants_of_descendants(sandbox: Sandbox, dialect: str) -> None:
    assert len(MEGABYTE) > 1_000_000
    failure = await _capture(sandbox, _response(MEGABYTE), json="$..*..*..*", all=True, dialect=dialect)
    assert failure.category == "expression"
    assert "was stopped" in failure.message
    failure = await _check(sandbox, _response(MEGABYTE), json="$..*..*..*", length=1, dialect=dialect)
    assert failure.category == "expression"


@pytest.mark.parametrize("expression", ["$[?count($..*) > 0]", "$..[?@..c]", "$" + "[*,*,*,*]" * 12, "$[?$..c]"])
async def test_other_queries_that_multiply(sandbox: Sandbox, expression: str) -> None:
    view = _response(b"[" + b"[[[[[[[[[[[1]]]]]]]]]]]," * 400 + MEGABYTE[1:])
    outcome, failures = await _cut(
        take_all([compile_capture("x", Capture.model_validate({"json": expression, "all": True}))], view, sandbox)
    )
    assert outcome or failures[0].category == "expression"


async def test_a_pattern_inside_a_query(sandbox: Sandbox) -> None:
    body = json.dumps([{"a": "a" * 40 + "!"}] * 3).encode()
    view = _response(body)
    for expression, dialect in (("$[?match(@.a, '(a|a)*b')]", "rfc9535"), ('$[?(@.a =~ "^(a|a)*b$")]', "ng")):
        failure = await _capture(sandbox, view, json=expression, dialect=dialect)
        assert failure.category in ("expression", "capture_missing")


async def test_patterns_that_explode_elsewhere(sandbox: Sandbox) -> None:
    for pattern in (
        r"^(a+)+$",
        r"(x+x+)+y",
        r"^(\w+\s?)*$",
        r"([a-zA-Z0-9])(([\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+",
    ):
        body = b"a" * 100_000 + b"x" * 100_000 + b"!"
        failure = await _check(sandbox, _response(body, "text/plain"), body=None, matches=pattern)
        assert failure.category == "assertion"
        failure = await _capture(sandbox, _response(body, "text/plain"), regex=pattern)
        assert failure.category == "capture_missing"


async def test_large_patterns_on_large_texts(sandbox: Sandbox) -> None:
    body = b"ab" * 5_000_000
    failure = await _check(sandbox, _response(body, "text/plain"), body=None, matches="(a|b|[a-c]){800}.{700}z")
    assert failure.category in ("assertion", "expression")
    failure = await _capture(sandbox, _response(body, "text/plain"), regex="((a|b|[a-c]){300})(.*)z", all=True)
    assert failure.category in ("capture_missing", "expression")


async def test_an_xpath_that_counts_everything_for_everything(sandbox: Sandbox) -> None:
    body = b"<a>" + b"<b><c/></b>" * 1000 + b"</a>"
    for media_type in ("application/xml", "text/html"):
        failure = await _check(
            sandbox, _response(body, media_type), xpath="//*[count(//*[count(//*)>0])>0]", exists=True
        )
        assert failure.category == "expression"
        assert failure.message.endswith("the XPath took more than 1 s and was stopped")


def _laughs() -> bytes:
    lines = b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(8))
    return b'<!DOCTYPE l [<!ENTITY a "' + b"A" * 100 + b'">' + lines + b"]><r>&i;</r>"


@pytest.mark.parametrize(
    "body",
    [
        _laughs(),
        b'<!DOCTYPE r [<!ENTITY a "' + b"A" * 50_000 + b'">]><r>' + b"&a;" * 50_000 + b"</r>",
        b"<a>" * 500_000,
        b"<a " + b" ".join(b"b%d='1'" % number for number in range(200_000)) + b"/>",
        b"<" * 1_000_000,
    ],
    ids=["billion laughs", "quadratic", "deep", "attributes", "brackets"],
)
@pytest.mark.parametrize("media_type", ["application/xml", "text/html"])
async def test_markup_bombs(sandbox: Sandbox, body: bytes, media_type: str) -> None:
    failure = await _check(sandbox, _response(body, media_type), xpath="string(//nothing)", equals="x")
    assert failure.category in ("assertion", "expression")


async def test_no_file_and_no_network_through_xml(sandbox: Sandbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("TOPSECRET")
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for system in (secret.as_uri(), f"http://127.0.0.1:{port}/x"):
        for doctype in (
            f'[<!ENTITY x SYSTEM "{system}">]',
            f'[<!ENTITY % p SYSTEM "{system}"> %p;]',
            f'SYSTEM "{system}"',
        ):
            view = _response(f"<!DOCTYPE r {doctype}><r>&x;</r>".encode(), "application/xml")
            failure = await _check(sandbox, view, xpath="string(/)", equals="x")
            assert "TOPSECRET" not in json.dumps(failure.to_json())
    server.close()
    await server.wait_closed()
    assert asked == []


@pytest.mark.parametrize(
    "body", [b"[" * 1_000_000, b'{"a":' * 200_000, b"[" * 1000 + b"]" * 1000, b"[" * 999 + b"1" * 30 + b"]" * 999]
)
@pytest.mark.parametrize(
    "check",
    [
        {"json": "$..a", "exists": True},
        {"json": "$[0][0][0].a", "exists": True},
        {"schema": {"items": {"$ref": "#"}, "type": "object"}},
    ],
)
async def test_deep_json(sandbox: Sandbox, body: bytes, check: dict[str, Any]) -> None:
    failure = await _check(sandbox, _response(body), **check)
    assert failure.category in ("assertion", "schema", "expression")


@pytest.mark.parametrize(
    ("schema", "body"),
    [
        ({"pattern": "^(a+)+$"}, json.dumps("a" * 40 + "!").encode()),
        ({"patternProperties": {"^(a+)+$": {}}, "required": ["x"]}, json.dumps({"a" * 40 + "!": 1}).encode()),
        ({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"}, b"1"),
        ({"uniqueItems": True}, json.dumps([{"a": number} for number in range(20_000)]).encode()),
        ({"items": {"type": "string"}}, json.dumps(list(range(300_000))).encode()),
    ],
    ids=["pattern", "patternProperties", "endless reference", "uniqueItems", "violations"],
)  # fmt: skip
async def test_schemas_that_explode(sandbox: Sandbox, schema: Any, body: bytes) -> None:
    compiled = compile_checks([Check.model_validate({"schema": schema})])
    failures = await _cut(compiled.evaluate_with(_response(body), None, sandbox))
    assert all(failure.category in ("schema", "expression") for failure in failures)
    if "pattern" in schema:
        assert "took more than 1 s" in failures[0].message


async def test_fifty_explosions_at_once_leave_the_loop_free(sandbox: Sandbox) -> None:
    """They wait for their turn; who has no time for that gives up."""
    capture = compile_capture("x", Capture.model_validate({"json": "$..*..*..*", "all": True}))

    async def impatient() -> None:
        try:
            async with asyncio.timeout(1.5):
                await take_all([capture], _response(bytes(bytearray(MEGABYTE))), sandbox)
        except TimeoutError:
            pass

    async def all_of_them() -> None:
        await asyncio.gather(*(impatient() for _ in range(50)))

    await _cut(all_of_them())
