"""The expressions and files that a suite names.

Expressions are listed, not compiled: not every compiler is part of the SDK. Files are looked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from orbit_context.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orbit_context.suite.checks import Check
    from orbit_context.suite.document import Defaults, Test
    from orbit_context.suite.problems import DocumentPath, Problems
    from orbit_context.suite.request import Request

__all__ = ["Expression", "about_file", "find_expressions", "find_missing_files"]


@dataclass(frozen=True, slots=True)
class Expression:
    """One expression without templates, and where it stands."""

    path: tuple[str | int, ...]
    """`("tests", "login", "capture", "token")`, for `LoadedSuite.locate`."""
    kind: Literal["jsonpath", "regex", "xpath", "schema"]
    source: Any
    """The text; of a schema, the schema itself, read if it was a file."""
    dialect: str | None = None


def find_expressions(test: Test, path: DocumentPath, base_dir: Path, problems: Problems) -> Iterator[Expression]:
    """The expressions of one test; a schema's file that cannot be read is a problem.

    What a capture looks for is no template; an assertion's expression may be one, and is then compiled when it is known.
    """
    for name, capture in test.capture.items():
        place = (*path, "capture", name)
        if capture.json_path is not None:
            yield Expression((*place, "json"), "jsonpath", capture.json_path, capture.dialect)
        if capture.regex is not None:
            yield Expression((*place, "regex"), "regex", capture.regex)
        if capture.xpath is not None:
            yield Expression((*place, "xpath"), "xpath", capture.xpath)
    for position, check in enumerate(test.expect):
        yield from _of_check(check, (*path, "expect", position), base_dir, problems)
    if test.poll is not None:
        for position, check in enumerate(test.poll.until):
            yield from _of_check(check, (*path, "poll", "until", position), base_dir, problems)


def _of_check(check: Check, path: DocumentPath, base_dir: Path, problems: Problems) -> Iterator[Expression]:
    if check.negated is not None:
        yield from _of_check(check.negated, (*path, "not"), base_dir, problems)
        return
    if check.json_path is not None and "{{" not in check.json_path:
        yield Expression((*path, "json"), "jsonpath", check.json_path, check.dialect)
    if check.xpath is not None and "{{" not in check.xpath:
        yield Expression((*path, "xpath"), "xpath", check.xpath)
    if check.matches is not None and "{{" not in check.matches:
        yield Expression((*path, "matches"), "regex", check.matches)
    for name, operators in (("any", check.any), ("all", check.all)):
        if operators is not None and isinstance(text := operators.get("matches"), str) and "{{" not in text:
            yield Expression((*path, name, "matches"), "regex", text)
    schema = check.json_schema
    if isinstance(schema, str) and "{{" not in schema:
        from orbit_context.suite.yaml import read_document

        try:
            schema = read_document(base_dir / schema).data
        except DefinitionError as error:
            problems.add((*path, "schema"), about_file(error, str(check.json_schema)))
            return
    if isinstance(schema, dict | bool):
        yield Expression((*path, "schema"), "schema", schema)


def find_missing_files(request: Request | Defaults, path: DocumentPath, base_dir: Path, problems: Problems) -> None:
    """Report files that a request sends, or that its TLS options name, and that are not there."""
    named: list[tuple[DocumentPath, str | None]] = []
    if request.tls is not None and "tls" in request.model_fields_set:
        named += [((*path, "tls", name), getattr(request.tls, name)) for name in ("ca", "cert", "key")]
    if path[0] == "tests":
        named.append(((*path, "file"), getattr(request, "file", None)))
        for name, parts in (getattr(request, "multipart", None) or {}).items():
            place = (*path, "multipart", name)
            items = (
                [((*place, n), item) for n, item in enumerate(parts)] if isinstance(parts, list) else [(place, parts)]
            )
            named += [((*where, "file"), getattr(item, "file", None)) for where, item in items]
    for where, file in named:
        if file is not None and "{{" not in file and not (base_dir / file).is_file():
            problems.add(where, f"there is no file {file}", hint=f"Paths are relative to {base_dir}.")


def about_file(error: DefinitionError, name: str) -> DefinitionError:
    """An error about another file, told at the place that names it."""
    place = f" (line {error.line}, column {error.column})" if error.line and error.column else ""
    return DefinitionError(f"{name}: {error.message}{place}", hint=error.hint)
