"""Checks, compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from orbit_context.extract.evaluator import Evaluator
    from orbit_context.extract.view import ResponseView
    from orbit_context.models.outcome import Failure
    from orbit_context.suite.checks import Check
    from orbit_context.template import Template

    Render: TypeAlias = Callable[[Template], Any]
    """Makes an expected value: `lambda template: template.render(scope)`."""
    LoadSchema: TypeAlias = Callable[[str], Any]
    """A schema (as parsed JSON) by its path as the suite writes it; raises OSError or ValueError."""

__all__ = ["CompiledChecks", "compile_checks"]


class CompiledChecks:
    """The assertions of a test, in order."""

    __slots__ = ("needs_evaluator",)

    needs_evaluator: bool
    """Whether an evaluator may be needed; where not, `evaluate` is all there is to it."""

    def __len__(self) -> int:
        raise NotImplementedError

    def evaluate(self, view: ResponseView, render: Render | None = None) -> list[Failure]:
        """What does not hold, in order; every assertion is evaluated. Empty: all hold.

        What needs an evaluator is reported as a failure of category `expression`.
        """
        raise NotImplementedError

    async def evaluate_with(
        self, view: ResponseView, render: Render | None = None, evaluator: Evaluator | None = None
    ) -> list[Failure]:
        """As `evaluate`, with an evaluator for what could take long on this response."""
        raise NotImplementedError


def compile_checks(
    checks: Sequence[Check],
    field: str = "expect",
    base_dir: Path | None = None,
    load_schema: LoadSchema | None = None,
) -> CompiledChecks:
    """Compile a test's assertions.

    Args:
        field: where they stand (`tests.login.expect`), for errors.
        base_dir: the suite file's folder; schema files lie beside it.
        load_schema: reads a schema file; JSON and YAML files under `base_dir` unless given.

    Raises:
        ExpressionError: a JSONPath, regular expression, XPath or schema does not compile.
        DefinitionError: an expected value fits no operator (`time: {lt: fast}`), or a schema file is missing.
        TemplateError: a template in an expected value does not parse.
    """
    raise NotImplementedError
