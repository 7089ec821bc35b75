"""The library of a project and of a person, as the database tells it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from orbit_context.models.base import Message

__all__ = [
    "ApiCredential",
    "CredentialType",
    "DeletedFixture",
    "Endpoint",
    "Entity",
    "Fixture",
    "FixturePage",
    "FixtureUsage",
    "Found",
    "ReportTemplate",
    "SavedCredential",
    "SavedFixture",
    "SavedSearch",
    "SuiteSummary",
    "TemplateKind",
    "TestSummary",
]

CredentialType = Literal["bearer", "basic", "api_key", "oauth2_client"]
TemplateKind = Literal["html", "md", "text"]
Entity = Literal["runs", "results", "suites", "tests", "fixtures"]


class SavedFixture(Message):
    """What saving a data set came to."""

    fixture_id: UUID
    name: str
    version: int
    row_count: int
    bytes: int
    columns: list[str]
    changed: bool
    """False where rows and columns were the same before."""


class Fixture(Message):
    """A data set. `rows` is empty in lists."""

    fixture_id: UUID
    project: str
    name: str
    description: str | None = None
    tags: list[str] = []
    columns: list[str]
    rows: list[dict[str, Any]] = []
    row_count: int
    bytes: int
    """Of the rows as JSON text."""
    version: int
    digest: str | None = None
    updated_at: datetime


class FixturePage(Message):
    """Data sets by name; `next` is given back as `after` for more."""

    rows: list[Fixture]
    next: list[Any] | None = None


class DeletedFixture(Message):
    """A data set that is no more, and the suites whose latest version used it."""

    name: str
    version: int
    suites: list[str] = []


class FixtureUsage(Message):
    """A suite was saved with a data set (`run_id` is None), or a run used it."""

    project: str
    name: str
    version: int
    rows_used: int
    suite: str
    run_id: UUID | None = None
    used_at: datetime
    deleted: bool = False
    """Whether that data set is gone."""


class SavedCredential(Message):
    """What saving a credential came to."""

    credential_id: UUID
    name: str
    credential_type: CredentialType
    place: str
    """What its secret part is sealed for: credential:<user id, or slug of the organisation>:<name>."""


class ApiCredential(Message):
    """A credential without its secret part, which nobody is ever shown."""

    credential_id: UUID
    name: str
    credential_type: CredentialType
    description: str | None = None
    username: str | None = None
    header_name: str | None = None
    token_url: str | None = None
    client_id: str | None = None
    scopes: list[str] = []
    has_secret: bool = False
    fields: list[str] = []
    """What templates say of it: `credentials.<name>.<field>`."""
    expires_at: datetime | None = None
    is_expired: bool = False
    last_used_at: datetime | None = None
    updated_at: datetime | None = None


class ReportTemplate(Message):
    """A report template. `source` is None in lists."""

    template_id: UUID
    project: str
    name: str
    kind: TemplateKind
    source: str | None = Field(default=None, repr=False)
    is_default: bool = False
    bytes: int
    updated_at: datetime


class SavedSearch(Message):
    """A search of one's own, or one that is shared with a project one sees."""

    search_id: UUID
    project: str | None = None
    name: str
    entity: Entity
    filter: dict[str, Any] = {}
    shared: bool = False
    mine: bool = True
    owner: str | None = None
    updated_at: datetime | None = None


class Found(Message):
    """A page of what a search finds; `next` is given back as `after` for more, None on the last."""

    name: str | None = None
    entity: Entity
    rows: list[dict[str, Any]]
    next: list[Any] | None = None


class SuiteSummary(Message):
    """A suite in a list."""

    id: UUID
    project: str
    key: str
    name: str
    description: str | None = None
    tags: list[str] = []
    version: int
    tests: int | None = None
    updated_at: datetime


class TestSummary(Message):
    """A test in a list. `path` is as it is written, templates unresolved."""

    __test__ = False

    id: UUID
    project: str
    suite: str
    key: str
    name: str
    description: str | None = None
    tags: list[str] = []
    enabled: bool
    method: str | None = None
    path: str | None = None


class Endpoint(Message):
    """What tests call, with the tags of those tests and of their suites."""

    id: UUID
    project: str
    method: str
    path: str
    tags: list[str] = []
    tests: int
