"""The run as one HTML file that needs nothing else: no network, no script from elsewhere, no server.

Everything a test or a server brought is escaped by the template engine and cannot become markup; should it ever, the
page's Content-Security-Policy allows this page's own script and style alone, by their hashes, and no request at all.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from orbit_runner.report.causes import group_failures, group_skipped, headline
from orbit_runner.report.exchange import curl_command, hops_of, request_of, response_of, timings_of
from orbit_runner.report.explain import Explanation, explain
from orbit_runner.report.places import place_of
from orbit_runner.report.statuses import FAILING, LOOKS, Look, count_by_status, run_word, tone_of_run
from orbit_runner.report.timeline import build_timeline
from orbit_runner.report.wording import clip, format_duration, plural, visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Environment

    from orbit_context.models.runs import Result, Run
    from orbit_runner.report.exchange import HttpMessage

__all__ = ["render"]

_DETAILS_BYTES = 5_000_000
"""Characters of requests and responses in one page; what comes after says where it can be read."""
_BODY_OF_FAILING = 20_000
_BODY_OF_PASSED = 4_000
_OPENED = 8
"""Causes whose first test is unfolded from the start."""
_SLOWEST = 5


def render(run: Run, results: Sequence[Result], places: Mapping[str, str] | None = None) -> bytes:
    """The page as UTF-8.

    :param places: where tests are defined, by key: `shop.yaml:12`
    """
    environment = _environment()
    style = _asset(environment, "report.css")
    script = _asset(environment, "report.js")
    page = _Page(run, sorted(results, key=lambda result: result.position), places or {})
    text = environment.get_template("report.html.j2").render(
        page=page,
        run=run,
        style=style,
        script=script,
        policy=f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'",
    )
    return text.encode("utf-8", "backslashreplace")


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("orbit_runner.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"duration": format_duration, "visible": lambda value: visible(str(value))}
    environment.globals["plural"] = plural
    return environment


def _asset(environment: Environment, name: str) -> str:
    assert environment.loader is not None  # noqa: S101  (set above)
    return environment.loader.get_source(environment, name)[0]


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@dataclass(frozen=True, slots=True)
class _Attempt:
    number: int
    word: str
    tone: str
    duration: str
    reason: str


@dataclass(slots=True)
class _Details:
    """What can be unfolded below a test."""

    messages: list[tuple[str, HttpMessage, str | None]] = field(default_factory=list)
    """`Request` or `Response`, the message, and its body as far as it is shown."""
    timings: list[tuple[str, str]] = field(default_factory=list)
    hops: list[str] = field(default_factory=list)
    curl: str | None = None
    left_out: bool = False
    answer_first: bool = False
    """Whether the response is unfolded: why a server refused stands nowhere but in its answer."""


@dataclass(slots=True)
class _Test:
    result: Result
    look: Look
    name: str
    key: str | None
    place: str | None
    request: str | None
    response: str | None
    duration: str
    failures: list[Explanation]
    attempts: list[_Attempt]
    details: _Details | None
    is_failing: bool

    @property
    def anchor(self) -> str:
        return f"t{self.result.position}"

    @property
    def why(self) -> str:
        return clip(headline(self.result), 300)

    @property
    def unfolds(self) -> bool:
        return bool(self.details or self.attempts)


@dataclass(frozen=True, slots=True)
class _Group:
    title: str
    tests: list[_Test]
    opened: bool

    @property
    def others(self) -> str:
        """The names of those after the first, as far as one line holds them."""
        shown = [test.name for test in self.tests[1:5]]
        return ", ".join(shown) + (", …" if len(self.tests) > 5 else "")


class _Page:
    """What the template shows, in its words."""

    def __init__(self, run: Run, results: Sequence[Result], places: Mapping[str, str]) -> None:
        self._run = run
        self._results = results
        self._places = places
        self._budget = _DETAILS_BYTES
        # Those that failed first: should the page become too large, they keep their details.
        made = {r.position: self._test(r) for r in sorted(results, key=lambda r: r.status not in FAILING)}
        self.tests = [made[result.position] for result in results]
        self.failures = [
            _Group(cause.title, [made[r.position] for r in cause.results], number < _OPENED)
            for number, cause in enumerate(group_failures(results))
        ]
        self.skipped = [
            _Group(cause.title, [made[r.position] for r in cause.results], opened=False)
            for cause in group_skipped(results)
        ]
        self.flaky = [made[result.position] for result in results if result.status == "passed_on_retry"]
        self.timeline = build_timeline(results)

    @cached_property
    def counts(self) -> list[tuple[str, Look, int, float, float]]:
        """Status, look, number of tests, and where its part of the bar begins and how wide it is, in per cent."""
        out, at = [], 0.0
        total = len(self._results)
        for status, number in count_by_status(self._results).items():
            share = 100 * number / total
            out.append((status, LOOKS[status], number, at, share))
            at += share
        return out

    @property
    def failed(self) -> int:
        return sum(len(group.tests) for group in self.failures)

    @property
    def not_run(self) -> int:
        return sum(len(group.tests) for group in self.skipped)

    @property
    def verdict(self) -> str:
        return run_word(self._run)

    @property
    def tone(self) -> str:
        return tone_of_run(self._run)

    @property
    def duration(self) -> str | None:
        return None if self._run.duration is None else format_duration(self._run.duration)

    @property
    def started(self) -> tuple[str, str]:
        """For machines and for people, in UTC."""
        from datetime import UTC

        moment = (self._run.started_at or self._run.created_at).astimezone(UTC)
        return moment.isoformat(), moment.strftime("%d %B %Y, %H:%M:%S UTC").lstrip("0")

    @property
    def slowest(self) -> list[_Test]:
        sent = [test for test in self.tests if test.result.attempts and test.result.duration > 0]
        return sorted(sent, key=lambda t: (-t.result.duration, t.result.position))[:_SLOWEST] if len(sent) > 1 else []

    def _test(self, result: Result) -> _Test:
        place = place_of(self._places, result)
        request, response = request_of(result), response_of(result)
        failing = result.status in FAILING
        failures = [explain(failure, limit=600) for failure in result.failures] if failing else []
        if failing and not failures:
            failures = [Explanation(headline(result))]
        return _Test(
            result=result,
            look=LOOKS[result.status],
            name=visible(result.name) or "(no name)",
            key=visible(result.key) if result.key != result.name else None,
            place=visible(place) if place else None,
            request=request.line if request else None,
            response=(response.line if response else "no response") if request else None,
            duration=format_duration(result.duration) if result.attempts else "",
            failures=failures,
            attempts=_attempts(result),
            details=self._details(result, request, response),
            is_failing=failing,
        )

    def _details(self, result: Result, request: HttpMessage | None, response: HttpMessage | None) -> _Details | None:
        if request is None:
            return None
        if self._budget <= 0:
            return _Details(left_out=True)
        limit = _BODY_OF_FAILING if result.status in FAILING else _BODY_OF_PASSED
        details = _Details(curl=curl_command(result), hops=hops_of(result))
        for title, message in (("Request", request), ("Response", response)):
            if message is not None:
                body = clip(message.body, limit) if message.body is not None else None
                details.messages.append((title, message, body))
                self._budget -= len(body or "") + sum(len(name) + len(value) + 40 for name, value in message.headers)
        details.timings = [(phase, format_duration(seconds)) for phase, seconds in timings_of(result)]
        details.answer_first = any(failure.get("where") == "status" for failure in result.failures)
        self._budget -= len(details.curl or "") + 500
        return details


def _attempts(result: Result) -> list[_Attempt]:
    if not result.previous_attempts:
        return []
    out = []
    for attempt in result.previous_attempts:
        look = LOOKS.get(attempt.status, LOOKS["errored"])
        reason = attempt.reason or (str(attempt.failures[0].get("message") or "") if attempt.failures else "")
        duration = format_duration(attempt.duration) if attempt.duration is not None else ""
        out.append(_Attempt(attempt.number, look.word, look.tone, duration, visible(reason)))
    failing = result.status in FAILING
    look = LOOKS[result.status] if failing else LOOKS["passed"]
    said = headline(result) if failing else ""
    return [*out, _Attempt(result.attempts, look.word, look.tone, format_duration(result.duration), said)]
