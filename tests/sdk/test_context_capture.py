"""Captures through the context manager: taken from a response, shared with the run, secrets sealed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orbit_context import Orbit, Sealer, build_suite
from orbit_context.extract.view import ResponseView
from orbit_context.seal import generate_key
from orbit_context.suite.checks import Capture

if TYPE_CHECKING:
    from support.postgres import Database

LOGIN = {"suite": "login", "version": 1, "tests": {"login": {"request": "http://127.0.0.1:9/"}}}


async def test_values_of_a_response_are_shared(database: Database) -> None:
    sealer = Sealer(generate_key())
    response = ResponseView(200, headers=[("X-Cart", "c-7")], body=b'{"token": "t0p", "ids": [4, 5]}')
    captures = {
        "token": Capture.model_validate({"json": "$.token", "share": "token"}),
        "ids": Capture.model_validate({"json": "$.ids[*]", "all": True}),
        "cart": Capture.model_validate({"header": "X-Cart", "share": "variable"}),
    }
    async with Orbit.connect(database.dsn, sealer=sealer) as orbit:
        saved = await orbit.suites.save(build_suite(LOGIN))
        run = await orbit.runs.start(suite_id=saved.suite_id)
        async with orbit.context(run.id) as context:
            taken = await context.capture_variables_from_response("login", response, captures)
            seen = await context.get_test_run_context()
    assert taken == {"token": "t0p", "ids": [4, 5], "cart": "c-7"}
    assert seen.shared_auth_tokens == {"token": "t0p"}
    assert seen.captured_data == {"login": taken}
    assert seen.shared_variables == {"cart": "c-7"}
    stored = str([dict(row) for row in database.fetch("select * from orbit.test_execution_context")])
    assert "t0p" not in stored
    assert "c-7" in stored
