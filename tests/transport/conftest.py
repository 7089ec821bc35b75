"""Both transports behind the port, and a server that misbehaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from orbit_runner.transport.curl import CurlTransport
from orbit_runner.transport.httpx import HttpxTransport
from support.hostile import HostileServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orbit_runner.transport.port import Transport


@pytest.fixture
async def server() -> AsyncIterator[HostileServer]:
    async with HostileServer() as running:
        yield running


@pytest.fixture
async def other_server() -> AsyncIterator[HostileServer]:
    """A second origin."""
    async with HostileServer() as running:
        yield running


@pytest.fixture(params=["curl", "httpx"])
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    made: Transport = CurlTransport() if request.param == "curl" else HttpxTransport()
    yield made
    await made.close()
