"""Report templates, checked and rendered where they can do no harm: in the sandbox's child process."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from orbit_context.errors import DefinitionError
from orbit_context.extract.evaluator import EvaluationError
from orbit_runner.sandbox import Sandbox

if TYPE_CHECKING:
    from orbit_context.extract.evaluator import Kind
    from orbit_context.models.library import ReportTemplate

__all__ = ["BUDGET", "check_template", "render_template"]

BUDGET = 10.0
"""Seconds of processor time that a template is given."""
_STOPPED = {
    "timeout": f"the template took more than {BUDGET:g} s and was stopped",
    "memory": "the template needed more memory than it is given, and was stopped",
    "too_large": "the template makes more than 15 MB of text, and was stopped",
    "crashed": "the template ended the process that rendered it",
}
_LINE = re.compile(r"line (\d+): (.*)", re.DOTALL)


async def check_template(source: str, *, file: str) -> None:
    """Raises DefinitionError, with the line, unless it is good Jinja."""
    await _evaluate("report_check", source, b"", file)


async def render_template(template: ReportTemplate, document: bytes) -> str:
    """The text that the template makes of the document (JSON). Raises DefinitionError."""
    kind: Kind = "report_html" if template.kind == "html" else "report_text"
    return str(await _evaluate(kind, template.source or "", document, f"template {template.name}"))


async def _evaluate(kind: Kind, source: str, document: bytes, file: str) -> Any:
    async with Sandbox(processes=1) as sandbox:
        try:
            return await sandbox.evaluate(kind, source, document, BUDGET)
        except EvaluationError as error:
            found = _LINE.fullmatch(error.message)
            line, message = (int(found[1]), found[2]) if found else (None, error.message)
            raise DefinitionError(_STOPPED.get(error.code, message), file=file, line=line) from None
