"""What `orbit audit` does."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from orbit_context.errors import DefinitionError
from orbit_runner.cli.asking import asking, print_answer, print_rows
from orbit_runner.cli.exits import Exit
from orbit_runner.report.wording import plural, visible

if TYPE_CHECKING:
    from orbit_context.client import Orbit

__all__ = ["list_entries", "moment", "verify_chain"]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def moment(text: str, now: datetime) -> datetime:
    """A time of day or date (ISO 8601; of this machine's zone unless it names one), or how long ago.

    Raises DefinitionError.
    """
    if ago := re.fullmatch(r"(\d{1,6})([smhdw])", text):
        return now - timedelta(seconds=int(ago[1]) * _SECONDS[ago[2]])
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError) as error:
        raise DefinitionError(
            f"{text!r} is no time", field="--since", hint="write 2026-11-01, 2026-11-01T08:00+01:00, or 90m, 7d"
        ) from error


def list_entries(since: str | None, *, as_json: bool, **filters: Any) -> Exit:
    """Prints entries, and how to see the rest."""
    begin = moment(since, datetime.now(UTC)) if since else None

    async def ask(orbit: Orbit) -> Exit:
        page = await orbit.audit.list(since=begin, **filters)
        if as_json:
            return print_answer(page.model_dump(mode="json"))
        rows = [
            {
                "number": entry.number,
                "at": entry.at.astimezone().isoformat(" ", "seconds"),
                "who": entry.actor,
                "action": entry.action,
                "resource": entry.resource_name or entry.resource_id,
                "changed": ", ".join(sorted({**(entry.before or {}), **(entry.after or {})}))
                if entry.before and entry.after
                else "",
            }
            for entry in page.entries
        ]
        columns = ("number", "at", "who", "action", "resource", "changed")
        exit_code = print_rows(rows, columns, as_json=False, nothing="nothing was done")
        if page.next is not None:
            sys.stderr.write(f"there is more: --before {page.next}\n")
        return exit_code

    return asking(ask)


def verify_chain(head: str | None, *, as_json: bool, **where: Any) -> Exit:
    """Says whether the chain is whole, and what to keep outside; FAILED where it is not."""

    async def ask(orbit: Orbit) -> Exit:
        report = await orbit.audit.verify(head=head, **where)
        if as_json:
            print_answer(report.model_dump(mode="json"))
        elif report.first_bad:
            number = "the chain" if report.first_bad.number is None else f"entry {report.first_bad.number}"
            sys.stdout.write(f"broken: {number} {visible(report.first_bad.why)}\n")
        else:
            sys.stdout.write(f"whole: {plural(report.rows, 'entry', 'entries')}\n")
            if report.anchor:
                sys.stdout.write(f"dropped by retention: up to {report.anchor.number}\n")
            sys.stdout.write(f"head: {report.head}\n")
        return Exit.PASSED if report.ok else Exit.FAILED

    return asking(ask)
