"""The organisation of these tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.acme import Acme, make_acme
from support.tenants import Tenants

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.postgres import Database


@pytest.fixture
async def acme(database: Database) -> AsyncIterator[Acme]:
    async with database.connect() as connection:
        yield await make_acme(await Tenants.on(connection), database)
