"""Every error Orbit raises on purpose, one class per meaning.

OrbitError
├── DefinitionError            a suite, environment, option or template is wrong: `file`, `line`, `column`, `field`
│   ├── TemplateError          a `{{ … }}` that does not parse, or names what does not exist
│   ├── ExpressionError        a JSONPath, regular expression, XPath or JSON Schema that does not compile
│   ├── CycleError             tests that wait for each other (OR010)
│   └── DefinitionErrors       several of these, found in one go: `errors`
├── RequestError               the database refused what was asked (SQLSTATE OR…)
│   ├── InvalidRequestError    OR001  the request is malformed
│   ├── NotFoundError          OR002  no such run, suite, environment, …
│   ├── NotAllowedError        OR003  the caller may not do this
│   ├── ConflictError          OR004  it exists already, or is in a state that forbids it
│   ├── NothingSelectedError   OR005  the selection matches no test
│   ├── TooManyRequestsError   OR006  too much in too short a time: `retry_after` seconds
│   ├── QuotaExceededError     OR007  what the organisation may use is used up
│   └── AuthenticationError    the token is missing, expired or forged, or the password is wrong
├── SecretKeyError             OR008  a secret cannot be sealed or opened with the key at hand
└── InfrastructureError        what Orbit stands on is missing or broken
    ├── DatabaseUnavailableError
    ├── SchemaMismatchError    the database holds another version of Orbit's schema
    └── EmbeddedPostgresError  the embedded server cannot be installed, started or found

Each carries `message` (one sentence), `detail` (what was seen) and `hint` (the next step). SQL raises the `OR…` codes
with MESSAGE, DETAIL and HINT; every gateway adapter maps them to the same classes through :func:`from_sqlstate`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "AuthenticationError",
    "ConflictError",
    "CycleError",
    "DatabaseUnavailableError",
    "DefinitionError",
    "DefinitionErrors",
    "EmbeddedPostgresError",
    "ExpressionError",
    "InfrastructureError",
    "InvalidRequestError",
    "NotAllowedError",
    "NotFoundError",
    "NothingSelectedError",
    "OrbitError",
    "QuotaExceededError",
    "RequestError",
    "SchemaMismatchError",
    "SecretKeyError",
    "TemplateError",
    "TooManyRequestsError",
    "from_sqlstate",
]


_RETRY_AFTER = re.compile(r"retry after (\d+(?:\.\d+)?) s\b")


class OrbitError(Exception):
    """Base of all errors that Orbit raises on purpose."""

    sqlstate: str | None = None

    def __init__(self, message: str, *, detail: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class DefinitionError(OrbitError):
    """A suite, environment, option or template is wrong; says where, as far as it is known.

    `field` is the path inside the document (`tests.login.request.timeout`); `line` and `column` count from 1.
    `errors` lists every error that was found: itself, or those of a `DefinitionErrors`.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        line: int | None = None,
        column: int | None = None,
        field: str | None = None,
        detail: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.file = file
        self.line = line
        self.column = column
        self.field = field

    @property
    def errors(self) -> tuple[DefinitionError, ...]:
        return (self,)

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        field = f"{self.field}: " if self.field else ""
        return f"{place}: {field}{self.message}" if place else f"{field}{self.message}"


class TemplateError(DefinitionError):
    """A `{{ … }}` does not parse, or names what does not exist.

    `source` is the expression; `source_column` counts from 1 inside the string that holds it, so that whoever knows where
    the string begins in a file can set `line` and `column`.
    """

    source: str | None = None
    source_column: int | None = None


class ExpressionError(DefinitionError):
    """A JSONPath, regular expression, XPath or JSON Schema does not compile."""


class CycleError(DefinitionError):
    """Tests wait for each other."""

    sqlstate = "OR010"


class DefinitionErrors(DefinitionError):  # noqa: N818 - it is several
    """More than one error in one document; prints one line for each."""

    def __init__(self, errors: Sequence[DefinitionError]) -> None:
        first = errors[0]
        super().__init__(f"{len(errors)} errors", file=first.file, line=first.line, column=first.column)
        self._errors = tuple(errors)

    @property
    def errors(self) -> tuple[DefinitionError, ...]:
        return self._errors

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self._errors)


class RequestError(OrbitError):
    """The database refused what was asked."""


class InvalidRequestError(RequestError):
    """The request is malformed."""

    sqlstate = "OR001"


class NotFoundError(RequestError):
    """What was named does not exist, or the caller may not see it."""

    sqlstate = "OR002"


class NotAllowedError(RequestError):
    """The caller may not do this."""

    sqlstate = "OR003"


class ConflictError(RequestError):
    """It exists already, or is in a state that forbids the request."""

    sqlstate = "OR004"


class NothingSelectedError(RequestError):
    """The selection matches no test."""

    sqlstate = "OR005"


class TooManyRequestsError(RequestError):
    """Too much was asked in too short a time.

    `retry_after`: seconds until it is worth asking again; None where nobody said. Without one, it is read from the detail, which
    SQL writes as `retry after 3.2 s`.
    """

    sqlstate = "OR006"

    def __init__(
        self, message: str, *, detail: str | None = None, hint: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, detail=detail, hint=hint)
        told = _RETRY_AFTER.search(detail or "")
        self.retry_after = float(told[1]) if told else retry_after


class QuotaExceededError(RequestError):
    """What the organisation may use is used up."""

    sqlstate = "OR007"


class AuthenticationError(RequestError):
    """The caller's token is missing, expired or forged, or the password is wrong."""


class SecretKeyError(OrbitError):
    """A secret cannot be sealed or opened with the key at hand."""

    sqlstate = "OR008"


class InfrastructureError(OrbitError):
    """What Orbit stands on is missing or broken."""


class DatabaseUnavailableError(InfrastructureError):
    """The database cannot be reached, or went away."""


class SchemaMismatchError(InfrastructureError):
    """The database holds another version of Orbit's schema than this program."""


class EmbeddedPostgresError(InfrastructureError):
    """The embedded Postgres cannot be installed, started or found."""


_BY_SQLSTATE: dict[str, type[OrbitError]] = {
    cls.sqlstate: cls
    for cls in (
        InvalidRequestError,
        NotFoundError,
        NotAllowedError,
        ConflictError,
        NothingSelectedError,
        TooManyRequestsError,
        QuotaExceededError,
        SecretKeyError,
        CycleError,
    )
    if cls.sqlstate
}


def from_sqlstate(sqlstate: str, message: str, detail: str | None = None, hint: str | None = None) -> OrbitError | None:
    """The error that stands for `sqlstate`; None where the code is not one of Orbit's."""
    cls = _BY_SQLSTATE.get(sqlstate) or (RequestError if sqlstate.startswith("OR") else None)
    return cls(message, detail=detail, hint=hint) if cls else None
