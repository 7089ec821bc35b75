"""Which database Orbit works on: ORBIT_DATABASE_URL, else the Supabase project of the environment, else the embedded Postgres."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import SplitResult, urlsplit, urlunsplit

from orbit_context.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["DatabaseTarget", "choose"]

_SUPABASE_KEYS = ("SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_KEY", "SUPABASE_ANON_KEY")


@dataclass(frozen=True, slots=True)
class DatabaseTarget:
    """A database and why it was chosen. `dsn` holds the password and is left out of repr; show `shown` to people."""

    kind: Literal["url", "embedded"]
    dsn: str = field(repr=False)
    origin: str

    @property
    def shown(self) -> str:
        """The DSN with `***` for the password, wherever it stands."""
        parts = _split(self.dsn)
        user, _, host = parts.netloc.rpartition("@")
        if ":" in user:
            user = user.split(":", 1)[0] + ":***"
        query = "&".join(
            f"{name}=***" if name.lower() in {"password", "sslpassword"} else f"{name}{equals}{value}"
            for name, equals, value in (option.partition("=") for option in parts.query.split("&"))
        )
        return urlunsplit(parts._replace(netloc=f"{user}@{host}" if user else host, query=query))


def choose(start_embedded: Callable[[], str], environ: Mapping[str, str] | None = None) -> DatabaseTarget:
    """The database to work on. `start_embedded` starts the embedded server and returns its DSN; called only where it is needed.

    Raises DefinitionError where ORBIT_DATABASE_URL is no Postgres URL, or only a Supabase URL and key are given: a runner speaks
    to Postgres itself. Whatever `start_embedded` raises comes through.
    """
    environ = os.environ if environ is None else environ
    if url := environ.get("ORBIT_DATABASE_URL", "").strip():
        if _split(url).scheme not in {"postgresql", "postgres"}:
            raise DefinitionError(
                "ORBIT_DATABASE_URL is not a Postgres URL",
                hint="it looks like postgresql://user:password@host:5432/database",
            )
        return DatabaseTarget("url", url, "ORBIT_DATABASE_URL")
    key = next((name for name in _SUPABASE_KEYS if environ.get(name)), None)
    if key and environ.get("SUPABASE_URL"):
        raise DefinitionError(
            f"SUPABASE_URL and {key} are set, but tests are run over Postgres itself, which a key does not open",
            hint="set ORBIT_DATABASE_URL to the project's connection string (dashboard: Connect, session pooler or direct); "
            "or unset SUPABASE_URL to use the embedded Postgres",
        )
    return DatabaseTarget("embedded", start_embedded(), "the embedded Postgres")


def _split(url: str) -> SplitResult:
    """urlsplit, whose own complaint could quote the password."""
    try:
        return urlsplit(url)
    except ValueError:
        raise DefinitionError(
            "ORBIT_DATABASE_URL cannot be read",
            hint="it looks like postgresql://user:password@host:5432/database; %-encode special characters of the password",
        ) from None
