"""Who calls: signing in, tokens that end, tokens that are none."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from orbit_runner.local.rest import sign
from support.gateways import claims_of

from orbit_context.errors import AuthenticationError, NotAllowedError
from orbit_context.gateway.supabase import Session

if TYPE_CHECKING:
    from support.gateways import Account, Gateways

    from orbit_context.gateway.supabase import SupabaseGateway


async def signed_in(gateways: Gateways, **options: Any) -> tuple[SupabaseGateway, Session]:
    """A new editor at the REST server."""
    account = await gateways.account("editor")
    gateway = gateways.rest(gateways.server.keys.publishable, **options)
    return gateway, await gateway.sign_in(account.email, account.password)


def ended(gateways: Gateways, session: Session) -> str:
    """The session's access token as it is an hour after its end."""
    claims = claims_of(session.access_token)
    return sign(claims | {"iat": claims["iat"] - 7200, "exp": claims["exp"] - 7200}, gateways.server.keys.jwt_secret)


async def user_of(gateways: Gateways, account: Account) -> str:
    answer = await gateways.rest(gateways.server.keys.publishable).sign_in(account.email, account.password)
    return str(claims_of(answer.access_token)["sub"])


async def test_the_witness_is_a_real_postgrest(gateways: Gateways, request: pytest.FixtureRequest) -> None:
    headers = {"apikey": gateways.server.keys.publishable}
    async with httpx.AsyncClient(base_url=gateways.server.url, headers=headers) as client:
        said = (await client.get("/rest/v1/")).headers.get("server", "")
    assert said.startswith("postgrest/") is ("postgrest" in request.node.name.rpartition("[")[2])


async def test_a_person_signs_in_by_email_and_password(gateways: Gateways) -> None:
    told: list[Session | None] = []
    gateway, session = await signed_in(gateways, on_session=told.append)
    claims = claims_of(session.access_token)
    assert told == [session] == [gateway.session]
    assert session.expires_at == claims["exp"] > time.time() + 3000
    assert (claims["role"], claims["aud"], claims["aal"]) == ("authenticated", "authenticated", "aal1")
    assert await gateway.call("list_runs", {}) == []


async def test_the_token_names_the_user_that_the_database_sees(gateways: Gateways) -> None:
    account = await gateways.account("editor")
    assert await user_of(gateways, account) == account.id
    async with gateways.database.connect() as connection:
        await connection.execute(
            "create or replace function public.token_user() returns text language sql as 'select auth.uid()::text'"
        )
        await connection.execute("notify pgrst, 'reload schema'")
    session = await gateways.rest(gateways.server.keys.publishable).sign_in(account.email, account.password)
    headers = {"apikey": gateways.server.keys.publishable, "authorization": f"Bearer {session.access_token}"}
    async with httpx.AsyncClient(base_url=gateways.server.url, headers=headers) as client, asyncio.timeout(20):
        while (answer := await client.post("/rest/v1/rpc/token_user", json={})).status_code == 404:  # noqa: ASYNC110 (it has to be asked)
            await asyncio.sleep(0.02)
    assert answer.json() == account.id


@pytest.mark.parametrize("wrong", ["password", "address"])
async def test_a_wrong_password_and_an_unknown_address_are_told_alike(gateways: Gateways, wrong: str) -> None:
    account = await gateways.account("editor")
    gateway = gateways.rest(gateways.server.keys.publishable)
    email = account.email if wrong == "password" else "x" + account.email
    with pytest.raises(AuthenticationError) as refusal:
        await gateway.sign_in(email, "guess the password")
    assert refusal.value.message == "Invalid login credentials"
    assert refusal.value.hint == "see the address and the password"
    assert "guess" not in repr(refusal.value) + str(refusal.value.detail)
    assert gateway.session is None


async def test_an_expired_token_is_renewed_before_the_call(gateways: Gateways) -> None:
    told: list[Session | None] = []
    _, session = await signed_in(gateways)
    gateway = gateways.rest(gateways.server.keys.publishable, on_session=told.append)
    await gateway.set_session(ended(gateways, session), session.refresh_token)
    assert await gateway.call("list_runs", {}) == []
    assert told == [gateway.session]
    assert gateway.session is not None
    assert gateway.session.expires_at is not None
    assert gateway.session.expires_at > time.time()


async def test_a_token_that_the_server_calls_expired_is_renewed_once_and_the_call_said_again(
    gateways: Gateways,
) -> None:
    """Where the clocks differ: it looks good here."""
    told: list[Session | None] = []
    _, session = await signed_in(gateways)
    stale = Session(ended(gateways, session), session.refresh_token, time.time() + 3600)
    gateway = gateways.rest(gateways.server.keys.publishable, session=stale, on_session=told.append)
    assert await gateway.call("list_runs", {}) == []
    assert len(told) == 1


async def test_many_calls_at_once_renew_once(gateways: Gateways) -> None:
    told: list[Session | None] = []
    _, session = await signed_in(gateways)
    stale = Session(ended(gateways, session), session.refresh_token, time.time() + 3600)
    gateway = gateways.rest(gateways.server.keys.publishable, session=stale, on_session=told.append)
    assert await asyncio.gather(*(gateway.call("list_runs", {}) for _ in range(8))) == [[]] * 8
    assert len(told) == 1


async def test_an_expired_token_that_cannot_be_renewed(gateways: Gateways) -> None:
    _, session = await signed_in(gateways)
    for refresh_token in ("", "made up"):
        for expires_at in (time.time() - 10, time.time() + 3600):
            stale = Session(ended(gateways, session), refresh_token, expires_at)
            gateway = gateways.rest(gateways.server.keys.publishable, session=stale)
            with pytest.raises(AuthenticationError) as refusal:
                await gateway.call("list_runs", {})
            assert refusal.value.hint == "sign in again"


def forged(kind: str, gateways: Gateways, session: Session) -> str:
    claims = claims_of(session.access_token)
    raised = claims | {"role": "service_role"}
    if kind == "signed with another secret":
        return sign(raised, "x" * 43)
    head, _, signature = session.access_token.split(".")
    payload = base64.urlsafe_b64encode(json.dumps(raised).encode()).decode().rstrip("=")
    if kind == "claims changed":
        return f"{head}.{payload}.{signature}"
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    return {
        "alg none": f"{none}.{payload}.",
        "alg none, signed": f"{none}.{payload}.{signature}",
        "no token": "nonsense",
    }[kind]


@pytest.mark.parametrize(
    "kind", ["signed with another secret", "claims changed", "alg none", "alg none, signed", "no token"]
)
async def test_a_forged_token_is_refused(gateways: Gateways, kind: str) -> None:
    _, session = await signed_in(gateways)
    token = forged(kind, gateways, session)
    gateway = gateways.rest(gateways.server.keys.publishable, session=Session(token, ""))
    with pytest.raises(AuthenticationError) as refusal:
        await gateway.call("list_runs", {})
    assert refusal.value.hint == "sign in again"
    assert token not in f"{refusal.value!r} {refusal.value.detail} {refusal.value.message}"


async def test_without_a_session_the_publishable_key_is_nobody(gateways: Gateways) -> None:
    for key in (gateways.server.keys.publishable, gateways.server.keys.anon):
        with pytest.raises(NotAllowedError) as refusal:
            await gateways.rest(key).call("list_runs", {})
        assert "sign in" in str(refusal.value.hint)


async def test_both_secret_keys_stand_above_row_security(gateways: Gateways) -> None:
    for key in (gateways.server.keys.secret, gateways.server.keys.service_role):
        assert isinstance((await gateways.rest(key).call("cleanup_expired_contexts", {}))["deleted"], int)


async def test_a_key_of_another_project_is_refused(gateways: Gateways) -> None:
    for key in ("sb_publishable_of_another_project", sign({"role": "service_role", "exp": time.time() + 60}, "x" * 43)):
        with pytest.raises(AuthenticationError) as refusal:
            await gateways.rest(key).call("list_runs", {})
        assert refusal.value.message == "Supabase does not accept the key"
        assert key not in f"{refusal.value!r} {refusal.value.detail} {refusal.value.hint}"


async def test_who_signed_out_is_nobody_and_the_session_is_over(gateways: Gateways) -> None:
    told: list[Session | None] = []
    gateway, session = await signed_in(gateways, on_session=told.append)
    await gateway.sign_out()
    assert told == [session, None]
    with pytest.raises(NotAllowedError):
        await gateway.call("list_runs", {})
    await gateway.sign_out()  # nothing is left to end
    again = gateways.rest(
        gateways.server.keys.publishable, session=Session(ended(gateways, session), session.refresh_token)
    )
    with pytest.raises(AuthenticationError):
        await again.call("list_runs", {})


async def test_a_stored_session_that_is_none(gateways: Gateways) -> None:
    gateway = gateways.rest(gateways.server.keys.publishable)
    for token in ("", "a", "a.b.c", "a." + base64.urlsafe_b64encode(b"[]").decode() + ".c"):
        with pytest.raises(AuthenticationError):
            await gateway.set_session(token, "r")


async def test_asynchronous_storing_is_waited_for(gateways: Gateways) -> None:
    stored: list[Session | None] = []

    async def store(session: Session | None) -> None:
        await asyncio.sleep(0)
        stored.append(session)

    _, session = await signed_in(gateways, on_session=store)
    assert stored == [session]
