"""JUnit XML as Surefire writes it and Jenkins, GitLab and GitHub's readers accept it, with retries visible.

A test that passed only on a retry carries a `flakyFailure` or `flakyError` for each attempt that did not; one that never
passed carries its last attempt as `failure` or `error` and those before as `rerunFailure` or `rerunError`. The order of
elements inside a `testcase` satisfies both Surefire's schema, which fixes one, and Jenkins', which does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from orbit_runner.report.causes import headline
from orbit_runner.report.exchange import exchange_text
from orbit_runner.report.explain import explain
from orbit_runner.report.places import place_of
from orbit_runner.report.wording import clip, visible, visible_block

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from orbit_context.models.runs import Attempt, Result, Run

__all__ = ["render"]

_MAX_BYTES = 24_000_000
"""GitLab refuses a report above 30 MB; escaping and characters of several bytes take their share of the rest."""
_BYTES_PER_CASE = 300
_BYTES_PER_FAILURE = 400
_MOST_PER_FAILURE = 48_000
_LEAST_PER_FAILURE = 200
_ERRORS = frozenset({"errored", "timed_out", "cancelled"})
_ORDER = ("failure", "rerunFailure", "flakyFailure", "skipped", "error", "rerunError", "flakyError", "system-out")


def render(run: Run, results: Iterable[Result], places: Mapping[str, str] | None = None) -> bytes:
    """The report as UTF-8.

    The run's suite is one `testsuite`. Names are unique in it, because readers drop or merge equal ones. Details are cut
    so that the file stays below what CI servers accept, every failure to the same length. What XML cannot hold is
    written as an escape.

    :param places: where tests are defined, by key; told in the text of a failure
    """
    ordered = sorted(results, key=lambda result: result.position)
    failures = sum(result.status == "failed" for result in ordered)
    errors = sum(result.status in ("errored", "timed_out") for result in ordered)
    skipped = sum(result.status in ("skipped", "cancelled") for result in ordered)
    seconds = f"{run.duration if run.duration is not None else sum(r.duration for r in ordered):.3f}"
    counts = {"tests": str(len(ordered)), "failures": str(failures), "errors": str(errors)}

    root = Element("testsuites", {"name": visible(run.suite), "time": seconds} | counts)
    suite = SubElement(root, "testsuite", {"name": visible(run.suite), "time": seconds} | counts)
    suite.set("skipped", str(skipped))
    suite.set("timestamp", _timestamp(run.started_at or run.created_at))
    properties = SubElement(suite, "properties")
    for name, value in _properties(run):
        SubElement(properties, "property", {"name": name, "value": visible(value)})

    told = sum(1 + len(r.previous_attempts) for r in ordered if r.status not in ("passed", "skipped", "cancelled"))
    allowance = (_MAX_BYTES - _BYTES_PER_CASE * len(ordered)) // max(told, 1) - _BYTES_PER_FAILURE
    allowance = min(max(allowance, _LEAST_PER_FAILURE), _MOST_PER_FAILURE)
    class_name = f"{visible(run.project)}.{visible(run.suite)}"
    for result, name in zip(ordered, _unique_names(ordered), strict=True):
        case = SubElement(suite, "testcase", {"name": name, "classname": class_name, "time": f"{result.duration:.3f}"})
        place = place_of(places, result)
        case.extend(sorted(_children(result, place, allowance), key=lambda child: _ORDER.index(child.tag)))
    indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(root, encoding="unicode")}\n'.encode()


def _properties(run: Run) -> list[tuple[str, str]]:
    from importlib.metadata import version

    return [
        ("orbit.run", str(run.id)),
        ("orbit.status", run.status),
        ("orbit.project", run.project),
        *([("orbit.environment", run.environment)] if run.environment else []),
        *([("orbit.reason", run.reason)] if run.reason else []),
        ("orbit.version", version("orbit-context")),
    ]


def _timestamp(moment: datetime) -> str:
    """ISO 8601 without fraction and offset, in UTC, as Surefire has it."""
    from datetime import UTC

    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _unique_names(results: Sequence[Result]) -> list[str]:
    """The tests' names; those that occur twice carry their key, which does not."""
    from collections import Counter

    occurrences = Counter(visible(result.name) for result in results)
    names: list[str] = []
    taken: set[str] = set()
    for result in results:
        name = visible(result.name)
        if occurrences[name] > 1 or not name.strip():
            name = f"{name} [{visible(result.key)}]"
        candidate, number = name, 2
        while candidate in taken:
            candidate, number = f"{name} ({number})", number + 1
        taken.add(candidate)
        names.append(candidate)
    return names


def _children(result: Result, place: str | None, allowance: int) -> list[Element]:
    status = result.status
    if status == "passed":
        return []
    if status in ("skipped", "cancelled"):
        return [Element("skipped", {"message": _cut(visible(result.reason or status), _LEAST_PER_FAILURE)})]
    if status == "passed_on_retry":
        return [_earlier("flaky", attempt, allowance) for attempt in result.previous_attempts]
    final = Element("error" if status in _ERRORS else "failure")
    final.set("message", _cut(headline(result), min(1000, allowance // 4)))
    final.set("type", result.category or status)
    lines = [f"at {visible(place)}"] if place else []
    final.text = _text(
        lines + _failure_lines(result.failures or [{"message": result.reason or status}]), allowance // 4
    )
    children = [final, *(_earlier("rerun", attempt, allowance) for attempt in result.previous_attempts)]
    if sent := exchange_text(result, limit=allowance // 2):
        out = Element("system-out")
        out.text = _text([sent], allowance // 2)
        children.append(out)
    return children


def _earlier(kind: str, attempt: Attempt, allowance: int) -> Element:
    """An attempt before the last one."""
    element = Element(kind + ("Error" if attempt.status in _ERRORS else "Failure"))
    reason = attempt.reason or (attempt.failures[0].get("message") if attempt.failures else None) or attempt.status
    element.set("message", _cut(visible(str(reason)), min(1000, allowance // 4)))
    element.set("type", attempt.category or attempt.status)
    lines = [f"attempt {attempt.number}", *_failure_lines(attempt.failures or [{"message": reason}])]
    SubElement(element, "stackTrace").text = _text(lines, allowance // 2)
    return element


def _failure_lines(failures: Iterable[dict[str, Any]]) -> list[str]:
    lines = []
    for failure in failures:
        told = explain(failure, limit=2000)
        lines.append(told.title)
        lines += [f"  {label:<9} {text}" + (f"  ({kind})" if kind else "") for label, text, kind, _ in told.sides()]
        lines += [f"  differs   {change.path}  {change.describe()}".rstrip() for change in told.changes]
        if told.hint:
            lines.append(f"  hint      {told.hint}")
    return lines


def _text(lines: Iterable[str], limit: int) -> str:
    return _cut(visible_block("\n".join(lines)), limit)


def _cut(text: str, limit: int) -> str:
    """`text` cut so that it takes about `limit` bytes in the file, where `&` is `&amp;` and `é` takes two."""
    shown = text[:limit]
    size = len(shown.encode()) + 4 * shown.count("&") + 3 * (shown.count("<") + shown.count(">")) + 5 * shown.count('"')
    return clip(text, limit * limit // size if size > limit else limit)
