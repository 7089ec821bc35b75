"""What every part of a suite document has in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, JsonValue, StringConstraints

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

__all__ = ["Json", "Key", "Part", "Scalar", "TestKey", "Text"]

Json = JsonValue
Scalar = str | int | float | bool | None
Text = Annotated[str, StringConstraints(max_length=65536)]
Key = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\s{}\[\]\"'|.][^{}\[\]\"'|.\r\n\t]*$")
]
"""A name that can stand in a template path: no dots, brackets, braces, quotes or bars, no white space at its start."""
TestKey = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=320,
        pattern=r"^[^\s{}\[\]\"'|.][^{}\[\]\"'|.\r\n\t]*(\[[^{}\[\]\"'|\r\n\t]+\])?$",
    ),
]
"""The key of a test, or of one row of a data-driven test: `item[2]`."""


class Part(BaseModel):
    """A part of a suite document: unknown keys are refused, and nothing changes after it was read."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, ser_json_inf_nan="strings", defer_build=True
    )

    shorthands: ClassVar[tuple[dict[str, Any], ...]] = ()
    """JSON Schemas of the other forms that the part may be written in, besides the mapping of its fields."""
    shorthand_keys: ClassVar[dict[str, str]] = {}
    """Other names of fields, as they are written: name → the field's own."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        reference = handler(core_schema)
        schema = handler.resolve_ref_schema(reference)
        for name, field in cls.shorthand_keys.items():
            schema["properties"][name] = {**schema["properties"][field], "title": name}
        if cls.shorthands:
            mapping = dict(schema)
            schema.clear()
            schema |= {name: mapping.pop(name) for name in ("title", "description") if name in mapping}
            schema["anyOf"] = [*(dict(form) for form in cls.shorthands), mapping]
        return reference
