"""Regular expressions that cannot blow up: RE2, whose time is linear in the text whatever the pattern.

What a backtracking engine adds (lookahead, lookbehind, backreferences) is refused with a message that says so.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from orbit_context.errors import ExpressionError
from orbit_context.extract.evaluator import EvaluationError
from orbit_context.extract.wording import shorten

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MAX_MATCHES", "Regex", "compile_regex"]

MAX_MATCHES = 10_000
"""Matches that one look for all of them may give."""

# RE2's slowest engine takes 5 to 10 ns for a byte and an instruction of the program, so this is 80 ms at worst.
_INLINE_STEPS = 8_000_000
# Each search is linear; looking again behind every match need not be, so the whole is cut by processor time.
_ALL_SECONDS = 0.1


class Regex:
    """A compiled pattern. Immutable; shared by everything that uses the same text."""

    __slots__ = ("_compiled", "_program_size", "group_count", "group_names", "pattern")

    def __init__(self, pattern: str, compiled: Any) -> None:
        self.pattern = pattern
        self._compiled = compiled
        self._program_size: int = compiled.programsize
        self.group_count: int = compiled.groups
        self.group_names: dict[str, int] = compiled.groupindex

    def is_bounded(self, size: int) -> bool:
        """Whether searching `size` bytes takes less than about 80 ms at worst."""
        return self._program_size * size <= _INLINE_STEPS

    def matches(self, text: str) -> bool:
        """Whether it is found anywhere in `text`."""
        return self._compiled.search(_utf8(text)) is not None

    def find(
        self, data: bytes, group: int = 0, *, every: bool = False, seconds: float | None = _ALL_SECONDS
    ) -> list[str]:
        """What `group` holds in the first match, or in all; a group that takes no part in a match gives nothing.

        Args:
            data: UTF-8; what is invalid is replaced in the result.
            seconds: of processor time after which looking for all matches is given up; None for no limit.

        Raises:
            EvaluationError: more than `MAX_MATCHES`, or out of time.
        """
        found: list[str] = []
        for match in self._every(data, seconds) if every else self._first(data):
            start, end = match.span(group)
            if start >= 0:
                if len(found) == MAX_MATCHES:
                    raise EvaluationError(
                        f"the regular expression matches more than {MAX_MATCHES:,} times", code="too_large"
                    )
                found.append(data[start:end].decode(errors="replace"))
        return found

    def _first(self, data: bytes) -> Iterator[Any]:
        match = self._compiled.search(data)
        if match is not None:
            yield match

    def _every(self, data: bytes, seconds: float | None) -> Iterator[Any]:
        deadline = None if seconds is None else time.thread_time() + seconds
        position = 0
        while (match := self._compiled.search(data, position)) is not None:
            yield match
            start, end = match.span()
            position = end
            if start == end:  # behind an empty match the search goes on at the next character
                position += 1
                while position < len(data) and data[position] & 0xC0 == 0x80:
                    position += 1
            if position > len(data):
                return
            if deadline is not None and time.thread_time() > deadline:
                raise EvaluationError(
                    f"finding every match of the regular expression took more than {seconds:g} s and was stopped",
                    code="timeout",
                )


@lru_cache(maxsize=1024)
def compile_regex(pattern: str) -> Regex:
    """Compile a pattern; the same text gives the same object.

    Raises:
        ExpressionError: it is no RE2 pattern; says what RE2 leaves out. The caller sets `field`.
    """
    import re2

    options = re2.Options()
    options.log_errors = False  # else RE2 writes to standard error by itself
    try:
        return Regex(pattern, re2.compile(pattern, options))
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0] if error.args else "it does not compile"
        if isinstance(reason, bytes):
            reason = reason.decode(errors="replace")
        message, hint = _explain(pattern, str(reason))
        raise ExpressionError(f"the regular expression {shorten(pattern)} {message}", hint=hint) from None


def _explain(pattern: str, reason: str) -> tuple[str, str | None]:
    if any(sign in reason for sign in ("(?=", "(?!", "(?<", "(?>")):
        return (
            "uses lookahead, lookbehind or an atomic group, which are not supported",
            "Patterns run on RE2, in linear time. Match a little more and take the part you want with a group.",
        )
    if "(?P=" in pattern or ("invalid escape sequence" in reason and (reason[-1:].isdigit() or reason.endswith("\\k"))):
        return (
            "uses a backreference, which is not supported",
            "Patterns run on RE2, in linear time. Capture the parts and compare them with an assertion.",
        )
    if "invalid escape sequence: \\Z" in reason:
        return "is not valid: \\Z is written \\z", None
    if "too large" in reason or "repetition size" in reason:
        return f"is too large: {reason}", "A repetition counts up to 1,000, nested ones multiply."
    return f"is not valid: {reason}", None


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace")
