"""Values, durations and hostile text as a person can read them."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["clip", "format_duration", "plural", "render_value", "visible", "visible_block"]

# What a terminal or a browser would obey or hide instead of showing: control characters, marks that turn the direction
# of the text around, characters without width that make two names look the same, halves of surrogate pairs.
_INVISIBLE = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f"
)
_IN_BLOCK = re.compile(f"[{_INVISIBLE}]")
_IN_LINE = re.compile(f"[\t\n{_INVISIBLE}]")
_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def _escaped(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def visible(text: str) -> str:
    """`text` on one line: line breaks and everything that is not seen are written as escapes (`\\n`, `\\x1b`, `\\u202e`)."""
    return text if text.isascii() and text.isprintable() else _IN_LINE.sub(_escaped, text)


def visible_block(text: str) -> str:
    """`text` with its lines and tabs kept; whatever else is not seen is written as an escape."""
    return _IN_BLOCK.sub(_escaped, text.replace("\r\n", "\n"))


def clip(text: str, limit: int) -> str:
    """`text` cut to `limit` characters; the end says how many are missing."""
    if len(text) <= limit:
        return text
    mark = f"… ({len(text) - limit:,} more characters)"
    return text[:limit] + mark


def plural(number: int, noun: str, many: str | None = None) -> str:
    """`1 test`, `2 tests`, `1,200 tests`."""
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"


def format_duration(seconds: float) -> str:
    """Seconds as `0.4 ms`, `120 ms`, `1.25 s`, `2 min 05 s` or `1 h 02 min`."""
    if seconds < 0.00095:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.995:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def render_value(value: Any, limit: int = 200) -> str:
    """`value` as JSON on one line, cut to `limit` characters; a string keeps its quotes, so that "2" is not 2."""
    if isinstance(value, str):
        # Cut first: a body of megabytes is not worth encoding for the two hundred characters that are shown.
        body = json.dumps(value[: limit + 1], ensure_ascii=False)
        if len(value) > limit:
            shown = json.dumps(value[:limit], ensure_ascii=False)
            return f"{visible(shown)}… ({len(value) - limit:,} more characters)"
        return visible(body)
    return clip(visible(json.dumps(value, ensure_ascii=False, default=str)), limit)
