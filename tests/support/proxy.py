"""A small HTTP proxy: forwards requests in absolute form and opens tunnels."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Proxy:
    """Listens on a free port of 127.0.0.1; `heads` are the request heads that came, `status` answers a CONNECT."""

    status: str = "200 Connection established"
    heads: list[str] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._connection(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream: asyncio.StreamWriter | None = None
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                self.heads.append(head)
                method, target, _ = head.split(" ", 2)
                if method == "CONNECT":
                    writer.write(f"HTTP/1.1 {self.status}\r\nX-From-Proxy: 1\r\n\r\n".encode())
                    if not self.status.startswith("200"):
                        await writer.drain()
                        return
                    host, _, port = target.rpartition(":")
                    first = b""
                else:
                    place = urlsplit(target)
                    host, port = str(place.hostname), str(place.port or 80)
                    first = head.encode("latin-1")
                back, upstream = await asyncio.open_connection(host, int(port))
                upstream.write(first)
                await asyncio.gather(_pump(reader, upstream), _pump(back, writer))
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        finally:
            for end in (writer, upstream):
                if end is not None:
                    end.transport.abort()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()
