"""When each test of a run ran: as one row per test, or, for many tests, packed into as few lanes as ran side by side."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orbit_runner.report.statuses import LOOKS
from orbit_runner.report.wording import format_duration, plural, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orbit_context.models.runs import Result

__all__ = ["Bar", "Timeline", "build_timeline"]

_ROWS_UP_TO = 60
_BARS_AIMED_AT = 4000


@dataclass(frozen=True, slots=True)
class Bar:
    """`x` and `width` are per cent of the whole; `lane` counts from 0; `result` is None where several tests are merged."""

    x: float
    width: float
    lane: int
    tone: str
    title: str
    result: Result | None


@dataclass(frozen=True, slots=True)
class Timeline:
    """`ticks` are marks on the axis: where, in per cent, and what they say. `named`: one row per test."""

    bars: list[Bar]
    lanes: int
    ticks: list[tuple[float, str]]
    named: bool


def build_timeline(results: Sequence[Result]) -> Timeline | None:
    """The timeline of the tests that were sent; None where there is nothing to show."""
    sent = sorted(
        (r for r in results if r.started_at is not None and r.attempts), key=lambda r: (r.started_at, r.position)
    )
    if not sent:
        return None
    begin = sent[0].started_at
    assert begin is not None  # noqa: S101  (filtered above)
    starts = [(r.started_at - begin).total_seconds() for r in sent if r.started_at is not None]
    ends = [start + max(r.duration, 0.0) for start, r in zip(starts, sent, strict=True)]
    whole = max(max(ends), 0.001)
    named = len(sent) <= _ROWS_UP_TO
    lanes = list(range(len(sent))) if named else _pack(starts, ends)
    bars = [
        Bar(
            100 * start / whole,
            100 * (end - start) / whole,
            lane,
            LOOKS[result.status].tone,
            f"{visible(result.name)}: {LOOKS[result.status].word}, {format_duration(result.duration)}",
            result,
        )
        for start, end, lane, result in zip(starts, ends, lanes, sent, strict=True)
    ]
    count = max(lanes) + 1
    return Timeline(bars if named else _merge(bars, count), count, _ticks(whole), named)


def _pack(starts: list[float], ends: list[float]) -> list[int]:
    """A lane for each interval, so that none overlap and as few lanes as possible are used."""
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    lanes = []
    for start, end in zip(starts, ends, strict=True):
        # A hundred microseconds of overlap are clocks of two processes, not two tests in one place.
        while busy and busy[0][0] <= start + 0.0001:
            heapq.heappush(free, heapq.heappop(busy)[1])
        lane = heapq.heappop(free) if free else len(busy)
        lanes.append(lane)
        heapq.heappush(busy, (end, lane))
    return lanes


def _merge(bars: list[Bar], lanes: int) -> list[Bar]:
    """Neighbours too narrow to be told apart become one bar, so that ten thousand tests draw as fast as a hundred."""
    narrow = max(0.05, 100 * lanes / _BARS_AIMED_AT)
    by_lane: list[list[tuple[Bar, int]]] = [[] for _ in range(lanes)]
    for bar in bars:
        lane = by_lane[bar.lane]
        if lane:
            last, merged = lane[-1]
            width = bar.x + bar.width - last.x
            if last.tone == bar.tone and width < narrow:
                title = f"{plural(merged + 1, 'test')}"
                lane[-1] = (Bar(last.x, width, bar.lane, bar.tone, title, None), merged + 1)
                continue
        lane.append((bar, 1))
    return [bar for lane in by_lane for bar, _ in lane]


def _ticks(whole: float) -> list[tuple[float, str]]:
    """Three to six marks at round times."""
    step = 0.001
    for factor in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 3e4, 6e4, 3e5, 6e5, 1.8e6, 3.6e6):
        step = factor / 1000
        if whole / step <= 5:
            break
    else:
        step = whole / 5
    marks = []
    number = 0
    while number * step <= whole * 0.97:
        marks.append((100 * number * step / whole, "0" if number == 0 else _tick_text(number * step)))
        number += 1
    return marks


def _tick_text(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:g} ms"
    return f"{seconds:g} s" if seconds < 60 else f"{int(seconds // 60)}:{int(seconds % 60):02d} min"
