"""What goes wrong while an expression is read or evaluated, before it is known in which string and field that was."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orbit_context.template.syntax import Name

__all__ = ["ExpressionFailure", "MissingName"]


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


class MissingName(ExpressionFailure):
    """A name leads nowhere. The sentence about it is made only if no default stands in, for it is dear (near names)."""

    def __init__(self, name: Name | None, message: str = "", *, column: int | None = None) -> None:
        super().__init__(message, column=column)
        self.name = name
