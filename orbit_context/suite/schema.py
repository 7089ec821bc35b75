"""The JSON Schema of suite files and of pipeline files, for editors and other tools: made from the models, shorthands included.

python -m orbit_context.suite.schema > docs/suite.schema.json
python -m orbit_context.suite.schema pipeline > docs/pipeline.schema.json
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
import textwrap
from typing import Any

from orbit_context.suite import checks, document, pipeline, request
from orbit_context.suite.base import Part
from orbit_context.suite.document import Suite

__all__ = ["SCHEMA_ID", "pipeline_schema", "suite_schema"]

SCHEMA_ID = "urn:orbit:suite:1"


def suite_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a suite file, as people write it.

    It refuses unknown keys and wrong kinds of values. What needs more than the shape of one value (names, cycles, one
    subject in an assertion) is found by `load_suite`.
    """
    made = Suite.model_json_schema(mode="validation")
    definitions = made.pop("$defs")
    made |= {"title": "Orbit suite", "description": "A suite of API tests."}
    for model in _models():
        form = made if model is Suite else definitions.get(model.__name__)
        if form is not None:
            _describe_fields(model, form["anyOf"][-1] if "anyOf" in form else form)
    # Rows are set when a data-driven test is expanded; nobody writes them.
    definitions["Test"]["properties"].pop("row")
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID, **made}
    schema["$defs"] = definitions
    _close_mappings(schema)
    return schema


def pipeline_schema() -> dict[str, Any]:
    """JSON Schema of a pipeline file. Steps that are not there, and cycles, are found by `load_pipeline`."""
    made = pipeline.Pipeline.model_json_schema(mode="validation")
    definitions = made.pop("$defs")
    made |= {"title": "Orbit pipeline", "description": "Suites of one project as one plan."}
    for model, form in (
        (pipeline.Pipeline, made),
        (pipeline.Step, definitions["Step"]),
        (pipeline.Selection, definitions["Selection"]),
    ):
        _describe_fields(model, form)
    needs = definitions["Step"]["properties"]["needs"]
    definitions["Step"]["properties"]["needs"] = {
        "description": needs.pop("description"),
        "anyOf": [{"type": "string"}, needs],
    }
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:orbit:pipeline:1", **made}
    schema["$defs"] = definitions
    _close_mappings(schema)
    return schema


def _models() -> list[type[Part]]:
    return [
        value
        for module in (checks, document, request)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Part) and value.__module__ == module.__name__
    ]


def _describe_fields(model: type[Part], schema: dict[str, Any]) -> None:
    """The text under a field in its class is what an editor shows. Read here, for pydantic would read it at import."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    if not isinstance(definition, ast.ClassDef):
        return
    for statement, following in zip(definition.body, definition.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
            and (field := model.model_fields.get(statement.target.id)) is not None
            and (shown := schema["properties"].get(field.alias or statement.target.id)) is not None
        ):
            shown["description"] = inspect.cleandoc(str(following.value.value))


def _close_mappings(value: Any) -> None:
    """Names that do not match the one pattern of a mapping are refused, as the models do."""
    if isinstance(value, dict):
        patterns = value.get("patternProperties")
        if isinstance(patterns, dict) and len(patterns) == 1 and value.get("type") == "object":
            ((pattern, member),) = value.pop("patternProperties").items()
            value["additionalProperties"] = member
            value["propertyNames"] = {**value.get("propertyNames", {}), "pattern": pattern}
        for member in value.values():
            _close_mappings(member)
    elif isinstance(value, list):
        for item in value:
            _close_mappings(item)


if __name__ == "__main__":
    json.dump(
        pipeline_schema() if sys.argv[1:] == ["pipeline"] else suite_schema(), sys.stdout, indent=2, ensure_ascii=False
    )
    sys.stdout.write("\n")
