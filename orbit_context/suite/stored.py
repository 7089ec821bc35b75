"""A suite document as the database keeps it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from orbit_context.suite.document import Suite

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["document_from_json", "document_to_json", "suite_key"]


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
