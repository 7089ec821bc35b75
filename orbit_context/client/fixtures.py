"""`orbit.fixtures`: data sets that suites name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.gateway.requests import given
from orbit_context.models.library import DeletedFixture, Fixture, FixturePage, FixtureUsage, SavedFixture
from orbit_context.suite.data import FixtureRows, named_fixtures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from orbit_context.gateway.port import Gateway

__all__ = ["Fixtures"]


class Fixtures:
    """`orbit.fixtures`"""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def save(
        self,
        name: str,
        rows: Sequence[Mapping[str, Any]],
        *,
        columns: Sequence[str] | None = None,
        description: str | None = None,
        tags: Sequence[str] | None = None,
        project: str | None = None,
        organization: str | None = None,
    ) -> SavedFixture:
        """Saves a data set of up to 1 MiB of JSON; other rows make a new version. Description and tags left out stay.

        Raises InvalidRequestError, NotAllowedError.
        """
        if columns is None:
            columns = list(dict.fromkeys(column for row in rows for column in row))
        request = given(
            name=name,
            rows=[dict(row) for row in rows],
            columns=list(columns),
            description=description,
            tags=tags,
            project=project,
            organization=organization,
        )
        return SavedFixture.model_validate(await self._gateway.call("save_fixture", request))

    async def get(self, name: str, *, project: str | None = None, organization: str | None = None) -> Fixture:
        """With its rows. Raises NotFoundError, which lists the data sets there are."""
        request = given(name=name, project=project, organization=organization)
        return Fixture.model_validate(await self._gateway.call("get_fixture", request))

    async def find(
        self,
        *,
        tags: Sequence[str] | None = None,
        text: str | None = None,
        project: str | None = None,
        organization: str | None = None,
        limit: int = 50,
        after: Sequence[Any] | None = None,
    ) -> FixturePage:
        """By name, without their rows: those with all these tags, and the text in name or description."""
        request = given(tags=tags, text=text, project=project, organization=organization, limit=limit, after=after)
        return FixturePage.model_validate(await self._gateway.call("list_fixtures", request))

    async def usage(
        self, name: str, *, project: str | None = None, organization: str | None = None, limit: int = 50
    ) -> list[FixtureUsage]:
        """Which suites were saved with it and which runs used it, the newest first; also after its deletion."""
        request = given(name=name, project=project, organization=organization, limit=limit)
        answer = await self._gateway.call("list_fixture_usage", request)
        return [FixtureUsage.model_validate(row) for row in answer["rows"]]

    async def delete(
        self, name: str, *, force: bool = False, project: str | None = None, organization: str | None = None
    ) -> DeletedFixture:
        """Raises ConflictError where the latest version of a suite uses it, unless `force`; saved suites keep their rows."""
        request = given(name=name, force=force or None, project=project, organization=organization)
        return DeletedFixture.model_validate(await self._gateway.call("delete_fixture", request))

    async def for_suite(self, path: str | Path, *, organization: str | None = None) -> dict[str, FixtureRows]:
        """The data sets that a suite file names, for `load_suite(path, fixtures=…)`. What is not there is left out.

        Raises DefinitionError where the file cannot be read.
        """
        from orbit_context.errors import NotFoundError

        project, names = named_fixtures(path)
        found = {}
        for name in names:
            try:
                fixture = await self.get(name, project=project, organization=organization)
            except NotFoundError:
                continue  # load_suite says so, with the place in the file
            rows = [{column: row[column] for column in fixture.columns if column in row} for row in fixture.rows]
            found[name] = FixtureRows(name, fixture.version, rows)
        return found
