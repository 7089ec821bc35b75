"""What every transport must do alike, against a real server."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from orbit_runner.transport.curl import CurlTransport
from orbit_runner.transport.httpx import HttpxTransport
from orbit_runner.transport.message import USER_AGENT
from orbit_runner.transport.port import FieldPart, FilePart, HttpRequest, Multipart, TransportError
from support.hostile import BIG, HostileServer

if TYPE_CHECKING:
    from pathlib import Path

    from orbit_runner.transport.port import Transport


async def echo(transport: Transport, request: HttpRequest) -> dict[str, Any]:
    answer = await transport.send(request)
    assert answer.status == 200
    seen: dict[str, Any] = json.loads(answer.body)
    return seen


async def refusal(transport: Transport, request: HttpRequest) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await transport.send(request)
    return caught.value


def named(seen: dict[str, Any], *leave_out: str) -> list[tuple[str, str]]:
    return [(name, value) for name, value in seen["headers"] if name.lower() not in leave_out]


# ----------------------------------------------------------------------------------------------------- what is sent


async def test_sends_no_header_that_nobody_asked_for(transport: Transport, server: HostileServer) -> None:
    seen = await echo(transport, HttpRequest("GET", server.url("/echo")))
    expected = {"Host": f"127.0.0.1:{server.port}", "User-Agent": USER_AGENT, "Accept": "*/*"}
    assert dict(named(seen)) == expected
    assert len(named(seen)) == 3


async def test_none_leaves_a_default_header_out(transport: Transport, server: HostileServer) -> None:
    headers = [("User-Agent", None), ("accept", None)]
    seen = await echo(transport, HttpRequest("GET", server.url("/echo"), headers))
    assert [name for name, _ in named(seen)] == ["Host"]


async def test_own_headers_replace_the_defaults(transport: Transport, server: HostileServer) -> None:
    headers = [("user-agent", "mine"), ("Accept", "text/html"), ("Host", "elsewhere.test")]
    seen = await echo(transport, HttpRequest("GET", server.url("/echo"), headers))
    assert sorted(named(seen)) == [("Accept", "text/html"), ("Host", "elsewhere.test"), ("user-agent", "mine")]


async def test_headers_keep_order_case_and_repeats(transport: Transport, server: HostileServer) -> None:
    headers = [("X-MixedCase", "1"), ("X-Dup", "a"), ("x-dup", "b"), ("X-Empty", ""), ("X-Blank", "  ")]
    seen = await echo(transport, HttpRequest("GET", server.url("/echo"), headers))
    expected = [("X-MixedCase", "1"), ("X-Dup", "a"), ("x-dup", "b"), ("X-Empty", ""), ("X-Blank", "")]
    assert named(seen, "host", "user-agent", "accept") == expected


async def test_header_values_beyond_ascii_are_utf8(transport: Transport, server: HostileServer) -> None:
    await transport.send(HttpRequest("GET", server.url("/echo"), [("X-Name", "café 日本")]))
    assert server.requests[0].values("x-name") == ["café 日本".encode().decode("latin-1")]


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("/a/../b%2Fc/./d?x[]=1&y={z}", "/a/../b%2Fc/./d?x[]=1&y={z}"),
        ("/a/../b/./c//..", "/a/../b/./c//.."),
        ("", "/"),
        ("?q=1", "/?q=1"),
        ("/p?", "/p?"),
        ("//double//", "//double//"),
        ("/sp ace?q=a b", "/sp%20ace?q=a%20b"),
        ("/é?q=日", "/%C3%A9?q=%E6%97%A5"),
        ("/x#fragment", "/x"),
        ("/%41%2e%2E/%zz", "/%41%2e%2E/%zz"),
    ],
)
async def test_the_path_is_sent_as_written(
    transport: Transport, server: HostileServer, written: str, sent: str
) -> None:
    await transport.send(HttpRequest("GET", server.url(written)))
    assert server.requests[0].target == sent


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "TRACE", "DELETE", "PURGE", "get", "M-SEARCH"])
async def test_methods_without_a_body(transport: Transport, server: HostileServer, method: str) -> None:
    seen = await echo(transport, HttpRequest(method, server.url("/echo")))
    assert seen["method"] == method
    assert "content-length" not in dict(named(seen))


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "REPORT"])
@pytest.mark.parametrize("body", [b"", b"\x00\xff body", b"x" * 2_000_000], ids=["empty", "binary", "large"])
async def test_methods_with_a_body(transport: Transport, server: HostileServer, method: str, body: bytes) -> None:
    request = HttpRequest(method, server.url("/status/200"), [("Content-Type", "text/odd")], body)
    assert (await transport.send(request)).status == 200
    seen = server.requests[0]
    assert (seen.method, seen.body) == (method, body)
    assert seen.values("content-type") == ["text/odd"]
    assert seen.values("content-length") == ([str(len(body))] if body or method in {"POST", "PUT", "PATCH"} else [])
    assert seen.values("expect") == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_a_missing_body_has_length_zero_and_no_type(
    transport: Transport, server: HostileServer, method: str
) -> None:
    seen = await echo(transport, HttpRequest(method, server.url("/echo")))
    told = {name.lower(): value for name, value in named(seen)}
    assert told["content-length"] == "0"
    assert "content-type" not in told


async def test_a_body_gets_no_type_by_itself(transport: Transport, server: HostileServer) -> None:
    await transport.send(HttpRequest("POST", server.url("/echo"), body=b"a=1"))
    assert server.requests[0].values("content-type") == []


async def test_what_one_request_sets_does_not_leak_into_the_next(transport: Transport, server: HostileServer) -> None:
    await transport.send(HttpRequest("PUT", server.url("/echo"), [("X-Once", "1")], b"body", max_body_bytes=100_000))
    await transport.send(HttpRequest("HEAD", server.url("/echo")))
    seen = await echo(transport, HttpRequest("GET", server.url("/echo")))
    assert (seen["method"], seen["body"]) == ("GET", "")
    assert sorted(name for name, _ in named(seen)) == ["Accept", "Host", "User-Agent"]


async def test_multipart(transport: Transport, server: HostileServer, tmp_path: Path) -> None:
    on_disk = tmp_path / "été.json"
    on_disk.write_bytes(b'{"a": 1}' * 50_000)
    parts: list[FieldPart | FilePart] = [
        FieldPart("plain", "välue"),
        FieldPart("typed", b"<a/>", "text/xml"),
        FilePart("memory", b"\x00\x01", 'qu"ote.bin'),
        FilePart("disk", on_disk),
        FieldPart("plain", "again"),
    ]
    await transport.send(HttpRequest("POST", server.url("/echo"), body=Multipart(parts), max_body_bytes=10**8))
    seen = server.requests[0]
    kind, _, boundary = seen.values("content-type")[0].partition("; boundary=")
    assert kind == "multipart/form-data"
    assert seen.values("content-length") == [str(len(seen.body))]
    pieces = seen.body.split(b"--" + boundary.encode())[1:-1]
    found = []
    for piece in pieces:
        head, _, content = piece.removeprefix(b"\r\n").removesuffix(b"\r\n").partition(b"\r\n\r\n")
        lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        found.append((lines["Content-Disposition"], lines.get("Content-Type"), content))
    assert found == [
        ('form-data; name="plain"', None, "välue".encode()),
        ('form-data; name="typed"', "text/xml", b"<a/>"),
        ('form-data; name="memory"; filename="qu%22ote.bin"', "application/octet-stream", b"\x00\x01"),
        ('form-data; name="disk"; filename="été.json"', "application/json", b'{"a": 1}' * 50_000),
        ('form-data; name="plain"', None, b"again"),
    ]


async def test_a_multipart_body_does_not_leak_into_the_next(transport: Transport, server: HostileServer) -> None:
    await transport.send(HttpRequest("POST", server.url("/echo"), body=Multipart([FieldPart("a", "1")])))
    seen = await echo(transport, HttpRequest("GET", server.url("/echo")))
    assert (seen["method"], seen["body"]) == ("GET", "")
    assert sorted(name for name, _ in named(seen)) == ["Accept", "Host", "User-Agent"]


async def test_a_missing_file_is_named(transport: Transport, server: HostileServer, tmp_path: Path) -> None:
    body = Multipart([FilePart("f", tmp_path / "absent.bin")])
    error = await refusal(transport, HttpRequest("POST", server.url("/echo"), body=body))
    assert error.category == "invalid_request"
    assert "absent.bin" in error.message
    assert server.requests == []


async def test_credentials_in_the_url_become_basic_authorization(transport: Transport, server: HostileServer) -> None:
    url = server.url("/echo").replace("//", "//us%40er:p%C3%A9@")
    seen = await echo(transport, HttpRequest("GET", url))
    assert dict(named(seen))["Authorization"] == "Basic dXNAZXI6cMOp"


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/x", [("X-A", "1\r\nX-Injected: 1")]),
        ("GET", "/x", [("X-A", "1\nX-Injected: 1")]),
        ("GET", "/x", [("X-A", "1\x00")]),
        ("GET", "/x", [("X-A: 1\r\nX-Injected", "1")]),
        ("GET", "/x", [("X-A", "half \ud83d")]),
        ("GET", "/half\ud83d", []),
        ("GET", "/x", [("X A", "1")]),
        ("GET", "/x", [("", "1")]),
        ("GET", "/x", [("Naïve", "1")]),
        ("GET /y HTTP/1.1\r\nX-Injected: 1\r\n\r\nGET", "/x", []),
        ("", "/x", []),
        ("GE T", "/x", []),
        ("GET", "/x HTTP/1.1\r\nX-Injected: 1\r\n\r\n", []),
        ("GET", "/x\n", []),
        ("GET", "/x\x00", []),
    ],
)
async def test_nothing_that_changes_the_structure_is_sent(
    transport: Transport, server: HostileServer, method: str, path: str, headers: list[tuple[str, str]]
) -> None:
    error = await refusal(transport, HttpRequest(method, server.url(path), headers))
    assert error.category in {"invalid_request", "invalid_url"}
    assert error.phase == "prepare"
    assert server.connections == 0


@pytest.mark.parametrize(
    "part",
    [
        FieldPart("a\r\nX: 1", "v"),
        FieldPart("a", "v", "text/plain\r\nX: 1"),
        FilePart("a", b"v", "f\n.txt"),
        FilePart("a", b"v", "f.txt", "x\r\n\r\n"),
        FieldPart("\udc00", "v"),
    ],
)
async def test_multipart_heads_cannot_be_broken(
    transport: Transport, server: HostileServer, part: FieldPart | FilePart
) -> None:
    error = await refusal(transport, HttpRequest("POST", server.url("/echo"), body=Multipart([part])))
    assert error.category == "invalid_request"
    assert server.connections == 0


@pytest.mark.parametrize(
    "url",
    ["ftp://127.0.0.1/", "file:///etc/passwd", "/relative", "http://", "http:///x", "http://a b/", "http://h:99999/",
     "http://good.test\\@evil.test/", "http://a@b@c/", "javascript:alert(1)", "http://[::1", "http://ex%41mple.test/",
     "", "http://h:port/"],
)  # fmt: skip
async def test_urls_that_are_refused(transport: Transport, url: str) -> None:
    error = await refusal(transport, HttpRequest("GET", url))
    assert error.category == "invalid_url"


async def test_errors_show_no_query_and_no_credentials(transport: Transport) -> None:
    for url in ("http://user:hunter2@127.0.0.1:9/x?token=hunter2#hunter2", "ftp://user:hunter2@h/?token=hunter2"):
        error = await refusal(transport, HttpRequest("GET", url, [("Authorization", "hunter2")]))
        assert "hunter2" not in f"{error} {error.detail} {error.hint} {error.url} {error!r}"


# -------------------------------------------------------------------------------------------------- what is received


async def test_headers_come_back_in_order_with_case_and_odd_bytes(transport: Transport, server: HostileServer) -> None:
    answer = await transport.send(HttpRequest("GET", server.url("/headers")))
    assert answer.headers == [
        ("X-CamelCase-Header", "1"),
        ("x-dup", "a"),
        ("X-Dup", "b"),
        ("X-Empty", ""),
        ("X-Latin", "café"),
        ("X-Utf8", "café"),
        ("X-Nul-Ish", "ÿþ"),
        ("Content-Length", "0"),
    ]
    assert (answer.status, answer.reason, answer.http_version) == (200, "Fine é", "1.1")
    assert answer.header("X-DUP") == "a"
    assert answer.header_values("x-dup") == ["a", "b"]
    assert answer.header("absent") is None


async def test_chunked_body_and_trailers(transport: Transport, server: HostileServer) -> None:
    answer = await transport.send(HttpRequest("GET", server.url("/chunked")))
    assert answer.body == b"hello world"
    assert answer.wire_bytes == 11
    if isinstance(transport, CurlTransport):
        assert answer.trailers == [("X-Sum", "42")]
    assert answer.header("X-Sum") is None


async def test_interim_answers_are_passed_over(transport: Transport, server: HostileServer) -> None:
    answer = await transport.send(HttpRequest("GET", server.url("/interim")))
    assert (answer.status, answer.body) == (200, b"final")
    assert answer.headers == [("X-Final", "1"), ("Content-Length", "5")]


@pytest.mark.parametrize(("method", "status"), [("GET", 204), ("GET", 304), ("HEAD", 200), ("HEAD", 404)])
async def test_answers_without_a_body(transport: Transport, server: HostileServer, method: str, status: int) -> None:
    answer = await transport.send(HttpRequest(method, server.url(f"/status/{status}")))
    assert (answer.status, answer.body) == (status, b"")
    after = await transport.send(HttpRequest("GET", server.url("/status/201")))
    assert (after.status, after.body) == (201, b"body")
    assert server.connections == 1


async def test_a_body_that_ends_with_the_connection(transport: Transport, server: HostileServer) -> None:
    assert (await transport.send(HttpRequest("GET", server.url("/no-length")))).body == b"until the end"


@pytest.mark.parametrize("path", ["/gzip", "/deflate", "/deflate?raw=1", "/br", "/gzip-br"])
async def test_decompression(transport: Transport, server: HostileServer, path: str) -> None:
    answer = await transport.send(HttpRequest("GET", server.url(path)))
    assert answer.body == BIG
    assert 0 < answer.wire_bytes < 2000
    raw = await transport.send(HttpRequest("GET", server.url(path), decompress=False))
    assert raw.wire_bytes == len(raw.body) == answer.wire_bytes


async def test_head_of_a_compressed_answer(transport: Transport, server: HostileServer) -> None:
    answer = await transport.send(HttpRequest("HEAD", server.url("/gzip")))
    assert (answer.body, answer.header("content-encoding")) == (b"", "gzip")


async def test_connections_are_reused(transport: Transport, server: HostileServer) -> None:
    answers = [await transport.send(HttpRequest("GET", server.url("/echo"))) for _ in range(3)]
    assert server.connections == 1
    assert [answer.timings.reused for answer in answers] == [False, True, True]


async def test_timings_add_up(transport: Transport, server: HostileServer) -> None:
    begin = time.perf_counter()
    first = await transport.send(HttpRequest("GET", server.url("/echo")))
    wall = time.perf_counter() - begin
    again = await transport.send(HttpRequest("GET", server.url("/echo")))
    for timings in (first.timings, again.timings):
        parts = [timings.queue, timings.dns, timings.connect, timings.tls, timings.first_byte, timings.transfer]
        assert all(part is None or part >= 0 for part in parts)
        assert sum(part or 0.0 for part in parts) == pytest.approx(timings.total, abs=0.002)
    assert 0 < first.timings.total <= wall
    assert first.timings.connect is not None
    assert first.timings.connect > 0
    assert (again.timings.connect, again.timings.dns, again.timings.tls) == (0.0, 0.0, 0.0)


async def test_the_dialled_address_is_told(transport: Transport, server: HostileServer) -> None:
    for _ in range(2):
        answer = await transport.send(HttpRequest("GET", server.url("/echo", host="localhost")))
        assert (answer.remote_ip, answer.remote_port) == ("127.0.0.1", server.port)


# ------------------------------------------------------------------------------------------------------------ failure


@pytest.mark.parametrize(
    ("path", "category", "phase"),
    [
        ("/reset", "reset", "first_byte"),
        ("/empty", "reset", "first_byte"),
        ("/reset-midway", "reset", "transfer"),
        ("/cut-headers", "incomplete", None),
        ("/short", "incomplete", "transfer"),
        ("/cut-chunks", "incomplete", "transfer"),
        ("/garbage", "protocol", None),
        ("/bad-chunk", "protocol", "transfer"),
        ("/not-gzip", "protocol", "transfer"),
        ("/unknown-encoding", "protocol", "transfer"),
        ("/big-header", "protocol", None),
        ("/many-headers", "protocol", None),
    ],
)
async def test_failures_have_a_category_and_a_place(
    transport: Transport, server: HostileServer, path: str, category: str, phase: str | None
) -> None:
    error = await refusal(transport, HttpRequest("GET", server.url(f"{path}?secret=1"), timeout=10))
    if path == "/cut-headers" and isinstance(transport, HttpxTransport):
        category = "reset"  # it does not tell a half header block from none
    assert error.category == category
    assert phase is None or error.phase == phase
    assert error.message.startswith(f"127.0.0.1:{server.port}: ")
    assert error.url == server.url(path)
    assert 0 < error.elapsed < 10
    answer = await transport.send(HttpRequest("GET", server.url("/echo")))  # and it goes on
    assert answer.status == 200


@pytest.mark.parametrize("method", ["POST", "PATCH", "CUSTOM"])
@pytest.mark.parametrize("body", [None, b"pay 5"])
async def test_a_request_with_effects_is_never_sent_twice(
    transport: Transport, server: HostileServer, method: str, body: bytes | None
) -> None:
    await transport.send(
        HttpRequest("GET", server.url("/echo"))
    )  # its connection is reused, and ends without an answer
    error = await refusal(transport, HttpRequest(method, server.url("/empty"), body=body))
    assert (error.category, error.phase) == ("reset", "first_byte")
    assert [request.method for request in server.requests] == ["GET", method]


async def test_refused_connection(transport: Transport, server: HostileServer) -> None:
    await server.__aexit__()
    error = await refusal(transport, HttpRequest("GET", server.url("/")))
    assert (error.category, error.phase) == ("connect", "connect")
    assert error.message == f"127.0.0.1:{server.port}: connection refused."


async def test_unknown_name(transport: Transport) -> None:
    error = await refusal(transport, HttpRequest("GET", "http://no-such-host.invalid/"))
    assert (error.category, error.phase) == ("dns", "dns")
    assert error.message.startswith("no-such-host.invalid:80: ")


@pytest.mark.parametrize(
    ("path", "phase"),
    [("/silent", "first_byte"), ("/drip-headers", None), ("/drip-interim", None), ("/drip-body", "transfer")],
)
async def test_no_server_outlasts_the_deadline(
    transport: Transport, server: HostileServer, path: str, phase: str | None
) -> None:
    begin = time.perf_counter()
    error = await refusal(transport, HttpRequest("GET", server.url(path), timeout=0.5))
    assert 0.45 < time.perf_counter() - begin < 1.5
    assert error.category == "timeout"
    assert phase is None or error.phase == phase
    assert error.elapsed == pytest.approx(0.5, abs=0.5)


async def test_the_deadline_covers_waiting_for_a_connection(server: HostileServer) -> None:
    for transport in (CurlTransport(max_connections=1), HttpxTransport(max_connections=1)):
        server.requests.clear()
        first = asyncio.create_task(transport.send(HttpRequest("GET", server.url("/silent"))))
        await server.until(lambda: server.requests)
        error = await refusal(transport, HttpRequest("GET", server.url("/echo"), timeout=0.2))
        assert (error.category, error.phase) == ("timeout", "queue")
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await transport.send(HttpRequest("GET", server.url("/echo"), timeout=5))).status == 200
        await transport.close()


@pytest.mark.parametrize("path", ["/endless", "/endless?announced=1", "/gzip-bomb", "/br-bomb"])
async def test_the_cap_on_the_body_holds(transport: Transport, server: HostileServer, path: str) -> None:
    error = await refusal(transport, HttpRequest("GET", server.url(path), max_body_bytes=1_000_000, timeout=20))
    assert (error.category, error.phase) == ("body_too_large", "transfer")
    assert "1000000 bytes" in error.message
    assert error.elapsed < 10


@pytest.mark.parametrize("path", ["/status/200", "/gzip"])
async def test_the_cap_is_exact(transport: Transport, server: HostileServer, path: str) -> None:
    size = len((await transport.send(HttpRequest("GET", server.url(path)))).body)
    whole = await transport.send(HttpRequest("GET", server.url(path), max_body_bytes=size))
    assert len(whole.body) == size
    error = await refusal(transport, HttpRequest("GET", server.url(path), max_body_bytes=size - 1))
    assert error.category == "body_too_large"


async def test_cancelling_closes_the_connection_at_once(transport: Transport, server: HostileServer) -> None:
    task = asyncio.create_task(transport.send(HttpRequest("GET", server.url("/drip-body"))))
    await server.until(lambda: server.requests)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.until(lambda: server.closed)
    assert (await transport.send(HttpRequest("GET", server.url("/echo")))).status == 200


async def test_close_ends_what_is_under_way(transport: Transport, server: HostileServer) -> None:
    task = asyncio.create_task(transport.send(HttpRequest("GET", server.url("/silent"))))
    await server.until(lambda: server.requests)
    await transport.close()
    with pytest.raises(TransportError) as caught:
        await task
    assert caught.value.category == "closed"
    assert (await refusal(transport, HttpRequest("GET", server.url("/echo")))).category == "closed"
    await transport.close()


async def test_many_at_once_do_not_mix(transport: Transport, server: HostileServer) -> None:
    async def one(number: int) -> bool:
        request = HttpRequest("POST", server.url(f"/echo/{number}"), [("X-Number", str(number))], b"%d" % number)
        seen = await echo(transport, request)
        return (seen["target"], seen["body"]) == (f"/echo/{number}", str(number))

    assert all(await asyncio.gather(*(one(number) for number in range(200))))
