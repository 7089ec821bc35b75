"""Organisations, people and projects in a few words, and calls that somebody makes.

tenants = await Tenants.on(connection)
acme = await tenants.organization("acme", owner="olga", editor="ed")     # people are made as they are named
unit = await tenants.unit("acme", "payments", viewer="vera")             # vera becomes a member of acme as well
shop = await tenants.project("acme", "shop", unit="payments")
async with tenants.acting("ed"):                                         # a transaction as PostgREST runs it, undone at the end
    await tenants.call("list_runs", {})
assert await tenants.refused("ed", "save_environment", {"name": "x"}) == "OR003"
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_DNS, UUID, uuid5

import asyncpg
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Tenants"]


class Tenants:
    """Makes tenants as the owner of the schema, on one connection; people are known by a word."""

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self.connection = connection

    @classmethod
    async def on(cls, connection: asyncpg.Connection[Any]) -> Tenants:
        return cls(connection)

    @staticmethod
    def id(person: str) -> UUID:
        """The same word is the same person, in every database."""
        return uuid5(NAMESPACE_DNS, person)

    async def person(self, name: str) -> UUID:
        """Makes somebody, with the address `<name>@example.com`."""
        await self.connection.execute(
            "insert into orbit.users (id, email, name) values ($1, $2, $3) on conflict do nothing",
            self.id(name), f"{name}@example.com", name,
        )  # fmt: skip
        return self.id(name)

    async def organization(self, slug: str, **people: str) -> UUID:
        """Makes an organisation with members: `owner="olga", viewer="vera"`."""
        organization: UUID = await self.connection.fetchval(
            "insert into orbit.organizations (slug, name) values ($1, $1) returning id", slug
        )
        for role, name in people.items():
            await self.member(slug, name, role)
        return organization

    async def member(self, slug: str, name: str, role: str) -> None:
        await self.connection.execute(
            "insert into orbit.organization_members (organization_id, user_id, role)"
            " select id, $2, $3 from orbit.organizations where slug = $1"
            " on conflict (organization_id, user_id) do nothing",
            slug, await self.person(name), role,
        )  # fmt: skip

    async def unit(self, organization: str, slug: str, **people: str) -> UUID:
        """Makes a business unit with members; whoever is new to the organisation becomes its viewer."""
        unit: UUID = await self.connection.fetchval(
            "insert into orbit.business_units (organization_id, slug, name)"
            " select id, $2, $2 from orbit.organizations where slug = $1 returning id",
            organization, slug,
        )  # fmt: skip
        for role, name in people.items():
            await self.member(organization, name, "viewer")
            await self.connection.execute(
                "insert into orbit.business_unit_members (business_unit_id, organization_id, user_id, role)"
                " select $1, id, $3, $4 from orbit.organizations where slug = $2",
                unit, organization, self.id(name), role,
            )  # fmt: skip
        return unit

    async def project(self, organization: str, slug: str = "default", *, unit: str | None = None) -> UUID:
        project: UUID = await self.connection.fetchval(
            "insert into orbit.projects (organization_id, business_unit_id, slug, name)"
            " select o.id, (select u.id from orbit.business_units u where u.organization_id = o.id and u.slug = $3), $2, $2"
            " from orbit.organizations o where o.slug = $1 returning id",
            organization, slug, unit,
        )  # fmt: skip
        return project

    @asynccontextmanager
    async def acting(self, person: str | None, *, role: str = "authenticated") -> AsyncIterator[None]:
        """A transaction as PostgREST runs it for this person; undone at the end."""
        transaction = self.connection.transaction()
        await transaction.start()
        try:
            await self._become(person, role)
            yield
        finally:
            await transaction.rollback()

    async def call(self, function: str, request: dict[str, Any]) -> Any:
        """`orbit.<function>(request)` as whoever the connection is just now."""
        answer = await self.connection.fetchval(
            f"select orbit.{function}($1::text::jsonb)::text", json.dumps(request, default=str)
        )
        return json.loads(answer) if answer is not None else None

    async def call_as(self, person: str, function: str, request: dict[str, Any]) -> Any:
        """The same as somebody, for good."""
        async with self.connection.transaction():
            await self._become(person, "authenticated")
            return await self.call(function, request)

    async def refused(self, person: str | None, function: str, request: dict[str, Any]) -> str:
        """The SQLSTATE with which the call is refused; fails where it is not."""
        async with self.acting(person):
            with pytest.raises(asyncpg.PostgresError) as refusal:
                await self.call(function, request)
        return str(refusal.value.sqlstate)

    async def _become(self, person: str | None, role: str) -> None:
        claims = {"role": role} | ({"sub": str(self.id(person)), "email": f"{person}@example.com"} if person else {})
        await self.connection.execute("select set_config('request.jwt.claims', $1, true)", json.dumps(claims))
        await self.connection.execute(f"set local role {role}")
