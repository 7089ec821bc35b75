"""`orbit stats`, `orbit health`: how it went, and whether all is well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_runner.cli.answers import print_answer, say
from orbit_runner.cli.asking import asking
from orbit_runner.cli.exits import Exit
from orbit_runner.cli.jobs.screen import TONES, print_lines, table
from orbit_runner.report.wording import format_duration, visible

if TYPE_CHECKING:
    from orbit_context.client import Orbit
    from orbit_context.models.status import Figures
    from orbit_runner.report.terminal import Line

__all__ = ["show_health", "show_stats"]

_COLUMNS = ("runs", "passed", "failed", "other", "pass_rate", "tests", "tests_passed", "average", "p95")


def show_stats(*, as_json: bool, **asked: Any) -> Exit:
    async def ask(orbit: Orbit) -> Exit:
        stats = await orbit.queue.stats(**asked)
        if as_json:
            return print_answer(stats)
        if not stats.total.runs.total:
            return say("no run was finished in that time")
        days = [{"day": day.date} | _row(day) for day in stats.days] + [{"day": "in all"} | _row(stats.total)]
        suites = [{"suite": suite.suite, "project": suite.project} | _row(suite) for suite in stats.suites]
        lines = table(days, ("day", *_COLUMNS), toned=())
        return print_lines([*lines, [("", "")], *table(suites, ("suite", "project", *_COLUMNS), toned=())])

    return asking(ask)


def _row(figures: Figures) -> dict[str, Any]:
    runs, tests = figures.runs, figures.tests
    return {
        "runs": f"{runs.total:,}",
        "passed": f"{runs.passed:,}",
        "failed": f"{runs.failed:,}" if runs.failed else None,
        "other": f"{other:,}" if (other := runs.errored + runs.timed_out + runs.cancelled) else None,
        "pass_rate": _percent(figures.pass_rate),
        "tests": f"{tests.total:,}",
        "tests_passed": _percent(figures.test_pass_rate),
        "average": _time(figures.average_duration),
        "p95": _time(figures.p95_duration),
    }


def _percent(rate: float | None) -> str | None:
    return f"{rate:.1f} %" if rate is not None else None


def _time(seconds: float | None) -> str | None:
    return format_duration(seconds) if seconds is not None else None


def show_health(*, as_json: bool) -> Exit:
    """Exit code 3 where what waits is not run; what is merely not as it should be is told, and is no failure."""

    async def ask(orbit: Orbit) -> Exit:
        health = await orbit.queue.health()
        if as_json:
            print_answer(health)
        else:
            lines: list[Line] = [[(health.status, TONES[health.status])]]
            for check in health.checks:
                name = check.name.replace("_", " ")
                lines.append(
                    [
                        (f"  {check.status:9}", TONES[check.status]),
                        (f"{name:14}", "strong"),
                        (visible(check.detail), ""),
                    ]
                )
                if check.hint:
                    lines.append([(f"  {'':9}{'':14}{visible(check.hint)}", "quiet")])
            print_lines(lines)
        return Exit.INFRASTRUCTURE if health.status == "down" else Exit.PASSED

    return asking(ask)
