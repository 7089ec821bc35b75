"""`orbit worker`"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orbit_context.errors import DefinitionError
from orbit_context.gateway.postgres import connect
from orbit_runner.cli.exits import Exit
from orbit_runner.cli.target import ensure_schema, find_database, find_sealer
from orbit_runner.report.wording import visible
from orbit_runner.sandbox import Sandbox
from orbit_runner.transport.curl import CurlTransport
from orbit_runner.worker import Worker
from orbit_runner.worker.http import HttpRuns
from orbit_runner.worker.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orbit_context.errors import DatabaseUnavailableError
    from orbit_context.gateway.runner import Group
    from orbit_context.models.outcome import Outcome
    from orbit_runner.connection import DatabaseTarget
    from orbit_runner.worker import Executor, RunState

__all__ = ["ServeOptions", "serve"]

TOKEN_VARIABLE = "ORBIT_WORKER_TOKEN"  # noqa: S105 - its name
_OWN = ("ORBIT_DATABASE_URL", "ORBIT_SECRET_KEY", TOKEN_VARIABLE)
"""What of the worker's environment is none of a group's command's."""


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """As `orbit worker` takes them."""

    slots: int
    prefetch: int
    heartbeat: float
    lease: float
    name: str | None
    capabilities: tuple[str, ...]
    token: str | None
    group_setup: str | None
    group_setup_timeout: float | None
    drain_timeout: float | None
    max_tests: int | None
    once: bool
    as_json: bool


def serve(options: ServeOptions) -> Exit:
    import uvloop

    if not options.heartbeat * 2 <= options.lease:  # also where one of them is no number
        raise DefinitionError(
            f"a heartbeat every {options.heartbeat:g} s is too seldom for a lease of {options.lease:g} s",
            hint="give it two in a lease: --heartbeat 2.5 --lease 10",
        )
    target = find_database()
    sealer = find_sealer(target)

    async def main() -> Exit:
        if target.kind == "embedded":  # elsewhere a worker's role may read no table, the migrations' least of all
            connection = await connect(target.dsn)
            try:
                await ensure_schema(connection, target)
            finally:
                await connection.close()
        teller = _Teller(options, target)
        transport, sandbox = CurlTransport(), Sandbox()
        worker = Worker(
            target.dsn,
            slots=min(options.slots, options.max_tests or options.slots),
            prefetch=0 if options.max_tests else options.prefetch,
            executors=_Executors(HttpRuns(transport, sandbox), teller),
            sealer=sealer,
            name=options.name,
            capabilities=("http", *options.capabilities),
            token=options.token or os.environ.get(TOKEN_VARIABLE) or None,
            set_up_group=_by_command(options.group_setup, options.group_setup_timeout) if options.group_setup else None,
            watch=teller,
            heartbeat=options.heartbeat,
            lease=options.lease,
        )
        teller.worker = worker
        try:
            return await _until_told(worker, teller, options.drain_timeout)
        finally:
            await transport.close()
            await sandbox.close()

    code: Exit = uvloop.run(main())
    return code


async def _until_told(worker: Worker, teller: _Teller, drain_timeout: float | None) -> Exit:
    """Serves until a signal, or until the worker ends by itself."""
    loop = asyncio.get_running_loop()
    work = loop.create_task(worker.run())
    asked = False

    def give_back(why: str) -> None:
        teller.say("returning", f"{why}: handing back what still runs")
        work.cancel()

    def stop() -> None:
        nonlocal asked
        if asked:
            give_back("told twice")
            return
        asked = True
        teller.say("draining", "finishing what is running and taking nothing more; once more to hand it back at once")
        worker.drain()
        if drain_timeout is not None:
            loop.call_later(drain_timeout, give_back, f"not done after {drain_timeout:g} s")

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await work
    except asyncio.CancelledError:
        teller.ended("; others run what it handed back")
        return Exit.CANCELLED
    teller.ended()
    return Exit.PASSED


class _Teller(Watch):
    """Says what the worker does: a line each on standard error, or on standard output one JSON object a line."""

    def __init__(self, options: ServeOptions, target: DatabaseTarget) -> None:
        super().__init__()
        self.worker: Worker
        self._options = options
        self._shown = target.shown
        self._runs: dict[int, tuple[RunState, Counter[str]]] = {}
        self._begun = 0
        log = logging.getLogger("orbit_runner")
        log.addHandler(_Warnings(self))
        log.propagate = False

    def say(self, event: str, sentence: str, **fields: Any) -> None:
        if self._options.as_json:
            import orjson

            line = {"at": datetime.now(UTC).isoformat(), "event": event, "worker": self.worker.name, **fields}
            sys.stdout.write(orjson.dumps(line).decode() + "\n")
            sys.stdout.flush()
        else:
            sys.stderr.write(f"{visible(sentence)}\n")
            sys.stderr.flush()

    def registered(self) -> None:
        slots, able = self._options.slots, sorted({"http", *self._options.capabilities})
        more = f", for tests that ask for {', '.join(able)}" if len(able) > 1 else ""
        sentence = f"{self.worker.name} serves {self._shown} with {slots} slots{more}"
        self.say("serving", sentence, database=self._shown, slots=slots, capabilities=able)

    def took(self, state: RunState) -> Counter[str]:
        """The worker was handed tests of a run that is new to it; what is given back counts how they end."""
        suite = state.suite.document.suite
        counts: Counter[str] = Counter()
        self._runs[state.queue_no] = state, counts
        self.say("run_taken", f"takes part in run {state.run_id} of {suite}", run_id=state.run_id, suite=suite)
        return counts

    def left(self, queue_no: int) -> None:
        state, counts = self._runs.pop(queue_no, (None, Counter()))
        if state is not None:
            ended = ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "none"
            sentence = f"has left run {state.run_id}; tests that ended here: {ended}"
            self.say("run_left", sentence, run_id=state.run_id, tests=dict(counts))

    def ended(self, why: str = "") -> None:
        for queue_no in list(self._runs):
            self.left(queue_no)
        self.say("ended", f"{self.worker.name} ends{why}")

    def began(self) -> None:
        self._begun += 1
        if self._begun == self._options.max_tests:
            self.say("draining", f"{self._begun} tests have begun: taking nothing more")
            self.worker.drain()

    def idle(self) -> None:
        if self._options.once:
            self.worker.drain()

    def tell_away(self, error: DatabaseUnavailableError) -> None:
        self.say("database_away", f"{error} ({error.detail}); trying again", detail=error.detail)

    def tell_back(self, seconds: float) -> None:
        self.say("database_back", f"the database is back after {seconds:.1f} s", seconds=round(seconds, 1))


class _Warnings(logging.Handler):
    """What goes wrong inside the worker, in the same lines."""

    def __init__(self, teller: _Teller) -> None:
        super().__init__(logging.WARNING)
        self._teller = teller

    def emit(self, record: logging.LogRecord) -> None:
        self._teller.say("warning", record.getMessage(), message=record.getMessage())


class _Executors:
    """The executors of runs, with a count of what they do."""

    def __init__(self, runs: HttpRuns, teller: _Teller) -> None:
        self._runs = runs
        self._teller = teller

    def __call__(self, state: RunState) -> Executor:
        return _Counted(self._runs(state), self._teller, self._teller.took(state))


class _Counted:
    def __init__(self, executor: Executor, teller: _Teller, counts: Counter[str]) -> None:
        self._executor = executor
        self._teller = teller
        self._counts = counts

    async def run(self, position: int, attempt: int) -> Outcome:
        self._teller.began()
        outcome = await self._executor.run(position, attempt)
        self._counts[outcome.status] += 1
        return outcome


def _by_command(command: str, timeout: float | None) -> Callable[[Group], Awaitable[None]]:
    """Sets up groups by a command of the shell, which is told of the group in its environment."""

    async def set_up(group: Group) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in _OWN}
        environment |= {
            "ORBIT_GROUP": group.key,
            "ORBIT_GROUP_PROJECT": group.project,
            "ORBIT_GROUP_REQUIRES": " ".join(group.requires),
        }
        process = await asyncio.create_subprocess_shell(
            command, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True
        )
        try:
            async with asyncio.timeout(timeout):
                code = await process.wait()
        except TimeoutError:
            raise RuntimeError(f"the command that sets it up took longer than {timeout:g} s") from None
        finally:
            if process.returncode is None:  # what it started and left running when it ended, an emulator say, stays
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if code:
            raise RuntimeError(f"the command that sets it up ended with {code}")

    return set_up
