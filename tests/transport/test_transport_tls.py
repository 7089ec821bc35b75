"""TLS: verification, client certificates, HTTP/2."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import TYPE_CHECKING

import pytest
from orbit_runner.transport.curl import CurlTransport
from orbit_runner.transport.httpx import HttpxTransport
from orbit_runner.transport.port import HttpRequest, TlsOptions, TransportError
from support.certificates import PASSWORD, Certificates, make_certificates, server_context
from support.hostile import HostileServer

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from orbit_runner.transport.port import Transport


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@contextlib.asynccontextmanager
async def https(context: ssl.SSLContext) -> AsyncIterator[HostileServer]:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, _context: None)  # handshakes that fail on purpose
    async with HostileServer(tls=context) as server:
        yield server


async def refusal(transport: Transport, request: HttpRequest) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await transport.send(request)
    assert caught.value.category == "tls", caught.value
    return caught.value


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_named_authority_is_trusted(transport: Transport, certificates: Certificates, host: str) -> None:
    async with https(server_context(certificates)) as server:
        request = HttpRequest("GET", server.url("/echo", host), tls=TlsOptions(ca_file=certificates.authority))
        first, again = await transport.send(request), await transport.send(request)
        assert (first.status, again.status) == (200, 200)
        assert first.timings.tls is not None
        assert first.timings.tls > 0
        assert (again.timings.tls, again.timings.reused) == (0.0, True)
        assert server.connections == 1


async def test_an_unknown_authority_is_refused(transport: Transport, certificates: Certificates) -> None:
    async with https(server_context(certificates)) as server:
        error = await refusal(transport, HttpRequest("GET", server.url("/echo")))
        assert error.phase == "tls"
        assert error.message.startswith(f"127.0.0.1:{server.port}: ")
        assert server.requests == []


async def test_a_wrong_name_is_refused(transport: Transport, certificates: Certificates) -> None:
    async with https(server_context(certificates, certificate=certificates.elsewhere)) as server:
        tls = TlsOptions(ca_file=certificates.authority)
        await refusal(transport, HttpRequest("GET", server.url("/echo"), tls=tls))
        assert server.requests == []


async def test_an_expired_certificate_is_refused(transport: Transport, certificates: Certificates) -> None:
    async with https(server_context(certificates, certificate=certificates.expired)) as server:
        tls = TlsOptions(ca_file=certificates.authority)
        error = await refusal(transport, HttpRequest("GET", server.url("/echo"), tls=tls))
        assert "expired" in error.message


async def test_verification_can_be_switched_off_for_one_request(
    transport: Transport, certificates: Certificates
) -> None:
    async with https(server_context(certificates)) as server:
        loose = HttpRequest("GET", server.url("/echo"), tls=TlsOptions(verify=False))
        assert (await transport.send(loose)).status == 200
        await refusal(transport, HttpRequest("GET", server.url("/echo")))  # the open connection is not reused
        assert len(server.requests) == 1


async def test_a_client_certificate_is_shown(transport: Transport, certificates: Certificates) -> None:
    async with https(server_context(certificates, ask=True)) as server:
        with_certificate = TlsOptions(
            ca_file=certificates.authority,
            cert_file=certificates.client,
            key_file=certificates.client_key,
            key_password=PASSWORD,
        )
        assert (await transport.send(HttpRequest("GET", server.url("/echo"), tls=with_certificate))).status == 200
        without = HttpRequest("GET", server.url("/echo"), tls=TlsOptions(ca_file=certificates.authority))
        with pytest.raises(TransportError) as caught:  # TLS 1.3 tells it after the handshake
            await transport.send(without)
        assert caught.value.category in {"tls", "reset"}
        assert len(server.requests) == 1


@pytest.mark.parametrize("wrong", ["password", "file", "authority"])
async def test_unusable_files_are_named(transport: Transport, certificates: Certificates, wrong: str) -> None:
    async with https(server_context(certificates, ask=True)) as server:
        tls = TlsOptions(
            ca_file="/nowhere.pem" if wrong == "authority" else certificates.authority,
            cert_file="/nowhere.pem" if wrong == "file" else certificates.client,
            key_file=certificates.client_key,
            key_password="hunter2" if wrong == "password" else PASSWORD,
        )
        error = await refusal(transport, HttpRequest("GET", server.url("/echo"), tls=tls))
        assert "hunter2" not in f"{error} {error.detail} {error.hint}"
        assert error.hint or error.detail
        assert server.requests == []


async def test_plain_http_on_a_tls_port_and_the_reverse(
    transport: Transport, certificates: Certificates, server: HostileServer
) -> None:
    with pytest.raises(TransportError) as caught:
        await transport.send(HttpRequest("GET", server.url("/").replace("http:", "https:"), timeout=0.5))
    assert caught.value.category in {"tls", "reset", "timeout"}
    async with https(server_context(certificates)) as secure:
        with pytest.raises(TransportError) as caught:
            await transport.send(HttpRequest("GET", secure.url("/").replace("https:", "http:"), timeout=0.5))
        assert caught.value.category in {"reset", "protocol"}


def test_key_passwords_stay_out_of_the_representation() -> None:
    assert "hunter2" not in repr(TlsOptions(key_password="hunter2"))


# ------------------------------------------------------------------------------------------------------------- HTTP/2

SERVE = """
const [cert, key] = Deno.args;
const options = { port: 0, hostname: "127.0.0.1", onListen: ({ port }) => console.log(port) };
const answer = async (request) => Response.json({
  method: request.method, url: request.url, body: await request.text(), headers: [...request.headers] });
Deno.serve(cert ? { ...options, cert: Deno.readTextFileSync(cert), key: Deno.readTextFileSync(key) } : options, answer);
"""


@contextlib.asynccontextmanager
async def deno_server(tmp_path: object, *arguments: str) -> AsyncIterator[int]:
    """A server that speaks HTTP/2 and HTTP/1.1; yields its port."""
    deno = pytest.importorskip("deno", reason="HTTP/2 is tested against Deno's server")
    environment = {**os.environ, "DENO_DIR": f"{tmp_path}/deno", "NO_COLOR": "1"}
    process = await asyncio.create_subprocess_exec(
        deno.find_deno_bin(), "run", "--no-config", "--allow-net=127.0.0.1", "--allow-read", "-", *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=environment,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(SERVE.encode())
    process.stdin.close()
    try:
        yield int(await process.stdout.readline())
    finally:
        process.terminate()
        await process.communicate()


async def test_http2(certificates: Certificates, tmp_path: object) -> None:
    transport = CurlTransport()
    tls = TlsOptions(ca_file=certificates.authority)
    async with deno_server(tmp_path, certificates.server, certificates.server_key) as port:
        url = f"https://127.0.0.1:{port}/a/b%2fc?q=1"
        negotiated = await transport.send(HttpRequest("GET", url, [("X-Mixed", "1")], tls=tls))
        assert (negotiated.status, negotiated.http_version, negotiated.reason) == (200, "2", "")
        assert b"b%2fc?q=1" in negotiated.body
        assert b'["x-mixed","1"]' in negotiated.body
        old = await transport.send(HttpRequest("GET", url, tls=tls, http_version="1.1"))
        assert old.http_version == "1.1"
        posted = [HttpRequest("POST", url, (), b"%d" % number, tls=tls, http_version="2") for number in range(50)]
        answers = await asyncio.gather(*(transport.send(request) for request in posted))
        assert {answer.http_version for answer in answers} == {"2"}
        assert all(b'"body":"%d"' % number in answer.body for number, answer in enumerate(answers))
        httpx = HttpxTransport()
        with pytest.raises(TransportError) as caught:
            await httpx.send(HttpRequest("GET", url, tls=tls, http_version="2"))
        assert caught.value.category == "unsupported"
        assert (await httpx.send(HttpRequest("GET", url, tls=tls))).http_version == "1.1"
        await httpx.close()
    await transport.close()


async def test_http2_without_tls(tmp_path: object) -> None:
    transport = CurlTransport()
    async with deno_server(tmp_path) as port:
        answer = await transport.send(HttpRequest("GET", f"http://127.0.0.1:{port}/", http_version="2"))
        assert (answer.status, answer.http_version) == (200, "2")
    await transport.close()


async def test_http2_is_insisted_on(transport: Transport, server: HostileServer) -> None:
    with pytest.raises(TransportError) as caught:
        await transport.send(HttpRequest("GET", server.url("/echo"), http_version="2", timeout=3))
    assert caught.value.category in {"protocol", "unsupported", "reset", "timeout"}


if sys.platform == "win32":
    pytest.skip("the server's fixtures need a Unix", allow_module_level=True)
