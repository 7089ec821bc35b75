"""Proxies: used when named, never by surprise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from orbit_runner.transport.curl import CurlTransport
from orbit_runner.transport.port import HttpRequest, TlsOptions, TransportError
from support.certificates import make_certificates, server_context
from support.hostile import HostileServer
from support.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from orbit_runner.transport.port import Transport


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    async with Proxy() as running:
        yield running


def through(proxy: Proxy, credentials: str = "") -> str:
    return f"http://{credentials}127.0.0.1:{proxy.port}"


async def test_forwarding(transport: Transport, server: HostileServer, proxy: Proxy) -> None:
    url = server.url("/a/../b%2fc?q=1")
    answer = await transport.send(HttpRequest("GET", url, proxy=through(proxy, "us%40er:pw@")))
    assert answer.status == 200
    (head,) = proxy.heads
    assert head.startswith((f"GET {url.replace('%2f', '%2F')} ", f"GET {url} "))
    assert "proxy-authorization: basic dxnazxi6chc=" in head.lower()


async def test_a_tunnel_shows_the_proxy_nothing(transport: Transport, proxy: Proxy, tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    async with HostileServer(tls=server_context(certificates)) as server:
        answer = await transport.send(
            HttpRequest(
                "GET",
                server.url("/echo?hunter2"),
                [("Authorization", "hunter2")],
                tls=TlsOptions(ca_file=certificates.authority),
                proxy=through(proxy),
            )
        )
        assert answer.status == 200
        assert answer.header("x-from-proxy") is None
        assert server.requests[0].values("authorization") == ["hunter2"]
        assert server.requests[0].target == "/echo?hunter2"
        (head,) = proxy.heads
        assert head.startswith(f"CONNECT 127.0.0.1:{server.port} ")
        assert "hunter2" not in head


async def test_a_refused_tunnel(transport: Transport, proxy: Proxy) -> None:
    proxy.status = "407 Proxy Authentication Required"
    with pytest.raises(TransportError) as caught:
        await transport.send(HttpRequest("GET", "https://secure.test/", proxy=through(proxy, "user:hunter2@")))
    assert caught.value.category == "proxy"
    assert "407" in caught.value.message
    assert "hunter2" not in f"{caught.value} {caught.value.detail}"


async def test_a_proxy_that_is_not_there(transport: Transport, server: HostileServer, proxy: Proxy) -> None:
    await proxy.__aexit__()
    with pytest.raises(TransportError) as caught:
        await transport.send(HttpRequest("GET", server.url("/echo"), proxy=through(proxy)))
    assert caught.value.category in {"proxy", "connect"}
    assert server.requests == []


async def test_the_environment_counts_only_when_asked(
    transport: Transport, server: HostileServer, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, through(proxy))
    assert (await transport.send(HttpRequest("GET", server.url("/echo")))).status == 200
    assert proxy.heads == []
    assert (await transport.send(HttpRequest("GET", server.url("/echo"), proxy="env"))).status == 200
    assert len(proxy.heads) == 1
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert (await transport.send(HttpRequest("GET", server.url("/echo"), proxy="env"))).status == 200
    assert len(proxy.heads) == 1


async def test_the_netrc_file_is_not_read(
    transport: Transport, server: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login user password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    await transport.send(HttpRequest("GET", server.url("/echo")))
    assert server.requests[0].values("authorization") == []


async def test_a_proxy_url_that_makes_no_sense(transport: Transport, server: HostileServer) -> None:
    with pytest.raises(TransportError) as caught:
        await transport.send(HttpRequest("GET", server.url("/"), proxy="gopher://user:hunter2@127.0.0.1:1"))
    assert caught.value.category in {"proxy", "unsupported"}
    assert "hunter2" not in f"{caught.value} {caught.value.detail}"
    assert server.requests == []


async def test_only_vetted_addresses_are_dialled(server: HostileServer) -> None:
    asked: list[str] = []

    def only_this(address: str) -> bool:
        asked.append(address)
        return address == "127.0.0.1"

    transport = CurlTransport(address_filter=only_this)
    for host in ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1"):
        assert (await transport.send(HttpRequest("GET", server.url("/echo", host)))).remote_ip == "127.0.0.1"
    for host in ("127.0.0.2", "[::1]", "[::ffff:127.0.0.1]", "0", "169.254.169.254"):
        with pytest.raises(TransportError) as caught:
            await transport.send(HttpRequest("GET", server.url("/echo", host), timeout=5))
        assert caught.value.category == "address_refused", host
    assert len(server.requests) == 5
    assert {"127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1", "0.0.0.0", "169.254.169.254"} <= set(asked)
    await transport.close()
