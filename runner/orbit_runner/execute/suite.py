"""A whole suite compiled, with every error at its place in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orbit_context.errors import DefinitionError, DefinitionErrors
from orbit_runner.execute.compile import compile_test

if TYPE_CHECKING:
    from orbit_context.suite.load import LoadedSuite
    from orbit_runner.execute.compile import CompiledTest

__all__ = ["compile_suite"]


def compile_suite(suite: LoadedSuite) -> list[CompiledTest]:
    """The tests in the suite's order.

    Raises DefinitionError, or DefinitionErrors where several parts do not compile, each with file, line and field.
    """
    compiled: list[CompiledTest] = []
    errors: list[DefinitionError] = []
    for key, test in suite.document.tests.items():
        try:
            compiled.append(compile_test(key, test, suite.document.defaults, suite.bare.get(key, {}), suite.base_dir))
        except DefinitionError as error:
            errors.append(_placed(error, suite, key))
    if errors:
        raise errors[0] if len(errors) == 1 else DefinitionErrors(errors)
    return compiled


def _placed(error: DefinitionError, suite: LoadedSuite, key: str) -> DefinitionError:
    """The error with the test's place; the field's own, where the document has it."""
    path: list[str | int] = ["tests", key]
    parts = (error.field or "").replace("]", "").replace("[", ".").split(".")
    path += [int(part) if part.isdigit() else part for part in parts if part]
    for length in range(len(path), 1, -1):
        if (place := suite.locate(path[:length])) is not None:
            error.line, error.column = place
            break
    error.file = suite.file
    error.field = f"tests.{key}.{error.field}" if error.field else f"tests.{key}"
    return error
