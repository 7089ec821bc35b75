"""`orbit schedule`"""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from orbit_context.errors import DefinitionError
from orbit_context.suite.units import parse_duration
from orbit_context.suite.variables import parse_overrides
from orbit_runner.cli.answers import moment, print_answer, print_rows, say, told
from orbit_runner.cli.asking import asking
from orbit_runner.cli.exits import Exit
from orbit_runner.cli.moments import ahead
from orbit_runner.report.wording import format_duration

if TYPE_CHECKING:
    from orbit_context.client import Orbit
    from orbit_context.models.operations import WorkerInfo
    from orbit_context.models.schedules import Schedule, ScheduleDetails

__all__ = ["add", "list_", "next_", "pause", "remove", "resume", "show"]

_SILENT = timedelta(minutes=1)


def add(
    name: str,
    suite: str,
    *,
    cron: str | None,
    every: str | None,
    at: str | None,
    anchor: str | None,
    time_zone: str | None,
    tags: tuple[str, ...],
    variables: tuple[str, ...],
    group: str | None,
    order: str | None,
    concurrency: int | None,
    fail_fast: bool,
    timeout: str | None,
    priority: int | None,
    as_json: bool,
    **given: Any,
) -> Exit:
    if sum(time is not None for time in (cron, every, at)) != 1:
        raise DefinitionError(
            "a schedule has one time", field="--cron, --every, --at", hint='as in: --cron "0 6 * * mon-fri"'
        )
    options = {
        "selection": {"tags": [group.split(",") for group in tags]} if tags else None,
        "variables": parse_overrides(variables) or None,
        "group": group,
        "order": order,
        "concurrency": concurrency,
        "fail_fast": fail_fast or None,
        "timeout": _span(timeout, "--timeout"),
        "priority": priority,
    }
    said = {key: value for key, value in options.items() if value is not None}
    times = _times(every=every, at=at, anchor=anchor)

    async def ask(orbit: Orbit) -> tuple[Schedule, list[WorkerInfo]]:
        saved = await orbit.schedules.save(
            name, suite, cron=cron, time_zone=time_zone or "UTC", options=said or None, **times, **given
        )
        return saved, [] if as_json else await orbit.workers.list()

    saved, workers = asking(ask)
    if as_json:
        return print_answer(saved)
    say(f"{saved.name}: {_when(saved)}, next {_next(saved) or 'never'}")
    return _warn(workers)


def list_(*, as_json: bool, **given: Any) -> Exit:
    async def ask(orbit: Orbit) -> tuple[list[Schedule], list[WorkerInfo]]:
        return await orbit.schedules.list(limit=1000, **given), [] if as_json else await orbit.workers.list()

    found, workers = asking(ask)
    if found and not as_json:
        _warn(workers)
    by_id = {row.id: row for row in found}

    def shown(row: dict[str, Any]) -> dict[str, Any]:
        schedule = by_id[row["id"]]
        return {
            "when": _when(schedule),
            "next": _next(schedule),
            "last": row["last_run_at"],
            "problem": row["last_error"],
        }

    columns = ("name", "suite", "environment", "when", "next", "last", "problem")
    nothing = 'no schedule; make one: orbit schedule add NAME SUITE --cron "0 6 * * mon-fri"'
    return print_rows(found, columns, as_json=as_json, nothing=nothing, shown=shown)


def show(name: str, *, as_json: bool, **given: Any) -> Exit:
    async def ask(orbit: Orbit) -> tuple[ScheduleDetails, list[WorkerInfo]]:
        return await orbit.schedules.get(name, **given), [] if as_json else await orbit.workers.list()

    found, workers = asking(ask)
    if as_json:
        return print_answer(found)
    say(f"{found.name}: {found.suite}{f' on {found.environment}' if found.environment else ''}, {_when(found)}")
    say(f"missed: {found.missed}{', paused' if found.paused else ''}")
    if found.last_error:
        again = f"; tried again {_in(found.retry_at)}" if found.retry_at else ""
        say(f"last problem: {found.last_error}{again}")
    for slot in found.next:
        say(f"  next     {_local(slot.at, found.time_zone)}  {_in(slot.at)}")
    for decided in found.slots:
        until = f" to {_local(decided.until, found.time_zone)}" if decided.until else ""
        what = f"run {str(decided.run_id)[:8]}" if decided.run_id else decided.reason or ""
        say(f"  {decided.status:8} {_local(decided.at, found.time_zone)}{until}  {what}".rstrip())
    return _warn(workers)


def pause(name: str, *, as_json: bool, **given: Any) -> Exit:
    paused = asking(lambda orbit: orbit.schedules.pause(name, **given))
    return told(paused, f"{paused.name} is paused{'' if paused.changed else ' already'}", as_json=as_json)


def resume(name: str, *, as_json: bool, **given: Any) -> Exit:
    resumed = asking(lambda orbit: orbit.schedules.resume(name, **given))
    sentence = f"{resumed.name} goes on, next {_next(resumed)}" if resumed.changed else f"{resumed.name} is not paused"
    return told(resumed, sentence, as_json=as_json)


def remove(name: str, *, as_json: bool, **given: Any) -> Exit:
    asking(lambda orbit: orbit.schedules.delete(name, **given))
    return told({"deleted": name}, f"{name} is deleted; its runs stay", as_json=as_json)


def next_(
    what: str | None,
    *,
    every: str | None,
    at: str | None,
    anchor: str | None,
    time_zone: str | None,
    after: str | None,
    count: int,
    as_json: bool,
    project: str | None,
    organization: str | None,
) -> Exit:
    """`what` is taken for a cron line where it looks like one: with a star, or a first word of digits."""
    is_line = what is not None and ("*" in what or re.match(r"[\d,/-]+\s", what) is not None)
    if sum(time is not None for time in (what, every, at)) != 1:
        raise DefinitionError(
            "say one of a cron line, a schedule's name, --every and --at",
            hint='as in: orbit schedule next "0 9 * * 1-5"',
        )
    times = _times(every=every, at=at, anchor=anchor)
    if is_line or what is None:
        times |= {"cron": what, "time_zone": time_zone}
    elif time_zone is not None:
        raise DefinitionError("a saved schedule has its zone", field="--zone", hint="show it: orbit schedule show NAME")
    else:
        times |= {"name": what, "project": project, "organization": organization}
    begin = ahead(after, option="--after") if after else None
    found = asking(lambda orbit: orbit.schedules.next(count=count, after=begin, **times))
    if as_json:
        return print_answer(found)
    if not found.slots:
        return say("never")
    for slot in found.slots:
        say(f"{_local(slot.at, found.time_zone)}  {_in(slot.at)}")
    return Exit.PASSED


def _warn(workers: list[WorkerInfo]) -> Exit:
    """Whoever asks when something starts is told where nobody would start it."""
    if not any(datetime.now(UTC) - worker.seen_at < _SILENT for worker in workers):
        sys.stderr.write("no worker is alive: nothing starts schedules until there is one (orbit worker)\n")
    return Exit.PASSED


def _times(*, every: str | None, at: str | None, anchor: str | None) -> dict[str, Any]:
    times = {
        "every": _span(every, "--every"),
        "at": ahead(at, option="--at") if at else None,
        "anchor": ahead(anchor, option="--from") if anchor else None,
    }
    return {name: time for name, time in times.items() if time is not None}


def _span(text: str | None, option: str) -> float | None:
    """A number is seconds."""
    if text is None:
        return None
    try:
        return parse_duration(float(text) if text.replace(".", "", 1).isdigit() else text)
    except ValueError as error:
        raise DefinitionError(str(error), field=option) from None


def _when(schedule: Schedule) -> str:
    zone = "" if schedule.time_zone == "UTC" else f" ({schedule.time_zone})"
    if schedule.kind == "cron":
        return f"{schedule.cron}{zone}"
    if schedule.kind == "interval":
        return f"every {format_duration(schedule.every or 0)}"
    return f"once, {_local(schedule.at, schedule.time_zone)}" if schedule.at else "once"


def _next(schedule: Schedule) -> str:
    if schedule.paused:
        return "paused"
    if schedule.next_run_at is None:
        return ""
    return f"{_local(schedule.next_run_at, schedule.time_zone)}, {_in(schedule.retry_at or schedule.next_run_at)}"


def _local(at: datetime, zone: str) -> str:
    """As the clocks of the place show it, with the name it has there: CEST."""
    try:
        return at.astimezone(ZoneInfo(zone)).strftime("%a %Y-%m-%d %H:%M %Z")
    except (ZoneInfoNotFoundError, ValueError):  # this machine knows fewer zones than the database
        return f"{moment(at)} (here)"


def _in(at: datetime | None) -> str:
    """How far off, in words of one or two units."""
    if at is None:
        return ""
    seconds = (at - datetime.now(UTC)).total_seconds()
    if seconds <= 0:
        return "due now"
    if seconds < 3600:
        return f"in {seconds // 60:.0f} min" if seconds >= 60 else "in a moment"
    if seconds < 48 * 3600:
        return f"in {seconds // 3600:.0f} h {seconds % 3600 // 60:02.0f} min"
    return f"in {seconds // 86400:,.0f} days"
