"""The gateway to Supabase: what answers become that a well-behaved server of ours does not give."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import traceback
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest
from postgrest import APIError

from orbit_context.client import Orbit
from orbit_context.errors import (
    AuthenticationError,
    ConflictError,
    DatabaseUnavailableError,
    DefinitionError,
    InfrastructureError,
    InvalidRequestError,
    NotAllowedError,
    OrbitError,
    QuotaExceededError,
    SchemaMismatchError,
    SecretKeyError,
    TooManyRequestsError,
)
from orbit_context.gateway.supabase import Session, SupabaseGateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = "sb_publishable_canary-key"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.canary-signature"
PASSWORD = "canary-password"
REFRESH = "canary-refresh-token"
HTML = "<html><body>502 Bad Gateway</body></html>"


class Scripted:
    """A server that gives the answers it was given, one for each request; the last one for ever. None: closes without a word."""

    def __init__(self, *answers: tuple[int, dict[str, str], str] | None) -> None:
        self.answers = list(answers)
        self.requests: list[str] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            (int(line.split(":")[1]) for line in head.lower().splitlines() if line.startswith("content-length")), 0
        )
        self.requests.append(head + (await reader.readexactly(length)).decode())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is not None:
            status, headers, body = answer
            lines = [f"HTTP/1.1 {status} Said", f"content-length: {len(body.encode())}", "connection: close"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
            await writer.drain()
        writer.close()


@asynccontextmanager
async def answering(*answers: tuple[int, dict[str, str], str] | None) -> AsyncIterator[Scripted]:
    scripted = Scripted(*answers)
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    scripted.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield scripted


def refusal(code: str | None, message: str = "what", details: Any = "which", hint: str | None = "how") -> str:
    return json.dumps({"code": code, "message": message, "details": details, "hint": hint})


def everything(error: BaseException) -> str:
    """All that an error could tell: its own words, and its causes'."""
    told = [vars(error)]
    return "".join(traceback.format_exception(error)) + repr(error) + repr(told)


async def ask(url: str, session: Session | None = None) -> Any:
    async with SupabaseGateway(url, KEY, session=session) as gateway:
        return await gateway.call("list_runs", {})


CASES: list[tuple[str, tuple[int, dict[str, str], str] | None, type[OrbitError]]] = [
    ("a code of ours", (400, {}, refusal("OR004")), ConflictError),
    ("a secret key", (400, {}, refusal("OR008")), SecretKeyError),
    ("a rate", (429, {"retry-after": "3"}, refusal("OR006")), TooManyRequestsError),
    ("a quota", (402, {}, refusal("OR007")), QuotaExceededError),
    ("a rate of the platform", (429, {"retry-after": "3"}, HTML), TooManyRequestsError),
    ("no right", (403, {}, refusal("42501")), NotAllowedError),
    ("no right, as nobody", (401, {}, refusal("42501")), NotAllowedError),
    ("a forged token", (401, {}, refusal("PGRST301")), AuthenticationError),
    ("no token", (401, {}, refusal("PGRST302")), AuthenticationError),
    ("an expired token", (401, {}, refusal("PGRST303", "JWT expired")), AuthenticationError),
    ("another project's key", (401, {}, json.dumps({"message": "Invalid API key"})), AuthenticationError),
    ("forbidden by what stands before", (403, {}, HTML), NotAllowedError),
    ("a schema that is not shown", (406, {}, refusal("PGRST106")), SchemaMismatchError),
    ("a function that is not there", (404, {}, refusal("PGRST202")), SchemaMismatchError),
    ("no schema", (404, {}, refusal("3F000", 'schema "orbit" does not exist')), SchemaMismatchError),
    ("a value that cannot be held", (400, {}, refusal("22P05")), InvalidRequestError),
    ("a statement timeout", (500, {}, refusal("57014")), DatabaseUnavailableError),
    ("no database behind", (503, {}, refusal("PGRST000")), DatabaseUnavailableError),
    ("no connection left", (504, {}, refusal("PGRST003")), DatabaseUnavailableError),
    ("a bad gateway", (502, {}, HTML), DatabaseUnavailableError),
    ("a paused project", (540, {}, HTML), DatabaseUnavailableError),
    ("a gateway's timeout without a word", (504, {}, ""), DatabaseUnavailableError),
    ("an origin that is down", (522, {}, HTML), DatabaseUnavailableError),
    ("a page for people", (200, {"content-type": "text/html"}, HTML), InfrastructureError),
    ("nothing", (200, {}, ""), InfrastructureError),
    ("another site", (404, {}, HTML), InfrastructureError),
    ("elsewhere", (302, {"location": "https://example.com/"}, ""), InfrastructureError),
    ("a line that was cut", None, DatabaseUnavailableError),
]


@pytest.mark.parametrize(("answer", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_what_an_answer_becomes(
    answer: tuple[int, dict[str, str], str] | None, expected: type[OrbitError], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with answering(answer) as server:
        with pytest.raises(OrbitError) as error:
            await ask(server.url, Session(TOKEN, ""))
    assert type(error.value) is expected
    assert error.value.message
    if expected is not TooManyRequestsError or answer[2] != HTML:  # type: ignore[index]
        assert error.value.hint
    told = everything(error.value) + caplog.text
    assert "canary" not in told
    assert len(server.requests) == 1
    assert TOKEN in server.requests[0]
    assert KEY in server.requests[0]


async def test_message_detail_and_hint_arrive_as_they_were_sent() -> None:
    async with answering((400, {}, refusal("OR002", "no such run", None, ""))) as server:
        with pytest.raises(OrbitError) as error:
            await ask(server.url)
    assert (error.value.message, error.value.detail, error.value.hint) == ("no such run", None, None)
    async with answering((400, {}, refusal("OR002", "no such run", {"run": 1}, "look"))) as server:
        with pytest.raises(OrbitError) as error:
            await ask(server.url)
    assert (error.value.detail, error.value.hint) == ('{"run": 1}', "look")


@pytest.mark.parametrize(
    ("headers", "details", "seconds"),
    [
        ({"retry-after": "3"}, None, 3.0),
        ({"retry-after": "4"}, "retry after 3.2 s", 3.2),
        ({}, "limit 60; retry after 12 s", 12.0),
        ({}, None, None),
        ({"retry-after": "soon"}, None, None),
        ({"retry-after": "-5"}, None, 0.0),
        ({"retry-after": "Fri, 21 Nov 2025 07:28:00 GMT"}, None, 0.0),
    ],
)
async def test_how_long_to_wait(headers: dict[str, str], details: str | None, seconds: float | None) -> None:
    async with answering((429, headers, refusal("OR006", details=details))) as server:
        with pytest.raises(TooManyRequestsError) as error:
            await ask(server.url)
    assert error.value.retry_after == seconds


async def test_how_long_to_wait_until_a_date() -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    async with answering((429, {"retry-after": format_datetime(until, usegmt=True)}, HTML)) as server:
        with pytest.raises(TooManyRequestsError) as error:
            await ask(server.url)
    assert error.value.retry_after is not None
    assert 3500 < error.value.retry_after <= 3600


async def test_what_is_not_ours_to_explain_is_left_as_it_is() -> None:
    async with answering((500, {}, refusal("XX000"))) as server:
        with pytest.raises(APIError) as error:
            await ask(server.url)
    assert error.value.code == "XX000"


async def test_a_call_that_lost_to_another_is_said_again() -> None:
    lost = (500, {}, refusal("40P01", "deadlock detected"))
    async with answering(lost, lost, (200, {}, "[1]")) as server:
        assert await ask(server.url) == [1]
        assert len(server.requests) == 3
    async with answering(lost) as server:
        with pytest.raises(DatabaseUnavailableError, match="lost to others"):
            await ask(server.url)
        assert len(server.requests) == 5


async def test_a_refused_call_is_renewed_once_and_no_more() -> None:
    """A server that calls every token expired is believed the second time."""
    session = {
        "access_token": TOKEN, "refresh_token": REFRESH, "expires_in": 3600, "token_type": "bearer",
        "user": {"id": "1", "app_metadata": {}, "user_metadata": {}, "aud": "x", "created_at": "2026-01-01T00:00:00Z"},
    }  # fmt: skip
    expired = (401, {}, refusal("PGRST303", "JWT expired"))
    async with answering(expired, (200, {}, json.dumps(session)), expired) as server:
        with pytest.raises(AuthenticationError, match="expired") as error:
            await ask(server.url, Session(TOKEN, REFRESH))
    assert [request.split(" ")[1].split("?")[0] for request in server.requests] == [
        "/rest/v1/rpc/list_runs",
        "/auth/v1/token",
        "/rest/v1/rpc/list_runs",
    ]
    assert "canary" not in everything(error.value)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            (400, {}, json.dumps({"code": 400, "error_code": "invalid_credentials", "msg": "Invalid login"})),
            AuthenticationError,
        ),
        ((422, {}, json.dumps({"code": 422, "msg": "Email not confirmed"})), AuthenticationError),
        ((429, {"retry-after": "9"}, json.dumps({"code": 429, "msg": "slow down"})), TooManyRequestsError),
        ((500, {}, json.dumps({"code": 500, "msg": "broken"})), DatabaseUnavailableError),
        ((503, {}, HTML), DatabaseUnavailableError),
        ((200, {}, HTML), InfrastructureError),
        ((404, {}, HTML), InfrastructureError),
        ((200, {}, "{}"), InfrastructureError),
        (None, DatabaseUnavailableError),
    ],
)
async def test_what_an_answer_to_signing_in_becomes(
    answer: tuple[int, dict[str, str], str] | None, expected: type[OrbitError]
) -> None:
    async with answering(answer) as server, SupabaseGateway(server.url, KEY) as gateway:
        with pytest.raises(OrbitError) as error:
            await gateway.sign_in("ada@example.com", PASSWORD)
    assert type(error.value) is expected
    assert error.value.hint
    assert getattr(error.value, "retry_after", 9.0) == 9.0
    assert "canary" not in everything(error.value)


async def test_a_session_about_to_end_is_used_while_it_cannot_be_renewed() -> None:
    import time

    away = (503, {}, HTML)
    async with answering(away, (200, {}, "[]")) as server:
        assert await ask(server.url, Session(TOKEN, REFRESH, time.time() + 20)) == []
    async with answering(away) as server:
        with pytest.raises(DatabaseUnavailableError):
            await ask(server.url, Session(TOKEN, REFRESH, time.time() - 1))
        assert len(server.requests) == 1


async def test_nobody_listens() -> None:
    async with answering(None) as server:
        pass
    with pytest.raises(DatabaseUnavailableError, match=r"cannot reach Supabase at 127\.0\.0\.1:\d+$") as error:
        await ask(server.url)
    assert "canary" not in everything(error.value)


@pytest.mark.parametrize("key", ["", "line\nbreak-canary", "canary ü", "two words-canary", "nul\0canary"])
def test_a_key_that_no_header_can_carry(key: str) -> None:
    with pytest.raises(AuthenticationError) as error:
        SupabaseGateway("https://x.supabase.co", key)
    assert "canary" not in everything(error.value)


@pytest.mark.parametrize(
    "url", ["", "x.supabase.co", "postgresql://u:canary@h/db", "https://", "https://u:canary@x.supabase.co"]
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(DefinitionError) as error:
        SupabaseGateway(url, KEY)
    assert "canary" not in everything(error.value)


def test_a_session_shows_no_token() -> None:
    assert "canary" not in repr(Session(TOKEN, REFRESH, 1.0))


async def test_a_function_that_is_not_in_the_contract_is_never_called() -> None:
    async with answering((200, {}, "[]")) as server, SupabaseGateway(server.url, KEY) as gateway:
        with pytest.raises(ValueError, match="not a function of the contract"):
            await gateway.call("../../admin", {})
        assert server.requests == []


async def test_the_client_speaks_to_supabase() -> None:
    async with answering((200, {}, "[]")) as server, Orbit.connect_supabase(server.url, KEY) as orbit:
        assert await orbit.runs.latest(limit=7) == []
    (request,) = server.requests
    head, body = request.split("\r\n\r\n")
    assert head.startswith("POST /rest/v1/rpc/list_runs ")
    assert "content-profile: orbit" in head.lower()
    assert json.loads(body) == {"p_request": {"limit": 7}}


def test_the_module_imports_nothing_heavy() -> None:
    code = (
        "import sys, orbit_context.gateway.supabase, orbit_context.client;"
        " print(sorted({'supabase', 'httpx', 'postgrest', 'realtime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supabase", None)
    with pytest.raises(InfrastructureError) as error:
        await ask("http://127.0.0.1:9")
    assert error.value.hint == "pip install 'orbit-context[supabase]'"
