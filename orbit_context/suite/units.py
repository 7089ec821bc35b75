"""Durations and sizes as people write them: `800ms`, `10s`, `2m`; `10KiB`, `5MB`; a plain number is seconds or bytes."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

__all__ = ["Duration", "Size", "parse_duration", "parse_size"]

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {
    "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30,
}  # fmt: skip
_NUMBER_UNIT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]+)\s*")


def parse_duration(value: object) -> float:
    """Seconds. Accepts a number of seconds, or a number with a unit (us, ms, s, m, h, d)."""
    return _parse(value, _SECONDS, "a duration is a number of seconds, or a number with one of us, ms, s, m, h, d")


def parse_size(value: object) -> int:
    """Bytes. Accepts a number of bytes, or a number with a unit (B, kB, MB, GB, KiB, MiB, GiB)."""
    return int(
        _parse(value, _BYTES, "a size is a number of bytes, or a number with one of B, kB, MB, GB, KiB, MiB, GiB")
    )


def _parse(value: object, units: dict[str, float] | dict[str, int], rule: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    elif isinstance(value, str) and (match := _NUMBER_UNIT.fullmatch(value)) and match[2].lower() in units:
        number = float(match[1]) * units[match[2].lower()]
    else:
        raise ValueError(f"{value!r} is not understood: {rule}")
    if not 0 <= number < 1e15:
        raise ValueError(f"{value!r} is out of range: {rule}, and not negative")
    return number


Duration = Annotated[float, BeforeValidator(parse_duration, json_schema_input_type=float | str)]
"""Seconds."""
Size = Annotated[int, BeforeValidator(parse_size, json_schema_input_type=int | str)]
"""Bytes."""
