"""`orbit access`"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orbit_runner.cli.answers import moment, print_answer, print_rows, say, told
from orbit_runner.cli.asking import asking
from orbit_runner.cli.exits import Exit
from orbit_runner.cli.moments import ahead

if TYPE_CHECKING:
    from orbit_context.models.permissions import Explanation

__all__ = ["can", "explain", "grant", "list_", "revoke"]


def grant(user: str, permission: str, *, expires: str | None, system: bool, as_json: bool, **where: str | None) -> Exit:
    ends = ahead(expires, option="--expires") if expires else None
    made = asking(lambda orbit: orbit.permissions.grant(user, permission, system=system, expires_at=ends, **where))
    until = f" until {moment(made.expires_at)}" if made.expires_at else ""
    place = made.resource or "everything"
    sentence = f"{made.email or made.user_id} has {made.permission} on {place}{until}"
    return told(made, sentence, as_json=as_json)


def revoke(grant_id: str, *, as_json: bool) -> Exit:
    changed = asking(lambda orbit: orbit.permissions.revoke(grant_id))
    return told({"changed": changed}, "taken back" if changed else "it was taken back before", as_json=as_json)


def list_(*, user: str | None, history: bool, as_json: bool, **where: str | None) -> Exit:
    found = asking(lambda orbit: orbit.permissions.find(user=user, history=history, system=False, **where))
    return print_rows(
        found,
        ("id", "email", "permission", "on", "expires_at", "granted_at", "granted_by", "revoked_at", "revoked_by"),
        as_json=as_json,
        nothing="no grant; give one: orbit access grant USER PERMISSION --project PROJECT",
        shown=lambda row: {
            "email": row["email"] or row["user_id"],
            "on": f"{row['resource_type'].replace('_', ' ')} {row['resource'] or ''}".rstrip(),
        },
    )


def can(action: str, *, as_json: bool, **where: str | None) -> Exit:
    answer = asking(lambda orbit: orbit.permissions.can(action, **where))
    told(answer, f"{'yes' if answer.allowed else 'no'}: {answer.reason}", as_json=as_json)
    return Exit.PASSED if answer.allowed else Exit.FAILED


def explain(action: str, *, user: str | None, as_json: bool, **where: str | None) -> Exit:
    answer = asking(lambda orbit: orbit.permissions.explain(action, user=user, **where))
    if as_json:
        return print_answer(answer)
    for line in _explained(answer, user):
        say(line)
    return Exit.PASSED


def _explained(answer: Explanation, user: str | None) -> list[str]:
    """As people read it: the verdict, then every way in, the strongest first."""
    place = f"{answer.resource_type.replace('_', ' ')} {answer.resource}" if answer.resource else "the whole system"
    lines = [
        f"{user or 'you'} may {'' if answer.allowed else 'NOT '}{answer.action} in {place}; it takes {answer.takes}",
        answer.reason,
    ]
    for one in answer.because:
        way = f"{one.permission} by {one.via.replace('_', ' ')}"
        if one.granted_at:
            way += f", granted {moment(one.granted_at)} by {one.granted_by or 'an administrator'}"
            way += f", until {moment(one.expires_at)}" if one.expires_at else ""
        lines.append(f"  {'+' if one.suffices else '-'} {way}")
    return lines
