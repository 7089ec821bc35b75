"""XPath 1.0 on XML and HTML (lxml).

Names are written as the document writes them: `//feed/entry` also where the document declares a default namespace, and
`//soap:Body` where it declares that prefix (the first declaration counts if there are several). Whatever the document
says, `//*[local-name()='entry']` works too. Elements stand for their text, so `//h1` and `//h1/text()` both give text.

XML is parsed without external entities, network and huge trees; HTML as browsers read it, roughly.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from orbit_context.errors import ExpressionError
from orbit_context.extract.evaluator import EvaluationError
from orbit_context.extract.wording import shorten

if TYPE_CHECKING:
    from lxml import etree

    from orbit_context.extract.evaluator import Kind
    from orbit_context.extract.view import ResponseView

__all__ = ["MAX_NODES", "MAX_RESULT", "Markup", "check_xpath", "markup_of", "parse_html", "parse_xml"]

MAX_EXPRESSION = 4096
MAX_NODES = 10_000
"""Nodes that one expression may find."""
MAX_RESULT = 8 * 2**20
"""Characters that they may hold in all."""


@lru_cache(maxsize=1024)
def check_xpath(expression: str) -> None:
    """Nothing, if the expression can be compiled.

    Raises:
        ExpressionError: it cannot. The caller sets `field`.
    """
    from lxml import etree

    if len(expression) > MAX_EXPRESSION:
        raise ExpressionError(f"the XPath is longer than {MAX_EXPRESSION} characters")
    try:
        etree.XPath(expression)
    except (etree.XPathError, ValueError) as error:
        raise ExpressionError(f"the XPath {shorten(expression)} is not valid: {error}") from None


def markup_of(view: ResponseView) -> tuple[Kind, bytes]:
    """What an evaluator needs to know of a response: whether it is HTML or XML, and its bytes, in UTF-8 if need be."""
    charset = view.charset
    if charset in (None, "utf-8", "ascii") or view.body.startswith(
        (b"<?xml", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
    ):
        body = view.body
    else:
        body = view.text.encode()
    return ("xpath_html" if view.is_html else "xpath_xml"), body


class Markup:
    """A parsed document and the expressions that were compiled for it."""

    def __init__(self, root: etree._Element, namespaces: dict[str, str]) -> None:
        self._root = root
        self._namespaces = namespaces
        self._compiled: dict[str, etree.XPath] = {}

    def find(self, expression: str) -> list[Any]:
        """Text of each node found; one number, boolean or text where that is what the expression gives.

        Raises:
            EvaluationError: it does not compile with the document's prefixes, or finds too much.
        """
        from lxml import etree

        try:
            compiled = self._compiled.get(expression)
            if compiled is None:
                if len(self._compiled) >= 100:
                    self._compiled.clear()
                compiled = self._compiled[expression] = etree.XPath(
                    expression, namespaces=self._namespaces or None, smart_strings=False, regexp=False
                )
            result: Any = compiled(self._root)
        except etree.XPathError as error:
            message = f"the XPath cannot be evaluated: {error}"
            hint = None
            if "prefix" in str(error).lower():
                known = ", ".join(sorted(self._namespaces)) or "none"
                hint = f"The prefixes that the document declares: {known}. local-name() needs none."
            raise EvaluationError(message, code="expression", hint=hint) from None
        if isinstance(result, bool | str):
            return [result]
        if isinstance(result, float):
            if not math.isfinite(result):  # JSON has no word for them; these are XPath's
                return ["NaN" if math.isnan(result) else "Infinity" if result > 0 else "-Infinity"]
            return [int(result) if result.is_integer() else result]
        return _texts(result)


def _texts(nodes: list[Any]) -> list[Any]:
    if len(nodes) > MAX_NODES:
        raise EvaluationError(f"the XPath finds more than {MAX_NODES:,} nodes", code="too_large")
    texts: list[Any] = []
    size = 0
    for node in nodes:
        if isinstance(node, str):
            text = node
        elif isinstance(node, tuple):  # a namespace node: prefix and URI
            text = node[1] or ""
        elif isinstance(node.tag, str):
            text = "".join(node.itertext(with_tail=False))
        else:  # a comment or processing instruction
            text = node.text or ""
        size += len(text)
        if size > MAX_RESULT:
            raise EvaluationError(f"the XPath finds more than {MAX_RESULT // 2**20} MiB of text", code="too_large")
        texts.append(text)
    return texts


def parse_xml(body: bytes) -> Markup:
    """A well-formed XML document.

    Raises:
        EvaluationError: code `body`; it is not one, or uses entities that it may not.
    """
    from lxml import etree

    if not body.strip():
        raise EvaluationError("the body is empty, not XML", code="body")
    limits: dict[str, Any] = {"resolve_entities": "internal", "no_network": True, "load_dtd": False, "huge_tree": False}
    namespaces: dict[str, str] = {}
    try:
        if b"xmlns" in body or body[:2] in (b"\xff\xfe", b"\xfe\xff"):
            parser = etree.XMLPullParser(events=("start-ns",), **limits)
            parser.feed(body)
            root = parser.close()
            events: Any = parser.read_events()
            for _, (prefix, uri) in events:
                if prefix:
                    namespaces.setdefault(prefix, uri)
            _drop_default_namespaces(root)
        else:
            root = etree.fromstring(body, etree.XMLParser(**limits))
    except (etree.XMLSyntaxError, ValueError) as error:
        hint = None
        if body[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")):
            hint = "It looks like HTML, but its Content-Type does not say text/html."
        elif body.lstrip()[:1] in (b"{", b"["):
            hint = "It looks like JSON."
        raise EvaluationError(f"the body is not well-formed XML: {_reason(error)}", code="body", hint=hint) from None
    return Markup(root, namespaces)


def _reason(error: Exception) -> str:
    return str(getattr(error, "msg", None) or error)


def _drop_default_namespaces(root: etree._Element) -> None:
    from lxml import etree

    for element in root.iter(etree.Element):
        tag = element.tag
        if tag[0] == "{" and element.prefix is None:
            element.tag = tag[tag.index("}") + 1 :]


def parse_html(body: bytes) -> Markup:
    """An HTML document, read as tolerantly as a browser does: UTF-8 if it is valid as such, else as its `meta` says.

    Raises:
        EvaluationError: code `body`; there is nothing in it.
    """
    from lxml import etree

    try:
        body.decode()
        encoding = "utf-8"
    except UnicodeDecodeError:
        encoding = None
    parser = etree.HTMLParser(encoding=encoding, no_network=True, huge_tree=False)
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise EvaluationError(f"the body is not HTML: {error}", code="body") from None
    if root is None:
        raise EvaluationError("the body is empty, not HTML", code="body")
    return Markup(root, {})
