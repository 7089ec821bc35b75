"""What assertions look at besides what can be captured: time, size, redirects; and how each subject reads values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.errors import DefinitionError
from orbit_context.extract.source import (
    BodySource,
    CookieSource,
    HeaderSource,
    JsonSource,
    Source,
    UrlSource,
    XPathSource,
)
from orbit_context.suite.units import parse_duration, parse_size
from orbit_runner.assertions.difference import show

if TYPE_CHECKING:
    from collections.abc import Callable

    from orbit_context.extract.answers import Answers
    from orbit_context.extract.view import ResponseView
    from orbit_context.suite.checks import Check

__all__ = ["Subject", "status_subject", "subject_of"]


class Subject:
    """A source of values and the rules for comparing them.

    Where a source can find several values (a JSONPath with a wildcard, an XPath, a repeated header), an operator is
    asked of their list; if exactly one was found, that value itself may meet it as well.
    """

    __slots__ = ("convert", "is_text", "joined", "path", "show", "source", "where")

    def __init__(
        self,
        source: Source,
        *,
        is_text: bool = False,
        joined: bool = False,
        convert: Callable[[Any], Any] | None = None,
        show: Callable[[Any], str] = show,
    ) -> None:
        self.source = source
        self.where = source.where
        self.path = source.path.expression if isinstance(source, JsonSource) and source.is_single else "$"
        """What differences inside its value are told below."""
        self.is_text = is_text
        """Its values are text whatever they mean, so that a number expected is compared with the number spelt."""
        self.joined = joined
        """Several values may also be read as one text, joined by commas: HTTP's rule for repeated headers."""
        self.convert = convert
        """Reads what is expected (`800ms`); raises ValueError."""
        self.show = show


class _Number(Source):
    def __init__(self, where: str, attribute: Callable[[ResponseView], float]) -> None:
        super().__init__(where)
        self._attribute = attribute

    def find(self, view: ResponseView, answers: Answers) -> list[Any]:
        return [self._attribute(view)]

    def explain(self, view: ResponseView) -> tuple[str, str | None]:
        return f"it is {self._attribute(view)}", None


def status_subject() -> Subject:
    """The status as a number, for operators: `status: {lt: 400}`."""
    return Subject(_Number("status", lambda view: view.status))


def subject_of(check: Check) -> Subject:
    """The subject of any check but `status`, `schema` and `not`.

    Raises:
        ExpressionError: its path does not compile.
    """
    given = check.model_fields_set
    if check.json_path is not None:
        return Subject(JsonSource(check.json_path, check.dialect or "rfc9535"))
    if check.header is not None:
        return Subject(HeaderSource(check.header), is_text=True, joined=True)
    if check.cookie is not None:
        return Subject(CookieSource(check.cookie), is_text=True)
    if check.xpath is not None:
        return Subject(XPathSource(check.xpath), is_text=True)
    if "body" in given:
        return Subject(BodySource(), is_text=True)
    if "time" in given:
        return Subject(_Number("time", lambda view: view.elapsed), convert=parse_duration, show=_show_seconds)
    if "size" in given:
        return Subject(_Number("size", lambda view: len(view.body)), convert=parse_size, show=_show_bytes)
    if "redirects" in given:
        return Subject(_Number("redirects", lambda view: view.redirects))
    if "url" in given:
        return Subject(UrlSource())
    raise DefinitionError("an assertion looks at nothing")


def _show_seconds(value: Any) -> str:
    if not isinstance(value, int | float):
        return show(value)
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.4g} s"


def _show_bytes(value: Any) -> str:
    return f"{value:,} bytes" if isinstance(value, int | float) else show(value)
