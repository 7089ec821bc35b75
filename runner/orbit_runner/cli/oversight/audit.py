"""`orbit audit`"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from orbit_runner.cli.answers import print_answer, print_rows, say
from orbit_runner.cli.asking import asking
from orbit_runner.cli.exits import Exit
from orbit_runner.cli.moments import ago
from orbit_runner.report.wording import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["list_", "verify"]


def list_(*, since: str | None, as_json: bool, **filters: Any) -> Exit:
    """Prints entries, and how to see the rest."""
    begin = ago(since, option="--since") if since else None
    page = asking(lambda orbit: orbit.audit.list(since=begin, **filters))
    if as_json:
        return print_answer(page)
    columns = ("number", "at", "who", "action", "resource", "changed")
    print_rows(page.entries, columns, as_json=False, nothing="nothing was done", shown=_shown)
    if page.next is not None:
        sys.stderr.write(f"there is more: --before {page.next}\n")
    return Exit.PASSED


def verify(*, head: str | None, as_json: bool, **where: Any) -> Exit:
    """Says whether the chain is whole, and what to keep outside; FAILED where it is not."""
    report = asking(lambda orbit: orbit.audit.verify(head=head, **where))
    if as_json:
        print_answer(report)
    elif report.first_bad:
        number = "the chain" if report.first_bad.number is None else f"entry {report.first_bad.number}"
        say(f"broken: {number} {report.first_bad.why}")
    else:
        say(f"whole: {plural(report.rows, 'entry', 'entries')}")
        if report.anchor:
            say(f"dropped by retention: up to {report.anchor.number}")
        say(f"head: {report.head}")
    return Exit.PASSED if report.ok else Exit.FAILED


def _shown(entry: Mapping[str, Any]) -> dict[str, Any]:
    before, after = entry["before"], entry["after"]
    return {
        "who": entry["actor"],
        "resource": entry["resource_name"] or entry["resource_id"],
        "changed": sorted({*before, *after}) if before and after else None,
    }
