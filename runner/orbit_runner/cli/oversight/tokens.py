"""`orbit token`"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from orbit_runner.cli.answers import print_answer, print_rows, say, told
from orbit_runner.cli.asking import asking
from orbit_runner.cli.moments import ahead
from orbit_runner.report.wording import visible

if TYPE_CHECKING:
    from orbit_runner.cli.exits import Exit

__all__ = ["create", "list_", "revoke"]


def create(name: str, *, expires: str | None, as_json: bool, **given: Any) -> Exit:
    """The token alone on standard output, so that it can be piped into a secret store."""
    ends = ahead(expires, option="--expires") if expires else None
    made = asking(lambda orbit: orbit.tokens.create(name, expires_at=ends, **given))
    if as_json:
        return print_answer(made)
    sys.stderr.write(f"{visible(made.name)}: keep it now, it is not shown again\n")
    return say(str(made.token))


def list_(*, as_json: bool, **given: Any) -> Exit:
    found = asking(lambda orbit: orbit.tokens.list(limit=1000, **given))
    columns = ("name", "prefix", "created_at", "expires_at", "last_used_at", "revoked_at")
    nothing = "no token; make one: orbit token create NAME"
    return print_rows(found, columns, as_json=as_json, nothing=nothing)


def revoke(name: str, *, as_json: bool, **given: Any) -> Exit:
    revoked = asking(lambda orbit: orbit.tokens.revoke(name, **given))
    return told(revoked, f"{revoked.name} ({revoked.prefix}…) is revoked", as_json=as_json)
