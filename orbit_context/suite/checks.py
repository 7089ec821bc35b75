"""Assertions and captures, as a suite writes them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from orbit_context.suite.base import Json, Part, Text

__all__ = [
    "OPERATORS",
    "SUBJECTS",
    "Capture",
    "Check",
    "Expectations",
    "checks_from_shorthand",
    "shorthand_paths",
]

SUBJECTS = ("status", "header", "cookie", "body", "json", "xpath", "schema", "time", "size", "redirects", "url")
OPERATORS = (
    "equals", "not_equals", "contains", "not_contains", "starts_with", "ends_with", "matches", "type", "length",
    "gt", "gte", "lt", "lte", "between", "in", "exists", "empty", "unique", "includes",
)  # fmt: skip


class Check(Part):
    """One assertion: a subject, one or more operators, perhaps negated or asked of any or all of many values.

    `{status: 200}` · `{status: 2xx}` · `{status: [200, 201]}` · `{header: content-type, contains: json}` ·
    `{json: $.items[*].price, all: {gt: 0}}` · `{json: $.id, type: integer}` · `{xpath: //h1/text(), equals: Hi}` ·
    `{schema: order.json}` · `{time: {lt: 800ms}}` · `{size: {lte: 10KiB}}` · `{not: {body: null, contains: error}}`
    """

    status: Json = None
    header: Text | None = None
    cookie: Text | None = None
    body: Json = None
    json_path: Text | None = Field(None, alias="json")
    xpath: Text | None = None
    json_schema: Json = Field(None, alias="schema")
    """A path beside the suite file, or the schema itself."""
    time: Json = None
    """Seconds of the whole exchange."""
    size: Json = None
    """Bytes of the body, after decompression."""
    redirects: Json = None
    """How many redirects were followed."""
    url: Json = None
    """The URL that answered, after redirects."""
    negated: Check | None = Field(None, alias="not")

    equals: Json = None
    not_equals: Json = None
    contains: Json = None
    not_contains: Json = None
    starts_with: Text | None = None
    ends_with: Text | None = None
    matches: Text | None = None
    """A regular expression (RE2), found anywhere in the text."""
    type: Literal["string", "number", "integer", "boolean", "object", "array", "null"] | Text | None = None
    length: Json = None
    """A number, or operators: `length: {gte: 1}`."""
    gt: Json = None
    gte: Json = None
    lt: Json = None
    lte: Json = None
    between: Annotated[list[Json], Field(min_length=2, max_length=2)] | None = None
    """Both ends included."""
    in_: list[Json] | None = Field(None, alias="in")
    exists: bool | None = None
    empty: bool | None = None
    unique: bool | None = None
    includes: Json = None
    """An object or array that the value contains: every member given is there and equal, others may be."""
    any: dict[str, Json] | None = None
    """Operators that at least one of the values meets."""
    all: dict[str, Json] | None = None
    """Operators that every value meets; no value at all fails."""
    dialect: Literal["rfc9535", "ng"] | None = None
    """For `json`: the query language; RFC 9535 unless told."""

    @model_validator(mode="after")
    def _one_subject(self) -> Check:
        given = self.model_fields_set
        if "negated" in given:
            if len(given) > 1 or self.negated is None:
                raise ValueError("`not` holds one assertion and stands alone")
            return self
        subjects = given & _SUBJECT_FIELDS
        if len(subjects) != 1:
            names = [name for name in SUBJECTS if _FIELD.get(name, name) in subjects]
            found = f"found {' and '.join(names)}" if names else "found none"
            raise ValueError(f"an assertion has one subject ({', '.join(SUBJECTS)}); {found}")
        if subjects <= _NEEDS_OPERATOR and given.isdisjoint(_OPERATOR_FIELDS):
            (subject,) = subjects
            if subject != "body" or self.body is None:
                name = subject.removesuffix("_path")
                raise ValueError(f"say what is expected of {name}: one of {', '.join(OPERATORS)}, any, all")
        for quantifier in (self.any, self.all):
            if quantifier is not None and (unknown := sorted(set(quantifier) - set(OPERATORS))):
                raise ValueError(f"unknown operator {unknown[0]!r}; the operators are {', '.join(OPERATORS)}")
        return self


_FIELD = {"json": "json_path", "schema": "json_schema", "in": "in_"}
_SUBJECT_FIELDS = frozenset(_FIELD.get(name, name) for name in SUBJECTS)
_OPERATOR_FIELDS = frozenset(_FIELD.get(name, name) for name in (*OPERATORS, "any", "all"))
_NEEDS_OPERATOR = frozenset({"header", "cookie", "json_path", "xpath", "body"})


class Capture(Part):
    """One value taken from the response. A plain string is a JSONPath: `capture: {order_id: $.id}`."""

    shorthands: ClassVar[tuple[dict[str, Any], ...]] = ({"type": "string"},)
    shorthand_keys: ClassVar[dict[str, str]] = {"jsonpath": "json"}

    json_path: Text | None = Field(None, alias="json")
    regex: Text | None = None
    xpath: Text | None = None
    header: Text | None = None
    cookie: Text | None = None
    body: Literal[True] | None = None
    status: Literal[True] | None = None
    url: Literal[True] | None = None
    group: int | str = 1
    """Of `regex`: the group's number or name; 0 is the whole match."""
    all: bool = False
    """A list of every match instead of the first."""
    type: Literal["string", "integer", "number", "boolean", "json"] | None = None
    """Converts what was found."""
    default: Json = None
    """Taken when nothing is found; without one, nothing found is a failure."""
    share: Literal["token", "variable"] | None = None
    """Also stored under `shared_auth_tokens` or `shared_variables`."""
    secret: bool | None = None
    """Sealed in the database and masked everywhere. Tokens are secret unless told otherwise."""
    dialect: Literal["rfc9535", "ng"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _jsonpath_as_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"json": value}
        if isinstance(value, dict) and "jsonpath" in value:
            if "json" in value:
                raise ValueError("`jsonpath` and `json` are two names of one thing; give one")
            return {("json" if key == "jsonpath" else key): item for key, item in value.items()}
        return value

    @model_validator(mode="after")
    def _one_source(self) -> Capture:
        names = ("json_path", "regex", "xpath", "header", "cookie", "body", "status", "url")
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("a capture takes from one of json, regex, xpath, header, cookie, body, status, url")
        return self

    @property
    def is_secret(self) -> bool:
        return self.share == "token" if self.secret is None else self.secret

    @property
    def has_default(self) -> bool:
        return "default" in self.model_fields_set


class Expectations(Part):
    """What is expected, by subject: the short form of a list of assertions. All of them must hold."""

    status: Json = None
    headers: dict[str, Json] = {}
    """By name: the value expected, or operators."""
    cookies: dict[str, Json] = {}
    json_path: dict[str, Json] = Field({}, alias="json")
    """By JSONPath: the value expected, or operators."""
    xpath: dict[str, Json] = {}
    body: Json = None
    json_schema: Json = Field(None, alias="schema")
    time: Json = None
    size: Json = None
    redirects: Json = None
    url: Json = None
    negated: Check | None = Field(None, alias="not")


def checks_from_shorthand(value: Any) -> Any:
    """`expect` as a mapping, made into a list of assertions; a list is returned as it is.

    {status: 200, json: {$.id: 1, $.name: {matches: ^Item}}, headers: {content-type: {contains: json}}}

    A mapping with an operator beside its subject is one assertion: {json: $.id, equals: 1}.
    """
    return [check for _, check in _split(value)] if isinstance(value, dict) else value


def shorthand_paths(value: dict[str, Any]) -> list[tuple[str, ...]]:
    """Where in the mapping each assertion comes from that `checks_from_shorthand` makes of it."""
    return [path for path, _ in _split(value)]


_BY_ARGUMENT = {"json": "json", "headers": "header", "cookies": "cookie", "xpath": "xpath"}


def _split(value: dict[str, Any]) -> list[tuple[tuple[str, ...], dict[str, Any]]]:
    if not _OPERATOR_KEYS.isdisjoint(value):
        return [((), value)]
    checks: list[tuple[tuple[str, ...], dict[str, Any]]] = []
    for key, item in value.items():
        if key in _BY_ARGUMENT and isinstance(item, dict):
            for argument, expected in item.items():
                operators = expected if _is_operators(expected) else {"equals": expected}
                checks.append(((key, argument), {_BY_ARGUMENT[key]: argument, **operators}))
        elif key in ("headers", "cookies"):
            raise ValueError(f"`{key}` maps names to what is expected of them")
        elif key == "body" and _is_operators(item):
            checks.append(((key,), {"body": None, **item}))
        else:
            checks.append(((key,), {key: item}))
    return checks


_OPERATOR_KEYS = frozenset({*OPERATORS, "any", "all", "dialect"})


def _is_operators(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and _OPERATOR_KEYS.issuperset(value)
