"""An organisation with a unit, projects, environments, suites and people, and calls in a few words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

if TYPE_CHECKING:
    from support.postgres import Database
    from support.tenants import Tenants

__all__ = ["EVERYWHERE", "SEALED", "WHERE", "Acme", "make_acme"]

SEALED = "orbit.seal.v1.AAAAAAAA." + "A" * 60


@dataclass
class Acme:
    """Organisation acme: unit payments with project shop (environments staging and live; suite checkout with tests a and b),
    project site of no unit. olga owns, adam is admin, ed edits, vera views; una views the unit, nobody is in `evil` but eve."""

    tenants: Tenants
    database: Database

    @property
    def connection(self) -> asyncpg.Connection[Any]:
        return self.tenants.connection

    async def call(self, function: str, /, **request: Any) -> Any:
        """As the owner of the schema."""
        return await self.tenants.call(function, {"organization": "acme", **request})

    async def call_as(self, person: str, function: str, /, **request: Any) -> Any:
        return await self.tenants.call_as(person, function, {"organization": "acme", **request})

    async def set(
        self, scope: str, /, variables: Any = None, *, of: dict[str, Any] | None = None, **values: Any
    ) -> Any:
        """Defines variables: by name and value, or as entries."""
        entries = [{"name": name, "value": value} for name, value in values.items()] + list(variables or ())
        return await self.call("set_variables", scope=scope, variables=entries, **(of or WHERE[scope]))

    async def resolve(self, **where: Any) -> dict[str, dict[str, Any]]:
        answer = await self.call("resolve_variables", **where)
        return {variable["name"]: variable for variable in answer["variables"]}

    async def refused(self, function: str, /, person: str | None = None, **request: Any) -> asyncpg.PostgresError:
        """The error; nothing of the call is kept."""
        asked = {"organization": "acme", **request}
        with pytest.raises(asyncpg.PostgresError) as refusal:
            await (self.tenants.call_as(person, function, asked) if person else self.tenants.call(function, asked))
        return refusal.value

    async def all(self) -> list[tuple[str, str, Any]]:
        """Every definition: scope, name, value."""
        rows = await self.connection.fetch("select scope, name, value::text from orbit_private.variable order by 1, 2")
        return [(row[0], row[1], None if row[2] is None else json.loads(row[2])) for row in rows]


WHERE: dict[str, dict[str, Any]] = {
    "global": {},
    "business_unit": {"business_unit": "payments"},
    "project": {"project": "shop"},
    "environment": {"project": "shop", "environment": "staging"},
    "suite": {"project": "shop", "suite": "checkout"},
    "test": {"project": "shop", "suite": "checkout", "test": "a"},
}
"""What a request of each scope names in acme."""

EVERYWHERE = {"project": "shop", "environment": "staging", "suite": "checkout", "test": "a"}


async def make_acme(tenants: Tenants, database: Database) -> Acme:
    await tenants.organization("acme", owner="olga", admin="adam", editor="ed", viewer="vera")
    await tenants.organization("evil", owner="eve")
    await tenants.unit("acme", "payments", viewer="una")
    await tenants.project("acme", "shop", unit="payments")
    await tenants.project("acme", "site")
    made = Acme(tenants, database)
    for name in ("staging", "live"):
        await made.call("save_environment", name=name, project="shop")
    tests = [{"key": key, "request": {"url": "{{base_url}}/" + key}} for key in ("a", "b")]
    await made.call("save_suite", project="shop", key="checkout", document={"tests": tests}, dependencies=[])
    return made
