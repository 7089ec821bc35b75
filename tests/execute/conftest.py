"""A server that can misbehave, and tests run against it one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from execution_bench import AnsweringServer, Bench
from orbit_runner.transport.curl import CurlTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with AnsweringServer() as server:
        transport = CurlTransport()
        yield Bench(server, transport, tmp_path)
        await transport.close()
