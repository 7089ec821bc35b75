"""A suite as a document: what a file, an importer or a program hands to Orbit.

One document is one suite: tests by key, in the order they are written. `orbit validate` and editors use the JSON Schema
that is made from these classes; the database stores the document as it is dumped by :meth:`Suite.to_json`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from orbit_context.suite.base import Json, Key, Part, Scalar, TestKey, Text
from orbit_context.suite.checks import Capture, Check, Expectations, checks_from_shorthand
from orbit_context.suite.request import Auth, Redirects, Request, Tls
from orbit_context.suite.units import Duration, Size, parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Backoff",
    "Checks",
    "Data",
    "Defaults",
    "EnvironmentDocument",
    "Need",
    "Poll",
    "Retry",
    "Suite",
    "Test",
    "Variable",
]

Checks = Annotated[
    list[Check],
    BeforeValidator(checks_from_shorthand, json_schema_input_type=list[Check] | Expectations | Check),
]
Tags = list[Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\s,]+$")]]
Capabilities = list[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.:-]{0,62}$")]]


class Backoff(Part):
    """The wait before attempt n+1: `initial × factor^(n-1)`, at most `max`, with jitter. `200ms..2s` gives both ends."""

    shorthands: ClassVar[tuple[dict[str, Any], ...]] = ({"type": ["string", "number"]},)

    initial: Duration = 0.2
    max: Duration = 10.0
    factor: Annotated[float, Field(ge=1, le=10)] = 2.0

    @model_validator(mode="before")
    @classmethod
    def _range(cls, value: Any) -> Any:
        if isinstance(value, str) and ".." in value:
            low, high = value.split("..", 1)
            return {"initial": parse_duration(low), "max": parse_duration(high)}
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return {"initial": parse_duration(value), "max": parse_duration(value), "factor": 1.0}
        return value


def _as_texts(value: Any) -> Any:
    items = value if isinstance(value, list) else [value]
    return [str(item) if isinstance(item, int) and not isinstance(item, bool) else item for item in items]


_CONDITION = r"^(network|timeout|assertion|any|[1-5]xx|[1-5][0-9][0-9](-[1-5][0-9][0-9])?)$"


def _as_condition(value: str) -> str:
    if not re.fullmatch(_CONDITION, value):
        raise ValueError(
            f"{value[:100]!r} is no reason for a retry: "
            "network, timeout, assertion, any, a status (503), a range (502-504) or a class (5xx)"
        )
    return value


RetryCondition = Annotated[str, AfterValidator(_as_condition), Field(json_schema_extra={"pattern": _CONDITION})]
_Status = Annotated[int, Field(ge=100, le=599)]
_RetryConditions = RetryCondition | _Status | list[RetryCondition | _Status]


class Retry(Part):
    """More attempts of a test that did not pass. Every attempt is recorded; a pass after one is `passed_on_retry`."""

    shorthands: ClassVar[tuple[dict[str, Any], ...]] = ({"type": "integer", "minimum": 0, "maximum": 20},)

    max: Annotated[int, Field(ge=0, le=20)]
    on: Annotated[list[RetryCondition], BeforeValidator(_as_texts, json_schema_input_type=_RetryConditions)] = [
        "network",
        "timeout",
    ]
    """`network`, `timeout`, `assertion`, `any`, a status (`503`), a range (`502-504`) or a class (`5xx`)."""
    backoff: Backoff = Field(default_factory=Backoff)

    @model_validator(mode="before")
    @classmethod
    def _count(cls, value: Any) -> Any:
        return {"max": value, "on": ["any"]} if isinstance(value, int) and not isinstance(value, bool) else value


class Poll(Part):
    """The request is repeated until every assertion of `until` holds or `within` is over; `expect` sees the last answer."""

    until: Checks
    every: Duration = 0.5
    within: Duration = 30.0


class Need(Part):
    """A test that must have passed before this one. A plain string is its key."""

    shorthands: ClassVar[tuple[dict[str, Any], ...]] = ({"type": "string"},)

    test: TestKey
    kind: Literal["order", "data", "token"] = "order"

    @model_validator(mode="before")
    @classmethod
    def _key(cls, value: Any) -> Any:
        return {"test": value} if isinstance(value, str) else value


class Data(Part):
    """Rows of a data-driven test: written here, in a CSV, JSON or YAML file beside the suite, or in a data set of the project.

    `key` names the field that tells rows apart; their number is taken without it.
    """

    shorthands: ClassVar[tuple[dict[str, Any], ...]] = (
        {"type": "string"},
        {"type": "array", "items": {"type": "object"}, "maxItems": 100_000},
    )

    rows: Annotated[list[dict[str, Json]], Field(max_length=100_000)] | None = None
    file: Text | None = None
    fixture: Text | None = None
    """The name of a data set that the database keeps: `orbit fixture list`."""
    key: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        if isinstance(value, list):
            return {"rows": value}
        return {"file": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_source(self) -> Data:
        if [self.rows, self.file, self.fixture].count(None) != 2:
            raise ValueError("data has rows, a file or a fixture, and one of them only")
        return self


class Variable(Part):
    """A variable's value. `{value: …, secret: true}` seals it in the database and masks it everywhere."""

    shorthands: ClassVar[tuple[dict[str, Any], ...]] = (
        {"type": ["string", "number", "boolean", "null", "array"]},
        {"type": "object", "not": {"required": ["value"]}},
    )

    value: Json = None
    secret: bool = False
    description: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        return value if isinstance(value, dict) and "value" in value else {"value": value}

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """A secret value is left out."""
        return ((name, found) for name, found in super().__repr_args__() if name != "value" or not self.secret)


Variables = dict[Key, Variable]


class Defaults(Part):
    """What holds for every request of the suite unless the request says otherwise."""

    base_url: Text | None = None
    headers: dict[str, Scalar | list[Scalar]] = {}
    query: dict[str, Scalar | list[Scalar]] = {}
    auth: Auth | None = None
    timeout: Duration = 30.0
    connect_timeout: Duration | None = None
    redirects: Redirects = Field(default_factory=Redirects)
    tls: Tls = Field(default_factory=Tls)
    proxy: Text | None = None
    http_version: Literal["auto", "1.1", "2"] = "auto"
    max_body: Size = 10 * 2**20
    retry: Retry | None = None


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str | dict) else value


class Test(Part):
    """One test: a request, what is taken from the answer, and what is expected of it."""

    __test__ = False  # not a pytest class

    id: Key | None = None
    """Keeps the history when the key changes; the key itself unless given."""
    name: Text | None = None
    description: Text | None = None
    tags: Tags = []
    needs: Annotated[list[Need], BeforeValidator(_as_list, json_schema_input_type=list[Need] | Need)] = []
    always: bool = False
    """Runs although what it needs in order failed: for clean-up."""
    requires: Annotated[Capabilities | None, BeforeValidator(_as_list, json_schema_input_type=Capabilities | str)] = (
        None
    )
    """What a worker must be able to do to take it; the suite's unless given."""
    skip: Text | None = None
    """Why the test is not run; what needs it is skipped too."""
    renamed_from: Key | None = None
    request: Request
    poll: Poll | None = None
    retry: Retry | None = None
    capture: dict[Key, Capture] = {}
    expect: Checks = []
    data: Data | None = None
    row: dict[str, Json] | None = Field(None, exclude=False)
    """Set when a data-driven test is expanded; not written by people."""


class Suite(Part):
    """A suite document."""

    version: Literal[1] = 1
    suite: Annotated[str, Field(min_length=1, max_length=200)]
    id: Key | None = None
    description: Text | None = None
    project: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    tags: Tags = []
    requires: Annotated[Capabilities, BeforeValidator(_as_list, json_schema_input_type=Capabilities | str)] = []
    """What a worker must be able to do to take its tests, if they say nothing else."""
    concurrency: Annotated[int, Field(ge=1, le=10_000)] | None = None
    timeout: Duration | None = None
    """Seconds for the whole run."""
    variables: Variables = {}
    defaults: Defaults = Field(default_factory=Defaults)
    tests: Annotated[dict[TestKey, Test], Field(min_length=1)]

    def to_json(self) -> dict[str, Any]:
        """The document as the database stores it: aliases, no defaults, JSON types only."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class EnvironmentDocument(Part):
    """An environment file: variables that take precedence over the suite's. `secrets` are sealed and masked."""

    version: Literal[1] = 1
    environment: Annotated[str, Field(min_length=1, max_length=200)]
    description: Text | None = None
    variables: Variables = {}
    secrets: dict[Key, Scalar] = Field({}, repr=False)
