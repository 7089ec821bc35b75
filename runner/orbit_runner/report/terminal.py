"""Lines of styled text for a terminal, and the same text without any control code for everything else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from orbit_runner.report.statuses import Tone

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TextIO

    from rich.console import Console
    from rich.segment import Segment

__all__ = ["Line", "can_show", "fit", "is_plain", "open_console", "segments", "write_plain"]

Line = list[tuple[str, Tone]]
"""Pieces of text with their tone; no piece holds a line break or a control character."""

_STYLES: dict[Tone, str] = {
    "": "", "good": "green", "warning": "yellow", "bad": "red", "quiet": "bright_black", "strong": "bold",
    "accent": "cyan",
}  # fmt: skip
_SYMBOLS = "✓✗⊘↻·…→━─"


def is_plain(stream: TextIO, environ: Mapping[str, str] | None = None) -> bool:
    """Whether `stream` gets plain lines: it is no terminal, a dumb one, or `NO_COLOR` or `CI` says so."""
    environ = os.environ if environ is None else environ
    if environ.get("NO_COLOR") or environ.get("CI", "").lower() not in ("", "0", "false"):
        return True
    return environ.get("TERM") == "dumb" or not stream.isatty()


def can_show(stream: TextIO) -> bool:
    """Whether the stream's encoding carries the symbols that Orbit uses."""
    try:
        _SYMBOLS.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def write_plain(stream: TextIO, lines: Iterable[Line]) -> None:
    """Writes lines without control codes; what the stream's encoding lacks is written as an escape."""
    text = "".join("".join(piece for piece, _ in line).rstrip() + "\n" for line in lines)
    if not text:
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def open_console(stream: TextIO) -> Console:
    """A console on `stream` that interprets nothing in what it is given."""
    from rich.console import Console

    return Console(file=stream, force_terminal=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def segments(lines: Iterable[Line]) -> list[Segment]:
    """The lines as a console prints them."""
    from rich.segment import Segment
    from rich.style import Style

    styles = {tone: Style.parse(style) if style else None for tone, style in _STYLES.items()}
    out: list[Segment] = []
    for line in lines:
        out.extend(Segment(text, styles[tone]) for text, tone in line)
        out.append(Segment.line())
    return out


def fit(text: str, width: int) -> str:
    """`text` cut to `width` columns of a terminal, wide characters counted as two; `…` marks the cut."""
    if len(text) * 2 <= width or (text.isascii() and len(text) <= width):
        return text
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= width else set_cell_size(text, max(width - 1, 0)).rstrip() + "…"
