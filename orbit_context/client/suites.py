"""`orbit.suites`: saving what is to be run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.models.suites import SavedSuite
from orbit_context.suite.stored import document_to_json, suite_key

if TYPE_CHECKING:
    from orbit_context.gateway.port import Gateway
    from orbit_context.suite.load import LoadedSuite

__all__ = ["Suites"]


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
            "project": document.project,
            "key": suite_key(document),
            "name": document.suite,
            "description": document.description,
            "document": document_to_json(document),
            "dependencies": [
                {"test": edge.dependent_key, "needs": edge.required_key, "kind": edge.kind} for edge in suite.edges
            ],
        }
        if organization:
            request["organization"] = organization
        return SavedSuite.model_validate(await self._gateway.call("save_suite", request))
