"""Tables with colours on a terminal, the same lines without any elsewhere; and tables that are drawn anew in place."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orbit_runner.cli.exits import Exit
from orbit_runner.report.terminal import fit, is_plain, open_console, segments, write_plain
from orbit_runner.report.wording import format_duration, visible

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from orbit_runner.report.statuses import Tone
    from orbit_runner.report.terminal import Line

__all__ = ["TONES", "ago", "keep_showing", "print_lines", "table"]

TONES: Mapping[str, Tone] = {
    "passed": "good", "failed": "bad", "errored": "bad", "timed_out": "bad", "cancelled": "quiet", "cancelling": "warning",
    "running": "accent", "queued": "warning", "ok": "good", "degraded": "warning", "down": "bad",
    "open": "warning", "replayed": "good", "dropped": "quiet", "alive": "good", "draining": "warning", "silent": "bad",
}  # fmt: skip
"""How a word for a state looks."""

_INTERVAL = 1.0


def ago(moment: datetime, now: datetime | None = None) -> str:
    """`3.2 s ago`."""
    return f"{format_duration(max(((now or datetime.now(UTC)) - moment).total_seconds(), 0))} ago"


def table(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, toned: Sequence[str] = ("status",)
) -> list[Line]:
    """A head and a line for each row; a column in which no row has anything is left out. Columns in `toned` have their colour."""
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    kept = [place for place in range(len(columns)) if any(line[place] for line in cells)]
    heads = [columns[place].replace("_", " ") for place in kept]
    widths = [max(len(head), *(len(line[place]) for line in cells)) for head, place in zip(heads, kept, strict=True)]
    lines: list[Line] = [[(head.ljust(width + 2), "quiet") for head, width in zip(heads, widths, strict=True)]]
    lines += [
        [
            (line[place].ljust(width + 2), TONES.get(line[place], "") if columns[place] in toned else "")
            for place, width in zip(kept, widths, strict=True)
        ]
        for line in cells
    ]
    return lines


def print_lines(lines: Sequence[Line]) -> Exit:
    """On standard output; a line that is longer than the terminal is cut there."""
    if is_plain(sys.stdout):
        write_plain(sys.stdout, lines)
    else:
        from rich.segment import Segments

        console = open_console(sys.stdout)
        console.print(Segments(segments(_cut(line, console.width) for line in lines)), end="")
    return Exit.PASSED


async def keep_showing(look: Callable[[], Awaitable[Sequence[Line]]], *, interval: float = _INTERVAL) -> Exit:
    """Draws what `look` answers in place on a terminal; elsewhere prints the lines when they change. Until interrupted."""
    from orbit_context.gateway.patience import patiently

    if is_plain(sys.stdout):
        before: Sequence[Line] = ()
        while True:
            lines = await patiently(look)
            if lines != before:
                write_plain(sys.stdout, lines)
                before = lines
            await asyncio.sleep(interval)
    from rich.live import Live
    from rich.segment import Segments

    console = open_console(sys.stdout)
    with Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        while True:
            lines = [_cut(line, console.width) for line in await patiently(look)][: max(console.height - 1, 1)]
            live.update(Segments(segments(lines)[:-1]), refresh=True)
            await asyncio.sleep(interval)


def _cut(line: Line, width: int) -> Line:
    out: Line = []
    room = width - 1
    for text, tone in line:
        if room <= 0:
            break
        shown = fit(text, room)
        out.append((shown, tone))
        room -= len(shown)
    return out


def _cell(value: Any) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return "yes"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, list | tuple):
        return visible(", ".join(map(str, value)))
    return visible(str(value))
