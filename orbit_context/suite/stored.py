"""A suite document as the database keeps it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from orbit_context.errors import DefinitionError
from orbit_context.suite.document import Suite

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orbit_context.suite.checks import Check
    from orbit_context.suite.request import Tls

__all__ = ["document_from_json", "document_to_json", "refuse_files", "suite_key"]


def suite_key(suite: Suite) -> str:
    """The suite's stable name: its id, or its title in lower case with hyphens."""
    return suite.id or re.sub(r"[^a-z0-9]+", "-", suite.suite.lower()).strip("-") or "suite"


def document_to_json(suite: Suite) -> dict[str, Any]:
    """Tests become an array, for a JSON object has no order in the database; the values of secret variables are left out."""
    document = suite.to_json()
    document["tests"] = [{"key": key, **test} for key, test in document["tests"].items()]
    for name, variable in suite.variables.items():
        if variable.secret:
            document["variables"][name] = {"value": None, "secret": True}
    return document


def document_from_json(document: Mapping[str, Any]) -> Suite:
    """The suite that :func:`document_to_json` wrote."""
    tests = {test["key"]: {name: value for name, value in test.items() if name != "key"} for test in document["tests"]}
    return Suite.model_validate({**document, "tests": tests})


def refuse_files(suite: Suite) -> None:
    """For a run that brings no folder: whoever wrote the suite must not have a worker read files of its own machine.

    Raises:
        DefinitionError: it names a file.
    """
    for where, file in _named_files(suite):
        raise DefinitionError(
            f"the file {file!r} is not at hand: the run was started without the suite's folder",
            field=where,
            hint="Run the suite from its file beside a database of your own, or write the content into the suite.",
        )


def _named_files(suite: Suite) -> Iterator[tuple[str, str]]:
    yield from _of_tls(suite.defaults.tls, "defaults.tls")
    for key, test in suite.tests.items():
        where = f"tests.{key}"
        if test.data is not None and test.data.file is not None:
            yield f"{where}.data.file", test.data.file
        request = test.request
        if request.tls is not None:
            yield from _of_tls(request.tls, f"{where}.request.tls")
        if request.file is not None:
            yield f"{where}.request.file", request.file
        for name, parts in (request.multipart or {}).items():
            for part in parts if isinstance(parts, list) else [parts]:
                if (file := getattr(part, "file", None)) is not None:
                    yield f"{where}.request.multipart.{name}.file", file
        for check in [*test.expect, *(test.poll.until if test.poll is not None else ())]:
            if (schema := _schema_file(check)) is not None:
                yield f"{where}.expect", schema


def _of_tls(tls: Tls, where: str) -> Iterator[tuple[str, str]]:
    for name in ("ca", "cert", "key"):
        if (file := getattr(tls, name)) is not None:
            yield f"{where}.{name}", file


def _schema_file(check: Check) -> str | None:
    if check.negated is not None:
        return _schema_file(check.negated)
    return check.json_schema if isinstance(check.json_schema, str) else None
