"""Answers on standard output: sentences and tables for people, one JSON document for programs."""

from __future__ import annotations

import json
import shutil
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from orbit_runner.cli.exits import Exit
from orbit_runner.report.wording import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["moment", "print_answer", "print_rows", "say", "told"]


def say(sentence: str) -> Exit:
    """One line for people."""
    sys.stdout.write(f"{visible(sentence)}\n")
    return Exit.PASSED


def told(answer: Any, sentence: str, *, as_json: bool) -> Exit:
    """The answer for programs, or the sentence for people."""
    return print_answer(answer) if as_json else say(sentence)


def print_answer(answer: Any) -> Exit:
    """The answer, models and all, as one JSON document; times in ISO 8601."""
    sys.stdout.write(json.dumps(_plain(answer), indent=2, ensure_ascii=False, default=str) + "\n")
    return Exit.PASSED


def print_rows(
    rows: Sequence[BaseModel | Mapping[str, Any]],
    columns: Sequence[str],
    *,
    as_json: bool,
    nothing: str,
    shown: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None,
) -> Exit:
    """The rows as a table of these columns; `nothing` is said where there is none.

    `shown` makes of a row what people read in some columns. A column in which no row has anything is left out. At a terminal,
    the last column ends where the window does.
    """
    if as_json:
        return print_answer(list(rows))
    if not rows:
        return say(nothing)
    values = [dict(row.model_dump() if isinstance(row, BaseModel) else row) for row in rows]
    if shown is not None:
        values = [{**row, **shown(row)} for row in values]
    cells = [[_cell(row.get(column)) for column in columns] for row in values]
    kept = [place for place in range(len(columns)) if any(line[place] for line in cells)]
    lines = [[columns[place].replace("_", " ") for place in kept], *([line[place] for place in kept] for line in cells)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(kept))]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in lines:
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        sys.stdout.write((f"{text[: room - 1]}…" if room and len(text) > room else text) + "\n")
    return Exit.PASSED


def moment(time: datetime) -> str:
    """A time as people read it: to the second, in this machine's zone."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, list | tuple):
        return visible(", ".join(map(str, value)))
    return visible(str(value))


def _plain(answer: Any) -> Any:
    if isinstance(answer, BaseModel):
        return answer.model_dump(mode="json")
    if isinstance(answer, list | tuple):
        return [_plain(one) for one in answer]
    if isinstance(answer, dict):
        return {name: _plain(value) for name, value in answer.items()}
    return answer.isoformat() if isinstance(answer, datetime) else answer
