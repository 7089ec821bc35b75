"""The port to where expressions run that could take long, or forever."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from orbit_context.errors import OrbitError

__all__ = ["DEFAULT_BUDGET", "EvaluationCode", "EvaluationError", "Evaluator", "Kind"]

Kind = Literal[
    "jsonpath",
    "jsonpath_ng",
    "regex",
    "xpath_xml",
    "xpath_html",
    "schema",
    "report_html",
    "report_text",
    "report_check",
]
"""What `expression` is: a JSONPath (RFC 9535, or jsonpath-ng's dialect); a regular expression, as the JSON text of
`{"pattern", "group", "every"}`; an XPath on XML or on HTML; a JSON Schema, as `orbit_context.extract.schema` bundles it;
a report template that makes HTML or plain text of the body, or is only checked."""

EvaluationCode = Literal["body", "expression", "timeout", "memory", "too_large", "crashed"]
"""`body`: it is not JSON, XML or HTML · `expression`: it does not compile, or fails on this document · `timeout`, `memory`,
`too_large`: a limit on time, memory or the result's size was hit · `crashed`: the process ended by itself."""

DEFAULT_BUDGET = 1.0
"""Seconds of processor time that one evaluation may take."""


class EvaluationError(OrbitError):
    """An evaluation gave no result; `message` says what happened in one sentence.

    `code` `body` is a finding about the response; every other code is one about the expression.
    """

    def __init__(
        self, message: str, *, code: EvaluationCode, detail: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.code: EvaluationCode = code


class Evaluator(Protocol):
    """Evaluates expressions on documents without holding up the event loop."""

    async def evaluate(self, kind: Kind, expression: str, body: bytes, budget: float = DEFAULT_BUDGET) -> Any:
        """The result: a list of JSON values for a query, a list of violations for a schema (empty: valid), a text for a report.

        `budget` is in seconds of processor time. Several evaluations of the same `body` object parse it once.

        Raises:
            EvaluationError: there is no result.
        """
        ...
