"""The progress of a run as it happens: a line for each test that ends and, on a terminal, a live bar below."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from orbit_runner.report.statuses import FAILING, LOOKS
from orbit_runner.report.terminal import can_show, fit, is_plain, open_console, segments, write_plain
from orbit_runner.report.wording import clip, format_duration, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import TextIO

    from orbit_context.models.runs import RunEvent
    from orbit_runner.report.statuses import Tone
    from orbit_runner.report.terminal import Line

__all__ = ["LiveView"]

_REDRAWS_PER_SECOND = 10
_LINE_EACH_UP_TO = 200
"""Tests of a run up to which every one gets its line; above, only what needs attention does."""
_ATTENTION_LINES = 100
"""Lines about tests that did not pass in a run above that size; the summary groups the rest."""
_PLAIN_PROGRESS_SECONDS = 5.0
_REASON_SHOWN = 300


class LiveView:
    """Shows a run on `stream` (standard error: it is chatter, not data). Use it as a context manager, or call `close`.

    On a terminal the lines of what ended are printed in batches above a bar that is redrawn ten times a second by a
    thread of its own, so that an event costs its caller a few microseconds and the clock goes on while nothing happens.
    Elsewhere, and under `NO_COLOR` or `CI`, each line is written at once, without control codes.

    :param total: tests of the run
    :param expected_duration: seconds that the run will take, from its history
    :param names: a test's name by its key, for those whose name is not their key
    :param plain: whether to leave out bar and colours; found out from `stream` and the environment unless told
    :param each: whether every test gets its line; told by `total` (up to 200) unless said
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        total: int,
        expected_duration: float | None = None,
        names: Mapping[str, str] | None = None,
        plain: bool | None = None,
        each: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._total = total
        self._expected = expected_duration
        self._names = names or {}
        self._each = total <= _LINE_EACH_UP_TO if each is None else each
        self._clock = clock
        self._began = clock()
        self._symbols = can_show(stream)
        self._ended: dict[str, str] = {}
        self._running: set[str] = set()
        self._by_status = dict.fromkeys(LOOKS, 0)
        self._attention = 0
        self._cancelling = False
        self._closed = False
        self._progress_at = self._began
        self._progress_step = max(total // 10, 1)
        self._screen = None if (is_plain(stream) if plain is None else plain) else _Screen(stream, self._bar)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what happens

    def event(self, event: RunEvent) -> None:
        """Takes one event of the run; events that tell nothing new change nothing."""
        kind, key = event.kind, event.key
        if kind == "test_finished" and key is not None:
            self.finished(
                key,
                event.status or "errored",
                duration=event.duration,
                attempts=event.attempt or 1,
                reason=event.reason,
            )
        elif kind == "test_started" and key is not None:
            self.started(key)
        elif kind == "test_retried" and key is not None:
            self.retried(key, attempt=event.attempt or 1, reason=event.reason)
        elif kind == "run_cancelling" and not self._cancelling:
            self._cancelling = True
            self.note("cancelling the run" + (f": {event.reason}" if event.reason else ""))

    def started(self, key: str) -> None:
        """A test was sent."""
        if key not in self._ended:
            self._running.add(key)

    def retried(self, key: str, *, attempt: int, reason: str | None = None) -> None:
        """Attempt number `attempt` did not pass, and another one follows."""
        self._running.discard(key)
        if key in self._ended:
            return
        line: Line = [("↻" if self._symbols else "~", "warning"), (f" {self._name(key)}", "")]
        line.append((f"  attempt {attempt} did not pass, once more", "quiet"))
        if reason:
            line.append((f"  {clip(visible(reason), _REASON_SHOWN)}", "quiet"))
        self._print_attention(line)

    def finished(
        self, key: str, status: str, *, duration: float | None = None, attempts: int = 1, reason: str | None = None
    ) -> None:
        """A test has its result. A second call for the same test changes nothing."""
        self._running.discard(key)
        if key in self._ended:
            return
        status = status if status in LOOKS else "errored"
        self._ended[key] = status
        self._by_status[status] += 1
        if self._each:
            self._print(self._line(key, status, duration, attempts, reason))
        elif status in FAILING:
            self._print_attention(self._line(key, status, duration, attempts, reason))
        if self._screen is None and not self._each:
            self._print_progress()

    def note(self, text: str) -> None:
        """A line of chatter above the bar."""
        self._print([(visible(text), "quiet")])

    def close(self) -> None:
        """Prints what is waiting and takes the bar away; the terminal is as it was."""
        if self._closed:
            return
        self._closed = True
        if self._screen is not None:
            self._screen.close()

    # -- lines

    def _name(self, key: str) -> str:
        return visible(self._names.get(key, key))

    def _line(self, key: str, status: str, duration: float | None, attempts: int, reason: str | None) -> Line:
        look = LOOKS[status]
        tone = look.tone
        line: Line = [(look.symbol if self._symbols else look.ascii_symbol, tone), (f" {self._name(key)}", "")]
        if duration and status not in ("skipped", "cancelled"):
            line.append((f"  {format_duration(duration)}", "quiet"))
        if attempts > 1:
            line.append((f"  {attempts} attempts", "warning"))
        if status in ("errored", "timed_out", "cancelled"):
            line.append((f"  {look.word}", tone))
        if reason and status != "passed":
            line.append((f"  {clip(visible(reason), _REASON_SHOWN)}", "bad" if status in FAILING else "quiet"))
        return line

    def _print(self, line: Line) -> None:
        if self._screen is not None:
            self._screen.print(line)
        else:
            self._write(line)

    def _write(self, line: Line) -> None:
        if self._closed:
            return
        try:
            write_plain(self._stream, [line])
        except OSError:  # nobody reads the progress any more (`… 2>&1 | head`); that is no reason to end the run
            self._closed = True

    def _print_attention(self, line: Line) -> None:
        """A line that a large run prints only so often."""
        if self._each:
            self._print(line)
            return
        self._attention += 1
        if self._attention <= _ATTENTION_LINES:
            self._print(line)
        elif self._attention == _ATTENTION_LINES + 1:
            self._print([("more tests do not pass; the summary will group them", "quiet")])

    def _print_progress(self) -> None:
        done, now = len(self._ended), self._clock()
        if done % self._progress_step and now - self._progress_at < _PLAIN_PROGRESS_SECONDS and done != self._total:
            return
        self._progress_at = now
        counts = ", ".join(f"{number:,} {LOOKS[s].word}" for s, number in reversed(self._by_status.items()) if number)
        self._write([(f"{done:,} of {self._total:,} tests: {counts}  {format_duration(now - self._began)}", "")])

    # -- the bar

    def _left(self, elapsed: float, done: int) -> float | None:
        """Seconds to go: from the run's history while it keeps to it, else from the pace so far; None when unknown."""
        if self._expected is not None and elapsed < self._expected:
            return self._expected - elapsed
        if done >= 3 and elapsed >= 1 and self._total > done:
            return elapsed * (self._total - done) / done
        return None

    def _bar(self, width: int) -> Line:
        """The bar for a terminal of `width` columns; what has no room is left out, the least important first."""
        elapsed, done = self._clock() - self._began, len(self._ended)
        by_status = dict(self._by_status)
        good = by_status["passed"] + by_status["passed_on_retry"]
        bad = sum(by_status[status] for status in FAILING)
        idle = by_status["skipped"] + by_status["cancelled"]
        parts: list[tuple[str, Tone]] = [(f" {done:,}/{self._total:,}", "strong"), (f"  {good:,} passed", "good")]
        parts += [(f"  {bad:,} failed", "bad")] if bad else []
        parts += [(f"  {idle:,} skipped", "quiet")] if idle else []
        parts += [(f"  {len(self._running):,} running", "accent")] if self._running else []
        parts += [("  cancelling", "warning")] if self._cancelling else []
        parts.append((f"  {_clock_text(elapsed)}", "quiet"))
        left = self._left(elapsed, done)
        if left is not None and left >= 1 and done < self._total:
            parts.append((f"  about {_clock_text(left)} left", "quiet"))
        while len(parts) > 1 and sum(len(text) for text, _ in parts) > width - 1:
            parts.pop()
        room = min(width - 1 - sum(len(text) for text, _ in parts), 30)
        if room < 6:
            return parts
        full, empty = ("━", "─") if self._symbols else ("#", ".")
        share = min(done / self._total, 1.0) if self._total else 1.0
        reds = min(max(round(room * bad / self._total), 1), room) if bad and self._total else 0
        filled = max(int(room * share), reds)
        return [(full * (filled - reds), "good"), (full * reds, "bad"), (empty * (room - filled), "quiet"), *parts]


def _clock_text(seconds: float) -> str:
    """Short and steady in width, so that the bar does not jump: `3 s`, `1:05`, `1:02:05`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


class _Screen:
    """A bar at the foot of a terminal, and lines printed above it in batches."""

    def __init__(self, stream: TextIO, bar: Callable[[int], Line]) -> None:
        from rich.live import Live

        self._bar = bar
        self._console = open_console(stream)
        self._live = Live(
            self,
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._waiting: deque[Line] = deque()
        self._gone = False
        self._stopping = threading.Event()
        self._live.start()
        self._thread = threading.Thread(target=self._draw, name="orbit-live", daemon=True)
        self._thread.start()

    def __rich_console__(self, console: Any, options: Any) -> Iterable[Any]:
        # Without the line break at the end: the cursor stays on the bar's line, which Live then writes over.
        yield from segments([self._bar(console.width)])[:-1]

    def print(self, line: Line) -> None:
        """Hands over a line; it is seen with the next redraw."""
        self._waiting.append(line)

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        if self._gone:
            return
        try:
            self._flush()
            self._live.stop()
        except OSError:
            self._gone = True

    def _draw(self) -> None:
        try:
            while not self._stopping.wait(1 / _REDRAWS_PER_SECOND):
                if not self._flush():
                    self._live.refresh()
        except OSError:  # the terminal went away; the run goes on without it, its results are in the database
            self._gone = True

    def _flush(self) -> bool:
        from rich.segment import Segments

        lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not lines:
            return False
        width = self._console.width
        self._console.print(Segments(segments(_cut(line, width) for line in lines)), end="")
        return True


def _cut(line: Line, width: int) -> Line:
    """The line in one row of the terminal."""
    out: Line = []
    room = width - 1
    for text, tone in line:
        if room <= 0:
            break
        shown = fit(text, room)
        out.append((shown, tone))
        if shown is not text:
            break
        room -= _columns(shown)
    return out


def _columns(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
