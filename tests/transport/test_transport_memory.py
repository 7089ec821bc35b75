"""What a hostile body may cost in memory, measured in a process of its own; and what is left behind."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from orbit_runner.transport.curl import CurlTransport
from orbit_runner.transport.port import HttpRequest, TransportError

if TYPE_CHECKING:
    from support.hostile import HostileServer

MEASURE = """
import asyncio, json, resource, sys, time
kind, ok, url = sys.argv[1:]
if kind == "curl":
    from orbit_runner.transport.curl import CurlTransport as Transport
else:
    from orbit_runner.transport.httpx import HttpxTransport as Transport
from orbit_runner.transport.port import HttpRequest, TransportError

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024

async def main():
    transport = Transport()
    for path in ("/echo", "/gzip", "/br"):
        await transport.send(HttpRequest("GET", ok + path))
    before, begin = peak(), time.perf_counter()
    try:
        await transport.send(HttpRequest("GET", url, max_body_bytes=10 * 1024 * 1024, timeout=30))
        category = None
    except TransportError as error:
        category = error.category
    print(json.dumps({"grown": peak() - before, "category": category, "seconds": time.perf_counter() - begin}))
    await transport.close()

asyncio.run(main())
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
@pytest.mark.parametrize("kind", ["curl", "httpx"])
@pytest.mark.parametrize("path", ["/gzip-bomb", "/br-bomb", "/endless", "/big-header", "/many-headers"])
async def test_a_hostile_answer_stays_small(server: HostileServer, kind: str, path: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", MEASURE, kind, server.url(""), server.url(path), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    measured = json.loads(out)
    assert measured["category"] == ("protocol" if "header" in path else "body_too_large")
    assert measured["grown"] < 64, measured  # MiB
    assert measured["seconds"] < 10


async def test_nothing_is_left_behind(server: HostileServer) -> None:
    """Failures, cancellations and answers leak neither handles nor descriptors nor tasks."""

    async def round_of(transport: CurlTransport) -> None:
        for path in ("/reset", "/short", "/garbage", "/big-header"):
            with pytest.raises(TransportError):
                await transport.send(HttpRequest("GET", server.url(path)))
        await transport.send(HttpRequest("POST", server.url("/echo"), (), b"x" * 1000))
        tasks = [asyncio.create_task(transport.send(HttpRequest("GET", server.url("/silent")))) for _ in range(5)]
        wanted = len(server.requests) + 5
        await server.until(lambda: len(server.requests) >= wanted)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def descriptors() -> int:
        return sum(1 for _ in Path("/dev/fd").iterdir())

    at_first = descriptors()
    transport = CurlTransport(address_filter=lambda _address: True)
    await round_of(transport)
    await server.until(lambda: server.closed >= server.connections - 1)
    gc.collect()
    after_one, objects = descriptors(), len(gc.get_objects())
    for _ in range(5):
        await round_of(transport)
    await server.until(lambda: server.closed >= server.connections - 1)
    gc.collect()
    await server.until(lambda: descriptors() <= after_one + 1)
    assert len(gc.get_objects()) - objects < 1500  # the server remembers 55 requests
    await transport.close()
    await server.until(lambda: server.closed == server.connections and descriptors() <= at_first + 1)


def test_closing_is_clean_on_every_loop(tmp_path: Path) -> None:
    """No warning, no message, no hanging exit: also with requests under way when everything is torn down."""
    script = """
import asyncio, sys, gc
from orbit_runner.transport.curl import CurlTransport
from orbit_runner.transport.httpx import HttpxTransport
from orbit_runner.transport.port import HttpRequest

open_ones = []

class Answer(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        open_ones.append(transport)

    def data_received(self, data):
        if b"/quiet" not in data:
            self.transport.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")

async def main():
    server = await asyncio.get_running_loop().create_server(Answer, "127.0.0.1", 0)
    url = "http://127.0.0.1:%d/" % server.sockets[0].getsockname()[1]
    for kind in (CurlTransport, HttpxTransport):
        transport = kind()
        await asyncio.gather(*(transport.send(HttpRequest("GET", url)) for _ in range(20)))
        tasks = [asyncio.create_task(transport.send(HttpRequest("GET", url + "quiet", timeout=60))) for _ in range(3)]
        await asyncio.sleep(0.05)
        tasks[0].cancel()
        await transport.close()
        print(kind.__name__, [type(r).__name__ for r in await asyncio.gather(*tasks, return_exceptions=True)])
    unused = CurlTransport()
    await unused.close()
    server.close()
    for transport in open_ones:
        transport.abort()
    await asyncio.sleep(0.05)

runner = asyncio.run
if sys.argv[1] == "uvloop":
    import uvloop
    runner = uvloop.run
runner(main())
gc.collect()
"""
    import subprocess

    for loop in ("asyncio", "uvloop"):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", script, loop],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        expected = "['CancelledError', 'TransportError', 'TransportError']"
        assert done.stdout.splitlines() == [f"CurlTransport {expected}", f"HttpxTransport {expected}"], done.stderr
        assert done.stderr == ""
