"""The client: save suites, start runs, watch and read them.

async with Orbit.connect("postgresql://…") as orbit:
    suite = load_suite("checkout.yaml")
    await orbit.suites.save(suite)
    run = await orbit.runs.start(suite="checkout", variables={"base_url": "https://staging.example"})
    async for event in orbit.runs.watch(run.id):
        print(event.kind, event.key, event.status)
    failures = await orbit.runs.results(run.id, status=["failed"])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from orbit_context.client.audit import Audit
from orbit_context.client.business_units import BusinessUnits
from orbit_context.client.credentials import Credentials
from orbit_context.client.environments import Environments
from orbit_context.client.fixtures import Fixtures
from orbit_context.client.limits import Limits
from orbit_context.client.operations import Channels, History, Schedules, Tokens, Workers
from orbit_context.client.organizations import Organizations
from orbit_context.client.permissions import Permissions
from orbit_context.client.preferences import Preferences
from orbit_context.client.projects import Projects
from orbit_context.client.report_templates import ReportTemplates
from orbit_context.client.runs import Runs
from orbit_context.client.searches import Searches
from orbit_context.client.secrets import Secrets
from orbit_context.client.suites import Suites
from orbit_context.client.variables import Variables
from orbit_context.context import TestExecutionContextManager

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from orbit_context.gateway.port import Gateway
    from orbit_context.gateway.supabase import Session
    from orbit_context.seal import Sealer

__all__ = [
    "Audit",
    "BusinessUnits",
    "Channels",
    "Credentials",
    "Environments",
    "Fixtures",
    "History",
    "Limits",
    "Orbit",
    "Organizations",
    "Permissions",
    "Preferences",
    "Projects",
    "ReportTemplates",
    "Runs",
    "Schedules",
    "Searches",
    "Secrets",
    "Suites",
    "Tokens",
    "Variables",
    "Workers",
]


class Orbit:
    """A client of one database, as one identity."""

    def __init__(self, gateway: Gateway, *, sealer: Sealer | None = None) -> None:
        self._gateway = gateway
        self._sealer = sealer
        self.suites = Suites(gateway)
        self.environments = Environments(gateway)
        self.variables = Variables(gateway, sealer)
        self.runs = Runs(gateway)
        self.secrets = Secrets(gateway, sealer)
        self.schedules = Schedules(gateway)
        self.channels = Channels(gateway)
        self.tokens = Tokens(gateway)
        self.workers = Workers(gateway)
        self.history = History(gateway)
        self.organizations = Organizations(gateway)
        self.business_units = BusinessUnits(gateway)
        self.projects = Projects(gateway)
        self.permissions = Permissions(gateway)
        self.fixtures = Fixtures(gateway)
        self.report_templates = ReportTemplates(gateway)
        self.credentials = Credentials(gateway, sealer)
        self.preferences = Preferences(gateway)
        self.searches = Searches(gateway)
        self.audit = Audit(gateway)
        self.limits = Limits(gateway)

    @classmethod
    def connect(cls, dsn: str, *, sealer: Sealer | None = None) -> Self:
        """A client straight to Postgres; connects at its first call."""
        from orbit_context.gateway.postgres import PostgresGateway

        return cls(PostgresGateway(dsn), sealer=sealer)

    @classmethod
    def connect_supabase(
        cls,
        url: str,
        key: str,
        *,
        session: Session | None = None,
        on_session: Callable[[Session | None], Awaitable[None] | None] | None = None,
        sealer: Sealer | None = None,
    ) -> Self:
        """A client of a Supabase project, as whoever is signed in (`session`), else as whom the key stands for.

        `sign_in` of the gateway makes a session; `on_session` is given each new one, to be stored. Needs the extra `supabase`.
        Raises DefinitionError and AuthenticationError for an address or key that can be none.
        """
        from orbit_context.gateway.supabase import SupabaseGateway

        return cls(SupabaseGateway(url, key, session=session, on_session=on_session), sealer=sealer)

    def context(self, run_id: UUID | str) -> TestExecutionContextManager:
        """The context of a run, to be read and written; also as `async with`."""
        return TestExecutionContextManager(self._gateway, run_id, sealer=self._sealer)

    async def close(self) -> None:
        await self._gateway.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
