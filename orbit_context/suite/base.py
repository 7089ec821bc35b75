"""What every part of a suite document has in common."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, JsonValue, StringConstraints

__all__ = ["Headers", "Json", "Key", "Part", "Scalar", "Text"]

Json = JsonValue
Scalar = str | int | float | bool | None
Text = Annotated[str, StringConstraints(max_length=65536)]
Key = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\s{}\[\]\"'|.][^{}\[\]\"'|.\r\n\t]*$")
]
"""A name that can stand in a template path: no dots, brackets, braces, quotes or bars, no white space at its start."""
Headers = dict[str, Any]


class Part(BaseModel):
    """A part of a suite document: unknown keys are refused, and nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, ser_json_inf_nan="strings")
