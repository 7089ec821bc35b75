"""A compiled test run against a server on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_runner.execute.compile import compile_test
from orbit_runner.execute.http import HttpExecutor
from support.hostile import HostileServer

from orbit_context.redact import Redactor
from orbit_context.suite.document import Defaults, Test
from orbit_context.template import Scope

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from pathlib import Path

    from orbit_runner.transport.port import Transport
    from support.hostile import Request

    from orbit_context.extract.evaluator import Evaluator
    from orbit_context.models.outcome import Outcome


class AnsweringServer(HostileServer):
    """Besides its misdeeds, answers `/answer` with what a test gave it, and `/count` with how often it was asked."""

    answer: tuple[int, bytes, list[tuple[str, str]]] = (200, b"", [])
    count = 0
    respond: Callable[[int], tuple[int, bytes]] | None = None

    async def do_answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        status, body, headers = self.answer
        self.reply(writer, request, status, body, headers)

    async def do_count(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        self.count += 1
        status, body = (200, b'{"count":%d}' % self.count) if self.respond is None else self.respond(self.count)
        if status == 0:
            return self._reset(writer)
        self.reply(writer, request, status, body, [("Content-Type", "application/json")])
        return True


class Bench:
    """Runs one test at a time: `await bench.run({"request": "/echo"}, user="demo")`."""

    def __init__(self, server: AnsweringServer, transport: Transport, base_dir: Path) -> None:
        self.server = server
        self.transport = transport
        self.base_dir = base_dir
        self.redactor = Redactor()
        self.evaluator: Evaluator | None = None
        self.defaults: dict[str, Any] = {}

    async def run(self, test: dict[str, Any], *, scope: Scope | None = None, **variables: Any) -> Outcome:
        defaults = Defaults.model_validate({"base_url": self.server.url(""), **self.defaults})
        compiled = compile_test("it", Test.model_validate(test), defaults, base_dir=self.base_dir)
        executor = HttpExecutor(self.transport, self.redactor, self.evaluator)
        return await executor.run(compiled, scope or Scope(vars=variables))

    async def sent(self, request: Any, **variables: Any) -> Request:
        """What the server got for `request`."""
        before = len(self.server.requests)
        outcome = await self.run({"request": request}, **variables)
        assert outcome.status == "passed", outcome
        assert len(self.server.requests) == before + 1
        return self.server.requests[-1]

    async def refused(self, request: Any, **variables: Any) -> Outcome:
        """The outcome of `request`, which must not have been sent."""
        before = self.server.connections
        outcome = await self.run({"request": request}, **variables)
        assert self.server.connections == before
        assert outcome.status == "errored", outcome
        return outcome
