"""An organisation of every role, two units, three projects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.tenants import Tenants

if TYPE_CHECKING:
    import asyncpg


@pytest.fixture
async def acme(connection: asyncpg.Connection[Any]) -> Tenants:
    """acme: olga owns it, adam is admin, ed editor, vera viewer; una runs the unit payments, pia edits there, sam views in
    search; checkout is of payments, index of search, website of none. evil is another organisation, of eve."""
    tenants = await Tenants.on(connection)
    await tenants.organization("acme", owner="olga", admin="adam", editor="ed", viewer="vera")
    await tenants.unit("acme", "payments", admin="una", editor="pia")
    await tenants.unit("acme", "search", viewer="sam")
    await tenants.project("acme", "checkout", unit="payments")
    await tenants.project("acme", "index", unit="search")
    await tenants.project("acme", "website")
    await tenants.organization("evil", owner="eve")
    return tenants
