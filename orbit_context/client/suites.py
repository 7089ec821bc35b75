"""`orbit.suites`: saving what is to be run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.gateway.requests import given
from orbit_context.models.library import Endpoint, SuiteSummary, TestSummary
from orbit_context.models.suites import SavedSuite
from orbit_context.suite.stored import document_to_json, suite_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from orbit_context.gateway.port import Gateway
    from orbit_context.suite.load import LoadedSuite

__all__ = ["Suites"]

_PAGE = 500


class Suites:
    """`orbit.suites`"""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def save(self, suite: LoadedSuite, *, organization: str | None = None) -> SavedSuite:
        """Saves a suite; saving the same again changes nothing. Values of secret variables are left out.

        Raises CycleError, InvalidRequestError, NotAllowedError.
        """
        document = suite.document
        request: dict[str, Any] = {
            "key": suite_key(document),
            "name": document.suite,
            "description": document.description,
            "document": document_to_json(document),
            "dependencies": [
                {"test": edge.dependent_key, "needs": edge.required_key, "kind": edge.kind} for edge in suite.edges
            ],
        }
        request |= given(project=document.project, organization=organization)
        if suite.fixtures:
            request["fixtures"] = [
                {"name": use.name, "version": use.version, "rows": use.rows} for use in suite.fixtures
            ]
        return SavedSuite.model_validate(await self._gateway.call("save_suite", request))

    async def find(
        self,
        *,
        tags: Sequence[str] | None = None,
        text: str | None = None,
        project: str | None = None,
        organization: str | None = None,
    ) -> list[SuiteSummary]:
        """By key: those with all these tags, and the text in key or name. Without project, of all one sees."""
        request = given(tags=tags, text=text, project=project, organization=organization)
        return [SuiteSummary.model_validate(row) async for row in self._pages("list_suites", request)]

    async def tests(
        self,
        *,
        suite: str | None = None,
        tags: Sequence[str] | None = None,
        text: str | None = None,
        enabled: bool | None = None,
        project: str | None = None,
        organization: str | None = None,
    ) -> list[TestSummary]:
        """Tests by key. `suite` is a suite's key; its tags count as each test's."""
        request = given(suite=suite, tags=tags, text=text, enabled=enabled, project=project, organization=organization)
        return [TestSummary.model_validate(row) async for row in self._pages("list_tests", request)]

    async def endpoints(
        self, *, tags: Sequence[str] | None = None, project: str | None = None, organization: str | None = None
    ) -> list[Endpoint]:
        """What the tests call, by path, with the tags of those tests and their suites."""
        request = given(tags=tags, project=project, organization=organization)
        return [Endpoint.model_validate(row) async for row in self._pages("list_endpoints", request)]

    async def _pages(self, function: str, request: dict[str, Any]) -> AsyncIterator[Any]:
        while True:
            page = await self._gateway.call(function, request | {"limit": _PAGE})
            for row in page["rows"]:
                yield row
            if page["next"] is None:
                return
            request = request | {"after": page["next"]}
