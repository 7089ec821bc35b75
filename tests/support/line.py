"""The line between a program and its Postgres, which can be cut: a TCP relay.

async with DatabaseLine(database.dsn) as line:
    line.dsn            # the same database by way of the relay
    line.cut()          # every connection breaks, new ones are refused; mend() ends that
    line.lose = 3       # the next three answers arrive at nobody: what was asked has been done, and the connection breaks
    line.stall()        # nothing gets through in either direction, and nobody is told; mend() ends that
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from typing import Self


class DatabaseLine:
    """See the module. `lost` counts the answers that arrived at nobody, `refused` the connections turned away."""

    def __init__(self, dsn: str) -> None:
        self._parts = urlsplit(dsn)
        self._whole = asyncio.Event()
        self._whole.set()
        self._is_cut = False
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.lose = 0
        self.lost = 0
        self.refused = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        user = self._parts.netloc.rpartition("@")[0]
        self.dsn = urlunsplit(self._parts._replace(netloc=f"{user}@127.0.0.1:{port}" if user else f"127.0.0.1:{port}"))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        self._is_cut = True
        for end in list(self._ends):
            end.transport.abort()

    def stall(self) -> None:
        self._whole.clear()

    def mend(self) -> None:
        self._is_cut = False
        self._whole.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._connection(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            self.refused += 1
            writer.transport.abort()
            return
        back, upstream = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        ends = {writer, upstream}
        self._ends |= ends
        pumps = [
            asyncio.ensure_future(self._pump(reader, upstream, False)),
            asyncio.ensure_future(self._pump(back, writer, True)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._ends -= ends
            for end in ends:
                end.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                await self._whole.wait()
                if answers and self.lose > 0 and len(data) > 60:  # a real answer, no word of the handshake
                    self.lose -= 1
                    self.lost += 1
                    return
                sink.write(data)
                await sink.drain()
