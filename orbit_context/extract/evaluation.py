"""Evaluates expressions on documents, in whatever process it is called in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orbit_context.extract.evaluator import Kind

__all__ = ["evaluate"]


def evaluate(kind: Kind, expression: str, body: bytes) -> Any:
    """See :meth:`orbit_context.extract.evaluator.Evaluator.evaluate`."""
    raise NotImplementedError
