"""A database with a suite to be run by schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.queue import suite
from support.schedules import Engine
from support.tenants import Tenants

if TYPE_CHECKING:
    import asyncpg


@pytest.fixture
async def engine(connection: asyncpg.Connection[Any]) -> Engine:
    """acme with the editor ed, the admin ann, and a suite of one test."""
    tenants = await Tenants.on(connection)
    await tenants.organization("acme", owner="olga", admin="ann", editor="ed", viewer="vera")
    await tenants.project("acme")
    await tenants.call_as("ed", "save_suite", suite({"a": []}, organization="acme"))
    return Engine(connection, tenants)
