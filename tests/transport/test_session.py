"""Redirects, cookies and the deadline across hops, over both transports and real servers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from orbit_runner.transport.cookies import CookieJar
from orbit_runner.transport.port import HttpRequest, TransportError
from orbit_runner.transport.session import Exchange, Hop, Session

if TYPE_CHECKING:
    from orbit_runner.transport.port import Transport
    from support.hostile import HostileServer

SECRETS = [
    ("Authorization", "Bearer t"),
    ("Cookie", "own=1"),
    ("Proxy-Authorization", "p"),
    ("X-API-Key", "k"),
    ("X-Marked", "m"),
    ("X-Plain", "kept"),
]


def redirect(server: HostileServer, to: str, status: int = 302, cookie: str | None = None) -> str:
    extra = f"&cookie={quote(cookie)}" if cookie else ""
    return server.url(f"/redirect?to={quote(to, safe='')}&status={status}{extra}")


async def failure(session: Session, request: HttpRequest, max_redirects: int = 5) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await session.send(request, max_redirects=max_redirects)
    return caught.value


# ---------------------------------------------------------------------------------------------------------- redirects


async def test_follows_nothing_unless_asked(transport: Transport, server: HostileServer) -> None:
    exchange = await Session(transport).send(HttpRequest("GET", server.url("/down/3")))
    assert (exchange.response.status, exchange.hops) == (302, [])


async def test_history_of_hops(transport: Transport, server: HostileServer) -> None:
    exchange = await Session(transport).send(HttpRequest("GET", server.url("/down/3?a=1")), max_redirects=3)
    assert exchange.response.status == 200
    assert exchange.request.url == exchange.response.url == server.url("/echo")
    assert [(hop.request.url, hop.response.status, hop.location) for hop in exchange.hops] == [
        (server.url("/down/3?a=1"), 302, "/down/2"),
        (server.url("/down/2"), 302, "/down/1"),
        (server.url("/down/1"), 302, "/echo"),
    ]
    assert exchange.elapsed >= sum(hop.response.timings.total for hop in exchange.hops)


async def test_too_many_redirects_lists_the_hops(transport: Transport, server: HostileServer) -> None:
    error = await failure(Session(transport), HttpRequest("GET", server.url("/down/9?token=hunter2")), 2)
    assert error.category == "too_many_redirects"
    assert "more than 2 redirects" in error.message
    assert error.detail == (
        f"GET {server.url('/down/9')} 302 → GET {server.url('/down/8')} 302 → GET {server.url('/down/7')} 302 → /down/6"
    )
    assert len(server.requests) == 3


async def test_a_circle_is_seen_at_once(transport: Transport, server: HostileServer) -> None:
    error = await failure(Session(transport), HttpRequest("GET", server.url("/loop/0")), 1000)
    assert error.category == "too_many_redirects"
    assert "circle" in error.message
    assert len(server.requests) == 2


async def test_the_same_url_with_a_new_cookie_is_no_circle(transport: Transport, server: HostileServer) -> None:
    request = HttpRequest("GET", server.url("/needs-cookie"))
    exchange = await Session(transport).send(request, max_redirects=5)
    assert (exchange.response.status, len(exchange.hops)) == (200, 1)
    with pytest.raises(TransportError) as caught:
        await Session(transport).send(request, max_redirects=5, use_jar=False)
    assert "circle" in caught.value.message


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [
        ("POST", 301, "GET"),
        ("POST", 302, "GET"),
        ("POST", 303, "GET"),
        ("POST", 307, "POST"),
        ("POST", 308, "POST"),
        ("PUT", 301, "PUT"),
        ("DELETE", 302, "DELETE"),
        ("PUT", 303, "GET"),
        ("PATCH", 307, "PATCH"),
        ("HEAD", 303, "HEAD"),
        ("HEAD", 301, "HEAD"),
        ("GET", 308, "GET"),
    ],
)
async def test_method_and_body_after_a_redirect(
    transport: Transport, server: HostileServer, method: str, status: int, expected: str
) -> None:
    body = None if method in {"GET", "HEAD"} else b"payload"
    headers = [("Content-Type", "text/x"), ("X-Kept", "1")]
    await Session(transport).send(
        HttpRequest(method, redirect(server, "/echo", status), headers, body), max_redirects=1
    )
    seen = server.requests[-1]
    assert seen.method == expected
    assert seen.values("x-kept") == ["1"]
    kept = expected == method
    assert seen.body == (body or b"" if kept else b"")
    assert seen.values("content-type") == (["text/x"] if kept else [])


@pytest.mark.parametrize("status", [300, 304, 305, 306, 399])
async def test_other_statuses_are_answers(transport: Transport, server: HostileServer, status: int) -> None:
    exchange = await Session(transport).send(HttpRequest("GET", redirect(server, "/echo", status)), max_redirects=5)
    assert (exchange.response.status, len(exchange.hops)) == (status, 0)


async def test_a_redirect_without_location_is_an_answer(transport: Transport, server: HostileServer) -> None:
    exchange = await Session(transport).send(HttpRequest("GET", server.url("/no-location")), max_redirects=5)
    assert exchange.response.status == 302


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/echo?b=2#part", "/echo?b=2"),
        ("echo", "/echo"),
        ("./echo/../other", "/other"),
        ("?b=2", "/redirect?b=2"),
        ("/sp ace/é", "/sp%20ace/%C3%A9"),
        ("  /echo  ", "/echo"),
        ("//127.0.0.1:{port}/echo", "/echo"),
        ("HTTP://127.0.0.1:{port}", "/"),
    ],
)
async def test_locations(transport: Transport, server: HostileServer, location: str, target: str) -> None:
    location = location.format(port=server.port)
    if target.startswith("/redirect"):
        server.do_redirect = _once(server)  # type: ignore[method-assign]
    await Session(transport).send(HttpRequest("GET", redirect(server, location)), max_redirects=1)
    assert server.requests[-1].target == target


def _once(server: HostileServer):  # type: ignore[no-untyped-def]
    original = server.do_redirect

    async def answer(request, writer):  # type: ignore[no-untyped-def]
        return await (original(request, writer) if "to" in request.query else server.do_echo(request, writer))

    return answer


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://127.0.0.1/", "javascript:alert(1)", "http://a b/", "http://[::1", "data:,x"],
)
async def test_locations_that_are_not_followed(transport: Transport, server: HostileServer, location: str) -> None:
    error = await failure(Session(transport), HttpRequest("GET", redirect(server, location)))
    assert error.category == "invalid_redirect"
    assert error.message.startswith(f"127.0.0.1:{server.port}: redirected to ")
    assert len(server.requests) == 1


async def test_no_secret_header_crosses_an_origin(
    transport: Transport, server: HostileServer, other_server: HostileServer
) -> None:
    session = Session(transport)
    request = HttpRequest("GET", redirect(server, redirect(other_server, server.url("/echo"))), SECRETS)
    exchange = await session.send(request, max_redirects=5, secret_headers=["x-marked"])
    assert dict(server.requests[0].headers).items() >= dict(SECRETS).items()
    for later in (other_server.requests[0], server.requests[1]):  # nor do they come back
        names = {name.lower() for name, _ in later.headers}
        assert names == {"host", "user-agent", "accept", "x-plain"}
    assert exchange.hops[0].dropped_headers == tuple(name for name, _ in SECRETS[:-1])
    assert exchange.hops[1].dropped_headers == ()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_secret_headers_stay_within_an_origin(transport: Transport, server: HostileServer, host: str) -> None:
    to = f"http://{host}:{server.port}/echo"
    exchange = await Session(transport).send(HttpRequest("GET", redirect(server, to), SECRETS), max_redirects=1)
    same = host == "127.0.0.1"
    assert server.requests[1].values("authorization") == (["Bearer t"] if same else [])
    assert bool(exchange.hops[0].dropped_headers) is not same


async def test_credentials_in_the_url_stay_within_an_origin(
    transport: Transport, server: HostileServer, other_server: HostileServer
) -> None:
    for to, there in ((server.url("/echo"), server), (other_server.url("/echo"), other_server)):
        url = redirect(server, to).replace("//", "//user:pass@", 1)
        await Session(transport).send(HttpRequest("GET", url), max_redirects=1)
        assert there.requests[-1].values("authorization") == (["Basic dXNlcjpwYXNz"] if there is server else [])


async def test_a_host_header_belongs_to_its_origin(
    transport: Transport, server: HostileServer, other_server: HostileServer
) -> None:
    request = HttpRequest("GET", redirect(server, other_server.url("/echo")), [("Host", "virtual.test")])
    await Session(transport).send(request, max_redirects=1)
    assert server.requests[0].values("host") == ["virtual.test"]
    assert other_server.requests[0].values("host") == [f"127.0.0.1:{other_server.port}"]


async def test_one_deadline_covers_all_hops(transport: Transport, server: HostileServer) -> None:
    begin = time.perf_counter()
    url = redirect(server, "/silent") + "&delay=0.6"
    error = await failure(Session(transport), HttpRequest("GET", url, timeout=0.8))
    assert error.category == "timeout"
    assert 0.75 < time.perf_counter() - begin < 1.2
    assert server.requests[-1].target == "/silent"
    assert error.message == f"127.0.0.1:{server.port}: no final answer within 0.8 s, after 1 redirects."
    assert error.detail is not None
    assert error.detail.startswith(f"GET {server.url('/redirect')} 302 → /silent; ")
    assert error.elapsed == pytest.approx(0.8, abs=0.3)


async def test_redirects_that_use_up_the_deadline(transport: Transport, server: HostileServer) -> None:
    url = redirect(server, server.url("/echo")) + "&delay=0.1"
    for _ in range(4):
        url = redirect(server, url) + "&delay=0.1"
    error = await failure(Session(transport), HttpRequest("GET", url, timeout=0.25), 10)
    assert error.category == "timeout"
    assert len(server.requests) == 3


# ------------------------------------------------------------------------------------------------------------ cookies


async def test_cookies_are_kept_across_redirects_and_requests(transport: Transport, server: HostileServer) -> None:
    session = Session(transport)
    url = redirect(server, "/echo", cookie="sid=1; Path=/; HttpOnly; SameSite=Lax")
    exchange = await session.send(HttpRequest("GET", url), max_redirects=1)
    assert server.requests[-1].values("cookie") == ["sid=1"]
    assert ("Cookie", "sid=1") in exchange.request.headers
    await session.send(HttpRequest("GET", server.url("/echo")))
    assert server.requests[-1].values("cookie") == ["sid=1"]
    (cookie,) = session.cookies
    assert (cookie.name, cookie.value, cookie.domain, cookie.path) == ("sid", "1", "127.0.0.1", "/")
    assert (cookie.http_only, cookie.same_site, cookie.secure, cookie.expires) == (True, "Lax", False, None)


async def test_sessions_are_isolated_and_jars_can_be_shared(transport: Transport, server: HostileServer) -> None:
    first = Session(transport)
    await first.send(HttpRequest("GET", server.url("/set-cookie?c=a%3D1")))
    await Session(transport).send(HttpRequest("GET", server.url("/echo")))
    assert server.requests[-1].values("cookie") == []
    copied = Session(transport, cookies=first.cookies.copy())
    await copied.send(HttpRequest("GET", server.url("/set-cookie?c=b%3D2")))
    assert server.requests[-1].values("cookie") == ["a=1"]
    assert [cookie.name for cookie in first.cookies] == ["a"]
    assert sorted(cookie.name for cookie in copied.cookies) == ["a", "b"]


async def test_without_the_jar(transport: Transport, server: HostileServer) -> None:
    session = Session(transport)
    session.cookies.set("a", "1", url=server.url("/"))
    await session.send(HttpRequest("GET", server.url("/set-cookie?c=b%3D2")), use_jar=False)
    assert server.requests[-1].values("cookie") == []
    assert [cookie.name for cookie in session.cookies] == ["a"]


async def test_all_cookies_go_in_one_header(transport: Transport, server: HostileServer) -> None:
    session = Session(transport)
    for name, value in {"jar": "1", "both": "jar"}.items():
        session.cookies.set(name, value, url=server.url("/"))
    await session.send(
        HttpRequest("GET", server.url("/echo"), [("cookie", "own=0")]), cookies={"given": "2", "both": "given"}
    )
    assert server.requests[-1].values("cookie") == ["own=0; given=2; both=given; jar=1"]


async def test_given_cookies_stay_within_the_origin_and_give_way(
    transport: Transport, server: HostileServer, other_server: HostileServer
) -> None:
    url = redirect(server, redirect(server, other_server.url("/echo")), cookie="a=new; Path=/")
    await Session(transport).send(HttpRequest("GET", url), max_redirects=5, cookies={"a": "old", "b": "2"})
    assert [request.values("cookie") for request in server.requests] == [["a=old; b=2"], ["b=2; a=new"]]
    # The jar's cookie goes on to the other port of the same host: RFC 6265 knows no ports.
    assert other_server.requests[0].values("cookie") == ["a=new"]


@pytest.mark.parametrize(
    ("url", "header", "asks"),
    [
        ("http://a.test/", "c=1", {"http://a.test/x": True, "http://b.a.test/": False, "http://a.test:81/": True}),
        ("http://a.test/", "c=1; Domain=a.test", {"http://a.test/": True, "http://b.a.test/": True}),
        ("http://a.test/", "c=1; domain=.A.TEST", {"http://b.a.test/": True, "http://ba.test/": False}),
        ("http://b.a.test/", "c=1; Domain=a.test", {"http://a.test/": True, "http://c.a.test/": True}),
        ("http://a.test/", "c=1; Domain=b.a.test", {"http://a.test/": False, "http://b.a.test/": False}),
        ("http://a.test/", "c=1; Domain=other.test", {"http://a.test/": False, "http://other.test/": False}),
        ("http://a.test/", "c=1; Domain=test", {"http://a.test/": False}),
        ("http://a.test/", "c=1; Domain=", {"http://a.test/": True}),
        ("http://127.0.0.1/", "c=1; Domain=127.0.0.1", {"http://127.0.0.1/": True, "http://127.0.0.2/": False}),
        ("http://127.0.0.1/", "c=1; Domain=0.0.1", {"http://127.0.0.1/": False}),
        ("http://localhost/", "c=1; Domain=localhost", {"http://localhost:8/": True, "http://x.localhost/": False}),
        ("http://[::1]:5/", "c=1", {"http://[::1]/": True, "http://[::2]/": False}),
        ("http://a.test/foo/bar", "c=1", {"http://a.test/foo": True, "http://a.test/foo/x": True, "http://a.test/": False}),
        ("http://a.test/", "c=1; Path=/foo", {"http://a.test/foo": True, "http://a.test/foo/b": True,
                                             "http://a.test/foobar": False, "http://a.test/foo?q": True}),
        ("http://a.test/foo/", "c=1; Path=relative", {"http://a.test/foo/x": True, "http://a.test/": False}),
        ("https://a.test/", "c=1; Secure", {"https://a.test/": True, "http://a.test/": False}),
        ("http://a.test/", "c=1; Max-Age=0", {"http://a.test/": False}),
        ("http://a.test/", "c=1; Max-Age=-5", {"http://a.test/": False}),
        ("http://a.test/", "c=1; Max-Age=soon", {"http://a.test/": True}),
        ("http://a.test/", "c=1; Expires=Thu, 01 Jan 1970 00:00:01 GMT", {"http://a.test/": False}),
        ("http://a.test/", "c=1; Expires=Wed, 01-Jan-2070 00:00:00 GMT", {"http://a.test/": True}),
        ("http://a.test/", "c=1; Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=60", {"http://a.test/": True}),
        ("http://a.test/", "c=1; Expires=whenever", {"http://a.test/": True}),
        ("http://a.test/", "c=1; Version=1; Port=\"99\"; Discard", {"http://a.test/": True}),
        ("http://a.test/", "just-a-name", {"http://a.test/": False}),
        ("http://a.test/", "=value", {"http://a.test/": False}),
    ],
)  # fmt: skip
def test_cookie_rules(url: str, header: str, asks: dict[str, bool]) -> None:
    jar = CookieJar()
    jar.store(url, [header])
    assert {ask: jar.header_for(ask) is not None for ask in asks} == asks
    assert {jar.header_for(ask) for ask in asks} <= {"c=1", None}


@pytest.mark.parametrize("value", ['"a b"', "a,b", "x=y=z", "", "é", "%20", "a b"])
def test_cookie_values_stay_as_they_are(value: str) -> None:
    jar = CookieJar()
    jar.store("http://a.test/", [f"c={value}; Path=/"])
    assert jar.header_for("http://a.test/") == f"c={value}"
    assert [cookie.value for cookie in jar] == [value]


def test_longer_paths_come_first_and_a_later_cookie_replaces() -> None:
    jar = CookieJar()
    jar.store("http://a.test/x/y", ["c=root; Path=/", "c=deep; Path=/x", "d=1; Path=/", "d=2; Path=/"])
    assert jar.header_for("http://a.test/x/y") == "c=deep; c=root; d=2"


def test_attributes_are_read_whatever_their_case() -> None:
    jar = CookieJar()
    jar.store("https://a.test/", ["c=1; SECURE; httponly; samesite=Strict; PATH=/p; DOMAIN=a.test; max-age=60"])
    (cookie,) = jar
    assert (cookie.secure, cookie.http_only, cookie.same_site, cookie.path) == (True, True, "Strict", "/p")
    assert (cookie.domain, cookie.host_only) == ("a.test", False)
    assert cookie.expires == pytest.approx(time.time() + 60, abs=5)


def test_an_exchange_shows_no_secret() -> None:
    request = HttpRequest("POST", "http://u:hunter2@h/p?hunter2", [("Authorization", "hunter2")], b"hunter2")
    assert repr(request) == "<HttpRequest POST http://h/p>"
    hop = Hop(request, None, "/next?hunter2")  # type: ignore[arg-type]
    assert "hunter2" not in repr(Exchange(request, None, [hop]))  # type: ignore[arg-type]
