"""Who is signed in to a Supabase project: kept in the user's own configuration, readable by them alone."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from orbit_context.errors import AuthenticationError

if TYPE_CHECKING:
    from orbit_context.gateway.supabase import Session, SupabaseGateway

__all__ = ["SignedIn", "load", "path", "save", "supabase_of_environment"]

KEYS = ("SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_KEY", "SUPABASE_ANON_KEY")


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A project and a person in it. The key is the project's publishable one; the tokens are the person's."""

    url: str
    key: str = field(repr=False)
    email: str
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)

    def gateway(self) -> SupabaseGateway:
        """As this person; each new session is written back."""
        from orbit_context.gateway.supabase import Session, SupabaseGateway

        return SupabaseGateway(
            self.url, self.key, session=Session.of(self.access_token, self.refresh_token), on_session=self._keep
        )

    def _keep(self, session: Session | None) -> None:
        if session is None:
            path().unlink(missing_ok=True)
        else:
            save(replace(self, access_token=session.access_token, refresh_token=session.refresh_token))


def path() -> Path:
    """`orbit/session.json` of the user's configuration (XDG_CONFIG_HOME, else ~/.config)."""
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "orbit" / "session.json"


def load() -> SignedIn | None:
    """Who is signed in; None where nobody is. Raises AuthenticationError where the file cannot be read as what it is."""
    try:
        text = path().read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AuthenticationError(f"the stored session cannot be read: {error.strerror}", hint="orbit login") from error
    try:
        return SignedIn(**json.loads(text))
    except (ValueError, TypeError):
        # Neither quoted nor chained: what stands there may be a token.
        raise AuthenticationError(f"{path()} holds no session", hint="orbit login, or orbit logout") from None


def save(signed_in: SignedIn) -> None:
    """Whole or not at all, and for the user's eyes alone from the first byte."""
    place = path()
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = place.with_name(f"session.{os.getpid()}.new")
    beside.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(asdict(signed_in), file)
        beside.replace(place)
    finally:
        beside.unlink(missing_ok=True)


def supabase_of_environment() -> tuple[str, str] | None:
    """SUPABASE_URL and a key, where both are set."""
    url = os.environ.get("SUPABASE_URL", "").strip()
    key = next((value for name in KEYS if (value := os.environ.get(name, "").strip())), "")
    return (url, key) if url and key else None
