"""Names checked before anything is sent: against what a suite, an environment and a run are known to have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orbit_context.errors import TemplateError
from orbit_context.template.missing import missing_bare, missing_member
from orbit_context.template.scope import NAMESPACES
from orbit_context.template.syntax import Name

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from orbit_context.template.compiler import Reference, Template
    from orbit_context.template.failure import ExpressionFailure

__all__ = ["RUN_NAMES", "TEST_NAMES", "KnownNames", "check"]

RUN_NAMES = ("id", "started_at")
TEST_NAMES = ("key", "attempt")


@dataclass(frozen=True, slots=True)
class KnownNames:
    """Which names exist. None means that nothing is known about a namespace, and that every name in it may exist."""

    captured_data: Mapping[str, Collection[str] | None] | None = None
    """Test key → the names it captures (None: not known). What lies below a captured name is free."""
    shared_auth_tokens: Collection[str] | None = None
    shared_variables: Collection[str] | None = None
    vars: Collection[str] | None = None
    env: Collection[str] | None = None
    credentials: Mapping[str, Collection[str]] | None = None
    """Name → its fields."""
    row: Collection[str] | None = None
    bare: Mapping[str, tuple[str | int, ...]] = field(default_factory=dict)
    """Bare name of a capture → its absolute path, as in `Scope.bare`."""


def check(template: Template, known: KnownNames) -> list[TemplateError]:
    """What is wrong with the names of `template`, in their order.

    A default excuses a variable, token or row field that may be absent; it does not excuse a test that does not exist
    or a capture that its test never makes, for those can never be there.
    """
    errors = []
    for reference in template.references:
        failure = _failure(reference, known)
        if failure is not None:
            error = TemplateError(
                failure.message,
                file=template.file,
                field=reference.field or None,
                detail=failure.detail,
                hint=failure.hint,
            )
            error.source = reference.source
            error.source_column = reference.column
            errors.append(error)
    return errors


def _failure(reference: Reference, known: KnownNames) -> ExpressionFailure | None:
    root, path = reference.root, reference.path
    if root not in NAMESPACES:
        return _bare_failure(reference, known)
    if not path or isinstance(path[0], int):
        return None
    if root == "captured_data":
        return _capture_failure(path, known, reference.column)
    if root == "credentials":
        return None if reference.has_default else _credential_failure(path, known, reference.column)
    if root in ("run", "test"):
        names: Collection[str] | None = RUN_NAMES if root == "run" else TEST_NAMES
    else:
        names = getattr(known, root)
    if names is None or path[0] in names or (reference.has_default and root not in ("run", "test")):
        return None
    return missing_member(root, path[0], names, reference.column)


def _capture_failure(path: tuple[str | int, ...], known: KnownNames, column: int) -> ExpressionFailure | None:
    test = str(path[0])
    if known.captured_data is None:
        return None
    if test not in known.captured_data:
        return missing_member("captured_data", test, known.captured_data, column)
    names = known.captured_data[test]
    if names is None or len(path) < 2 or path[1] in names:
        return None
    return missing_member(f"captured_data.{test}", str(path[1]), names, column)


def _credential_failure(path: tuple[str | int, ...], known: KnownNames, column: int) -> ExpressionFailure | None:
    name = str(path[0])
    if known.credentials is None:
        return None
    if name not in known.credentials:
        failure = missing_member("credentials", name, known.credentials, column)
        failure.hint = failure.hint or f"Give it to the run: --credential {name}"
        return failure
    fields = known.credentials[name]
    if len(path) < 2 or path[1] in fields:
        return None
    return missing_member(f"credentials.{name}", str(path[1]), fields, column)


def _bare_failure(reference: Reference, known: KnownNames) -> ExpressionFailure | None:
    if reference.has_default or reference.root in known.bare:
        return None
    places = (known.row, known.vars, known.env)
    if any(names is None or reference.root in names for names in places):
        return None
    variables = {*(known.vars or ()), *(known.env or ())}
    name = Name(reference.root, reference.path, reference.source, reference.column)
    return missing_bare(name, known.row or (), variables, list(known.bare))
