"""The names that the database defines for a suite: what a suite file is checked against before it is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orbit_context.client import Orbit
from orbit_context.errors import NotFoundError
from orbit_context.gateway.postgres import PostgresGateway
from orbit_context.suite.document import EnvironmentDocument, Variable
from orbit_runner.cli.target import ensure_schema

if TYPE_CHECKING:
    from pathlib import Path

    from orbit_runner.connection import DatabaseTarget

__all__ = ["DatabaseNames", "fetch_names"]


@dataclass(frozen=True)
class DatabaseNames:
    """Names without values: those come when a test begins."""

    names: frozenset[str]
    environment: EnvironmentDocument | None
    """The environment that was asked for, with the names of its own variables."""


async def fetch_names(
    target: DatabaseTarget, file: Path, environment: str | None, organization: str | None = None
) -> DatabaseNames:
    """Raises NotFoundError where there is no such environment."""
    from orbit_context.suite.document import Suite
    from orbit_context.suite.stored import suite_key
    from orbit_context.suite.yaml import read_document

    data = read_document(file).data
    data = data if isinstance(data, dict) else {}
    project = str(data["project"]) if data.get("project") else None
    key = suite_key(Suite.model_construct(suite=str(data.get("suite") or ""), id=data.get("id"), tests={}))
    gateway = PostgresGateway(target.dsn)
    async with Orbit(gateway) as orbit:
        await gateway.prepare(lambda connection: ensure_schema(connection, target))
        own: EnvironmentDocument | None = None
        if environment is not None:
            saved = await orbit.environments.get(environment, project=project, organization=organization)
            variables = {variable.name: Variable(secret=variable.secret) for variable in saved.variables}
            own = EnvironmentDocument(environment=environment, variables=variables)
        whose = {"organization": organization}
        here = {**whose, "project": project, "environment": environment}
        # A suite that is not saved yet has no variables of its own, nor has its project.
        for where in ({**here, "suite": key}, here, whose):
            try:
                found = await orbit.variables.resolve(**where)
            except NotFoundError:
                continue
            return DatabaseNames(frozenset(variable.name for variable in found.variables), own)
    return DatabaseNames(frozenset(), own)
