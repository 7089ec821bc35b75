"""The request of a test: what is sent, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from orbit_context.suite.base import Json, Part, Scalar, Text
from orbit_context.suite.units import Duration, Size

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

__all__ = ["METHODS", "ApiKeyAuth", "Auth", "BasicAuth", "BearerAuth", "FilePart", "Redirects", "Request", "Tls"]

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE")


class BasicAuthFields(Part):
    username: Text
    password: Text = Field(repr=False)


class BasicAuth(Part):
    """`auth: {basic: {username: …, password: …}}`"""

    basic: BasicAuthFields


class BearerAuth(Part):
    """`auth: {bearer: "{{token}}"}`"""

    bearer: Text = Field(repr=False)


class ApiKeyFields(Part):
    name: Text
    value: Text = Field(repr=False)
    placed_in: Literal["header", "query", "cookie"] = Field("header", alias="in")


class ApiKeyAuth(Part):
    """`auth: {api_key: {name: X-Api-Key, value: …, in: header}}`"""

    api_key: ApiKeyFields


def _auth_kind(value: Any) -> str | None:
    """By its key: an error is then about the kind that was meant, not about all of them."""
    if value == "none":
        return "none"
    for kind in ("basic", "bearer", "api_key"):
        if kind in value if isinstance(value, dict) else hasattr(value, kind):
            return kind
    return None


Auth = Annotated[
    Annotated[BasicAuth, Tag("basic")]
    | Annotated[BearerAuth, Tag("bearer")]
    | Annotated[ApiKeyAuth, Tag("api_key")]
    | Annotated[Literal["none"], Tag("none")],
    Discriminator(
        _auth_kind,
        custom_error_type="auth_kind",
        custom_error_message="authentication is one of basic, bearer, api_key, or the word none",
    ),
]
"""How a request says who sends it; `none` says that nobody does, whatever the suite's default is."""


class Redirects(Part):
    """`redirects: {max: 5}`; `redirects: false` follows none, `true` follows at most ten."""

    shorthands: ClassVar[tuple[dict[str, Any], ...]] = ({"type": "boolean"}, {"enum": ["follow", "none"]})

    max: Annotated[int, Field(ge=0, le=50)] = 10

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        if value is True or value == "follow":
            return {}
        if value is False or value == "none":
            return {"max": 0}
        return value


class Tls(Part):
    """How the server's certificate is checked, and the client's own. Paths are relative to the suite file."""

    verify: bool = True
    ca: Text | None = None
    cert: Text | None = None
    key: Text | None = None
    key_password: Text | None = Field(None, repr=False)


class FilePart(Part):
    """A part of a multipart body that is a file: from a path beside the suite file, or from text in the suite."""

    file: Text | None = None
    content: Text | None = None
    filename: Text | None = None
    content_type: Text | None = None

    @model_validator(mode="after")
    def _one_source(self) -> FilePart:
        if (self.file is None) == (self.content is None):
            raise ValueError("a file part has either `file` (a path) or `content` (text)")
        return self


class Request(Part):
    """One HTTP request. `{GET: /path}` is short for `{method: GET, url: /path}`, a plain `/path` for a GET of it."""

    shorthands: ClassVar[tuple[dict[str, Any], ...]] = ({"type": "string"},)
    shorthand_keys: ClassVar[dict[str, str]] = dict.fromkeys(METHODS, "url")

    method: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9!#$%&'*+.^_`|~-]{0,31}$")] = "GET"
    url: Text
    path: dict[str, Scalar] = {}
    """Values of `{name}` placeholders in the URL's path; percent-encoded."""
    query: dict[str, Scalar | list[Scalar]] = {}
    headers: dict[str, Scalar | list[Scalar]] = {}
    """null takes away a header that the suite's defaults set."""
    cookies: dict[str, Scalar] = {}
    json_body: Json = Field(None, alias="json")
    form: dict[str, Scalar | list[Scalar]] | None = None
    multipart: dict[str, Scalar | FilePart | list[Scalar | FilePart]] | None = None
    body: Text | None = None
    """Sent as written (UTF-8)."""
    file: Text | None = None
    """Path of a file beside the suite, sent as the body."""
    auth: Auth | None = None
    """null means the suite's default; `none` means no authentication."""
    timeout: Duration | None = None
    """Seconds for the whole exchange: redirects, headers and body."""
    connect_timeout: Duration | None = None
    redirects: Redirects | None = None
    tls: Tls | None = None
    proxy: Text | None = None
    """`http://user:password@host:port`, or `env` for the usual environment variables."""
    http_version: Literal["auto", "1.1", "2"] | None = None
    max_body: Size | None = None
    """Bytes, after decompression."""

    @model_validator(mode="before")
    @classmethod
    def _method_as_key(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"method": "GET", "url": value}
        if not isinstance(value, dict):
            return value
        named = [key for key in value if key in METHODS]
        if not named:
            return value
        if len(named) > 1 or "method" in value or "url" in value:
            raise ValueError(f"a request has one method and URL; found {', '.join(named)} beside another")
        rest = {key: item for key, item in value.items() if key != named[0]}
        return {"method": named[0], "url": value[named[0]], **rest}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        reference = super().__get_pydantic_json_schema__(core_schema, handler)
        mapping = handler.resolve_ref_schema(reference)["anyOf"][-1]
        mapping["oneOf"] = [{"required": [name]} for name in ("url", *METHODS)]
        del mapping["required"]
        return reference

    @field_validator("timeout", "connect_timeout")
    @classmethod
    def _positive(cls, value: float | None) -> float | None:
        if value is not None and value <= 0:
            raise ValueError("a timeout is longer than zero")
        return value

    @model_validator(mode="after")
    def _one_body(self) -> Request:
        named = {"json": "json_body", "form": "form", "multipart": "multipart", "body": "body", "file": "file"}
        given = [key for key, field in named.items() if field in self.model_fields_set]
        if len(given) > 1:
            raise ValueError(f"a request has one body; found {' and '.join(given)}")
        return self

    @property
    def has_json(self) -> bool:
        """Whether `json` was given; `json: null` sends the text `null`."""
        return "json_body" in self.model_fields_set
