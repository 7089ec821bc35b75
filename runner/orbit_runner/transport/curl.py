"""The default transport: libcurl, driven by the event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orbit_runner.transport.port import HttpRequest, HttpResponse


class CurlTransport:
    """Sends requests with libcurl's multi interface on the running event loop.

    `max_connections` caps the connections open at once, `max_per_host` those to one host; requests beyond wait.
    """

    def __init__(self, *, max_connections: int = 256, max_per_host: int = 0) -> None:
        self._limits = (max_connections, max_per_host)

    async def send(self, request: HttpRequest) -> HttpResponse:
        """See :meth:`orbit_runner.transport.port.Transport.send`."""
        raise NotImplementedError

    async def close(self) -> None:
        """See :meth:`orbit_runner.transport.port.Transport.close`."""
