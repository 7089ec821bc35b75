"""The gateway to a Supabase project: PostgREST for calls, Supabase Auth for who calls. Needs the extra `supabase`.

A person signs in and acts as themselves, under row security. A program may hold the project's secret key instead, and then stands
above row security. Keys and tokens never stand in an error, nor in a repr.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from orbit_context.errors import (
    AuthenticationError,
    DatabaseUnavailableError,
    DefinitionError,
    InfrastructureError,
    NotAllowedError,
    OrbitError,
    SchemaMismatchError,
    TooManyRequestsError,
)
from orbit_context.gateway.port import encoded
from orbit_context.gateway.translation import UNDONE, from_database, seconds_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import httpx
    from postgrest import APIError
    from supabase import AsyncClient

__all__ = ["Session", "SupabaseGateway"]

_RENEW_SECONDS = 30.0
"""A token is renewed this long before it expires: a call may take a while, and clocks differ."""
_VICTIMS = 4
"""How often a call that lost to another one is said again."""
_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 60.0
_AWAY = {502, 503, 504, 540, *range(520, 531)}
"""A gateway's, Cloudflare's, and that of a project which is paused."""
_SIGN_IN = "sign in again"
_EXPOSE = "expose the schema `orbit` in the project's settings (Data API, Exposed schemas), after: orbit db push"
_RELOAD = "run: orbit db push; if that was done, have the API look again: notify pgrst, 'reload schema'"

_answer: ContextVar[httpx.Response | None] = ContextVar("orbit_supabase_answer", default=None)
"""The last response of the present task: supabase-py's exceptions carry neither its status nor its headers."""


@dataclass(frozen=True, slots=True)
class Session:
    """A person who is signed in. `expires_at`: when the access token ends, in seconds since 1970; None where it does not say."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: float | None = None

    @classmethod
    def of(cls, access_token: str, refresh_token: str) -> Self:
        """From two tokens as they were stored. Raises AuthenticationError where the first is no token."""
        try:
            payload = access_token.split(".")[1]
            expires_at = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))).get("exp")
        except (IndexError, ValueError, AttributeError):
            raise AuthenticationError("the stored session cannot be read", hint=_SIGN_IN) from None
        _check(access_token, "access token")
        return cls(access_token, refresh_token, expires_at)


class SupabaseGateway:
    """A project as one identity: whoever is signed in, else whom the key stands for. Calls may be made side by side.

    async with SupabaseGateway("https://….supabase.co", key) as gateway:
        await gateway.sign_in("ada@example.com", password)
        run = await gateway.call("get_run", {"run_id": "last"})

    A session is renewed before it expires, and once where the server says so earlier. `on_session` is then given the new one, to
    be stored (None after sign_out); it may be asynchronous.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        session: Session | None = None,
        on_session: Callable[[Session | None], Awaitable[None] | None] | None = None,
    ) -> None:
        place = urlsplit(url)
        if place.scheme not in {"http", "https"} or not place.hostname or place.username or place.password:
            raise DefinitionError(
                "the address of a Supabase project is written as https://<project>.supabase.co",
                hint="it stands in the project's settings, Data API",
            )
        self._url = url.rstrip("/")
        self._place = place.hostname + (f":{place.port}" if place.port else "")
        self._key = _check(key.strip(), "key")
        self._session = session
        self._on_session = on_session
        self._client: AsyncClient | None = None
        self._http: httpx.AsyncClient | None = None
        self._renewing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- calls

    async def call(self, function: str, request: Mapping[str, Any]) -> Any:
        parameters = {"p_request": json.loads(encoded(function, request))}
        await self._renew_in_time()
        renewed = False
        victims = 0
        while True:
            session = self._session
            try:
                return await self._say(function, parameters, session)
            except _refusal() as error:
                answer = _answer.get()
                status = answer.status_code if answer is not None else 0
                if status == 401 and session and error.code != "42501" and not renewed:
                    renewed = True
                    await self._renew(session)
                    continue
                if error.code in UNDONE and victims < _VICTIMS:
                    victims += 1
                    continue
                ours = self._translate(error, answer)
                if ours is None:
                    raise
                raise ours from error

    async def _say(self, function: str, parameters: dict[str, Any], session: Session | None) -> Any:
        import httpx

        client = await self._open()
        orbit = client.postgrest.schema("orbit")
        orbit.auth(session.access_token if session else self._key)
        try:
            data = (await orbit.rpc(function, parameters).execute()).data
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        answer = _answer.get()
        # What is no JSON, the library hands on as text.
        if answer is not None and (
            not answer.content or (isinstance(data, str) and not answer.content.startswith(b'"'))
        ):
            raise self._no_api(answer, "no JSON")
        return data

    def _translate(self, error: APIError, answer: httpx.Response | None) -> OrbitError | None:
        """Orbit's own error for one of PostgREST, of Postgres behind it, or of what stands before it."""
        code, status = error.code or "", answer.status_code if answer is not None else 0
        message = error.message or f"HTTP {status}"
        detail = (
            error.details if isinstance(error.details, str) else json.dumps(error.details) if error.details else None
        )
        retry_after = seconds_of(answer.headers.get("retry-after") if answer is not None else None)
        if code.startswith("PGRST3"):
            expired = "expired" in message
            return AuthenticationError(
                "the session has expired" if expired else "Supabase does not accept the token",
                detail=message if expired or not detail else f"{message}: {detail}",
                hint=_SIGN_IN,
            )
        if code == "PGRST106":
            return SchemaMismatchError("the project's API does not show Orbit's schema", detail=message, hint=_EXPOSE)
        if code.startswith("PGRST2"):
            return SchemaMismatchError(
                "the database does not hold Orbit's schema, or an older one", detail=message, hint=_RELOAD
            )
        if code.startswith("PGRST00") or status in _AWAY:
            return DatabaseUnavailableError(
                f"Supabase at {self._place} cannot reach its database, or is busy",
                detail=f"HTTP {status}: {message}",
                hint="try again; a project that is paused is restored in its dashboard",
            )
        ours = from_database(code, message, detail or None, error.hint or None, retry_after=retry_after)
        if ours is not None:
            return ours
        if status == 429:
            return TooManyRequestsError(
                message, detail=detail, hint=error.hint or "wait a while", retry_after=retry_after
            )
        if status == 401:
            return AuthenticationError(
                "Supabase does not accept the key", detail=message, hint="see the project's settings, API keys"
            )
        if status == 403:
            return NotAllowedError("Supabase does not allow the call", detail=message, hint=error.hint or _SIGN_IN)
        if answer is not None and (not code or code == str(status)):
            return self._no_api(answer, message)
        return None

    def _no_api(self, answer: httpx.Response, message: str) -> InfrastructureError:
        return InfrastructureError(
            f"what answers at {self._place} is no Supabase API",
            detail=f"HTTP {answer.status_code}: {answer.text[:200] or message}",
            hint="see that the address is the project's own, without a path",
        )

    # -- who calls

    @property
    def session(self) -> Session | None:
        """Who is signed in; None where the key speaks for itself."""
        return self._session

    async def sign_in(self, email: str, password: str) -> Session:
        """By e-mail and password. Raises AuthenticationError where they do not fit."""

        async def ask(client: AsyncClient) -> Any:
            return await client.auth.sign_in_with_password({"email": email, "password": password})

        return await self._keep(_session_of(await self._authenticate(ask)))

    async def set_session(self, access_token: str, refresh_token: str) -> Session:
        """As who signed in before. Nothing is asked of the server yet."""
        self._session = Session.of(access_token, refresh_token)
        return self._session

    async def sign_out(self) -> None:
        """Ends this session, here and at the server; others of the same person go on. Nothing where nobody is signed in."""
        session, self._session = self._session, None
        if session is None:
            return
        try:
            await self._authenticate(lambda client: client.auth.admin.sign_out(session.access_token, "local"))
        except AuthenticationError:
            pass  # it was over already
        finally:
            await self._tell(None)

    async def _renew_in_time(self) -> None:
        session = self._session
        if session is None or session.expires_at is None or session.expires_at - time.time() > _RENEW_SECONDS:
            return
        try:
            await self._renew(session)
        except DatabaseUnavailableError:
            if session.expires_at <= time.time():
                raise
            # It is good for some seconds yet, and the call may get through.

    async def _renew(self, stale: Session) -> None:
        """A new session for `stale`; whoever comes second finds it made. Raises AuthenticationError where none is to be had."""
        async with self._renewing:
            if self._session is not stale:
                return
            if not stale.refresh_token:
                raise AuthenticationError("the session has expired", hint=_SIGN_IN)
            answer = await self._authenticate(lambda client: client.auth.refresh_session(stale.refresh_token))
            await self._keep(_session_of(answer))

    async def _keep(self, session: Session) -> Session:
        self._session = session
        await self._tell(session)
        return session

    async def _tell(self, session: Session | None) -> None:
        if self._on_session is not None and isawaitable(told := self._on_session(session)):
            await told

    async def _authenticate(self, ask: Callable[[AsyncClient], Awaitable[Any]]) -> Any:
        """One question to Supabase Auth, its errors as ours."""
        from pydantic import ValidationError
        from supabase_auth.errors import AuthError, AuthRetryableError, AuthUnknownError

        client = await self._open()
        _answer.set(None)
        try:
            return await ask(client)
        except AuthRetryableError as error:
            raise self._unreachable(error) from error
        except (AuthUnknownError, ValidationError) as error:
            raise InfrastructureError(
                f"what answers at {self._place} is no Supabase Auth",
                detail=type(error).__name__,
                hint="see that the address is the project's own, without a path",
            ) from error
        except AuthError as error:
            status = getattr(error, "status", 0)
            answer = _answer.get()
            if status == 429:
                retry_after = seconds_of(answer.headers.get("retry-after") if answer is not None else None)
                raise TooManyRequestsError(error.message, hint="wait a while", retry_after=retry_after) from error
            if status >= 500:
                raise self._unreachable(error) from error
            hint = _SIGN_IN if error.code != "invalid_credentials" else "see the address and the password"
            raise AuthenticationError(error.message or "Supabase Auth refused", detail=error.code, hint=hint) from error

    # -- the way there

    async def _open(self) -> AsyncClient:
        if self._client is None:
            try:
                from supabase import AsyncClient, AsyncClientOptions
            except ImportError as error:
                raise InfrastructureError(
                    "the way to Supabase is not installed", hint="pip install 'orbit-context[supabase]'"
                ) from error
            import httpx

            self._http = httpx.AsyncClient(
                http2=True,
                timeout=httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
                event_hooks={"response": [_remember]},
            )
            options = AsyncClientOptions(
                auto_refresh_token=False,
                persist_session=False,
                postgrest_client_retry=False,
                httpx_client=self._http,
            )
            self._client = AsyncClient(self._url, self._key, options)
        return self._client

    def _unreachable(self, error: Exception) -> DatabaseUnavailableError:
        cause = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return DatabaseUnavailableError(
            f"cannot reach Supabase at {self._place}",
            detail=cause,
            hint="see the address, the network and the project's status",
        )

    async def close(self) -> None:
        """Gives the connections up; the session stays good."""
        http, self._http, self._client = self._http, None, None
        if http is not None:
            await http.aclose()


async def _remember(response: httpx.Response) -> None:
    _answer.set(response)


def _refusal() -> type[APIError]:
    from postgrest import APIError

    return APIError


def _session_of(answer: Any) -> Session:
    if answer is None or answer.session is None:
        raise AuthenticationError("Supabase Auth gave no session", hint="confirm the e-mail address first")
    made = answer.session
    return Session(made.access_token, made.refresh_token, made.expires_at)


def _check(secret: str, what: str) -> str:
    """A header can carry it; what cannot would be quoted by the error of those who try."""
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise AuthenticationError(
            f"the {what} is none: it is empty, or holds characters that no {what} has", hint=_SIGN_IN
        )
    return secret
