"""`orbit.report_templates`: a project's own reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orbit_context.gateway.requests import given
from orbit_context.models.library import ReportTemplate

if TYPE_CHECKING:
    from orbit_context.gateway.port import Gateway
    from orbit_context.models.library import TemplateKind

__all__ = ["ReportTemplates"]


class ReportTemplates:
    """`orbit.report_templates`"""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def save(
        self,
        name: str,
        kind: TemplateKind,
        source: str,
        *,
        default: bool | None = None,
        project: str | None = None,
        organization: str | None = None,
    ) -> str:
        """Saves a Jinja template of up to 256 KiB; its name. Whether it is good Jinja is seen when it is rendered.

        Raises InvalidRequestError, NotAllowedError.
        """
        request = given(
            name=name, kind=kind, source=source, default=default, project=project, organization=organization
        )
        return str((await self._gateway.call("save_report_template", request))["name"])

    async def get(
        self, name: str = "default", *, project: str | None = None, organization: str | None = None
    ) -> ReportTemplate:
        """With its source; `default` is the project's default. Raises NotFoundError, which lists those there are."""
        request = given(name=name, project=project, organization=organization)
        return ReportTemplate.model_validate(await self._gateway.call("get_report_template", request))

    async def find(self, *, project: str | None = None, organization: str | None = None) -> list[ReportTemplate]:
        """By project and name, without their sources."""
        answer = await self._gateway.call("list_report_templates", given(project=project, organization=organization))
        return [ReportTemplate.model_validate(row) for row in answer]

    async def delete(self, name: str, *, project: str | None = None, organization: str | None = None) -> ReportTemplate:
        """What was deleted. Raises NotFoundError, NotAllowedError."""
        request = given(name=name, project=project, organization=organization)
        return ReportTemplate.model_validate(await self._gateway.call("delete_report_template", request))
