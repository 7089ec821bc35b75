"""What a transport costs: requests a second and CPU per request, on one local server, in one run.

    python benchmarks/transport.py [--requests 5000] [--concurrency 50]

The server is a bare asyncio protocol in a process of its own, so that its CPU time is not counted. `bare loop` is the
floor: libcurl on the event loop with nothing prepared, checked or parsed. Figures of one run compare; of two, hardly.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import resource
import time
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from multiprocessing.connection import Connection

    from orbit_runner.transport.port import Transport

TOKEN = "tok-" + "a1b2c3d4" * 8
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: 0123456789abcdef\r\n"
    b"Date: Mon, 01 Jan 2024 00:00:00 GMT\r\nCache-Control: no-store\r\nContent-Length: 41\r\n\r\n"
    b'{"id": 17, "name": "chair", "price": 4.5}'
)


class _Answering(asyncio.Protocol):
    """Answers every request head with the same bytes, keeping the connection."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.pending = b""

    def data_received(self, data: bytes) -> None:
        self.pending += data
        heads = self.pending.count(b"\r\n\r\n")
        if heads:
            self.pending = self.pending[self.pending.rindex(b"\r\n\r\n") + 4 :]
            self.transport.write(ANSWER * heads)


def _serve(port: Connection) -> None:
    import uvloop

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(_Answering, "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(serve())


@contextlib.contextmanager
def local_server() -> Iterator[str]:
    """The base URL of a server in a process of its own."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(sender,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{receiver.recv()}"
    finally:
        process.terminate()
        process.join()


Ask = "Callable[[int], Awaitable[tuple[int, bytes]]]"


@contextlib.asynccontextmanager
async def bare_loop(base: str, concurrency: int) -> AsyncIterator[Any]:
    """libcurl under asyncio with handles that are set up once."""
    import pycurl

    loop = asyncio.get_running_loop()
    multi = pycurl.CurlMulti()
    multi.setopt(pycurl.M_MAXCONNECTS, concurrency)
    watched: dict[int, int] = {}
    timers: list[asyncio.Handle] = []

    def act(fd: int, events: int) -> None:
        multi.socket_action(fd, events)
        queued = 1
        while queued:
            queued, done, failed = multi.info_read()
            for curl in done:
                multi.remove_handle(curl)
                curl.future.set_result(curl.getinfo(pycurl.RESPONSE_CODE))
            for curl, code, message in failed:
                multi.remove_handle(curl)
                curl.future.set_exception(OSError(code, message))

    def on_socket(what: int, fd: int, _multi: object, _data: object) -> None:
        before = watched.pop(fd, 0)
        if before & pycurl.POLL_IN:
            loop.remove_reader(fd)
        if before & pycurl.POLL_OUT:
            loop.remove_writer(fd)
        if what != pycurl.POLL_REMOVE:
            if what & pycurl.POLL_IN:
                loop.add_reader(fd, act, fd, pycurl.CSELECT_IN)
            if what & pycurl.POLL_OUT:
                loop.add_writer(fd, act, fd, pycurl.CSELECT_OUT)
            watched[fd] = what

    def on_timer(milliseconds: int) -> None:
        while timers:
            timers.pop().cancel()
        if milliseconds == 0:
            timers.append(loop.call_soon(act, pycurl.SOCKET_TIMEOUT, 0))
        elif milliseconds > 0:
            timers.append(loop.call_later(milliseconds / 1000, act, pycurl.SOCKET_TIMEOUT, 0))

    multi.setopt(pycurl.M_SOCKETFUNCTION, on_socket)
    multi.setopt(pycurl.M_TIMERFUNCTION, on_timer)
    free = []
    for _ in range(concurrency):
        curl = pycurl.Curl()
        curl.setopt(pycurl.HTTPHEADER, [f"Authorization: Bearer {TOKEN}"])
        curl.setopt(pycurl.NOSIGNAL, 1)
        free.append(curl)

    async def ask(number: int) -> tuple[int, bytes]:
        curl = free.pop()
        body = BytesIO()
        curl.future = loop.create_future()
        curl.setopt(pycurl.URL, f"{base}/item/{number}")
        curl.setopt(pycurl.WRITEDATA, body)
        multi.add_handle(curl)
        status = await curl.future
        free.append(curl)
        return status, body.getvalue()

    yield ask
    on_timer(-1)
    multi.close()


@contextlib.asynccontextmanager
async def over(transport: Transport, base: str) -> AsyncIterator[Any]:
    """Any transport behind the port."""
    from orbit_runner.transport.port import HttpRequest

    async def ask(number: int) -> tuple[int, bytes]:
        headers = [("Authorization", f"Bearer {TOKEN}")]
        answer = await transport.send(HttpRequest("GET", f"{base}/item/{number}", headers))
        return answer.status, answer.body

    yield ask
    await transport.close()


@contextlib.asynccontextmanager
async def over_session(transport: Transport, base: str) -> AsyncIterator[Any]:
    """The session on top: redirects and cookies allowed, neither of which comes."""
    from orbit_runner.transport.port import HttpRequest
    from orbit_runner.transport.session import Session

    session = Session(transport)

    async def ask(number: int) -> tuple[int, bytes]:
        headers = [("Authorization", f"Bearer {TOKEN}")]
        exchange = await session.send(HttpRequest("GET", f"{base}/item/{number}", headers), max_redirects=10)
        return exchange.response.status, exchange.response.body

    yield ask
    await transport.close()


async def measure(ways: contextlib.AbstractAsyncContextManager[Any], requests: int, concurrency: int) -> str:
    """Runs `requests` requests, `concurrency` at once; one line of figures."""
    expected = ANSWER[ANSWER.index(b"\r\n\r\n") + 4 :]
    async with ways as ask:
        numbers = iter(range(requests))
        latencies: list[float] = []

        async def worker() -> None:
            for number in numbers:
                begin = time.perf_counter()
                status, body = await ask(number)
                latencies.append(time.perf_counter() - begin)
                assert status == 200, status
                assert body == expected, body

        await ask(0)
        usage, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(concurrency)))
        wall = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - usage.ru_utime - usage.ru_stime
    latencies.sort()
    p99 = latencies[int(len(latencies) * 0.99)] * 1000
    return f"{requests / wall:10,.0f} {cpu / requests * 1e6:14,.0f} {p99:9.2f}"


def main() -> None:
    """Prints the table."""
    import uvloop
    from orbit_runner.transport.curl import CurlTransport
    from orbit_runner.transport.httpx import HttpxTransport

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--concurrency", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    count, at_once = options.requests, options.concurrency
    print(f"{count} requests, {at_once} at once")
    print(f"{'':34} {'requests/s':>10} {'CPU µs/request':>14} {'p99 ms':>9}")
    with local_server() as base:
        ways: dict[str, tuple[Callable[[], Any], int]] = {
            "bare loop": (lambda: bare_loop(base, at_once), count),
            "CurlTransport": (lambda: over(CurlTransport(max_connections=at_once), base), count),
            "CurlTransport under a session": (
                lambda: over_session(CurlTransport(max_connections=at_once), base),
                count,
            ),
            "HttpxTransport": (lambda: over(HttpxTransport(max_connections=at_once), base), max(at_once, count // 5)),
        }
        for runner, loop in ((uvloop.run, "uvloop"), (asyncio.run, "asyncio")):
            for name, (way, requests) in ways.items():
                for _ in range(options.rounds):
                    print(f"{name + ', ' + loop:34} {runner(measure(way(), requests, at_once))}", flush=True)


if __name__ == "__main__":
    main()
