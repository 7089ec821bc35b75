"""A run and its results as one JSON object; docs/json-output.md describes its fields."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from orbit_context.models.runs import Result, Run

__all__ = ["render", "run_document"]

_RUN_FIELDS = frozenset(
    {"id", "status", "reason", "suite", "project", "environment", "counts", "created_at", "started_at", "finished_at", "duration"}
)  # fmt: skip
_RESULT_FIELDS = frozenset(
    {
        "id", "key", "name", "status", "category", "reason", "duration", "attempts", "previous_attempts", "failures",
        "started_at", "finished_at", "exchange",
    }
)  # fmt: skip


def run_document(run: Run, results: Iterable[Result]) -> dict[str, Any]:
    """`{"run": {…}, "results": […]}` of plain JSON values, the results in the suite's order.

    Times are ISO 8601 in UTC, durations seconds. `exchange` is there only for results that carry one.
    """
    return {
        "run": _plain(run.model_dump(include=set(_RUN_FIELDS))),
        "results": [_result(result) for result in sorted(results, key=lambda result: result.position)],
    }


def render(run: Run, results: Iterable[Result], places: Mapping[str, str] | None = None) -> bytes:
    """The document as UTF-8, indented, with a line break at the end. `places` is not used."""
    document = run_document(run, results)
    try:
        text = json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False)
    except ValueError:  # NaN and infinities are no JSON; nothing that parses the file should have to know them
        text = json.dumps(_finite(document), ensure_ascii=False, indent=2, allow_nan=False)
    # Half a surrogate pair has no UTF-8. Inside a JSON string its escape, `\ud800`, is exactly what it was.
    return (text + "\n").encode("utf-8", "backslashreplace")


def _result(result: Result) -> dict[str, Any]:
    body = _plain(result.model_dump(include=set(_RESULT_FIELDS)))
    if body["exchange"] is None:
        del body["exchange"]
    return body


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    # Not by pydantic's own JSON mode: it refuses half a surrogate pair, which a server's answer may well hold.
    for name, value in fields.items():
        if isinstance(value, datetime):
            fields[name] = value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        elif isinstance(value, UUID):
            fields[name] = str(value)
    return fields


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(member) for key, member in value.items()}
    return [_finite(member) for member in value] if isinstance(value, list) else value
