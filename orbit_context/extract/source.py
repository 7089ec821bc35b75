"""Where a value comes from in a response: what captures take and assertions look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from orbit_context.errors import ExpressionError
from orbit_context.extract.evaluator import EvaluationError
from orbit_context.extract.jsonpath import compile_jsonpath
from orbit_context.extract.view import BodyError
from orbit_context.extract.wording import shape, shorten
from orbit_context.names import suggest

if TYPE_CHECKING:
    from orbit_context.extract.answers import Answers
    from orbit_context.extract.jsonpath import Dialect, JsonPath
    from orbit_context.extract.view import ResponseView

__all__ = [
    "COOKIE_ATTRIBUTES",
    "BodySource",
    "CookieSource",
    "HeaderSource",
    "JsonSource",
    "RegexSource",
    "Source",
    "StatusSource",
    "UrlSource",
    "XPathSource",
]

COOKIE_ATTRIBUTES = (
    "domain",
    "expires",
    "httponly",
    "max-age",
    "partitioned",
    "path",
    "priority",
    "samesite",
    "secure",
)
"""What may follow a cookie's name and a dot: `sid.httponly`. A cookie whose own name is spelt so comes first."""


class Source:
    """Finds values in a response; compiled once."""

    def __init__(self, where: str, *, is_single: bool = True, needs_evaluator: bool = False) -> None:
        self.where = where
        """`json $.id`, `header content-type`: how messages call it."""
        self.is_single = is_single
        """Whether it finds one value at most."""
        self.needs_evaluator = needs_evaluator
        """Whether it may have to ask an evaluator."""

    def find(self, view: ResponseView, answers: Answers) -> list[Any]:
        """The values, in order.

        Raises:
            BodyError: the body cannot be read as what is looked for in it.
            EvaluationError: the expression could not be evaluated.
            orbit_context.extract.answers.Pending: an evaluator was asked.
        """
        raise NotImplementedError

    def explain(self, view: ResponseView) -> tuple[str, str | None]:
        """Why nothing was found (a clause) and perhaps a hint."""
        raise NotImplementedError


class JsonSource(Source):
    def __init__(self, expression: str, dialect: Dialect) -> None:
        self.path: JsonPath = compile_jsonpath(expression, dialect)
        super().__init__(
            f"json {expression}", is_single=self.path.is_singular, needs_evaluator=self.path.needs_evaluator
        )

    def find(self, view: ResponseView, answers: Answers) -> list[Any]:
        path = self.path
        if path.needs_evaluator and not path.is_bounded(len(view.body)):
            kind: Literal["jsonpath", "jsonpath_ng"] = "jsonpath" if path.dialect == "rfc9535" else "jsonpath_ng"
            try:
                found: list[Any] = answers.ask(kind, path.expression, view.body)
            except EvaluationError as error:
                if error.code == "body":  # parsing is bounded: the view says it better, and keeps it
                    _ = view.json
                raise
            return found
        document = view.json
        try:
            return path.find(document)
        except ExpressionError as error:
            raise EvaluationError(error.message, code="expression", hint=error.hint) from None

    def explain(self, view: ResponseView) -> tuple[str, str | None]:
        return self.path.explain_missing(view.json)


class RegexSource(Source):
    def __init__(self, pattern: str, group: int | str | None, *, every: bool) -> None:
        import json

        from orbit_context.extract.regex import compile_regex

        super().__init__(f"regex {shorten(pattern)}", is_single=not every, needs_evaluator=True)
        self._regex = regex = compile_regex(pattern)
        self._every = every
        if group is None:
            self._group = 1 if regex.group_count else 0
        elif isinstance(group, str) and not group.isdecimal():
            if group not in regex.group_names:
                hint = suggest(group, regex.group_names)
                raise ExpressionError(f"the regular expression has no group named {group!r}", hint=hint)
            self._group = regex.group_names[group]
        else:
            self._group = int(group)
        if not 0 <= self._group <= regex.group_count:
            raise ExpressionError(f"the regular expression has {regex.group_count} groups, and no group {self._group}")
        self._question = json.dumps({"pattern": pattern, "group": self._group, "every": every})

    def find(self, view: ResponseView, answers: Answers) -> list[Any]:
        body = view.body if view.charset in (None, "utf-8", "ascii") else view.text.encode(errors="replace")
        if self._regex.is_bounded(len(body)):
            return self._regex.find(body, self._group, every=self._every)
        found: list[Any] = answers.ask("regex", self._question, body)
        return found

    def explain(self, view: ResponseView) -> tuple[str, str | None]:
        # No excerpt: what a capture looks for is often a secret that nobody knows yet.
        return (f"it does not match the body of {len(view.body):,} bytes" if view.body else "the body is empty"), None


class XPathSource(Source):
    def __init__(self, expression: str) -> None:
        from orbit_context.extract.xpath import check_xpath

        check_xpath(expression)
        self._expression = expression
        super().__init__(f"xpath {expression}", is_single=False, needs_evaluator=True)

    def find(self, view: ResponseView, answers: Answers) -> list[Any]:
        from orbit_context.extract.xpath import markup_of

        kind, body = markup_of(view)
        try:
            found: list[Any] = answers.ask(kind, self._expression, body)
        except EvaluationError as error:
            if error.code == "body":
                hint = error.hint
                if hint is None and view.media_type:
                    hint = f"The response says it is {view.media_type}."
                raise BodyError(error.message, hint=hint) from None
            raise
        return found

    def explain(self, view: ResponseView) -> tuple[str, str | None]:
        kind = "HTML" if view.is_html else "XML"
        return f"no node of the {kind} matches", None


class HeaderSource(Source):
    def __init__(self, name: str) -> None:
        self._name = name.lower()
        super().__init__(f"header {name}", is_single=False)

    def find(self, view: ResponseView, answers: Answers) -> list[Any]:
        return view.header_values(self._name)

    def explain(self, view: ResponseView) -> tuple[str, str | None]:
        names = view.header_names
        shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
        there = f"the response has {shown}" if names else "the response has no headers"
        return f"there is no such header; {there}", suggest(self._name, names)


class CookieSource(Source):
    def __init__(self, name: str) -> None:
        self._name = name
        base, dot, attribute = name.rpartition(".")
        is_attribute = bool(dot) and bool(base) and attribute.lower() in COOKIE_ATTRIBUTES
        self._base, self._attribute = (base, attribute.lower()) if is_attribute else ("", "")
        super().__init__(f"cookie {name}")

    def find(self, view: ResponseView, answers: Answers) -> list[Any]:
        cookie = view.cookie(self._name)
        if cookie is not None:
            return [cookie.value]
        if self._attribute and (cookie := view.cookie(self._base)) is not None:
            value = cookie.attributes.get(self._attribute)
            return [] if value is None else [value]
        return []

    def explain(self, view: ResponseView) -> tuple[str, str | None]:
        if self._attribute and (cookie := view.cookie(self._base)) is not None:
            there = ", ".join(cookie.attributes) or "none"
            return f"the cookie {self._base} has no attribute {self._attribute}; it has {there}", None
        names = list(dict.fromkeys(cookie.name for cookie in view.cookies))
        there = f"it sets {', '.join(names[:20])}" if names else "it sets none"
        return f"the response sets no such cookie; {there}", suggest(self._base or self._name, names)


class BodySource(Source):
    def __init__(self) -> None:
        super().__init__("body")

    def find(self, view: ResponseView, answers: Answers) -> list[Any]:
        return [view.text]

    def explain(self, view: ResponseView) -> tuple[str, str | None]:
        return shape(view.text), None


class StatusSource(Source):
    def __init__(self) -> None:
        super().__init__("status")

    def find(self, view: ResponseView, answers: Answers) -> list[Any]:
        return [view.status]

    def explain(self, view: ResponseView) -> tuple[str, str | None]:
        return f"the status is {view.status}", None


class UrlSource(Source):
    def __init__(self) -> None:
        super().__init__("url")

    def find(self, view: ResponseView, answers: Answers) -> list[Any]:
        return [view.url]

    def explain(self, view: ResponseView) -> tuple[str, str | None]:
        return f"the URL is {view.url}", None
