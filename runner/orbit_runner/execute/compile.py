"""A test made ready: everything that is the same for every attempt is done once per suite version and worker."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from orbit_context.extract.capture import CompiledCapture, compile_captures
from orbit_runner.assertions.compiler import CompiledChecks, compile_checks
from orbit_runner.execute.request import CompiledRequest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from orbit_context.suite.document import Defaults, Poll, Retry, Test

__all__ = ["CompiledTest", "compile_test"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class CompiledTest:
    """A test, compiled. It holds no state of an attempt, and may serve many at once."""

    __slots__ = ("bare", "captures", "checks", "key", "poll", "request", "retry", "row", "until")

    def __init__(
        self,
        key: str,
        *,
        request: CompiledRequest,
        captures: list[CompiledCapture],
        checks: CompiledChecks | None,
        poll: Poll | None,
        until: CompiledChecks | None,
        retry: Retry | None,
        row: Mapping[str, Any],
        bare: Mapping[str, tuple[str | int, ...]],
    ) -> None:
        self.key = key
        self.request = request
        self.captures = captures
        self.checks = checks
        """None where the test expects nothing in words: then any status below 400 will do, unless it polls."""
        self.poll = poll
        self.until = until
        self.retry = retry
        self.row = row
        """The data-driven row, for the scope."""
        self.bare = bare
        """What bare names stand for, for the scope."""

    def __repr__(self) -> str:
        return f"CompiledTest({self.key!r})"


def compile_test(
    key: str,
    test: Test,
    defaults: Defaults,
    bare: Mapping[str, tuple[str | int, ...]] = _NOTHING,
    base_dir: Path | None = None,
) -> CompiledTest:
    """Compile a test; fields in errors are relative to it (`request.url`, `expect[0]`).

    Args:
        defaults: the suite's.
        bare: bare name of a capture → its path, as `Scope.bare` wants it.
        base_dir: the suite file's folder, for bodies, parts and schemas in files; None where the suite has none.

    Raises:
        DefinitionError: a part of it is wrong; TemplateError and ExpressionError among them.
    """
    return CompiledTest(
        key,
        request=CompiledRequest(test.request, defaults, base_dir),
        captures=compile_captures(test.capture, "capture"),
        checks=compile_checks(test.expect, "expect", base_dir) if test.expect else None,
        poll=test.poll,
        until=compile_checks(test.poll.until, "poll.until", base_dir) if test.poll is not None else None,
        retry=test.retry if test.retry is not None else defaults.retry,
        row=test.row or _NOTHING,
        bare=bare,
    )
