"""The live view: a line for each test, a bar on a terminal, plain text elsewhere, and hardly any time taken."""

from __future__ import annotations

import io
import re
import threading
import time

import pytest
from orbit_runner.live import LiveView
from report_factory import HOSTILE, make_event

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
SEQUENCE = re.compile(r"\x1b\[\??[0-9;]*[a-zA-Z]")


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def a_terminal_of_known_size(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "CI", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")


def test_each_test_gets_a_line() -> None:
    stream = io.StringIO()
    with LiveView(stream, total=6, names={"login": "Log in"}) as view:
        view.event(make_event("run_started"))
        view.event(make_event("test_started", "login"))
        view.event(make_event("test_finished", "login", status="passed", duration=0.012, attempt=1))
        view.event(make_event("test_retried", "cart", attempt=1, reason="status: expected 200, got 500"))
        view.event(make_event("test_finished", "cart", status="passed_on_retry", duration=0.5, attempt=2))
        view.event(
            make_event(
                "test_finished", "order", status="failed", duration=1.5, attempt=1, reason="json $.a: expected 1, got 2"
            )
        )
        view.event(
            make_event("test_finished", "pay", status="timed_out", duration=10.0, reason="no answer within 10 s")
        )
        view.event(make_event("test_finished", "refund", status="skipped", reason="pay timed out"))
        view.event(make_event("run_cancelling", reason="asked for by eve"))
        view.event(make_event("test_finished", "late", status="cancelled"))
        view.event(make_event("run_finished", status="cancelled"))
    assert stream.getvalue().splitlines() == [
        "✓ Log in  12 ms",
        "↻ cart  attempt 1 did not pass, once more  status: expected 200, got 500",
        "✓ cart  500 ms  2 attempts",
        "✗ order  1.50 s  json $.a: expected 1, got 2",
        "! pay  10.00 s  timed out  no answer within 10 s",
        "⊘ refund  pay timed out",
        "cancelling the run: asked for by eve",
        "⊘ late  cancelled",
    ]


def test_an_event_told_twice_is_shown_once() -> None:
    stream = io.StringIO()
    with LiveView(stream, total=1) as view:
        for _ in range(3):
            view.event(make_event("test_finished", "a", status="passed"))
            view.event(make_event("test_started", "a"))
            view.event(make_event("test_retried", "a", attempt=1))
    assert stream.getvalue() == "✓ a\n"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("CI", "true"), ("TERM", "dumb")])
def test_no_control_codes_where_they_are_not_wanted(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    stream = Terminal()
    with LiveView(stream, total=1) as view:
        view.finished("a", "failed", duration=0.1, reason="x")
    assert stream.getvalue() == "✗ a  100 ms  x\n"


def test_a_large_run_prints_what_needs_attention_and_how_far_it_is() -> None:
    stream = io.StringIO()
    with LiveView(stream, total=1000, clock=lambda: 7.0) as view:
        for n in range(1000):
            view.finished(f"t{n}", "failed" if n % 100 == 50 else "skipped" if n % 7 == 0 else "passed", reason="why")
    lines = stream.getvalue().splitlines()
    assert [line for line in lines if line.startswith("✗")] == [f"✗ t{n}  why" for n in range(50, 1000, 100)]
    assert "100 of 1,000 tests: 84 passed, 15 skipped, 1 failed  0.0 ms" in lines
    assert lines[-1].startswith("1,000 of 1,000 tests: ")
    assert len(lines) == 20


def test_ten_thousand_failures_do_not_flood() -> None:
    stream = io.StringIO()
    with LiveView(stream, total=10_000) as view:
        for n in range(10_000):
            view.finished(f"t{n}", "failed", reason="the same")
    lines = stream.getvalue().splitlines()
    assert len([line for line in lines if line.startswith("✗")]) == 100
    assert "more tests do not pass; the summary will group them" in lines


def test_on_a_terminal_a_bar_stands_below_and_goes_away() -> None:
    stream = Terminal()
    view = LiveView(stream, total=4, expected_duration=60)
    view.started("b")
    view.finished("a", "failed", duration=0.01, reason="x" * 500)
    view.close()
    view.close()
    text = stream.getvalue()
    assert "\x1b[?25l" in text
    assert text.rstrip().endswith("\x1b[2K")
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    plain = SEQUENCE.sub("", text)
    assert re.search(r"━+─+ 1/4  0 passed  1 failed  1 running  0 s  about 59 s left", plain)
    line = next(line for line in re.split(r"[\r\n]+", plain) if "✗ a" in line)
    assert len(line) <= 80
    assert line.endswith("…")


def test_the_bar_goes_on_while_nothing_happens() -> None:
    stream = Terminal()
    now = [0.0]
    with LiveView(stream, total=2, clock=lambda: now[0]):
        now[0] = 65.0
        deadline = time.monotonic() + 10
        while "1:05" not in stream.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "1:05" in stream.getvalue()
    assert not [thread for thread in threading.enumerate() if thread.name == "orbit-live"]


@pytest.mark.parametrize("width", [10, 20, 40, 79, 200])
def test_the_bar_fits_any_terminal(width: int) -> None:
    view = LiveView(io.StringIO(), total=12_000, expected_duration=100)
    for n in range(300):
        view.finished(f"t{n}", "failed" if n % 3 else "passed")
        view.started(f"r{n}")
    assert sum(len(text) for text, _ in view._bar(width)) < max(width, 14)


def test_the_estimate_is_the_history_then_the_pace() -> None:
    now = [0.0]
    view = LiveView(io.StringIO(), total=100, expected_duration=20, clock=lambda: now[0])
    assert view._left(5, 10) == 15
    assert view._left(25, 50) == 25
    unknown = LiveView(io.StringIO(), total=100, clock=lambda: now[0])
    assert unknown._left(0.5, 50) is None
    assert unknown._left(2, 2) is None
    assert unknown._left(2, 50) == 2


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_hostile_text_is_shown_and_not_obeyed(kind: type[io.StringIO]) -> None:
    stream = kind()
    with LiveView(stream, total=len(HOSTILE), names={f"k{n}": text for n, text in enumerate(HOSTILE)}) as view:
        for n, text in enumerate(HOSTILE):
            view.finished(f"k{n}", "failed", reason=text)
            view.note(text)
    text = SEQUENCE.sub("", stream.getvalue()).replace("\r", "")
    assert CONTROL.sub("", text) == text
    assert "\\x1b[31mred" in text
    assert "[red]not red[/red]" in text


def test_a_reader_that_leaves_does_not_end_the_run() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with LiveView(Closed(), total=1) as view:
        view.finished("a", "failed")
        view.finished("b", "failed")


def test_a_terminal_that_goes_away_does_not_end_the_run() -> None:
    class Gone(Terminal):
        gone = False

        def write(self, text: str) -> int:
            if self.gone:
                raise OSError(5, "Input/output error")
            return super().write(text)

    stream = Gone()
    view = LiveView(stream, total=2)
    stream.gone = True
    view.finished("a", "failed")
    assert view._screen is not None
    deadline = time.monotonic() + 10
    while not view._screen._gone and time.monotonic() < deadline:
        time.sleep(0.01)
    assert view._screen._gone
    view.finished("b", "failed")
    view.close()


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_events_cost_little(kind: type[io.StringIO]) -> None:
    events = [
        make_event(kind_, f"t{n}", status="failed" if n % 20 == 0 else "passed", duration=0.01, reason="why")
        for n in range(10_000)
        for kind_ in ("test_started", "test_finished")
    ]
    with LiveView(kind(), total=10_000) as view:
        began = time.process_time()
        for event in events:
            view.event(event)
        spent = time.process_time() - began
    # 1 to 2 microseconds each on the machine this was written on; a redraw or a flush for each would cost over 50.
    assert spent / len(events) < 20e-6
