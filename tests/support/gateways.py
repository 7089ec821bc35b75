"""The same people over every way to the database, and answers made comparable."""

from __future__ import annotations

import base64
import itertools
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from orbit_context.errors import OrbitError
from orbit_context.gateway.postgres import PostgresGateway
from orbit_context.gateway.supabase import SupabaseGateway

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AsyncExitStack

    import asyncpg
    from orbit_runner.local.rest import RestServer
    from support.postgres import Database
    from support.tenants import Tenants

    from orbit_context.gateway.port import Gateway

__all__ = ["Account", "Gateways", "Pair", "PersonGateway", "claims_of", "make_account", "normal"]

PASSWORD = "correct horse battery"


class PersonGateway(PostgresGateway):
    """Straight to Postgres as PostgREST would be there: with a role, and claims of a token."""

    def __init__(self, dsn: str, claims: Mapping[str, Any]) -> None:
        super().__init__(dsn)
        self._claims = dict(claims)
        self._prepared: asyncpg.Connection[Any] | None = None

    async def _open(self) -> asyncpg.Connection[Any]:
        connection = await super()._open()
        if connection is not self._prepared:
            await connection.execute("select set_config('request.jwt.claims', $1, false)", json.dumps(self._claims))
            await connection.execute(f"set role {self._claims['role']}")
            self._prepared = connection
        return connection


def claims_of(token: str) -> dict[str, Any]:
    """What a token says; unchecked."""
    payload = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))


@dataclass(frozen=True)
class Account:
    """Somebody who can sign in."""

    id: str
    email: str
    password: str = PASSWORD


async def make_account(connection: asyncpg.Connection[Any], name: str, email: str | None = None) -> Account:
    """An account of Supabase Auth with a password (its hash is a cheap one, for tests), known to Orbit too."""
    account = Account(str(uuid4()), email or f"{name}-{uuid4().hex[:12]}@example.com")
    await connection.execute(
        "insert into auth.users (id, aud, role, email, encrypted_password, email_confirmed_at)"
        " values ($1, 'authenticated', 'authenticated', $2, extensions.crypt($3, extensions.gen_salt('bf', 4)), now())",
        account.id, account.email, account.password,
    )  # fmt: skip
    await connection.execute(
        "insert into auth.identities (id, provider, provider_id, user_id, identity_data)"
        " values (gen_random_uuid(), 'email', $1::text, $1::text::uuid, jsonb_build_object('sub', $1::text, 'email', $2::text))",
        account.id, account.email,
    )  # fmt: skip
    await connection.execute(
        "insert into orbit.users (id, email, name) values ($1, $2, $3) on conflict (id) do nothing",
        account.id, account.email, name,
    )  # fmt: skip
    return account


# Answers made comparable ------------------------------------------------------------------------------------------------

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d(:?\d\d)?|Z)?")
_DRAWN = {"queue_no", "duration"}
"""Fields whose numbers are drawn anew for every row, or measured."""


def normal(value: Any, seen: dict[str, str] | None = None, words: Mapping[str, str] | None = None) -> Any:
    """`value` with each id as its place in the order of appearance, and each time as `<time>`; equal things stay equal.

    `words` are replaced too: names that had to differ.
    """
    seen = {} if seen is None else seen
    words = words or {}
    if isinstance(value, dict):
        return {
            normal(key, seen, words): "<drawn>" if key in _DRAWN else normal(value[key], seen, words)
            for key in sorted(value)
        }
    if isinstance(value, list | tuple):
        return [normal(item, seen, words) for item in value]
    if isinstance(value, str):
        value = _UUID.sub(lambda found: seen.setdefault(found[0], f"<id {len(seen) + 1}>"), _TIME.sub("<time>", value))
        for word, instead in words.items():
            value = value.replace(word, instead)
    return value


def told(error: OrbitError) -> dict[str, Any]:
    """All that a caller sees of an error."""
    return {
        "class": type(error).__name__,
        "sqlstate": error.sqlstate,
        "message": error.message,
        "detail": error.detail,
        "hint": error.hint,
        "retry_after": getattr(error, "retry_after", None),
    }


# Callers ----------------------------------------------------------------------------------------------------------------


@dataclass
class Pair:
    """One identity over both ways. `both` asks each the same of the same rows: for what may be said twice."""

    postgres: Gateway
    supabase: Gateway

    async def both(self, function: str, **request: Any) -> Any:
        """The answer, after it was found to be the same; or raises the error, after that."""
        outcomes = [await _outcome(gateway, function, request) for gateway in (self.postgres, self.supabase)]
        (straight, straight_error), (rest, rest_error) = outcomes
        if straight_error is not None or rest_error is not None:
            assert (rest_error and told(rest_error)) == (straight_error and told(straight_error)), (
                function,
                rest,
                straight,
            )
            assert straight_error is not None
            raise straight_error
        assert rest == straight, function
        return straight

    async def refused(self, function: str, **request: Any) -> OrbitError:
        """The error of both; fails where they answer."""
        try:
            answer = await self.both(function, **request)
        except OrbitError as error:
            return error
        raise AssertionError(f"{function} was not refused: {answer}")


async def _outcome(gateway: Gateway, function: str, request: dict[str, Any]) -> tuple[Any, OrbitError | None]:
    try:
        return await gateway.call(function, request), None
    except OrbitError as error:
        return None, error


@dataclass
class Teller:
    """Who tells a story over one way, and the protocol of it. `organization` is theirs alone."""

    gateway: Gateway
    organization: str
    account: Account
    protocol: list[Any] = field(default_factory=list)

    async def call(self, function: str, **request: Any) -> Any:
        """The answer, noted down; an error too, before it is raised."""
        try:
            answer = await self.gateway.call(function, request)
        except OrbitError as error:
            self.protocol.append((function, told(error)))
            raise
        self.protocol.append((function, answer))
        return answer

    async def refused(self, function: str, **request: Any) -> OrbitError:
        """The error, noted down; fails where there is none."""
        try:
            answer = await self.call(function, **request)
        except OrbitError as error:
            return error
        raise AssertionError(f"{function} was not refused: {answer}")


class Gateways:
    """Makes organisations and people in one database, and their gateways, closed at the end of the test."""

    def __init__(self, database: Database, server: RestServer, tenants: Tenants, stack: AsyncExitStack) -> None:
        self.database = database
        self.server = server
        self.tenants = tenants
        self._stack = stack
        self._numbers = itertools.count(1)
        self._home: str | None = None

    # -- people

    async def organization(self) -> str:
        """A new one; its slug."""
        slug = f"org-{uuid4().hex[:12]}"
        await self.tenants.organization(slug)
        return slug

    async def home(self) -> str:
        """The organisation of this test; its slug."""
        if self._home is None:
            self._home = await self.organization()
        return self._home

    async def account(self, role: str | None = "editor", organization: str | None = None) -> Account:
        """Somebody new, with this role in the organisation of this test, or in another; of none where the role is None."""
        account = await make_account(self.tenants.connection, role or "nobody")
        if role:
            await self.tenants.connection.execute(
                "insert into orbit.organization_members (organization_id, user_id, role)"
                " select id, $2, $3 from orbit.organizations where slug = $1",
                organization or await self.home(), account.id, role,
            )  # fmt: skip
        return account

    async def person(self, role: str | None = "editor", organization: str | None = None) -> Pair:
        """Somebody new, over both ways: with their password at Supabase Auth, and with the claims of the token they get there."""
        return await self.of(await self.account(role, organization))

    async def of(self, account: Account) -> Pair:
        """An account, over both ways."""
        supabase = self.rest(self.server.keys.publishable)
        session = await supabase.sign_in(account.email, account.password)
        return Pair(self.straight(claims_of(session.access_token)), supabase)

    def service(self) -> Pair:
        """A program that holds the secret key."""
        return Pair(self.straight({"role": "service_role"}), self.rest(self.server.keys.secret))

    def anonymous(self) -> Pair:
        """A program that holds the publishable key, and nobody signed in."""
        return Pair(self.straight({"role": "anon"}), self.rest(self.server.keys.publishable))

    def straight(self, claims: Mapping[str, Any]) -> PersonGateway:
        """A gateway to Postgres with the claims of a token."""
        return self._closed(PersonGateway(self.database.dsn, claims))

    def rest(self, key: str, **options: Any) -> SupabaseGateway:
        """A gateway to the REST server; `options` are SupabaseGateway's."""
        return self._closed(SupabaseGateway(self.server.url, key, **options))

    def _closed(self, gateway: Any) -> Any:
        self._stack.push_async_callback(gateway.close)
        return gateway

    # -- stories

    async def tell(self, story: Callable[[Teller], Awaitable[Any]], role: str = "editor") -> None:
        """Tells the story over each way, each in an organisation of its own, and compares the protocols: every answer and error.

        For what changes something: the second time, it would not be the same.
        """
        protocols = []
        for way in ("postgres", "supabase"):
            organization = await self.organization()
            account = await self.account(role, organization)
            teller = Teller(getattr(await self.of(account), way), organization, account)
            await story(teller)
            assert teller.protocol, "the story called nothing"
            protocols.append(normal(teller.protocol, words={organization: "<organization>", account.email: "<email>"}))
        assert protocols[1] == protocols[0]
