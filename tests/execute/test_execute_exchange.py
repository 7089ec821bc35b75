"""What is told of an exchange: complete, masked, cut to size, and repeatable with curl."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from orbit_runner.execute.exchange import FULL_BODY, PASSED_BODY, describe_body

from orbit_context.redact import Redactor

if TYPE_CHECKING:
    from execution_bench import Bench

    from orbit_context.models.outcome import Outcome

FAIL = {"status": 299}


def told(outcome: Outcome) -> str:
    """Everything that leaves the process but the captured values, which the worker seals."""
    everything = asdict(outcome) | {"captures": repr(outcome.captures)}
    return json.dumps(everything, ensure_ascii=False) + repr(outcome)


async def test_a_failed_test_tells_everything(bench: Bench) -> None:
    outcome = await bench.run(
        {"request": {"POST": "/echo?a=1", "headers": {"X-A": "1"}, "json": {"b": 2}}, "expect": FAIL}
    )
    exchange = outcome.exchange
    assert exchange is not None
    assert exchange["request"] == {
        "method": "POST",
        "url": bench.server.url("/echo?a=1"),
        "headers": [["X-A", "1"], ["Content-Type", "application/json"]],
        "body": '{"b":2}',
    }
    response = exchange["response"]
    assert json.loads(response["body"])["target"] == "/echo?a=1"
    assert (response["status"], response["reason"], response["http_version"]) == (200, "OK", "1.1")
    assert (response["size"], response["remote_ip"]) == (len(response["body"]), "127.0.0.1")
    assert ["Content-Type", "application/json"] in response["headers"]
    timings = exchange["timings"]
    assert set(timings) == {"queue", "dns", "connect", "tls", "first_byte", "transfer", "total"}
    assert sum(timings.values()) - timings["total"] == pytest.approx(timings["total"], abs=0.001)
    json.dumps(exchange, allow_nan=False)


async def test_a_passed_test_tells_less(bench: Bench) -> None:
    bench.server.answer = (200, b"x" * 50_000, [])
    outcome = await bench.run({"request": "/answer"})
    assert outcome.exchange is not None
    assert outcome.exchange["response"]["body"] == {"text": "x" * PASSED_BODY, "truncated": True, "size": 50_000}
    assert "curl" not in outcome.exchange
    assert len(json.dumps(outcome.exchange)) < 2500
    outcome = await bench.run({"request": "/answer", "expect": FAIL})
    assert outcome.exchange is not None
    assert outcome.exchange["response"]["body"] == {"text": "x" * FULL_BODY, "truncated": True, "size": 50_000}


async def test_redirects_are_told_and_the_request_is_the_tests_own(bench: Bench) -> None:
    outcome = await bench.run({"request": {"POST": "/redirect?to=/down/1", "json": 1}, "expect": FAIL})
    exchange = outcome.exchange
    assert exchange is not None
    assert (exchange["request"]["method"], exchange["request"]["body"]) == ("POST", "1")
    assert [(hop["method"], hop["status"], hop["location"]) for hop in exchange["hops"]] == [
        ("POST", 302, "/down/1"),
        ("GET", 302, "/echo"),
    ]
    assert exchange["response"]["url"] == bench.server.url("/echo")


async def test_a_header_made_from_a_variable_stays_at_its_origin(bench: Bench) -> None:
    other = bench.server.url("/echo", host="localhost")
    request = {"url": f"/redirect?to={other}", "headers": {"X-Own": "{{v}}", "X-Plain": "1", "X-Gen": "{{uuid()}}"}}
    outcome = await bench.run({"request": request, "expect": FAIL}, v="value")
    assert outcome.exchange is not None
    assert outcome.exchange["hops"][0]["dropped_headers"] == ["X-Own"]
    arrived = bench.server.requests[-1]
    assert (arrived.values("x-own"), arrived.values("x-plain"), len(arrived.values("x-gen"))) == ([], ["1"], 1)


def test_bodies() -> None:
    none = Redactor()
    assert describe_body(b"", 10, none) is None
    assert describe_body("é".encode(), 10, none) == "é"
    assert describe_body("é".encode("latin-1"), 10, none, "iso8859-1") == "é"
    assert describe_body(b"0123456789a", 10, none) == {"text": "0123456789", "truncated": True, "size": 11}
    binary = bytes(range(256))
    digest = hashlib.sha256(binary).hexdigest()
    assert describe_body(binary, 10, none) == {"binary": True, "size": 256, "sha256": digest}
    assert describe_body(b"a\x00b", 10, none)["binary"]  # jsonb takes no NUL
    for cut in range(4):  # wherever the window ends inside a character
        data = b"x" * cut + "😀".encode() * 10_000
        assert describe_body(data, 5, none) == {
            "text": ("x" * cut + "😀" * 5)[:5],
            "truncated": True,
            "size": len(data),
        }


@pytest.mark.parametrize("at", [*range(-30, 2), 8192 - 30, 8192 - 15, 8192 - 1, 8192])
def test_a_cut_never_leaves_half_a_secret(at: int) -> None:
    secret = "Tr0ub4dor-and-3-staple"
    body = "." * (100 + at) + secret + "." * 20_000
    shown = describe_body(body.encode(), 100, Redactor([secret]))["text"]
    assert len(shown) <= 100
    assert "Tr0" not in shown


def test_a_cut_after_many_secrets_leaves_no_half_of_the_last() -> None:
    """Touching secrets become one mask, so that the window's end moves far to the front."""
    shown = describe_body(b"Tr0ub4dor-and-3-staple" * 1000, 100, Redactor(["Tr0ub4dor-and-3-staple"]))
    assert "Tr0" not in shown["text"]


_SECRET = 'p"a/ss <wörd>&+%=1'
_TOKEN = "tok-9f8e7d6c5b4a3210"
_TRACES = (
    "wörd",
    "w\\u00f6rd",
    quote("wörd"),
    base64.b64encode(_SECRET.encode()).decode()[:16],
    "9f8e7d6c5b4a",
    "s/s <w",
)


@pytest.mark.parametrize(
    "test",
    [
        {"request": {"POST": "/echo/{{s}}?q={{s}}", "json": {"k": ["{{s}}"], "{{s}}": 1}}},
        {"request": {"POST": "/echo", "form": {"f": "{{s}}"}, "headers": {"X-H": "{{s}}"}, "query": {"q": "{{s}}"}}},
        {"request": {"POST": "/echo", "body": "<{{s}}>", "cookies": {"c": "{{s | urlencode}}"}}},
        {"request": {"POST": "/echo", "multipart": {"a": "{{s}}", "{{s}}": {"content": "{{s}}", "filename": "{{s}}.txt"}}}},
        {"request": {"GET": "/echo", "auth": {"basic": {"username": "jo", "password": "{{s}}"}}}},
        {"request": {"GET": "/echo", "auth": {"bearer": "{{s}}"}}},
        {"request": {"GET": "/echo", "auth": {"api_key": {"name": "k", "value": "{{s}}", "in": "query"}}}},
        {"request": {"POST": "/echo", "json": "{{s}}"}, "expect": {"json": {"$.body": "{{s}}"}}},
        {"request": {"POST": "/echo", "json": "{{s}}"}, "expect": [{"body": None, "matches": "^{{s}}"}]},
        {"request": {"POST": "/echo", "json": "{{s}}"}, "expect": [{"json": "$.method", "in": ["{{s}}", "x"]}]},
        {"request": {"GET": "/redirect?to=/echo&x={{s}}"}},
        {"request": {"GET": "/reset?x={{s}}"}},
        {"request": {"GET": "http://{{s | sha256}}.invalid/?{{s}}", "auth": {"bearer": "{{s | sha256}}"}}},
        {"request": {"GET": "/echo", "proxy": "http://u:{{s | urlencode}}@127.0.0.1:1"}},
        {"request": {"GET": "/{{s | nope_is_checked_later ?? 1}}"}},
        {"request": {"GET": "/echo", "file": "{{s}}.bin"}},
    ],
)  # fmt: skip
async def test_secrets_are_masked_in_every_field(bench: Bench, test: dict[str, Any]) -> None:
    if "nope" in str(test):
        test = {"request": {"GET": "/echo", "headers": {"X": "{{s.member}}"}}}
    bench.redactor.add(_SECRET, "s")
    outcome = await bench.run({"expect": FAIL, **test}, s=_SECRET)
    assert outcome.status in ("failed", "errored")
    text = told(outcome)
    assert [trace for trace in _TRACES if trace in text] == [], text
    assert hashlib.sha256(_SECRET.encode()).hexdigest() not in text


async def test_captured_secrets_are_masked_in_the_very_answer_they_came_from(bench: Bench) -> None:
    answer = {"token": _TOKEN, "nested": json.dumps({"again": _TOKEN})}
    bench.server.answer = (200, json.dumps(answer).encode(), [("X-Token", _TOKEN), ("Set-Cookie", f"sid={_TOKEN}")])
    capture = {"token": {"json": "$.token", "share": "token"}}
    for expect in ({"status": 200}, {"status": 201, "json": {"$.token": "other"}}):
        bench.redactor = Redactor()
        outcome = await bench.run({"request": "/answer", "capture": capture, "expect": expect})
        assert (outcome.captures[0].value, outcome.captures[0].secret) == (_TOKEN, True)
        assert "9f8e7d6c5b4a" not in told(outcome)
        assert bench.redactor.redact_text(_TOKEN) == "***"  # for every later test of the run


@pytest.mark.parametrize("before", [0, 20, 30, 55, 185, 195, 3985, 3995])
@pytest.mark.parametrize(
    "expect",
    [
        {"status": 299},
        {"body": "y"},
        {"body": {"a": "z"}},
        {"json": {"$.a": "z"}},
        {"json": {"$.a": {"b": 1}}},
        {"json": {"$.a": {"length": 1}}},
        {"json": {"$.b": {"exists": True}}},
        {"schema": {"properties": {"a": {"type": "integer"}}}},
        {"not": {"status": 200}, "json": {"$.a": {"matches": "^y"}}},
    ],
)
@pytest.mark.parametrize("is_json", [True, False])
async def test_a_cut_in_a_message_leaves_no_part_of_a_secret(
    bench: Bench, before: int, expect: dict[str, Any], is_json: bool
) -> None:
    bench.redactor.add(_TOKEN, "token")
    filler = "." * before + _TOKEN + "." * before
    body = json.dumps({"a": filler}) if is_json else f'{{"a": x "{filler}'
    bench.server.answer = (200, body.encode(), [])
    outcome = await bench.run({"request": "/answer", "expect": expect})
    assert outcome.status in ("failed", "errored")
    written = told(outcome)
    assert [part for n in range(len(_TOKEN) - 4) if (part := _TOKEN[n : n + 5]) in written] == []


async def test_literal_credentials_are_masked_too(bench: Bench) -> None:
    for auth in (
        {"basic": {"username": "jo", "password": _TOKEN}},
        {"bearer": _TOKEN},
        {"api_key": {"name": "X-Odd-Name", "value": _TOKEN}},
    ):
        bench.redactor = Redactor()
        outcome = await bench.run({"request": {"GET": "/echo", "auth": auth}, "expect": FAIL})
        text = told(outcome)
        assert "9f8e7d6c5b4a" not in text
        assert base64.b64encode(f"jo:{_TOKEN}".encode()).decode()[:12] not in text


async def test_huge_and_odd_values_in_failures(bench: Bench) -> None:
    bench.server.answer = (200, json.dumps({"a": "x" * 100_000, "nul": "a\x00b", "list": ["\x00"]}).encode(), [])
    expect = {"json": {"$.a": "y", "$.nul": "é\ud800", "$.list": ["x" * 5000]}}
    outcome = await bench.run({"request": "/answer", "expect": expect})
    failures = asdict(outcome)["failures"]
    assert len(failures) == 3
    written = json.dumps(failures, ensure_ascii=False)
    assert "\\u0000" not in written.replace("\\\\", "")  # jsonb refuses it
    written.encode()  # and half characters
    assert len(written) < 40_000


# ------------------------------------------------------------------------------------------------------------- curl


def seen(request: Any) -> tuple[Any, ...]:
    """What must be equal of a request and its repetition with curl."""
    own = {"user-agent", "accept", "content-length", "expect"}
    headers = sorted((name.lower(), value) for name, value in request.headers if name.lower() not in own)
    body = request.body
    content_type = "".join(request.values("content-type"))
    if "boundary=" in content_type:
        boundary = content_type.partition("boundary=")[2]
        body = body.replace(boundary.encode(), b"B")
        headers = [(name, value.replace(boundary, "B")) for name, value in headers]
    return request.method, request.target, headers, body


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(
    "request_",
    [
        "/echo?a=1&b=[x]{y}",
        "/a/../b/./echo",
        {"HEAD": "/echo"},
        {"DELETE": "/echo"},
        {"POST": "/echo"},
        {"POST": "/echo", "json": {"it's": 'a "quoted" $HOME `date` \\ !'}},
        {"PUT": "/echo", "body": "@file\nline\r\nend\n"},
        {"POST": "/echo", "json": 1, "headers": {"Content-Type": None, "X-Empty": "", "X-Odd": "a; 'b' \"c\""}},
        {"PATCH": "/echo", "form": {"a": "1 2", "b": ["é", "&"]}},
        {"GET": "/echo", "json": {"body": "in a GET"}},
        {"POST": "/echo", "multipart": {"plain": "@x; type=y", "two": ["1", '2"'], "f": {"file": 'a "b".txt'}}},
        {"POST": "/echo", "multipart": {"f": {"content_type": "text/csv", "content": 'a;"b"\\\r\nc,\\"d', "filename": 'x";y'}}},
        {"POST": "/echo", "cookies": {"a": "1", "b": "x y"}, "json": "x" * 200},
        {"GET": "/redirect?to=/echo", "redirects": {"max": 2}},
        {"POST": "/echo", "auth": {"basic": {"username": "jo", "password": "abc"}}, "http_version": "1.1"},
    ],
)  # fmt: skip
async def test_the_curl_command_sends_the_same_request(bench: Bench, request_: Any) -> None:
    (bench.base_dir / 'a "b".txt').write_bytes(b"content of the file")
    if isinstance(request_, dict) and "auth" in request_:  # the header would be masked: say it otherwise
        request_ = {**request_, "auth": "none", "headers": {"X-Key": "abc"}}
    outcome = await bench.run({"request": request_, "expect": FAIL})
    assert outcome.exchange is not None
    command = outcome.exchange["curl"]
    expected = [seen(request) for request in bench.server.requests]
    bench.server.requests.clear()
    if isinstance(request_, dict) and "cookies" in request_:
        command = command.replace("a=***; b=***", "a=1; b=x y")
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, error = await process.communicate()
    assert process.returncode == 0, (command, error)
    assert [seen(request) for request in bench.server.requests] == expected, command


async def test_a_binary_body_is_named_in_the_curl_command(bench: Bench) -> None:
    (bench.base_dir / "x.bin").write_bytes(b"\x00\xff" * 10)
    outcome = await bench.run({"request": {"PUT": "/echo", "file": "x.bin"}, "expect": FAIL})
    assert outcome.exchange is not None
    assert "--data-binary @request-body" in outcome.exchange["curl"]
    assert "the body of 20 bytes" in outcome.exchange["curl"]


@pytest.mark.parametrize("charset", ["undefined", "idna", "unicode_escape", "utf-7"])
async def test_a_server_that_names_an_odd_charset_is_read_all_the_same(bench: Bench, charset: str) -> None:
    bench.server.answer = (200, b"grau \xff", [("Content-Type", f"text/plain; charset={charset}")])
    outcome = await bench.run({"request": "/answer", "expect": {"body": {"starts_with": "grau"}}})
    assert outcome.status == "passed", outcome
