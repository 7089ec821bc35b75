"""What a person reads when a run has ended: the failures first, then everything else in a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_runner.report.causes import Cause, group_failures, group_skipped, headline
from orbit_runner.report.exchange import curl_command, response_of, route
from orbit_runner.report.explain import explain
from orbit_runner.report.places import place_of
from orbit_runner.report.statuses import LOOKS, count_by_status, run_word, tone_of_run
from orbit_runner.report.terminal import can_show, fit, is_plain, open_console, segments, write_plain
from orbit_runner.report.wording import clip, format_duration, plural, visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TextIO

    from orbit_context.models.runs import Result, Run
    from orbit_runner.report.statuses import Tone
    from orbit_runner.report.terminal import Line

__all__ = ["print_summary", "summary_lines"]

_CAUSES_SHOWN = 25
_FAILURES_OF_A_TEST = 10
_NAMES_SHOWN = 5
_SKIP_CAUSES_SHOWN = 10
_SLOWEST = 5
_BODY_SHOWN = 300


def print_summary(
    stream: TextIO,
    run: Run,
    results: Sequence[Result],
    *,
    places: Mapping[str, str] | None = None,
    artifacts: Sequence[tuple[str, str]] = (),
    commands: Sequence[tuple[str, str]] = (),
    plain: bool | None = None,
) -> None:
    """Writes :func:`summary_lines` to `stream`: in colours on a terminal, else the same text without control codes."""
    symbols = can_show(stream)
    if is_plain(stream) if plain is None else plain:
        lines = summary_lines(run, results, places=places, artifacts=artifacts, commands=commands, symbols=symbols)
        write_plain(stream, lines)
        return
    from rich.segment import Segments

    console = open_console(stream)
    lines = summary_lines(
        run, results, places=places, artifacts=artifacts, commands=commands, symbols=symbols, width=console.width
    )
    console.print(Segments(segments(lines)), end="")


def summary_lines(
    run: Run,
    results: Sequence[Result],
    *,
    places: Mapping[str, str] | None = None,
    artifacts: Sequence[tuple[str, str]] = (),
    commands: Sequence[tuple[str, str]] = (),
    symbols: bool = True,
    width: int = 100,
) -> list[Line]:
    """The lines of the summary.

    :param places: where tests are defined, by key: `shop.yaml:12`
    :param artifacts: what lies where: `("report", "report.html")`, `("data", ".orbit/pg")`
    :param commands: what to try next beside `orbit show` and `orbit logs`: a command and what it does
    :param symbols: whether the stream can carry `✗` and its like
    :param width: columns; only rules and lists of names keep to it, what has to be copied is never cut
    """
    return _Summary(run, results, places or {}, symbols, min(width, 120)).lines(artifacts, commands)


class _Summary:
    def __init__(
        self, run: Run, results: Sequence[Result], places: Mapping[str, str], symbols: bool, width: int
    ) -> None:
        self.run = run
        self.results = results
        self.places = places
        self.symbols = symbols
        self.width = width

    def lines(self, artifacts: Sequence[tuple[str, str]], commands: Sequence[tuple[str, str]]) -> list[Line]:
        out: list[Line] = []
        for section in (self._failures(), self._skipped(), self._flaky(), self._slowest()):
            if section:
                out += [[], *section]
        out += [[], [("─" * self.width if self.symbols else "-" * self.width, "quiet")], self._verdict()]
        if self.run.reason:
            out.append([("  ", ""), (visible(self.run.reason), "bad")])
        return out + self._next(artifacts, commands)

    def _mark(self, status: str) -> tuple[str, Tone]:
        look = LOOKS[status]
        return (look.symbol if self.symbols else look.ascii_symbol), look.tone

    def _title(self, text: str, count: int) -> Line:
        return [(text, "strong"), (f"  {count:,}", "quiet")]

    # -- failures

    def _failures(self) -> list[Line]:
        causes = group_failures(self.results)
        if not causes:
            return []
        out = [self._title("Failures", sum(len(cause.results) for cause in causes))]
        for cause in causes[:_CAUSES_SHOWN]:
            out += [[], *self._cause(cause)]
        if left := causes[_CAUSES_SHOWN:]:
            tests = plural(sum(len(cause.results) for cause in left), "more failed test")
            out += [[], [(f"  and {tests} with {plural(len(left), 'other cause')}: ", ""), (self._show(), "accent")]]
        return out

    def _cause(self, cause: Cause) -> list[Line]:
        first = cause.results[0]
        if len(cause.results) == 1:
            return self._test(first)
        out: list[Line] = [
            [self._mark(first.status), (f" {plural(len(cause.results), 'test')}: ", "strong"), (cause.title, "bad")],
            [("    ", ""), (self._names(cause.results), "quiet")],
            [("  the first of them:", "quiet")],
        ]
        return out + self._test(first, indent="  ")

    def _test(self, result: Result, indent: str = "") -> list[Line]:
        heading: Line = [self._mark(result.status), (" ", ""), (visible(result.name), "strong")]
        if result.key != result.name:
            heading.append((f"  {visible(result.key)}", "quiet"))
        if place := place_of(self.places, result):
            heading.append((f"  {visible(place)}", "quiet"))
        out: list[Line] = [heading]
        if line := route(result):
            out.append([("  ", ""), (line, ""), (f"  {format_duration(result.duration)}", "quiet")])
        if not result.failures:
            out.append([("    ", ""), (headline(result), "bad")])
        for failure in result.failures[:_FAILURES_OF_A_TEST]:
            out += self._failure(failure)
            # Why a server refused stands nowhere but in its answer.
            if (
                failure.get("where") == "status"
                and not failure.get("hint")
                and (response := response_of(result))
                and response.body
            ):
                body = " ".join(response.body[: _BODY_SHOWN * 2].split())
                out.append([("      body      ", "quiet"), (clip(visible(body), _BODY_SHOWN), "")])
        if (more := len(result.failures) - _FAILURES_OF_A_TEST) > 0:
            out.append([(f"    and {plural(more, 'more failure')}", "quiet")])
        out += self._attempts(result)
        if indent:
            out = [[(indent, ""), *line] for line in out]
        # Only its first line is moved in: spaces at the head of others could belong to a quoted body.
        for number, part in enumerate((curl_command(result) or "").splitlines()):
            out.append([("" if number else indent + "  ", ""), (part, "quiet")])
        return out

    def _failure(self, failure: dict[str, Any]) -> list[Line]:
        told = explain(failure)
        out: list[Line] = [[("    ", ""), (told.title, "bad")]]
        sides = list(told.sides())
        pad = max(len(text) for _, text, _, _ in sides) if told.expected_type else 0
        for label, text, kind, tone in sides:
            line: Line = [(f"      {label:<10}", "quiet"), (text.ljust(pad), tone)]
            out.append([*line, (f"  {kind}", "quiet")] if kind else line)
        for number, change in enumerate(told.changes):
            label = "differs" if number == 0 and sides else ""
            out.append([(f"      {label:<10}", "quiet"), (change.path, "accent"), (f"  {change.describe()}", "")])
        if told.more:
            out.append([(" " * 16 + f"and {told.more:,} more", "quiet")])
        if told.hint:
            out.append([(f"      {'hint':<10}", "quiet"), (told.hint, "warning")])
        return out

    def _attempts(self, result: Result) -> list[Line]:
        if not result.previous_attempts:
            return []
        tries = [
            (attempt.number, attempt.status, attempt.duration, _reason(attempt.reason, attempt.failures))
            for attempt in result.previous_attempts
        ]
        tries.append((result.attempts, result.status, result.duration, headline(result)))
        return [
            [
                (f"    attempt {number}: {status.replace('_', ' ')}", "quiet"),
                (f" after {format_duration(duration)}" if duration is not None else "", "quiet"),
                (f", {clip(reason, 160)}" if reason else "", "quiet"),
            ]
            for number, status, duration, reason in tries
        ]

    # -- the rest

    def _skipped(self) -> list[Line]:
        causes = group_skipped(self.results)
        if not causes:
            return []
        out = [self._title("Not run", sum(len(cause.results) for cause in causes))]
        for cause in causes[:_SKIP_CAUSES_SHOWN]:
            number = plural(len(cause.results), "test")
            out.append([("  ", ""), self._mark(cause.results[0].status), (f" {number} ", ""), (cause.title, "warning")])
            out.append([("      ", ""), (self._names(cause.results), "quiet")])
        if left := causes[_SKIP_CAUSES_SHOWN:]:
            tests = plural(sum(len(cause.results) for cause in left), "more test")
            out.append([(f"  and {tests} for {plural(len(left), 'other reason')}", "quiet")])
        return out

    def _flaky(self) -> list[Line]:
        flaky = [result for result in self.results if result.status == "passed_on_retry"]
        if not flaky:
            return []
        out = [self._title("Passed only on a retry", len(flaky))]
        for result in flaky[:_SKIP_CAUSES_SHOWN]:
            reasons = [text for a in result.previous_attempts if (text := _reason(a.reason, a.failures))]
            line: Line = [("  ", ""), self._mark(result.status), (f" {visible(result.name)}", "")]
            line.append((f"  attempt {result.attempts}", "quiet"))
            if reasons:
                line.append((f", before: {clip(reasons[-1], 160)}", "quiet"))
            out.append(line)
        if (more := len(flaky) - _SKIP_CAUSES_SHOWN) > 0:
            out.append([(f"  and {more:,} more", "quiet")])
        return out

    def _slowest(self) -> list[Line]:
        sent = [result for result in self.results if result.attempts and result.duration > 0]
        if len(sent) < 2:
            return []
        slowest = sorted(sent, key=lambda result: (-result.duration, result.position))[:_SLOWEST]
        out: list[Line] = [[("Slowest", "strong")]]
        out += [[(f"  {format_duration(r.duration):>9}  ", "quiet"), (visible(r.name), "")] for r in slowest]
        return out

    def _verdict(self) -> Line:
        run = self.run
        tone = tone_of_run(run)
        symbol = "✓" if run.status == "passed" else "✗"
        if not self.symbols:
            symbol = "+" if run.status == "passed" else "x"
        line: Line = [(f"{symbol} {visible(run.suite)} {run_word(run)}", tone), ("  ", "")]
        counted = count_by_status(self.results)
        for number, (status, count) in enumerate(reversed(counted.items())):
            look = LOOKS[status]
            line += [(", " if number else "", ""), (f"{count:,} {look.word}", look.tone)]
        if not counted:
            line.append(("no results", "quiet"))
        total = plural(len(self.results), "test")
        if run.duration is None:
            line.append((f"  {total}", "quiet"))
            return line
        sent = sum(1 for result in self.results if result.attempts)
        rate = f", {_rate(sent / run.duration)} tests/s" if run.duration > 0 and sent > 1 else ""
        line.append((f"  {total} in {format_duration(run.duration)}{rate}", "quiet"))
        return line

    def _next(self, artifacts: Sequence[tuple[str, str]], commands: Sequence[tuple[str, str]]) -> list[Line]:
        where = [("run", str(self.run.id))]
        if self.run.environment:
            where.append(("environment", self.run.environment))
        where += artifacts
        label = max(len(name) for name, _ in where)
        out: list[Line] = [[(f"  {visible(name):<{label}}  ", "quiet"), (visible(text), "")] for name, text in where]
        steps = [(self._show(), "every test of this run"), (f"orbit logs {self.run.id}", "what happened, in order")]
        steps += commands
        column = max(len(command) for command, _ in steps)
        out.append([("  next", "quiet")])
        out += [[(f"    {visible(command):<{column}}", "accent"), (f"  {what}", "quiet")] for command, what in steps]
        return out

    def _show(self) -> str:
        return f"orbit show {self.run.id}"

    def _names(self, results: Sequence[Result]) -> str:
        shown = [fit(visible(result.name), 60) for result in results[:_NAMES_SHOWN]]
        more = len(results) - len(shown)
        return ", ".join(shown) + (f" and {more:,} more" if more else "")


def _reason(reason: str | None, failures: list[dict[str, Any]]) -> str:
    """Why an attempt did not pass, in one line."""
    return visible(reason or (str(failures[0].get("message") or "") if failures else ""))


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}" if per_second >= 10 else f"{per_second:.1f}"
