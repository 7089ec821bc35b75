"""The API that benchmarks call: quick, and it counts what really arrives.

    python -m benchmarks.target_server [--port 0] [--delay-ms 20]

    POST /auth/login    the token, for demo / s3cret
    GET  /item/{n}      with the token
    GET  /__stats       requests by kind, distinct items, refusals, the most in flight at once
    POST /__reset       counts from zero

A bare protocol on the event loop, since the server must not be what is measured. Each answer leaves `delay-ms` after its
request came, as over a network.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["TOKEN", "running"]

TOKEN = "bench-" + "0123456789abcdef" * 4
_AUTHORIZATION = f"authorization: bearer {TOKEN}".encode()
_LOGIN = json.dumps({"access_token": TOKEN, "token_type": "bearer", "expires_in": 3600}).encode()
_REASONS = {200: b"OK", 401: b"Unauthorized", 404: b"Not Found"}


class Counts:
    """What arrived since the last reset."""

    def __init__(self) -> None:
        self.logins = self.items = self.refused = self.unknown = self.in_flight = self.most_in_flight = 0
        self.distinct: set[int] = set()

    def shown(self) -> dict[str, int]:
        return {
            "logins": self.logins, "items": self.items, "distinct_items": len(self.distinct), "refused": self.refused,
            "unknown": self.unknown, "most_in_flight": self.most_in_flight,
        }  # fmt: skip


class Server:
    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.counts = Counts()

    def answer(self, method: bytes, path: bytes, head: bytes, body: bytes) -> tuple[int, bytes]:
        counts = self.counts
        if path.startswith(b"/item/") and method == b"GET":
            counts.items += 1
            if _AUTHORIZATION not in head.lower():
                counts.refused += 1
                return 401, b'{"error":"unauthorized"}'
            try:
                n = int(path[6:])
            except ValueError:
                counts.unknown += 1
                return 404, b'{"error":"no such item"}'
            counts.distinct.add(n)
            return 200, (
                b'{"id":%d,"sku":"SKU-%05d","name":"Item %d","price":%d,"currency":"EUR",'
                b'"stock":{"warehouse":"W%d","quantity":%d},"tags":["a%d","b%d"]}'
            ) % (n, n, n, 100 + n * 7 % 900, n % 4, n % 50, n % 5, n % 7)
        if path == b"/auth/login" and method == b"POST":
            counts.logins += 1
            with suppress(ValueError):
                if json.loads(body) == {"username": "demo", "password": "s3cret"}:
                    return 200, _LOGIN
            counts.refused += 1
            return 401, b'{"error":"wrong credentials"}'
        if path == b"/__stats":
            return 200, json.dumps(counts.shown()).encode()
        if path == b"/__reset":
            self.counts = Counts()
            return 200, b"{}"
        counts.unknown += 1
        return 404, b'{"error":"nothing here"}'


class Connection(asyncio.Protocol):
    """One connection: requests out of the buffer, answers in their order."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head, length = self._buffer[:end], 0
            if (at := head.lower().find(b"\r\ncontent-length:")) >= 0:
                length = int(head[at + 17 :].split(b"\r\n", 1)[0])
            if len(self._buffer) < end + 4 + length:
                return
            body, self._buffer = self._buffer[end + 4 : end + 4 + length], self._buffer[end + 4 + length :]
            method, path, _ = head.split(b" ", 2)
            self._begin(method, path, head, body)

    def _begin(self, method: bytes, path: bytes, head: bytes, body: bytes) -> None:
        server = self._server
        counts = server.counts
        status, content = server.answer(method, path, head, body)
        counts.in_flight += 1
        counts.most_in_flight = max(counts.most_in_flight, counts.in_flight)
        answer = b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
            *(status, _REASONS[status], len(content), content),
        )
        close = b"\r\nconnection: close" in head.lower()
        if server.delay:
            self._loop.call_later(server.delay, self._send, counts, answer, close)
        else:
            self._send(counts, answer, close)

    def _send(self, counts: Counts, answer: bytes, close: bool) -> None:
        counts.in_flight -= 1
        if self._transport is not None:
            self._transport.write(answer)
            if close:
                self._transport.close()


async def _serve(port: int, delay: float) -> None:
    server = Server(delay)
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Connection(server), "127.0.0.1", port, backlog=2048)
    print(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", flush=True)
    await listening.serve_forever()


@contextmanager
def running(delay_ms: float = 0) -> Iterator[str]:
    """A target server as a process of its own, for as long as the block runs; gives its URL."""
    command = [sys.executable, "-m", "benchmarks.target_server", "--port", "0", "--delay-ms", str(delay_ms)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError("the target server did not start")
        yield url
    finally:
        process.terminate()
        process.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(description="The API that benchmarks call.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay-ms", type=float, default=0)
    options = parser.parse_args()
    with suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(options.port, options.delay_ms / 1000))


if __name__ == "__main__":
    main()
