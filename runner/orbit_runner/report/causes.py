"""Results grouped by what caused them, so that three hundred failures of one kind are told once."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orbit_runner.report.statuses import FAILING
from orbit_runner.report.wording import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orbit_context.models.runs import Result

__all__ = ["Cause", "fingerprint", "group_failures", "group_skipped", "headline"]

# What differs between two occurrences of one cause. Replacing it before comparing finds nearly all groups at a
# ten-thousandth of the price of comparing texts with each other.
_VARYING = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE), "<uuid>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+(?:Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"\b(?=[a-f]*\d)[0-9a-f]{8,}\b", re.IGNORECASE), "<hex>"),
    (re.compile(r"\d+(?:\.\d+)*"), "<n>"),
)
# Categories whose message speaks of one test's own data: the same words with other values are the same cause only
# within one family of tests (`item[1]`, `item[2]`).
_OWN_DATA = frozenset(
    {"assertion", "schema", "capture_missing", "template", "config", "data", "expression", "status_4xx", "status_5xx"}
)
_LONGEST = 500


@dataclass(slots=True)
class Cause:
    """What several results have in common, in the words of the first of them."""

    title: str
    results: list[Result] = field(default_factory=list)


def headline(result: Result) -> str:
    """One line that says why a test did not pass."""
    if result.failures:
        first = result.failures[0]
        message, where = str(first.get("message") or ""), str(first.get("where") or "")
        text = message if not where or where.lower() in message.lower() else f"{where}: {message}"
        if text:
            return visible(text)
    return visible(result.reason or result.category or result.status.replace("_", " "))


def fingerprint(result: Result) -> str:
    """Equal for two results that most likely have the same cause."""
    text = headline(result)[:_LONGEST]
    category = result.category or ""
    where = str(result.failures[0].get("where") or "") if result.failures else ""
    common = text
    if where != "status":  # a status is a cause by its number
        for pattern, name in _VARYING:
            common = pattern.sub(name, common)
    family = re.sub(r"\[.*\]$|\d+", "#", result.key) if common != text and category in _OWN_DATA else ""
    return "\x1f".join((result.status, category, common, family))


def group_failures(results: Iterable[Result]) -> list[Cause]:
    """Failed, errored and timed out tests by cause: what struck most first, and in the suite's order among equals."""
    causes: dict[str, Cause] = {}
    for result in sorted((r for r in results if r.status in FAILING), key=lambda r: r.position):
        cause = causes.setdefault(fingerprint(result), Cause(headline(result)))
        cause.results.append(result)
    return sorted(causes.values(), key=lambda cause: -len(cause.results))


def group_skipped(results: Iterable[Result]) -> list[Cause]:
    """Skipped and cancelled tests by their reason: the reason that kept most from running first.

    The titles go on from "3 tests": `because login failed`.
    """
    causes: dict[tuple[str, str], Cause] = {}
    for result in sorted((r for r in results if r.status in ("skipped", "cancelled")), key=lambda r: r.position):
        reason = visible(
            result.reason
            or ("the run was cancelled" if result.status == "cancelled" else "of a reason that was not told")
        )
        title = reason if reason.startswith("because ") else f"because {reason}"
        causes.setdefault((result.status, reason), Cause(title)).results.append(result)
    return sorted(causes.values(), key=lambda cause: -len(cause.results))
