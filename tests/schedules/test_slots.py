"""When a cron line is due: by the clock of its place, whatever that clock does."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import asyncpg

ZONES = [
    "UTC", "Europe/Paris", "Europe/London", "America/New_York", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Chatham",
    "Asia/Kolkata", "Asia/Kathmandu", "Pacific/Apia", "Pacific/Kiritimati", "America/Caracas", "Asia/Pyongyang",
    "Europe/Istanbul", "Europe/Moscow", "America/Sao_Paulo", "America/Havana", "Atlantic/Azores", "Antarctica/Troll",
]  # fmt: skip
"""Shifts of 30 minutes, an hour and two; at midnight; a day left out; offsets that changed for good; offsets of 45 minutes."""


async def upcoming(connection: asyncpg.Connection[Any], line: str, zone: str, after: str, count: int = 4) -> list[str]:
    """What the clocks of the place show at the next slots."""
    rows = await connection.fetch(
        "select s.slot ->> 'local' as local, s.slot ->> 'at' as at from jsonb_array_elements("
        " orbit_private.following_slots('cron', $1, null, null, $2, null, $3::text::timestamptz, $4)) s (slot)",
        line, zone, after, count,
    )  # fmt: skip
    return [f"{row['local']} {datetime.fromisoformat(row['at']).astimezone(UTC):%H:%MZ}" for row in rows]


@pytest.mark.parametrize(
    ("line", "zone", "after", "expected"),
    [
        pytest.param(
            "30 2 * * *", "Europe/Paris", "2026-03-28T12:00Z",
            ["2026-03-29T03:00:00 01:00Z", "2026-03-30T02:30:00 00:30Z"],
            id="a time that spring leaves out is the first moment after the gap",
        ),
        pytest.param(
            "0,15,30 2,3 * * *", "Europe/Paris", "2026-03-28T12:00Z",
            ["2026-03-29T03:00:00 01:00Z", "2026-03-29T03:15:00 01:15Z", "2026-03-29T03:30:00 01:30Z"],
            id="all that a gap swallows is one slot, also beside one at its end",
        ),
        pytest.param(
            "30 2 * * *", "Europe/Paris", "2026-10-24T12:00Z",
            ["2026-10-25T02:30:00 00:30Z", "2026-10-26T02:30:00 01:30Z"],
            id="a time that autumn has twice is the first",
        ),
        pytest.param(
            "0 * * * *", "Europe/Paris", "2026-10-24T23:30Z",
            ["2026-10-25T02:00:00 00:00Z", "2026-10-25T02:00:00 01:00Z", "2026-10-25T03:00:00 02:00Z"],
            id="every hour is every real hour, in autumn",
        ),
        pytest.param(
            "0 * * * *", "Europe/Paris", "2026-03-28T23:30Z",
            ["2026-03-29T01:00:00 00:00Z", "2026-03-29T03:00:00 01:00Z", "2026-03-29T04:00:00 02:00Z"],
            id="and in spring",
        ),
        pytest.param(
            "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00Z",
            ["2026-10-04T02:30:00 15:30Z", "2026-10-05T02:15:00 15:15Z"],
            id="a gap of half an hour",
        ),
        pytest.param(
            "45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00Z",
            ["2026-04-05T01:45:00 14:45Z", "2026-04-06T01:45:00 15:15Z"],
            id="half an hour that comes twice",
        ),
        pytest.param(
            "30 0 * * *", "America/Havana", "2026-03-07T12:00Z",
            ["2026-03-08T01:00:00 05:00Z", "2026-03-09T00:30:00 04:30Z"],
            id="a gap at midnight",
        ),
        pytest.param(
            "0 9 * * *", "Pacific/Apia", "2011-12-28T23:00Z",
            ["2011-12-29T09:00:00 19:00Z", "2011-12-31T00:00:00 10:00Z", "2011-12-31T09:00:00 19:00Z"],
            id="a day that a place left out",
        ),
        pytest.param(
            "0 6 * * *", "America/Caracas", "2016-04-30T12:00Z",
            ["2016-05-01T06:00:00 10:00Z", "2016-05-02T06:00:00 10:00Z"],
            id="an offset that changed for good",
        ),
        pytest.param(
            "0 0 29 2 *", "UTC", "2096-02-29T00:00Z", ["2104-02-29T00:00:00 00:00Z"], id="eight years to the next leap day"
        ),
        pytest.param(
            "0 0 29 2 */7", "UTC", "2088-03-01T00:00Z", ["2128-02-29T00:00:00 00:00Z"], id="forty to a leap day on a Sunday"
        ),
        pytest.param(
            "0 0 31 * *", "UTC", "2026-01-31T00:00Z",
            ["2026-03-31T00:00:00 00:00Z", "2026-05-31T00:00:00 00:00Z"],
            id="months without a 31st have none",
        ),
        pytest.param(
            "0 0 13 * fri", "UTC", "2026-02-10T00:00Z",
            ["2026-02-13T00:00:00 00:00Z", "2026-02-20T00:00:00 00:00Z"],
            id="a day of the month or of the week",
        ),
        pytest.param(
            "0 0 */2 * fri", "UTC", "2026-02-10T00:00Z",
            ["2026-02-13T00:00:00 00:00Z", "2026-02-27T00:00:00 00:00Z"],
            id="both, where one of them begins with a star",
        ),
        pytest.param(
            "0 0 * * mon", "UTC", "2026-12-21T00:00Z",
            ["2026-12-28T00:00:00 00:00Z", "2027-01-04T00:00:00 00:00Z"],
            id="the 53rd week of a year is a week",
        ),
        pytest.param(
            "0 0 * * 5-7", "UTC", "2026-11-18T00:00Z",
            ["2026-11-20T00:00:00 00:00Z", "2026-11-21T00:00:00 00:00Z", "2026-11-22T00:00:00 00:00Z"],
            id="7 is Sunday",
        ),
        pytest.param(
            "0 6 5-5 * *", "UTC", "2026-11-18T00:00Z",
            ["2026-12-05T06:00:00 06:00Z", "2027-01-05T06:00:00 06:00Z"],
            id="a span of one",
        ),
        pytest.param("* * * * *", "UTC", "2026-12-31T23:59:30Z", ["2027-01-01T00:00:00 00:00Z"], id="the next minute"),
    ],
)  # fmt: skip
async def test_a_line_is_due(
    connection: asyncpg.Connection[Any], line: str, zone: str, after: str, expected: list[str]
) -> None:
    await connection.execute("set time zone 'America/New_York'")  # the session's is nobody's
    assert await upcoming(connection, line, zone, after, len(expected)) == expected


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("* * * *", "a cron expression has five fields: minute, hour, day of month, month, day of week"),
        ("60 * * * *", "minute cannot be 60: it goes from 0 to 59"),
        ("* 24 * * *", "hour cannot be 24: it goes from 0 to 23"),
        ("* * 0 * *", "day of month cannot be 0: it goes from 1 to 31"),
        ("* * * 13 *", "month cannot be 13: it goes from 1 to 12"),
        ("* * * * 8", "day of week cannot be 8: it goes from 0 to 7"),
        ("* * * * tuesday", "day of week cannot be tuesday"),
        ("* 9-5 * * *", "hour cannot be 9-5: it goes from 0 to 23"),
        ("*/0 * * * *", "minute cannot be */0: it goes from 0 to 59"),
        ("@daily", "a cron expression has five fields: minute, hour, day of month, month, day of week"),
        ("0 0 31 4 *", "day 31 of month 4 never comes"),
        ("0 0 30,31 feb */2", "day 30,31 of month feb never comes"),
        ("0 0 31 4 mon", None),
        ("0 0 29 2 *", None),
    ],
)
async def test_a_wrong_line_names_its_field(
    connection: asyncpg.Connection[Any], line: str, problem: str | None
) -> None:
    assert await connection.fetchval("select orbit_private.cron_problem($1)", line) == problem


async def test_intervals_do_not_drift(connection: asyncpg.Connection[Any]) -> None:
    """A million steps of an odd length end where the first began, to the microsecond."""
    found = await connection.fetchval(
        "select orbit_private.next_slot('interval', null, make_interval(secs => 97.3), null, 'UTC', '2026-01-01Z',"
        " '2026-01-01Z'::timestamptz + make_interval(secs => 97.3 * 1000000) - interval '1 microsecond') - '2026-01-01Z'"
    )
    assert found == timedelta(seconds=97_300_000)
    after_a_slot = (
        "select orbit_private.next_slot('interval', null, '90 s', null, 'UTC', '2026-01-01Z', '2026-01-01T00:01:30Z')"
    )
    assert await connection.fetchval(after_a_slot) == datetime(2026, 1, 1, 0, 3, tzinfo=UTC)
    before_the_anchor = (
        "select orbit_private.next_slot('interval', null, '1 h', null, 'UTC', '2026-01-01Z', '2025-01-01Z')"
    )
    assert await connection.fetchval(before_the_anchor) == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("line", ["* * * * *", "*/7 3 * * *", "0 */5 * * 1-5", "30 2 1,15 * sun", "0 0 29 2 *"])
@pytest.mark.parametrize("zone", ["Europe/Paris", "Australia/Lord_Howe"])
async def test_looking_back_finds_what_looking_ahead_did(
    connection: asyncpg.Connection[Any], line: str, zone: str
) -> None:
    """slots_between, which walks from the end, and next_slot, over both changes of the clock; and of more the newest."""
    row = await connection.fetchrow(
        """
        with recursive
          p as (select '2026-03-27Z'::timestamptz as begun,
                       case when $1 = '* * * * *' then '2026-03-30Z' else '2026-11-02Z' end::timestamptz as ended),
          ahead (at) as (
            select orbit_private.next_slot('cron', $1, null, null, $2, null, p.begun) from p
            union all
            select orbit_private.next_slot('cron', $1, null, null, $2, null, a.at) from ahead a cross join p
              where a.at <= p.ended)
        select array(select a.at from ahead a where a.at <= p.ended order by 1) as ahead,
               orbit_private.slots_between('cron', $1, null, null, $2, null, p.begun + interval '1 s', p.ended, 100000) as back,
               orbit_private.slots_between('cron', $1, null, null, $2, null, p.begun + interval '1 s', p.ended, 7) as newest
          from p
        """,
        line,
        zone,
    )
    assert row["back"] == row["ahead"]
    assert row["newest"] == row["ahead"][-7:]
    assert line == "0 0 29 2 *" or len(row["ahead"]) > 30


# -- ten thousand lines, against croniter, and against the rules spelled out minute by minute ------------------------------------


def _field(draw: random.Random, low: int, high: int, star: float) -> str:
    if draw.random() < star:
        return draw.choice(["*", "*", "*", f"*/{draw.randint(2, max(2, (high - low) // 2))}"])
    parts = []
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        first = draw.randint(low, high)
        last = draw.randint(min(first + 1, high), high)
        if last == first:  # croniter takes 5-5 for all of them
            parts.append(str(first))
            continue
        parts.append(draw.choice([str(first), str(first), f"{first}-{last}", f"{first}-{last}/{draw.randint(1, 5)}"]))
    return ",".join(parts)


def _lines(draw: random.Random, count: int) -> Iterator[tuple[str, str, datetime]]:
    for _ in range(count):
        line = " ".join(
            [
                _field(draw, 0, 59, 0.2), _field(draw, 0, 23, 0.3), _field(draw, 1, 31, 0.6), _field(draw, 1, 12, 0.7),
                _field(draw, 0, 6, 0.6),
            ]
        )  # fmt: skip
        zone = draw.choice(ZONES)
        after = datetime(2011, 6, 1, tzinfo=UTC) + timedelta(seconds=draw.randint(0, 45 * 366 * 86400))
        if draw.random() < 0.16 and (changes := _changes(zone)):
            after = draw.choice(changes) + timedelta(seconds=draw.randint(-40 * 3600, 8 * 3600))
        yield line, zone, after


QUARTER = timedelta(minutes=15)
"""Clocks are changed, and differ from UTC, by whole quarters of an hour: in these places, in this century."""


@cache
def _offset(zone: str, at: datetime) -> timedelta:
    return at.astimezone(ZoneInfo(zone)).utcoffset() or timedelta()


@cache
def _changes(zone: str) -> list[datetime]:
    """The moments from 2012 to 2030 at which the clock of a place is changed."""
    days = [datetime(2011, 12, 1, tzinfo=UTC) + timedelta(days=n) for n in range(19 * 366)]
    return [
        next(at for at in (before + QUARTER * n for n in range(1, 97)) if _offset(zone, at) == _offset(zone, after))
        for before, after in pairwise(days)
        if _offset(zone, before) != _offset(zone, after)
    ]


def _numbers(field: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        found |= set(range(int(first), int(last or first) + 1, int(step or 1)))
    return found


def _by_the_rules(line: str, zone: str, after: datetime) -> datetime:
    """The rules, quarter of an hour by quarter: what each shows there, and what a gap left out before it."""
    fields = line.split()
    minutes, hours, days, months, weekdays = (
        _numbers(field, low, high)
        for field, low, high in zip(fields, (0, 0, 1, 1, 0), (59, 23, 31, 12, 6), strict=True)
    )
    both = fields[2].startswith("*") or fields[4].startswith("*")
    every_hour = len(hours) == 24

    def meant(shown: datetime) -> list[int]:
        """The minutes of this quarter that the line means, from 0 to 14."""
        of_month, of_week = shown.day in days, shown.isoweekday() % 7 in weekdays
        day = shown.month in months and (of_month and of_week if both else of_month or of_week)
        return [n for n in range(15) if shown.minute + n in minutes] if day and shown.hour in hours else []

    at = datetime.combine(after.date() - timedelta(days=2), time(), UTC)
    expected = latest = (at + _offset(zone, at)).replace(tzinfo=None)  # latest: before this all has been shown
    while True:
        shown = (at + _offset(zone, at)).replace(tzinfo=None)
        left_out = (expected + QUARTER * n for n in range(int((shown - expected) / QUARTER)))
        found = meant(shown) if every_hour or shown >= latest else []
        if not every_hour and any(meant(missing) for missing in left_out):
            found = [0, *found]
        for minute in found:
            if at + timedelta(minutes=minute) > after:
                return at + timedelta(minutes=minute)
        at, expected = at + QUARTER, shown + QUARTER
        latest = max(latest, expected)


def _near_a_change(zone: str, first: datetime, last: datetime) -> bool:
    """Within two days of these moments. No place changes its clock and back in one."""
    day = timedelta(days=1)
    begun = datetime.combine(first.date() - 2 * day, time(), UTC)
    return len({_offset(zone, begun + day * n) for n in range((last - begun).days + 4)}) > 1


async def _answers(
    connection: asyncpg.Connection[Any], asked: Iterable[tuple[str, str, datetime]]
) -> list[datetime | None]:
    lines, zones, moments = zip(*asked, strict=True)
    found: list[datetime | None] = await connection.fetchval(
        "select array_agg(orbit_private.next_slot('cron', a.line, null, null, a.zone, null, a.after) order by a.n)"
        " from unnest($1::text[], $2::text[], $3::timestamptz[]) with ordinality a (line, zone, after, n)",
        list(lines), list(zones), list(moments),
    )  # fmt: skip
    return found


@pytest.mark.timeout(300)
async def test_ten_thousand_lines(connection: asyncpg.Connection[Any]) -> None:
    """Away from changes of the clock, croniter says the same of each line. Near one it has no rule of its own to be compared with
    (it reckons in the offset that it came from), so there the rules are spelled out. What it names a bug of cron's is what
    cron's manual says of a day field that begins with a star, and so do we."""
    asked = list(_lines(random.Random(20261121), 12_800))
    answers = await _answers(connection, asked)
    problems = await connection.fetchval(
        "select array(select orbit_private.cron_problem(l) from unnest($1::text[]) l)",
        [line for (line, _, _), answer in zip(asked, answers, strict=True) if answer is None],
    )
    assert all(re.fullmatch(r"day \S+ of month \S+ never comes", problem or "none") for problem in problems)
    compared = spelled = 0
    for (line, zone, after), answer in zip(asked, answers, strict=True):
        if answer is None:
            continue
        if not _near_a_change(zone, after, after) and not _near_a_change(zone, answer, answer):
            local = after.astimezone(ZoneInfo(zone))
            theirs = croniter(line, local, max_years_between_matches=50, implement_cron_bug=True).get_next(datetime)
            assert answer == theirs.astimezone(UTC), (line, zone, after, answer, theirs)
            compared += 1
        elif answer - after < timedelta(days=5):
            expected = _by_the_rules(line, zone, after)
            assert answer == expected, (line, zone, after, answer, expected)
            spelled += 1
    assert compared >= 10_000
    assert spelled >= 800
