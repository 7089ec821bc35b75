"""A suite's checks, compiled."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from orbit_context.errors import DefinitionError, ExpressionError
from orbit_context.extract.answers import NO_EVALUATOR, gather
from orbit_context.suite.checks import OPERATORS
from orbit_runner.assertions.check import JsonBodyCheck, NotCheck, SchemaCheck, StatusCheck, ValueCheck
from orbit_runner.assertions.operation import QUANTIFIERS, Expected, compile_operations
from orbit_runner.assertions.subjects import status_subject, subject_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from orbit_context.extract.evaluator import Evaluator
    from orbit_context.extract.view import ResponseView
    from orbit_context.models.outcome import Failure
    from orbit_context.suite.checks import Check
    from orbit_runner.assertions.check import CompiledCheck
    from orbit_runner.assertions.operation import Render

    LoadSchema: TypeAlias = Callable[[str], Any]
    """A schema (as parsed JSON) by its path as the suite writes it; raises OSError or ValueError."""

__all__ = ["CompiledChecks", "compile_checks"]

_PLAIN_SUBJECTS = ("body", "time", "size", "redirects", "url")
# These may be null; for every other operator null means that it is not there.
_MAY_BE_NULL = ("equals", "not_equals", "contains", "not_contains", "includes")


class CompiledChecks:
    """The assertions of a test, in order. Immutable; may be shared."""

    __slots__ = ("_checks", "needs_evaluator")

    def __init__(self, checks: Sequence[CompiledCheck]) -> None:
        self._checks = tuple(checks)
        self.needs_evaluator: bool = any(check.needs_evaluator for check in self._checks)
        """Whether some responses need an evaluator; where none does, `evaluate` is all there is to it."""

    def __len__(self) -> int:
        return len(self._checks)

    def evaluate(self, view: ResponseView, render: Render | None = None) -> list[Failure]:
        """What does not hold, in order; every assertion is evaluated. Empty: all hold.

        What needs an evaluator is a failure of category `expression`; a name that is missing in an expected value is one
        of category `template`.
        """
        failures: list[Failure] = []
        for check in self._checks:
            failure = check.evaluate(view, render, NO_EVALUATOR)
            if failure is not None:
                failures.append(failure)
        return failures

    async def evaluate_with(
        self, view: ResponseView, render: Render | None = None, evaluator: Evaluator | None = None
    ) -> list[Failure]:
        """As `evaluate`, with an evaluator for what could take long on this response."""
        if not self.needs_evaluator:
            return self.evaluate(view, render)
        attempts = [partial(check.evaluate, view, render) for check in self._checks]
        return [failure for failure in await gather(attempts, evaluator) if failure is not None]


def compile_checks(
    checks: Sequence[Check],
    field: str = "expect",
    base_dir: Path | None = None,
    load_schema: LoadSchema | None = None,
) -> CompiledChecks:
    """Compile a test's assertions.

    Args:
        field: where they stand (`tests.login.expect`), for errors.
        base_dir: the suite file's folder; schema files lie beside it.
        load_schema: reads a schema file; JSON and YAML files under `base_dir` unless given.

    Raises:
        ExpressionError: a JSONPath, regular expression, XPath or schema does not compile.
        DefinitionError: an expected value fits no operator (`time: {lt: fast}`), or a schema file is missing.
        TemplateError: a template in an expected value does not parse.
    """
    load = load_schema or partial(_load_schema, base_dir)
    return CompiledChecks([_compile(check, f"{field}[{index}]", load) for index, check in enumerate(checks)])


def _compile(check: Check, field: str, load: LoadSchema) -> CompiledCheck:
    if check.negated is not None:
        return NotCheck(_compile(check.negated, f"{field}.not", load))
    given = check.model_fields_set
    if "status" in given:
        return _status(check, field)
    if "json_schema" in given:
        return _schema(check.json_schema, f"{field}.schema", load)
    try:
        subject = subject_of(check)
    except ExpressionError as error:
        key = "json" if check.json_path is not None else "xpath"
        error.field = f"{field}.{key}"
        raise
    mapping = _mapping(check)
    if "body" in given:
        as_json = _json_body(mapping, f"{field}.body")
        if as_json is not None:
            return as_json
    if "time" in given and "equals" in mapping:
        raise DefinitionError(
            "no exchange takes exactly that long", field=f"{field}.time", hint="Write time: {lt: 800ms}."
        )
    return ValueCheck(subject, compile_operations(mapping, subject, field))


def _mapping(check: Check) -> dict[str, Any]:
    """The operators of a check: beside its subject, or (`size: {lt: 10KiB}`, `url: http://…`) in place of its argument."""
    mapping: dict[str, Any] = {}
    given = check.model_fields_set
    for name in _PLAIN_SUBJECTS:
        value = getattr(check, name)
        if name in given and value is not None:
            if isinstance(value, dict) and value and set(value) <= {*OPERATORS, *QUANTIFIERS}:
                mapping.update(value)
            else:
                mapping["equals"] = value
    for name in (*OPERATORS, *QUANTIFIERS):
        attribute = "in_" if name == "in" else name
        if attribute in given:
            value = getattr(check, attribute)
            if value is not None or name in _MAY_BE_NULL:
                mapping[name] = value
    return mapping


def _json_body(mapping: dict[str, Any], field: str) -> CompiledCheck | None:
    """Objects and arrays are compared with the body as JSON; everything else with its text."""
    if len(mapping) != 1:
        return None
    ((name, value),) = mapping.items()
    if name not in ("equals", "not_equals", "includes") or not isinstance(value, dict | list):
        return None
    expected = Expected(value, field)
    return JsonBodyCheck(expected, negative=name == "not_equals", includes=name == "includes")


def _status(check: Check, field: str) -> CompiledCheck:
    value = check.status
    if value is None or isinstance(value, dict):
        subject = status_subject()
        mapping = _mapping(check) if value is None else value
        if not mapping:
            raise DefinitionError("say which status is expected", field=f"{field}.status")
        return ValueCheck(subject, compile_operations(mapping, subject, f"{field}.status"))
    expected = Expected(value, f"{field}.status")
    try:
        return StatusCheck(expected)
    except ValueError as error:
        raise DefinitionError(str(error), field=f"{field}.status") from None


def _schema(value: Any, field: str, load: LoadSchema) -> CompiledCheck:
    from orbit_context.extract.schema import bundle

    path = value if isinstance(value, str) else None
    try:
        if path is not None:
            try:
                value = load(path)
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                raise DefinitionError(f"the schema {path} cannot be read: {reason}", field=field) from None
        return SchemaCheck(bundle(value, path, load), path)
    except ExpressionError as error:
        error.field = field
        raise


def _load_schema(base_dir: Path | None, path: str) -> Any:
    import json

    if base_dir is None:
        raise ValueError("there is no folder to look in")
    base = base_dir.resolve()
    file = (base / path).resolve()
    if not file.is_relative_to(base):
        raise ValueError("it lies outside the suite's folder")
    text = file.read_text(encoding="utf-8")
    if file.suffix in (".yaml", ".yml"):
        import yaml

        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(f"it is not YAML: {error}") from None
    return json.loads(text)
