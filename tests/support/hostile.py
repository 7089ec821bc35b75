"""A server that misbehaves on purpose, on raw sockets: each path is one way in which an answer can go wrong.

async with HostileServer() as server:
    … server.url("/drip-body") …
    server.requests          # what came in: method, target, headers in order with their case, body
    server.connections       # how many connections were accepted so far
    server.closed            # how many of them have ended
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import struct
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

MIB = 1024 * 1024
BIG = b"The quick brown fox jumps over the lazy dog. " * 2000


@dataclass
class Request:
    """One request as it came."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    version: str
    reader: asyncio.StreamReader = field(repr=False)

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def query(self) -> dict[str, str]:
        return {key: values[-1] for key, values in parse_qs(urlsplit(self.target).query).items()}


@dataclass
class HostileServer:
    """Listens on a free port of 127.0.0.1; `tls` makes it an https server."""

    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    closed: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> HostileServer:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{path}"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._connection(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while await self._one(reader, writer):
                    pass
        except asyncio.CancelledError:
            writer.transport.abort()  # closing TLS would wait for the client
            raise
        finally:
            self.closed += 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head[:-4].split("\r\n")
        method, target, version = first.split(" ", 2)
        headers = [(name, value.strip(" ")) for name, _, value in (line.partition(":") for line in lines)]
        request = Request(method, target, headers, b"", version, reader)
        if length := request.values("content-length"):
            request.body = await reader.readexactly(int(length[0]))
        elif "chunked" in request.values("transfer-encoding"):
            while size := int(await reader.readline(), 16):
                request.body += (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
        self.requests.append(request)
        name = urlsplit(target).path.strip("/").split("/")[0].replace("-", "_")
        answer: Callable[[Request, asyncio.StreamWriter], Awaitable[bool | None]]
        answer = getattr(self, f"do_{name}", self.do_echo)
        keep = await answer(request, writer)
        await writer.drain()
        return keep is not False and "close" not in request.values("connection")

    # ------------------------------------------------------------------------------------------------ well-behaved

    async def until(self, condition: Callable[[], object]) -> None:
        """Waits until `condition` holds; gives up after ten seconds."""
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 (what is waited for changes in many places)
                await asyncio.sleep(0.001)

    async def do_echo(self, request: Request, writer: asyncio.StreamWriter) -> None:
        """The request as JSON."""
        self.reply(writer, request, 200, self.as_json(request), [("Content-Type", "application/json")])

    @staticmethod
    def as_json(request: Request) -> bytes:
        seen: dict[str, Any] = {
            "method": request.method,
            "target": request.target,
            "headers": request.headers,
            "body": request.body.decode("latin-1"),
        }
        return json.dumps(seen).encode()

    @staticmethod
    def reply(
        writer: asyncio.StreamWriter,
        request: Request,
        status: int,
        body: bytes = b"",
        headers: list[tuple[str, str]] | None = None,
        *,
        length: bool = True,
    ) -> None:
        lines = [f"HTTP/1.1 {status} {'OK' if status == 200 else 'Whatever'}"]
        lines += [f"{name}: {value}" for name, value in headers or []]
        if length:
            lines.append(f"Content-Length: {len(body)}")
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        if request.method != "HEAD":
            writer.write(body)

    async def do_status(self, request: Request, writer: asyncio.StreamWriter) -> None:
        status = int(request.target.split("/")[2])
        self.reply(writer, request, status, b"" if status in (204, 304) else b"body", length=status not in (204, 304))

    async def do_headers(self, request: Request, writer: asyncio.StreamWriter) -> None:
        """Case, repeats, an empty value, bytes that are not UTF-8."""
        writer.write(
            b"HTTP/1.1 200 Fine \xe9\r\nX-CamelCase-Header: 1\r\nx-dup: a\r\nX-Dup:  b \r\nX-Empty:\r\n"
            b"X-Latin: caf\xe9\r\nX-Utf8: caf\xc3\xa9\r\nX-Nul-Ish: \xff\xfe\r\nContent-Length: 0\r\n\r\n"
        )

    async def do_chunked(self, request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
        writer.write(b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nX-Sum: 42\r\n\r\n")

    async def do_interim(self, request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 103 Early Hints\r\nX-Hint: 2\r\n\r\n")
        self.reply(writer, request, 200, b"final", [("X-Final", "1")])

    async def do_no_length(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        self.reply(writer, request, 200, b"until the end", length=False)
        return False

    async def do_gzip(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.reply(writer, request, 200, gzip.compress(BIG), [("Content-Encoding", "gzip")])

    async def do_deflate(self, request: Request, writer: asyncio.StreamWriter) -> None:
        body = zlib.compress(BIG)
        self.reply(
            writer, request, 200, body[2:-4] if "raw" in request.query else body, [("Content-Encoding", "deflate")]
        )

    async def do_br(self, request: Request, writer: asyncio.StreamWriter) -> None:
        import brotlicffi  # type: ignore[import-untyped]

        self.reply(writer, request, 200, brotlicffi.compress(BIG), [("Content-Encoding", "br")])

    async def do_gzip_br(self, request: Request, writer: asyncio.StreamWriter) -> None:
        import brotlicffi

        body = brotlicffi.compress(gzip.compress(BIG))
        self.reply(writer, request, 200, body, [("Content-Encoding", "gzip, br")])

    # ------------------------------------------------------------------------------------------------------ silence

    async def do_silent(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        await request.reader.read()  # until the client goes away
        return False

    async def do_drip_headers(self, request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        await self._drip(writer, b"X-Slow: " + b"z" * MIB)

    async def do_drip_body(self, request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n")
        await self._drip(writer, b"z" * MIB)

    async def do_drip_interim(self, request: Request, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)

    @staticmethod
    async def _drip(writer: asyncio.StreamWriter, data: bytes) -> None:
        for at in range(len(data)):
            writer.write(data[at : at + 1])
            await writer.drain()
            await asyncio.sleep(0.05)

    # --------------------------------------------------------------------------------------------------- broken off

    async def do_reset(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        return self._reset(writer)

    async def do_reset_midway(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        await writer.drain()
        await asyncio.sleep(0.05)  # so that the client has read before the reset empties its buffer
        return self._reset(writer)

    @staticmethod
    def _reset(writer: asyncio.StreamWriter) -> bool:
        plain: socket.socket = writer.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return False

    async def do_empty(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        return False

    async def do_cut_headers(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Whole: 1\r\nContent-Le")
        return False

    async def do_short(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        return False

    async def do_cut_chunks(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        return False

    # ------------------------------------------------------------------------------------------------------ nonsense

    async def do_garbage(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
        return False

    async def do_bad_chunk(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n")
        return False

    async def do_not_gzip(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.reply(writer, request, 200, b"plain text", [("Content-Encoding", "gzip")])

    async def do_unknown_encoding(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.reply(writer, request, 200, b"\x00\x01", [("Content-Encoding", "rot13")])

    async def do_big_header(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.reply(writer, request, 200, b"ok", [("X-Big", "z" * 200_000)])

    async def do_many_headers(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.reply(writer, request, 200, b"ok", [(f"X-Number-{number}", "z" * 20) for number in range(20_000)])

    # --------------------------------------------------------------------------------------------------------- large

    async def do_endless(self, request: Request, writer: asyncio.StreamWriter) -> None:
        """2 GiB, announced or not."""
        length = b"Content-Length: 2147483648\r\n" if "announced" in request.query else b""
        writer.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n")
        block = bytes(256 * 1024)
        for _ in range(8192):
            writer.write(block)
            await writer.drain()

    async def do_gzip_bomb(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.reply(writer, request, 200, gzip_bomb(), [("Content-Encoding", "gzip")])

    async def do_br_bomb(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.reply(writer, request, 200, brotli_bomb(), [("Content-Encoding", "br")])

    # ----------------------------------------------------------------------------------------- redirects and cookies

    async def do_redirect(self, request: Request, writer: asyncio.StreamWriter) -> None:
        """`?to=…&status=302`; `&cookie=a=1` sets one on the way; `&delay=0.2` takes its time."""
        query = request.query
        await asyncio.sleep(float(query.get("delay", "0")))
        headers = [("Location", query["to"])]
        if "cookie" in query:
            headers.append(("Set-Cookie", query["cookie"]))
        self.reply(writer, request, int(query.get("status", "302")), b"moved", headers)

    async def do_loop(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.reply(writer, request, 302, headers=[("Location", f"/loop/{int(request.target.split('/')[2]) ^ 1}")])

    async def do_down(self, request: Request, writer: asyncio.StreamWriter) -> None:
        """`/down/3` leads to `/down/2`, …, `/echo`."""
        left = int(urlsplit(request.target).path.split("/")[2])
        self.reply(writer, request, 302, headers=[("Location", f"/down/{left - 1}" if left > 1 else "/echo")])

    async def do_needs_cookie(self, request: Request, writer: asyncio.StreamWriter) -> None:
        """Sends whoever has no cookie back to the same place, with one."""
        if request.values("cookie"):
            self.reply(writer, request, 200)
        else:
            self.reply(writer, request, 302, headers=[("Location", request.target), ("Set-Cookie", "seen=1")])

    async def do_no_location(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.reply(writer, request, 302)

    async def do_set_cookie(self, request: Request, writer: asyncio.StreamWriter) -> None:
        cookies = [("Set-Cookie", value) for value in parse_qs(urlsplit(request.target).query)["c"]]
        self.reply(writer, request, 200, headers=cookies)


def gzip_bomb() -> bytes:
    """1 MiB that becomes 1 GiB: one block of 16 MiB, repeated."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(16 * MIB)
    first = compressor.compress(zeros) + compressor.flush(zlib.Z_FULL_FLUSH)
    return first + (compressor.compress(zeros) + compressor.flush(zlib.Z_FULL_FLUSH)) * 63


def brotli_bomb() -> bytes:
    """190 KiB that become 1 GiB."""
    import brotlicffi

    compressor = brotlicffi.Compressor(quality=1)
    zeros = bytes(16 * MIB)
    return bytes(b"".join(compressor.process(zeros) for _ in range(64)) + compressor.finish())
