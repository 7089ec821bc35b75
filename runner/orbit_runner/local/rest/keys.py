"""The keys of a project's REST and Auth server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any, Self

__all__ = ["Keys"]

_YEARS_10 = 10 * 365 * 86400


@dataclass(frozen=True, slots=True)
class Keys:
    """A secret that signs tokens, and four API keys: two as Supabase makes them now (`sb_…`), two as it did before (tokens).

    `publishable` and `anon` open what `anon` may see; `secret` and `service_role` stand above row security.
    """

    jwt_secret: str = field(repr=False)
    publishable: str = field(repr=False)
    secret: str = field(repr=False)
    anon: str = field(repr=False)
    service_role: str = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """New ones, from the system's randomness."""
        jwt_secret = secrets.token_urlsafe(32)
        now = int(time.time())

        def key(role: str) -> str:
            return sign(
                {"iss": "supabase", "ref": "local", "role": role, "iat": now, "exp": now + _YEARS_10}, jwt_secret
            )

        return cls(
            jwt_secret=jwt_secret,
            publishable=f"sb_publishable_{secrets.token_urlsafe(16)}",
            secret=f"sb_secret_{secrets.token_urlsafe(24)}",
            anon=key("anon"),
            service_role=key("service_role"),
        )

    @property
    def roles(self) -> dict[str, str]:
        """API key → database role."""
        return {
            self.publishable: "anon",
            self.anon: "anon",
            self.secret: "service_role",
            self.service_role: "service_role",
        }


def sign(claims: dict[str, Any], secret: str) -> str:
    """A token (RFC 7519) signed with HS256."""
    head = ".".join(_part(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return f"{head}.{_part(hmac.digest(secret.encode(), head.encode(), hashlib.sha256))}"


def _part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
