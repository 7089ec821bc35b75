"""`orbit agent-token`"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from orbit_runner.cli.answers import print_answer, print_rows, say, told
from orbit_runner.cli.asking import asking
from orbit_runner.cli.moments import ahead
from orbit_runner.report.wording import visible

if TYPE_CHECKING:
    from orbit_runner.cli.exits import Exit

__all__ = ["create", "list_", "require", "revoke"]


def create(name: str, *, capabilities: tuple[str, ...], expires: str | None, as_json: bool, **given: Any) -> Exit:
    """The token alone on standard output, so that it can be piped into a secret store."""
    ends = ahead(expires, option="--expires") if expires else None
    made = asking(
        lambda orbit: orbit.agent_tokens.create(name, capabilities=("http", *capabilities), expires_at=ends, **given)
    )
    if as_json:
        return print_answer(made)
    sys.stderr.write(f"{visible(made.name)}: keep it now, it is not shown again\n")
    return say(made.token)


def list_(*, as_json: bool, **given: Any) -> Exit:
    found = asking(lambda orbit: orbit.agent_tokens.list(limit=1000, **given))
    columns = (
        "name", "organization", "prefix", "capabilities", "created_at", "expires_at", "last_used_at", "revoked_at",
    )  # fmt: skip
    nothing = "no worker token; make one: orbit agent-token create NAME"
    return print_rows(found, columns, as_json=as_json, nothing=nothing)


def revoke(name: str, *, as_json: bool, **given: Any) -> Exit:
    revoked = asking(lambda orbit: orbit.agent_tokens.revoke(name, **given))
    return told(revoked, f"{revoked.name} ({revoked.prefix}…) is revoked", as_json=as_json)


def require(switch: str | None, *, as_json: bool) -> Exit:
    wanted = None if switch is None else switch == "on"
    policy = asking(lambda orbit: orbit.agent_tokens.policy(tokens_required=wanted))
    sentence = (
        "a worker needs a token, unless its database role is administrative"
        if policy.tokens_required
        else "a worker needs no token; require one: orbit agent-token require on"
    )
    return told(policy, sentence, as_json=as_json)
