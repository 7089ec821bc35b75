"""What `orbit token` does."""

from __future__ import annotations

import sys

from orbit_runner.cli.asking import asking, print_answer, print_rows
from orbit_runner.cli.exits import Exit

__all__ = ["create", "list_tokens", "revoke"]


def create(name: str, *, expires: str | None, project: str | None, organization: str | None, as_json: bool) -> Exit:
    """The token alone on standard output, so that it can be piped into a secret store."""
    made = asking(
        lambda orbit: orbit.tokens.create(name, expires_at=expires, project=project, organization=organization)
    )
    if as_json:
        return print_answer(made.model_dump(mode="json"))
    sys.stderr.write(f"{made.name}: keep it now, it is not shown again\n")
    sys.stdout.write(f"{made.token}\n")
    return Exit.PASSED


def list_tokens(*, project: str | None, organization: str | None, as_json: bool) -> Exit:
    found = asking(lambda orbit: orbit.tokens.list(project=project, organization=organization, limit=1000))
    return print_rows(
        [row.model_dump(mode="json") for row in found],
        ("name", "prefix", "created_at", "expires_at", "last_used_at", "revoked_at"),
        as_json=as_json,
        nothing="no tokens",
    )


def revoke(name: str, *, project: str | None, organization: str | None, as_json: bool) -> Exit:
    revoked = asking(lambda orbit: orbit.tokens.revoke(name, project=project, organization=organization))
    if as_json:
        return print_answer(revoked.model_dump(mode="json"))
    sys.stdout.write(f"{revoked.name} ({revoked.prefix}…) is revoked\n")
    return Exit.PASSED
