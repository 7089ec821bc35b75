"""What goes wrong while an expression is read or evaluated, before it is known in which string and field that was."""

from __future__ import annotations

__all__ = ["ExpressionFailure", "NoValue"]


class ExpressionFailure(Exception):  # noqa: N818 - the error is the TemplateError made of it
    """An expression is wrong or cannot be evaluated; the compiler turns it into a `TemplateError` with the place.

    Never carries a value of the scope: such a message is stored and printed. `column` counts from 1 in the string.
    """

    def __init__(
        self, message: str, *, column: int | None = None, detail: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.column = column
        self.detail = detail
        self.hint = hint


class NoValue(ExpressionFailure):
    """There is nothing where a value was looked for: a default may stand in."""
