"""`orbit.searches`: finding runs, results, suites, tests and data sets; questions that are asked again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.gateway.requests import given
from orbit_context.models.library import Found, SavedSearch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from orbit_context.gateway.port import Gateway
    from orbit_context.models.library import Entity

__all__ = ["Searches"]


class Searches:
    """`orbit.searches`"""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def save(
        self,
        name: str,
        entity: Entity,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - the word of the contract
        *,
        shared: bool = False,
        project: str | None = None,
        organization: str | None = None,
    ) -> str:
        """Saves a search of one's own, or replaces the one of that name; its name. Without project it looks in all one sees.

        Raises InvalidRequestError, naming the field.
        """
        request = given(
            name=name,
            entity=entity,
            filter=dict(filter or {}),
            shared=shared or None,
            project=project,
            organization=organization,
        )
        return str((await self._gateway.call("save_search", request))["name"])

    async def find(self, *, project: str | None = None, organization: str | None = None) -> list[SavedSearch]:
        """One's own, and those that are shared with a project one sees."""
        answer = await self._gateway.call("list_searches", given(project=project, organization=organization))
        return [SavedSearch.model_validate(row) for row in answer]

    async def run(
        self,
        name: str | None = None,
        *,
        entity: Entity | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - the word of the contract
        project: str | None = None,
        organization: str | None = None,
        limit: int = 50,
        after: Sequence[Any] | None = None,
    ) -> Found:
        """A page of what a saved search finds, or one by entity and filter.

        Raises NotFoundError, InvalidRequestError, ConflictError where two people share a search of that name.
        """
        request = given(
            name=name,
            entity=entity,
            filter=dict(filter) if filter is not None else None,
            project=project,
            organization=organization,
            limit=limit,
            after=after,
        )
        return Found.model_validate(await self._gateway.call("run_search", request))

    async def rows(self, name: str | None = None, **options: Any) -> AsyncIterator[dict[str, Any]]:
        """All that it finds, page by page. Options as of `run`."""
        while True:
            page = await self.run(name, **options)
            for row in page.rows:
                yield row
            if page.next is None:
                return
            options["after"] = page.next

    async def delete(self, name: str, *, organization: str | None = None) -> None:
        """One of one's own. Raises NotFoundError."""
        await self._gateway.call("delete_search", given(name=name, organization=organization))
