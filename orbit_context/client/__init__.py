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

from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from orbit_context.client.agent_tokens import AgentTokens
    from orbit_context.client.audit import Audit
    from orbit_context.client.business_units import BusinessUnits
    from orbit_context.client.credentials import Credentials
    from orbit_context.client.environments import Environments
    from orbit_context.client.fixtures import Fixtures
    from orbit_context.client.limits import Limits
    from orbit_context.client.operations import Channels, History, Tokens, Workers
    from orbit_context.client.organizations import Organizations
    from orbit_context.client.permissions import Permissions
    from orbit_context.client.pipelines import Batches, Pipelines
    from orbit_context.client.preferences import Preferences
    from orbit_context.client.projects import Projects
    from orbit_context.client.report_templates import ReportTemplates
    from orbit_context.client.runs import Runs
    from orbit_context.client.schedules import Schedules
    from orbit_context.client.searches import Searches
    from orbit_context.client.secrets import Secrets
    from orbit_context.client.settings import Settings
    from orbit_context.client.status import DeadLetters, Queue
    from orbit_context.client.suites import Suites
    from orbit_context.client.variables import Variables
    from orbit_context.context import TestExecutionContextManager
    from orbit_context.gateway.port import Gateway
    from orbit_context.gateway.supabase import Session
    from orbit_context.seal import Sealer

__all__ = ["Orbit"]


class Orbit:
    """A client of one database, as one identity. Its rooms are opened when they are entered, for each takes time to load."""

    def __init__(self, gateway: Gateway, *, sealer: Sealer | None = None) -> None:
        self._gateway = gateway
        self._sealer = sealer

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

    @property
    def can_seal(self) -> bool:
        """Whether there is a key for secrets."""
        return self._sealer is not None

    def seal(self, value: Any, *, aad: str) -> str:
        """A secret in its sealed form, for one place. Raises SecretKeyError where there is no key."""
        if self._sealer is None:
            from orbit_context.errors import SecretKeyError

            raise SecretKeyError("there is no key to seal secrets with", hint="make one: orbit secret key")
        return self._sealer.seal(value, aad=aad)

    def context(self, run_id: UUID | str) -> TestExecutionContextManager:
        """The context of a run, to be read and written; also as `async with`."""
        from orbit_context.context import TestExecutionContextManager

        return TestExecutionContextManager(self._gateway, run_id, sealer=self._sealer)

    async def close(self) -> None:
        await self._gateway.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @cached_property
    def suites(self) -> Suites:
        """Saving what is to be run."""
        from orbit_context.client.suites import Suites

        return Suites(self._gateway)

    @cached_property
    def environments(self) -> Environments:
        """Where a project's tests run."""
        from orbit_context.client.environments import Environments

        return Environments(self._gateway)

    @cached_property
    def variables(self) -> Variables:
        """Variables by scope."""
        from orbit_context.client.variables import Variables

        return Variables(self._gateway, self._sealer)

    @cached_property
    def runs(self) -> Runs:
        """Starting, watching and reading runs."""
        from orbit_context.client.runs import Runs

        return Runs(self._gateway)

    @cached_property
    def batches(self) -> Batches:
        """Many runs at once."""
        from orbit_context.client.pipelines import Batches

        return Batches(self._gateway)

    @cached_property
    def pipelines(self) -> Pipelines:
        """Suites as one plan."""
        from orbit_context.client.pipelines import Pipelines

        return Pipelines(self._gateway)

    @cached_property
    def secrets(self) -> Secrets:
        """Secret variables."""
        from orbit_context.client.secrets import Secrets

        return Secrets(self._gateway, self._sealer)

    @cached_property
    def schedules(self) -> Schedules:
        """When runs start by themselves."""
        from orbit_context.client.schedules import Schedules

        return Schedules(self._gateway)

    @cached_property
    def channels(self) -> Channels:
        """Who is notified of what."""
        from orbit_context.client.operations import Channels

        return Channels(self._gateway)

    @cached_property
    def tokens(self) -> Tokens:
        """What triggers runs from outside."""
        from orbit_context.client.operations import Tokens

        return Tokens(self._gateway)

    @cached_property
    def agent_tokens(self) -> AgentTokens:
        """What workers show to register."""
        from orbit_context.client.agent_tokens import AgentTokens

        return AgentTokens(self._gateway)

    @cached_property
    def workers(self) -> Workers:
        """Who executes."""
        from orbit_context.client.operations import Workers

        return Workers(self._gateway)

    @cached_property
    def history(self) -> History:
        """What is known of runs that are over."""
        from orbit_context.client.operations import History

        return History(self._gateway)

    @cached_property
    def queue(self) -> Queue:
        """What waits and why, how it went, whether all is well."""
        from orbit_context.client.status import Queue

        return Queue(self._gateway)

    @cached_property
    def dead_letters(self) -> DeadLetters:
        """Tests that were given up."""
        from orbit_context.client.status import DeadLetters

        return DeadLetters(self._gateway)

    @cached_property
    def organizations(self) -> Organizations:
        """Organisations, their members and invitations."""
        from orbit_context.client.organizations import Organizations

        return Organizations(self._gateway)

    @cached_property
    def business_units(self) -> BusinessUnits:
        """Parts of an organisation that do not see each other's projects."""
        from orbit_context.client.business_units import BusinessUnits

        return BusinessUnits(self._gateway)

    @cached_property
    def projects(self) -> Projects:
        """Systems under test."""
        from orbit_context.client.projects import Projects

        return Projects(self._gateway)

    @cached_property
    def permissions(self) -> Permissions:
        """Grants, and who may do what, and why."""
        from orbit_context.client.permissions import Permissions

        return Permissions(self._gateway)

    @cached_property
    def fixtures(self) -> Fixtures:
        """Data sets."""
        from orbit_context.client.fixtures import Fixtures

        return Fixtures(self._gateway)

    @cached_property
    def report_templates(self) -> ReportTemplates:
        """Reports of one's own."""
        from orbit_context.client.report_templates import ReportTemplates

        return ReportTemplates(self._gateway)

    @cached_property
    def credentials(self) -> Credentials:
        """One's own API credentials."""
        from orbit_context.client.credentials import Credentials

        return Credentials(self._gateway, self._sealer)

    @cached_property
    def preferences(self) -> Preferences:
        """What one likes by default."""
        from orbit_context.client.preferences import Preferences

        return Preferences(self._gateway)

    @cached_property
    def searches(self) -> Searches:
        """Saved searches."""
        from orbit_context.client.searches import Searches

        return Searches(self._gateway)

    @cached_property
    def audit(self) -> Audit:
        """Who changed what."""
        from orbit_context.client.audit import Audit

        return Audit(self._gateway)

    @cached_property
    def limits(self) -> Limits:
        """Rates and quotas."""
        from orbit_context.client.limits import Limits

        return Limits(self._gateway)

    @cached_property
    def settings(self) -> Settings:
        """Defaults of runs, caps and rates by place."""
        from orbit_context.client.settings import Settings

        return Settings(self._gateway)
