"""What of a test's request arrives at the server, byte for byte."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from execution_bench import Bench


# ----------------------------------------------------------------------------------------------------------- the URL


@pytest.mark.parametrize(
    ("base", "url", "target"),
    [
        ("", "/items", "/items"),
        ("", "items", "/items"),
        ("/api", "/items", "/api/items"),
        ("/api/", "/items", "/api/items"),
        ("/api/", "items/", "/api/items/"),
        ("/api", "?page=2", "/api?page=2"),
        ("/api?key=1", "/items", "/api/items?key=1"),
        ("/api?key=1", "/items?b=2", "/api/items?key=1&b=2"),
        ("/api", "/items?a=1#top", "/api/items?a=1"),
        ("/api", "//items", "/api//items"),
        ("/api", "/a b/é", "/api/a%20b/%C3%A9"),
        ("/api", "/a/../b/./c", "/api/a/../b/./c"),
        ("/api", "/x?filter={a}", "/api/x?filter={a}"),
    ],
)
async def test_url_is_joined_to_the_base(bench: Bench, base: str, url: str, target: str) -> None:
    bench.defaults["base_url"] = bench.server.url(base)
    assert (await bench.sent(url)).target == target


async def test_absolute_url_wins_over_the_base(bench: Bench) -> None:
    bench.defaults["base_url"] = "http://127.0.0.1:1/never"
    assert (await bench.sent(bench.server.url("/echo"))).target == "/echo"


async def test_url_begins_with_a_variable(bench: Bench) -> None:
    bench.defaults = {"base_url": None}
    at = bench.server.url("/api")
    assert (await bench.sent("{{base}}/items", base=at)).target == "/api/items"
    assert (await bench.sent("{{base}}{{path}}", base=at, path="/a b/c")).target == "/api/a%20b/c"
    assert (await bench.sent("{{next}}", next=f"{at}?page=2")).target == "/api?page=2"
    assert (await bench.sent("http://{{host}}/x", host=f"127.0.0.1:{bench.server.port}")).target == "/x"
    assert (
        await bench.sent("{{scheme}}://{{host}}:{{port}}/x", scheme="http", host="127.0.0.1", port=bench.server.port)
    ).target == "/x"


async def test_what_the_suite_encodes_itself_is_not_encoded_twice(bench: Bench) -> None:
    sent = await bench.sent("/a/{{x | urlencode}}/{{x}}?q={{x | urlencode}}", x="a/b+%")
    assert sent.target == "/a/a%2Fb%2B%25/a%2Fb%2B%25?q=a%2Fb%2B%25"
    outcome = await bench.refused("/a/{{x | urlencode}}/b", x="..")
    assert "another path" in outcome.failures[0].message


@pytest.mark.parametrize(
    "host", ["a@127.0.0.1", "127.0.0.1/x", "127.0.0.1?x", "127.0.0.1#", "127.0.0.1\r\n", "a b", "%31"]
)
async def test_a_value_in_the_host_is_a_host(bench: Bench, host: str) -> None:
    outcome = await bench.refused("http://{{host}}/echo", host=host)
    assert outcome.failures[0].message == "the value is no host or port"


async def test_path_placeholders_are_encoded(bench: Bench) -> None:
    request = {"url": "/users/{id}/files/{name}", "path": {"id": "{{id}}", "name": "a/b ?#&é%"}}
    assert (await bench.sent(request, id=7)).target == "/users/7/files/a%2Fb%20%3F%23%26%C3%A9%25"


@pytest.mark.parametrize(
    ("request_", "where", "says"),
    [
        ({"url": "/users/{id}"}, "request.url", "{id} has no value"),
        ({"url": "/users", "path": {"id": 1}}, "request.path.id", "the URL has no {id}"),
        ({"url": "/users/{id}", "path": {"id": ""}}, "request.path.id", "empty"),
        ({"url": "/users/{id}", "path": {"id": None}}, "request.path.id", "null"),
        ({"url": "/users/{id}", "path": {"id": ".."}}, "request.path.id", "another path"),
        ({"url": "http:///nowhere"}, "request", "Not an absolute URL"),
        ({"url": "ftp://127.0.0.1/x"}, "request", "ftp"),
        ({"url": "http://{{host}}/x"}, "request", "Not an absolute URL"),
    ],
)
async def test_wrong_urls_are_refused(bench: Bench, request_: dict[str, Any], where: str, says: str) -> None:
    outcome = await bench_compiled(bench, request_)
    assert outcome.category == "config"
    assert (outcome.failures[0].where, says in outcome.failures[0].message) == (where, True), outcome


async def bench_compiled(bench: Bench, request: dict[str, Any]) -> Any:
    """As `refused`; what is found while compiling counts like what is found while rendering."""
    from orbit_context.errors import DefinitionError
    from orbit_context.models.outcome import Failure, Outcome

    try:
        return await bench.refused(request, host="")
    except DefinitionError as error:
        return Outcome("errored", 0.0, "config", failures=[Failure(error.message, error.field or "")])


async def test_relative_url_needs_a_base(bench: Bench) -> None:
    bench.defaults = {"base_url": None}
    outcome = await bench.refused("/items")
    assert outcome.category == "config"
    assert outcome.failures[0].hint == "Write an absolute URL, or set defaults.base_url."


async def test_query_keeps_order_repeats_lists_and_leaves_out_null(bench: Bench) -> None:
    bench.defaults["query"] = {"version": 2, "drop": "x", "page": 1}
    query = {
        "z": "a b&c=d/é+",
        "a": [1, 2.5, True, None],
        "none": None,
        "page": "{{page}}",
        "drop": None,
        "ids": "{{ids}}",
    }
    sent = await bench.sent({"url": "/echo?first=1", "query": query}, page=3, ids=[7, 8])
    assert sent.target == ("/echo?first=1&version=2&page=3&z=a%20b%26c%3Dd%2F%C3%A9%2B&a=1&a=2.5&a=true&ids=7&ids=8")


async def test_the_query_goes_before_a_fragment_which_is_not_sent(bench: Bench) -> None:
    for base in ("/api#x", "/api?k=1#x"):
        bench.defaults["base_url"] = bench.server.url(base)
        kept = "?k=1&" if "k=1" in base else "?"
        assert (await bench.sent({"url": "/items#top", "query": {"a": 1}})).target == f"/api/items{kept}a=1"
    assert (await bench.sent({"url": bench.server.url("/x#top"), "query": {"a": 1}})).target == "/x?a=1"


# ------------------------------------------------------------------------------------------------------- the headers


async def test_headers_are_merged_whatever_their_case(bench: Bench) -> None:
    bench.defaults["headers"] = {"X-Team": "core", "X-Drop": "1", "Accept": "text/html", "x-trace": "{{trace}}"}
    headers = {"x-team": "shop", "x-drop": None, "User-Agent": None, "X-Many": ["a", 2], "X-Null": "{{nothing}}"}
    sent = await bench.sent({"url": "/echo", "headers": headers}, trace="t-1", nothing=None)
    assert [pair for pair in sent.headers if pair[0].lower().startswith(("x-", "accept", "user-agent"))] == [
        ("Accept", "text/html"),
        ("x-trace", "t-1"),
        ("x-team", "shop"),
        ("X-Many", "a"),
        ("X-Many", "2"),
    ]


async def test_cookies(bench: Bench) -> None:
    sent = await bench.sent({"url": "/echo", "cookies": {"a": "1", "b": "{{b}}", "c": None}}, b=True)
    assert sent.values("cookie") == ["a=1; b=true"]


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"bearer": "{{t}}"}, "authorization", "Bearer s3cr3t-t"),
        ({"basic": {"username": "jo", "password": "{{t}}"}}, "authorization", "Basic am86czNjcjN0LXQ="),
        ({"basic": {"username": "jö", "password": ""}}, "authorization", "Basic asO2Og=="),
        ({"api_key": {"name": "X-Key", "value": "{{t}}"}}, "x-key", "s3cr3t-t"),
        ({"api_key": {"name": "key", "value": "{{t}}", "in": "cookie"}}, "cookie", "key=s3cr3t-t"),
    ],
)
async def test_every_authentication(bench: Bench, auth: dict[str, Any], header: str, value: str) -> None:
    assert (await bench.sent({"url": "/echo", "auth": auth}, t="s3cr3t-t")).values(header) == [value]
    bench.defaults["auth"] = auth
    assert (await bench.sent("/echo", t="s3cr3t-t")).values(header) == [value]
    assert (await bench.sent({"url": "/echo", "auth": "none"}, t="s3cr3t-t")).values(header) == []


async def test_api_key_in_the_query(bench: Bench) -> None:
    auth = {"api_key": {"name": "key", "value": "a&b", "in": "query"}}
    assert (await bench.sent({"url": "/echo?x=1", "query": {"y": 2}, "auth": auth})).target == "/echo?x=1&y=2&key=a%26b"


async def test_own_authorization_header_wins_over_the_suites(bench: Bench) -> None:
    bench.defaults["auth"] = {"bearer": "default"}
    assert (await bench.sent({"url": "/echo", "headers": {"authorization": "Own"}})).values("authorization") == ["Own"]


# ---------------------------------------------------------------------------------------------------------- the body


async def test_json_keeps_types(bench: Bench) -> None:
    body = {"n": "{{n}}", "big": "{{big}}", "text": "n={{n}}", "list": ["{{flag}}", None, 1.5], "ключ": "é\u2028"}
    sent = await bench.sent({"POST": "/echo", "json": body}, n=7, big=2**70, flag=False)
    assert sent.body == (
        '{"n":7,"big":1180591620717411303424,"text":"n=7","list":[false,null,1.5],"ключ":"é\u2028"}'.encode()
    )
    assert sent.values("content-type") == ["application/json"]
    assert sent.values("content-length") == [str(len(sent.body))]


async def test_json_null_and_an_own_content_type(bench: Bench) -> None:
    sent = await bench.sent({"PUT": "/echo", "json": None, "headers": {"content-type": "application/vnd.x+json"}})
    assert (sent.body, sent.values("content-type")) == (b"null", ["application/vnd.x+json"])
    sent = await bench.sent({"POST": "/echo", "json": 1, "headers": {"Content-Type": None}})
    assert sent.values("content-type") == []


async def test_json_that_cannot_be_said(bench: Bench) -> None:
    for value in (float("nan"), float("inf"), "\ud800"):
        outcome = await bench.refused({"POST": "/echo", "json": {"x": "{{x}}"}}, x=value)
        assert (outcome.category, outcome.failures[0].where) == ("config", "request.json")


async def test_form(bench: Bench) -> None:
    form = {"a": "x y&z=é+", "list": [1, True, None], "none": None, "v": "{{v}}"}
    sent = await bench.sent({"POST": "/echo", "form": form}, v="1&admin=true")
    assert sent.body == b"a=x+y%26z%3D%C3%A9%2B&list=1&list=true&v=1%26admin%3Dtrue"
    assert sent.values("content-type") == ["application/x-www-form-urlencoded"]


async def test_text_body(bench: Bench) -> None:
    sent = await bench.sent({"PATCH": "/echo", "body": "line 1\r\nlé {{x}}\n"}, x=1)
    assert (sent.body, sent.values("content-type")) == ("line 1\r\nlé 1\n".encode(), ["text/plain; charset=utf-8"])
    assert (await bench.sent({"POST": "/echo", "body": ""})).body == b""


async def test_file_body(bench: Bench) -> None:
    data = bytes(range(256)) * 300
    (bench.base_dir / "logo.png").write_bytes(data)
    sent = await bench.sent({"PUT": "/echo", "file": "{{name}}.png"}, name="logo")
    assert sent.body == data
    assert sent.values("content-type") == ["image/png"]


def parts_of(body: bytes, content_type: str) -> list[tuple[dict[str, str], bytes]]:
    """Headers (lower-case names) and content of each part."""
    found = re.search(r'boundary="?([^";]+)', content_type)
    assert found
    boundary = found[1].encode()
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    assert pieces[0] == b""
    assert pieces[-1].strip() == b"--"
    parts = []
    for piece in pieces[1:-1]:
        head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        lines = (line.partition(": ") for line in head.decode().split("\r\n"))
        parts.append(({name.lower(): value for name, _, value in lines}, content))
    return parts


async def test_multipart(bench: Bench) -> None:
    data = bytes(range(256))
    (bench.base_dir / "photo.png").write_bytes(data)
    multipart = {
        "title": "é {{x}}",
        "tags": ["a", 2, None],
        "none": None,
        "photo": {"file": "photo.png"},
        "note": {"content": "hello {{x}}", "filename": 'a"b.txt', "content_type": "text/markdown"},
    }
    sent = await bench.sent({"POST": "/echo", "multipart": multipart}, x="\r\n--boundary\r\n")
    parts = parts_of(sent.body, sent.values("content-type")[0])
    assert [(part[0]["content-disposition"], part[0].get("content-type"), part[1]) for part in parts] == [
        ('form-data; name="title"', None, "é \r\n--boundary\r\n".encode()),
        ('form-data; name="tags"', None, b"a"),
        ('form-data; name="tags"', None, b"2"),
        ('form-data; name="photo"; filename="photo.png"', "image/png", data),
        ('form-data; name="note"; filename="a%22b.txt"', "text/markdown", b"hello \r\n--boundary\r\n"),
    ]


async def test_a_path_from_a_value_stays_in_the_folder(bench: Bench) -> None:
    outside = bench.base_dir.parent / "outside.txt"
    outside.write_text("private")
    (bench.base_dir / "link.txt").symlink_to(outside)
    try:
        for name in ("../outside.txt", str(outside), "link.txt"):
            for request in ({"file": "{{name}}"}, {"multipart": {"f": {"file": "{{name}}"}}}):
                outcome = await bench.refused({"POST": "/echo", **request}, name=name)
                assert (outcome.category, "outside" in outcome.failures[0].message) == ("config", True)
    finally:
        outside.unlink()


async def test_missing_file(bench: Bench) -> None:
    outcome = await bench.refused({"POST": "/echo", "file": "none.bin"})
    assert outcome.failures[0].where == "request.file"
    assert "there is no file 'none.bin'" in outcome.failures[0].message


# --------------------------------------------------------------------------------------------------------- injection

_SEEDS = (
    "{{7*7}}", "{{x.__class__}}", "{{secret}}", "${7*7}", "${jndi:ldap://x}", "#{7*7}", "<%= 7 %>", "%s%n", "{0.__class__}",
    "\r\nX-Evil: 1", "\nX-Evil: 1", "\rX-Evil: 1", "%0d%0aX-Evil: 1", "\u560d\u560aX-Evil: 1", "\x00", "\x0b\x0c\x1c\x85",
    "a\r\n\r\nGET /evil HTTP/1.1\r\nHost: evil\r\n\r\n", "../../etc/passwd", "..", ".", "...", "/", "//evil.example/", "\\..\\",
    "?admin=true", "&admin=true", "#frag", ";admin=true", "a=b&a=c", "@evil.example", ":80@evil.example/", "http://evil.example/",
    '"', "'", '","admin":true,"x":"', '"}', "\\", "]]>", "<!--", "é\u2028\u2029", "\U0001f600", " lead", "trail ", "\t", "",
    "{id}", "%2e%2e", "%2F", "+", "%", "a;b", "a,b", "--boundary", 'name="x"', "\ufeff", "-1", "null", "*", "~",
)  # fmt: skip
_PAYLOADS = [
    *_SEEDS,
    *(f"a{seed}" for seed in _SEEDS),
    *(f"{seed}b" for seed in _SEEDS),
    *(seed * 2 for seed in _SEEDS),
]


def refused_or_sent(bench: Bench, before: int, outcome: Any) -> Any:
    """The request that arrived; None if it was refused before anything was sent."""
    arrived = bench.server.requests[before:]
    assert len(arrived) <= 1
    if not arrived:
        assert (outcome.status, outcome.category) == ("errored", "config"), outcome
        return None
    return arrived[0]


async def test_no_payload_changes_the_structure_of_a_request(bench: Bench) -> None:
    """Over 200 payloads, each in every place that takes a value; what cannot be sent safely is refused."""
    from urllib.parse import parse_qsl, unquote, urlsplit

    assert len(set(_PAYLOADS)) >= 200
    template = {
        "POST": "/a/{{p}}/b/{id}?q={{p}}",
        "path": {"id": "{{p}}"},
        "query": {"r": "{{p}}"},
        "json": {"k": "{{p}}", "{{p}}": 1},
    }
    sent_in_url = 0
    for payload in _PAYLOADS:
        before = len(bench.server.requests)
        outcome = await bench.run({"request": template}, p=payload, secret="canary")
        sent = refused_or_sent(bench, before, outcome)
        if sent is None:
            assert payload in ("", ".", "..")
            continue
        sent_in_url += 1
        url = urlsplit(sent.target)
        assert [unquote(part) for part in url.path.split("/")] == ["", "a", payload, "b", payload]
        assert parse_qsl(url.query, keep_blank_values=True, separator="&") == [("q", payload), ("r", payload)]
        assert json.loads(sent.body) == {"k": payload, payload: 1}
        assert [name.lower() for name, _ in sent.headers] == [
            "host", "user-agent", "accept", "content-type", "content-length",
        ]  # fmt: skip
    assert sent_in_url >= 200


@pytest.mark.parametrize("place", ["headers", "cookies", "bearer", "basic", "key"])
async def test_no_payload_adds_a_header(bench: Bench, place: str) -> None:
    request: dict[str, Any] = {
        "headers": {"url": "/echo", "headers": {"X-Value": "{{p}}"}},
        "cookies": {"url": "/echo", "cookies": {"c": "{{p}}"}},
        "bearer": {"url": "/echo", "auth": {"bearer": "{{p}}"}},
        "basic": {"url": "/echo", "auth": {"basic": {"username": "u", "password": "{{p}}"}}},
        "key": {"url": "/echo", "auth": {"api_key": {"name": "X-Key", "value": "{{p}}"}}},
    }[place]
    name = {"headers": "x-value", "cookies": "cookie", "key": "x-key"}.get(place, "authorization")
    refused = 0
    for payload in _PAYLOADS:
        before = len(bench.server.requests)
        sent = refused_or_sent(bench, before, await bench.run({"request": request}, p=payload))
        if sent is None:
            refused += 1
            continue
        assert [key.lower() for key, _ in sent.headers] == ["host", "user-agent", "accept", name]
        assert place != "cookies" or ";" not in payload
        value = sent.values(name)[0].encode("latin-1").decode()
        expected = {
            "cookies": f"c={payload}",
            "bearer": f"Bearer {payload}",
            "basic": "Basic " + base64.b64encode(f"u:{payload}".encode()).decode(),
        }.get(place, payload)
        assert value.strip(" \t") == expected.strip(" \t")
    assert refused < len(_PAYLOADS) / 3
    if place != "basic":
        assert refused >= 20


async def test_names_cannot_be_injected_either(bench: Bench) -> None:
    for payload in ("X: 1\r\nY", "a b", "", "é", "a:b"):
        outcome = await bench.refused({"url": "/echo", "headers": {"{{p}}": "1"}}, p=payload)
        assert outcome.category == "config"
        outcome = await bench.refused({"url": "/echo", "cookies": {"{{p}}": "1"}}, p=payload)
        assert outcome.category == "config"
    for field in ("filename", "content_type"):
        part = {"content": "x", field: "a\r\nX-Evil: 1"}
        outcome = await bench.refused({"POST": "/echo", "multipart": {"f": part}})
        assert outcome.failures[0].where == f"request.multipart.f.{field}"
    outcome = await bench.refused({"POST": "/echo", "multipart": {"{{p}}": "x"}}, p='a"\r\n')
    assert outcome.category == "config"


async def test_a_line_break_behind_a_tab_is_a_line_break(bench: Bench) -> None:
    outcome = await bench.refused({"url": "/echo", "headers": {"X-A": "{{p}}"}}, p="a\tb\r\nX-Evil: 1")
    assert outcome.failures[0].where == "request.headers.X-A"
    assert (await bench.sent({"url": "/echo", "headers": {"X-A": "{{p}}"}}, p="a\tb")).values("x-a") == ["a\tb"]


async def test_what_a_response_said_is_never_a_template(bench: Bench) -> None:
    sent = await bench.sent({"POST": "/echo", "body": "{{x}}"}, x="{{secret}} {{uuid()}}", secret="canary")
    assert sent.body == b"{{secret}} {{uuid()}}"


async def test_unknown_name(bench: Bench) -> None:
    outcome = await bench.refused({"url": "/echo", "headers": {"X": "{{usre}}"}}, user="demo")
    failure = outcome.failures[0]
    assert (outcome.category, failure.where) == ("template", "request.headers.X")
    assert "usre" in failure.message
    assert "user" in (failure.hint or "")
    assert outcome.exchange is None
