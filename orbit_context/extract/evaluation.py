"""Evaluates expressions on documents, in whatever process it is called in; no limits of its own but on results' size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.errors import ExpressionError
from orbit_context.extract.evaluator import DEFAULT_BUDGET, EvaluationError

if TYPE_CHECKING:
    from orbit_context.extract.evaluator import Kind
    from orbit_context.extract.schema import CompiledSchema
    from orbit_context.extract.xpath import Markup

__all__ = ["Document", "InProcessEvaluator", "SchemaCache", "evaluate", "load_engine"]

SchemaCache = dict[str, "CompiledSchema"]
_MAX_SCHEMAS = 64


class Document:
    """A body, parsed once as JSON, as XML or as HTML."""

    __slots__ = ("_html", "_json", "_xml", "body")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self._json: tuple[Any] | None = None
        self._xml: Markup | None = None
        self._html: Markup | None = None

    def json(self, *, fresh: bool = False) -> Any:
        """The body as JSON; `fresh` where the caller may change it."""
        from orbit_context.extract.view import BodyError, parse_json

        if self._json is None or fresh:
            try:
                parsed = parse_json(self.body)
            except BodyError as error:
                raise EvaluationError(error.message, code="body", hint=error.hint) from None
            if fresh:
                return parsed
            self._json = (parsed,)
        return self._json[0]

    def markup(self, kind: Kind) -> Markup:
        from orbit_context.extract.xpath import parse_html, parse_xml

        if kind == "xpath_html":
            if self._html is None:
                self._html = parse_html(self.body)
            return self._html
        if self._xml is None:
            self._xml = parse_xml(self.body)
        return self._xml


def load_engine(kind: Kind) -> None:
    """Import what `kind` needs, so that the first evaluation is not charged for it."""
    if kind == "jsonpath":
        import jsonpath_rfc9535  # noqa: F401
    elif kind == "jsonpath_ng":
        import jsonpath_ng.ext  # noqa: F401
    elif kind == "regex":
        import re2  # noqa: F401
    elif kind == "schema":
        import jsonschema
        import jsonschema.validators  # noqa: F401
    elif kind in ("report_html", "report_text", "report_check"):
        import jinja2.sandbox  # noqa: F401
    else:
        from lxml import etree  # noqa: F401


def evaluate(kind: Kind, expression: str, document: bytes | Document, schemas: SchemaCache | None = None) -> Any:
    """See :meth:`orbit_context.extract.evaluator.Evaluator.evaluate`.

    Args:
        document: the body, or one that is kept parsed between calls.
        schemas: where compiled schemas are kept between calls.
    """
    if not isinstance(document, Document):
        document = Document(document)
    try:
        if kind == "jsonpath":
            from orbit_context.extract.jsonpath import compile_jsonpath

            return compile_jsonpath(expression).find(document.json())
        if kind == "jsonpath_ng":
            from orbit_context.extract.jsonpath import compile_jsonpath

            # Its extensions (`sorted`) change the document they look at.
            return compile_jsonpath(expression, "ng").find(document.json(fresh=True))
        if kind == "regex":
            import orjson

            from orbit_context.extract.regex import compile_regex

            how = orjson.loads(expression)
            return compile_regex(how["pattern"]).find(document.body, how["group"], every=how["every"], seconds=None)
        if kind == "schema":
            return _schema(expression, schemas).violations(document.json())
        if kind in ("report_html", "report_text", "report_check"):
            from orbit_context.extract.report import check_report, render_report

            if kind == "report_check":
                return check_report(expression)
            return render_report(expression, document.json(), "html" if kind == "report_html" else "text")
        return document.markup(kind).find(expression)
    except ExpressionError as error:
        raise EvaluationError(error.message, code="expression", hint=error.hint) from None
    except RecursionError:
        raise EvaluationError("the document is nested too deeply for the expression", code="expression") from None


class InProcessEvaluator:
    """Evaluates in a thread of this process, with no limit but the result's size: for expressions and documents you trust.

    A runner uses a sandbox instead (:mod:`orbit_runner.sandbox`).
    """

    async def evaluate(self, kind: Kind, expression: str, body: bytes, budget: float = DEFAULT_BUDGET) -> Any:
        import asyncio

        return await asyncio.to_thread(evaluate, kind, expression, body)


def _schema(text: str, schemas: SchemaCache | None) -> CompiledSchema:
    from orbit_context.extract.schema import CompiledSchema

    if schemas is None:
        return CompiledSchema(text)
    compiled = schemas.get(text)
    if compiled is None:
        if len(schemas) >= _MAX_SCHEMAS:
            schemas.clear()
        compiled = schemas[text] = CompiledSchema(text)
    return compiled
