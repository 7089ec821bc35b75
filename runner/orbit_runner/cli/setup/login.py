"""`orbit login`, `orbit logout`, `orbit whoami`."""

from __future__ import annotations

import base64
import json
import os
import sys
from typing import TYPE_CHECKING

from orbit_context.errors import AuthenticationError, DefinitionError, OrbitError
from orbit_runner.cli import session
from orbit_runner.cli.answers import print_answer, say, told
from orbit_runner.cli.asking import asking

if TYPE_CHECKING:
    from collections.abc import Callable

    from orbit_context.gateway.supabase import Session
    from orbit_runner.cli.exits import Exit

__all__ = ["login", "logout", "whoami"]


def login(*, url: str | None, key: str | None, email: str | None, as_json: bool) -> Exit:
    """Sign in and keep the session. What is not given is asked for, where somebody is at a terminal."""
    import asyncio

    from orbit_context.gateway.supabase import SupabaseGateway

    url = url or os.environ.get("SUPABASE_URL") or _ask("the project's address", "--url")
    key = (
        key
        or os.environ.get("SUPABASE_ANON_KEY")
        or os.environ.get("SUPABASE_KEY")
        or _ask("its publishable key", "--key")
    )
    if _is_secret(key):
        raise DefinitionError(
            "that is a secret key, which stands above row security and belongs on servers alone",
            hint="sign in with the publishable key (sb_publishable_…, or anon)",
        )
    email = email or _ask("e-mail", "--email")
    password = _password()

    async def main() -> Session:
        async with SupabaseGateway(url, key) as gateway:
            return await gateway.sign_in(email, password)

    tokens = asyncio.run(main())
    session.save(session.SignedIn(url.rstrip("/"), key.strip(), email, tokens.access_token, tokens.refresh_token))
    answer = {"url": url.rstrip("/"), "email": email}
    return told(answer, f"signed in as {email} at {answer['url']}", as_json=as_json)


def logout(*, as_json: bool) -> Exit:
    """Forget the session, here in any case, and at the server where it can be reached."""
    import asyncio

    try:
        signed_in = session.load()
        if signed_in is None:
            return told({"signed_out": False}, "nobody is signed in", as_json=as_json)
        gateway = signed_in.gateway()
    except AuthenticationError:  # what cannot be read cannot be used either
        session.path().unlink(missing_ok=True)
        return told({"signed_out": True}, "signed out", as_json=as_json)

    async def main() -> None:
        async with gateway:
            await gateway.sign_out()

    try:
        asyncio.run(main())
    except OrbitError as error:
        sys.stderr.write(f"the server was not told: {error}\n")
    finally:
        session.path().unlink(missing_ok=True)
    return told({"signed_out": True}, "signed out", as_json=as_json)


def whoami(*, as_json: bool) -> Exit:
    """Who asks, as the database sees them: a session is tried at the server."""
    signed_in = None if os.environ.get("ORBIT_DATABASE_URL", "").strip() else session.load()
    identity = asking(lambda orbit: orbit.organizations.whoami())
    if as_json:
        return print_answer({"url": signed_in.url if signed_in else None, **identity.model_dump(mode="json")})
    if identity.user is None:
        return say("an administrative role, above row security; nobody is signed in")
    names = ", ".join(f"{one.slug} ({one.role or 'by a grant'})" for one in identity.organizations)
    place = f" at {signed_in.url}" if signed_in else ""
    return say(f"{identity.user.email or identity.user.id}{place}; {names or 'in no organisation'}")


def _ask(what: str, option: str) -> str:
    import click

    if not sys.stdin.isatty():
        raise DefinitionError(f"{what} is missing", hint=f"give it as {option}")
    return str(click.prompt(what, err=True)).strip()


def _password() -> str:
    """ORBIT_PASSWORD, else asked for at a terminal, else a line of standard input; never an option, which others would see."""
    import click

    if password := os.environ.get("ORBIT_PASSWORD"):
        return password
    password = (
        str(click.prompt("password", hide_input=True, err=True)) if sys.stdin.isatty() else _line(sys.stdin.readline)
    )
    if not password:
        raise DefinitionError("the password is missing", hint="set ORBIT_PASSWORD, or give it on standard input")
    return password


def _line(read: Callable[[], str]) -> str:
    return read().rstrip("\r\n")


def _is_secret(key: str) -> bool:
    if key.strip().startswith("sb_secret_"):
        return True
    try:
        part = key.split(".")[1]
        return bool(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))).get("role") == "service_role")
    except (IndexError, ValueError, AttributeError):
        return False
