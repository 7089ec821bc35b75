"""The template language: `{{ expression }}` in any string of any JSON value.

    template = compile_value({"product": "{{captured_data.test-2.product_ids[0]}}", "at": "{{now('date')}}"})
    template.render(Scope(captured_data={"test-2": {"product_ids": [7, 8]}}))
    # {"product": 7, "at": "2026-01-31"}

Names walk JSON values and nothing else: there are no attributes, no arithmetic, no loops. A string that is one
expression and nothing more renders to the value itself, types kept; inside other text a value is written as in JSON.
Rendering is a single pass: what comes out of the scope is never read as a template.

The grammar is in `syntax`, the generated values in `functions`, the filters in `filters`.
"""

from __future__ import annotations

from orbit_context.template.check import KnownNames, check
from orbit_context.template.compiler import JSONValue, Reference, Template, compile_value
from orbit_context.template.scope import NAMESPACES, Scope
from orbit_context.template.syntax import escape

__all__ = [
    "NAMESPACES",
    "JSONValue",
    "KnownNames",
    "Reference",
    "Scope",
    "Template",
    "check",
    "compile_value",
    "escape",
]
