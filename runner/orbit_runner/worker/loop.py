"""The worker: claims tests, executes them side by side, and reports what became of them, one round trip a loop."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections import deque
from contextlib import suppress
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from orbit_context import __version__
from orbit_context.errors import ConflictError, DatabaseUnavailableError, InvalidRequestError, OrbitError
from orbit_context.gateway.patience import patiently
from orbit_context.gateway.runner import ContextDelta, Job, Report, RunnerGateway
from orbit_context.models.outcome import Outcome
from orbit_runner.worker.heartbeat import HEARTBEAT_SECONDS, LEASE_SECONDS, Heartbeat
from orbit_runner.worker.loading import Loader
from orbit_runner.worker.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from orbit_context.gateway.runner import Advance, Group
    from orbit_context.seal import Sealer
    from orbit_runner.worker.executor import Executor, ExecutorFactory
    from orbit_runner.worker.run_state import RunState

__all__ = ["Worker"]

_log = logging.getLogger(__name__)

_IDLE_SHORT, _IDLE_LONG = 0.02, 0.5
_LOW_RESET = 0.25
_AFTER = 0.05
_NEGATIVE_INFINITY = float("-inf")
_UNRECORDABLE = {
    "category": "internal",
    "reason": "a fault inside Orbit: its outcome could not be recorded; the worker's log says why",
}


def _default_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


class Worker:
    """Executes tests until it is told to stop, or until the run `until` is finished.

        worker = Worker(dsn, slots=20, executors=HttpExecutors(…))
        await worker.run()

    `slots` is how many tests run at once; `prefetch` how many more it may hold, which hides the round trip but is lost with the
    worker. `deadline`: seconds until the run `until` is over its time, so that it is looked at then. Cancelling the task that
    runs it hands back everything it holds. `token`: a worker token. `set_up_group` is awaited once for each affinity group that
    the worker takes, before it is handed the group's tests; whatever it raises sends the group to another worker. `watch` is told
    what happens to it.
    """

    def __init__(
        self,
        dsn: str,
        *,
        slots: int,
        executors: ExecutorFactory,
        sealer: Sealer | None = None,
        lane: int = 0,
        until: int | None = None,
        deadline: float | None = None,
        prefetch: int = 0,
        name: str | None = None,
        capabilities: Sequence[str] = ("http",),
        token: str | None = None,
        set_up_group: Callable[[Group], Awaitable[None]] | None = None,
        watch: Watch | None = None,
        heartbeat: float = HEARTBEAT_SECONDS,
        lease: float = LEASE_SECONDS,
    ) -> None:
        self.name = _default_name() if name is None else name
        self._is_named = name is not None
        self.id: int | None = None
        self._gateway = RunnerGateway(dsn)
        self._dsn = dsn
        self._slots = slots
        self._prefetch = prefetch
        self._executors = executors
        self._lane = lane
        self._until = until
        self._deadline = deadline
        self._beat: Heartbeat | None = None
        self._capabilities = capabilities
        self._token = token
        self._set_up_group = set_up_group
        self._watch = watch or Watch()
        self._setting_up: set[asyncio.Task[None]] = set()
        self._set_up: list[tuple[Group, str | None]] = []
        self._interval = heartbeat
        self._lease = lease
        self._states: dict[int, asyncio.Task[tuple[RunState, Executor]]] = {}
        self._known: dict[int, int] = {}
        self._running: dict[int, asyncio.Task[None]] = {}
        self._waiting: deque[Job] = deque()
        self._held: dict[int, int] = {}
        self._reports: list[Report] = []
        self._stopping: set[int] = set()
        self._wake = asyncio.Event()
        self._drain = self._drain_untold = False
        self._ready = False
        self._lost = False
        self._low = _NEGATIVE_INFINITY
        self._low_since = 0.0
        self._one_by_one = 0
        self._loader = Loader(
            dsn, worker=lambda: self.id or 0, held=lambda: self._held, sealer=sealer, lease=lease, lost=self._give_up
        )
        self.finished: dict[int, str] = {}
        """The verdict of the run `until`, by its queue_no, if it was this worker that brought it to its end."""

    def preload(self, state: RunState) -> None:
        """Spares the first load of a run that this process knows already."""

        async def ready() -> tuple[RunState, Executor]:
            return state, self._executors(state)

        self._states[state.queue_no] = asyncio.ensure_future(ready())
        self._known[state.queue_no] = state.context_version

    def drain(self) -> None:
        """Claims nothing more; the worker ends when what it holds is done."""
        self._drain = self._drain_untold = True
        self._wake.set()

    async def run(self) -> None:
        """Raises DatabaseUnavailableError where the database stays away for a minute."""
        await self._register()
        if self._deadline is not None:
            asyncio.get_running_loop().call_later(self._deadline + _AFTER, self._look_up)
        idle = _IDLE_SHORT
        look_at = 0.0  # when to ask for work although there is nothing to report
        try:
            while self._until is None or self._until not in self.finished:
                if self._lost:
                    await self._start_again()
                want = 0 if self._drain else max(self._slots + self._prefetch - len(self._held) + len(self._reports), 0)
                await self._tell()
                if self._ready:
                    look_at, idle, self._ready = 0.0, _IDLE_SHORT, False
                now = time.monotonic()
                if not self._reports and (want == 0 or now < look_at):
                    if self._drain and not self._held and not self._setting_up:
                        return
                    await self._woken(self._lease if want == 0 else look_at - now)
                    continue
                batch = 1 if self._one_by_one else len(self._reports)
                reports, self._reports = self._reports[:batch], self._reports[batch:]
                if now - self._low_since > _LOW_RESET:
                    self._low, self._low_since = _NEGATIVE_INFINITY, now
                try:
                    answer = await self._gateway.advance(
                        self.id or 0, self._lane, want, reports, self._low, self._known
                    )
                except DatabaseUnavailableError:
                    self._reports = reports + self._reports
                    await self._come_back()
                    continue
                except InvalidRequestError as error:
                    self._reports = self._recordable(reports, error) + self._reports
                    continue
                self._one_by_one = max(self._one_by_one - len(reports), 0)
                for report in reports:
                    # After a lost reply it may be a later attempt of the same test that is held.
                    if self._held.get(report.job_id) == report.attempt:
                        del self._held[report.job_id]
                self._take(answer, want)
                if not (
                    answer.jobs or answer.groups or self._held or self._reports or self._setting_up or self._set_up
                ):
                    self._watch.idle()
                idle = _IDLE_SHORT if answer.jobs else min(idle * 2, _IDLE_LONG)
                pause = idle if answer.next_in is None else min(idle, answer.next_in)
                if not answer.jobs:
                    # What is there somebody else has locked, or it lies below what was passed over: no asking without a breath.
                    pause, self._low = max(pause, _IDLE_SHORT), _NEGATIVE_INFINITY
                look_at = time.monotonic() + (0.0 if len(answer.jobs) >= want else pause)
        finally:
            await self._leave()

    def _recordable(self, reports: list[Report], error: InvalidRequestError) -> list[Report]:
        """What can be said of tests one of whose reports the database refuses: one such must not keep back the others."""
        if len(reports) > 1:
            self._one_by_one = len(reports)
            return reports
        if not reports or reports[0].extra == _UNRECORDABLE:
            raise error
        report = reports[0]
        _log.error("the outcome of job %d, attempt %d cannot be recorded: %s", report.job_id, report.attempt, error)
        return [Report(report.job_id, report.attempt, "errored", report.duration, dict(_UNRECORDABLE))]

    async def _woken(self, seconds: float) -> None:
        """Waits for something to report or heed, at most that long."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    def stop_run(self, queue_no: int) -> None:
        """Ends the tests of a run that is being stopped, as one would hear of it at the next heartbeat."""
        self._heed([queue_no])

    def _look_up(self) -> None:
        if self._beat is not None:
            self._beat.nudge()

    async def _register(self) -> None:
        instance = uuid4()
        while True:
            try:
                self.id = await self._watch.patiently(
                    lambda: self._gateway.register(
                        self.name, self._slots, self._capabilities, __version__, self._token, instance
                    )
                )
                break
            except ConflictError:
                if self._is_named:
                    raise
                self.name = f"{_default_name()}-{token_hex(2)}"  # another one of this process, or of a container's twin
        self._lost = False
        self._watch.registered()
        loop = asyncio.get_running_loop()

        def lost() -> None:
            self._lost = True
            self._wake.set()

        def from_thread(callback: object, *arguments: object) -> None:
            with suppress(RuntimeError):  # the loop may have been closed by now
                loop.call_soon_threadsafe(callback, *arguments)  # type: ignore[arg-type]

        self._beat = Heartbeat(
            self._dsn,
            self.id,
            runs=lambda: list({job >> 20 for job in list(self._held)} | set(self._states)),
            on_lost=lambda: from_thread(lost),
            on_stopping=lambda runs: from_thread(self._heed, runs),
            on_variables=lambda: from_thread(self._doubt_variables),
            on_ready=None if self._lane else lambda: from_thread(self._look),
            starts_due=self._lane == 0,  # who works for one run alone would start what it does not execute
            watch=self._watch,
            interval=self._interval,
            lease=self._lease,
        )
        self._beat.start()

    def _look(self) -> None:
        """The database says that there is something to be taken."""
        self._ready = True
        self._wake.set()

    async def _tell(self) -> None:
        """What the database is told beside outcomes: that this worker goes, and how setting up groups ended."""
        if self._drain_untold:
            self._drain_untold = False
            await patiently(lambda: self._gateway.drain(self.id or 0))
        while self._set_up:
            group, reason = self._set_up[0]
            await patiently(partial(self._gateway.group_ready, self.id or 0, group.lane, reason))
            del self._set_up[0]
            self._ready = True

    def _begin_group(self, group: Group) -> None:
        task = asyncio.create_task(self._prepare(group))
        self._setting_up.add(task)
        task.add_done_callback(self._setting_up.discard)

    async def _prepare(self, group: Group) -> None:
        reason = None
        try:
            if self._set_up_group is not None:
                _log.info("setting up group %s of %s", group.key, group.project)
                await self._set_up_group(group)
        except Exception as error:  # noqa: BLE001 - whatever it was, the group goes to another worker, which may do better
            reason = str(error) or type(error).__name__
            _log.warning("group %s of %s could not be set up: %s", group.key, group.project, reason)
        self._set_up.append((group, reason))
        self._wake.set()

    async def _start_again(self) -> None:
        """This worker was silent for too long and what it held is others' now: lets go of all of it and registers anew."""
        _log.warning("%s was given up for lost; what it held is run again", self.name)
        await self._abandon()
        await self._register()

    async def _abandon(self) -> None:
        if self._beat is not None:
            await asyncio.to_thread(self._beat.stop)
        self._waiting.clear()
        for task in (*self._running.values(), *self._setting_up):
            task.cancel()
        await asyncio.gather(*self._running.values(), *self._setting_up, return_exceptions=True)
        self._running.clear()
        self._set_up.clear()
        self._held.clear()
        self._reports.clear()

    async def _leave(self) -> None:
        await self._abandon()
        for task in self._states.values():
            task.cancel()
        await asyncio.gather(*self._states.values(), return_exceptions=True)
        try:
            if self.id is not None:
                await self._gateway.retire(self.id)
        except DatabaseUnavailableError as error:
            _log.warning("could not sign off: %s; the lease runs out in %.0f s", error, self._lease)
        await self._loader.close()
        await self._gateway.close()

    async def _come_back(self) -> None:
        """Waits for the database, then takes up what was handed out in a reply that never arrived."""
        held = await self._watch.patiently(lambda: self._gateway.held_jobs(self.id or 0))
        new = [Job(job_id, attempt, 0.0) for job_id, attempt in held if self._held.get(job_id) != attempt]
        # The lost reply also told what other workers' tests had captured by then.
        for queue_no in {job.queue_no for job in new if job.queue_no in self._states}:
            if (delta := await self._loader.context_of(queue_no)) is not None:
                self._known[queue_no] = delta.version
                self._learn(queue_no, delta)
        for job in new:
            self._start(job)

    def _take(self, answer: Advance, want: int) -> None:
        for queue_no, status in answer.done.items():
            if queue_no == self._until:
                self.finished[queue_no] = status
            self._forget(queue_no)
        for queue_no, delta in answer.context.items():
            self._known[queue_no] = delta.version
            self._learn(queue_no, delta)
        for job in answer.jobs:
            self._start(job)
        if answer.jobs:
            self._low = min(job.rank for job in answer.jobs) if len(answer.jobs) >= want else _NEGATIVE_INFINITY
        for group in answer.groups:
            self._begin_group(group)
        self._stop_runs(answer.stopping)
        for stale in answer.stale:
            _log.info("the report of job %d, attempt %d came too late and was ignored", stale.job_id, stale.attempt)
        if answer.unknown_worker:
            self._lost = True

    def _learn(self, queue_no: int, delta: ContextDelta) -> None:
        task = self._states.get(queue_no)
        if task is None:
            return  # the first load brings it

        def learn(done: asyncio.Task[tuple[RunState, Executor]]) -> None:
            if not done.cancelled() and done.exception() is None:
                done.result()[0].learn(delta)

        if task.done():
            learn(task)
        else:
            task.add_done_callback(learn)

    def _forget(self, queue_no: int) -> None:
        self._states.pop(queue_no, None)
        self._known.pop(queue_no, None)
        self._stopping.discard(queue_no)
        self._watch.left(queue_no)

    def _heed(self, runs: Sequence[int]) -> None:
        """Runs that are being stopped, or that are over and may have been brought to their end by another worker."""
        held = {job_id >> 20 for job_id in self._held}
        for queue_no in runs:
            if queue_no in held:
                self._stop_runs([queue_no])
            else:
                self._forget(queue_no)

    def _give_up(self) -> None:
        """What this worker holds is another's, or will be: it lets go of everything and registers anew."""
        self._lost = True
        self._wake.set()

    def _doubt_variables(self) -> None:
        """The database says that variables were changed, of whichever organisation."""
        for task in self._states.values():
            if task.done() and not task.cancelled() and task.exception() is None:
                task.result()[0].doubt_variables()

    def _stop_runs(self, runs: Sequence[int]) -> None:
        for queue_no in runs:
            self._stopping.add(queue_no)
            for job in [job for job in self._waiting if job.queue_no == queue_no]:
                self._waiting.remove(job)
                self._report(job, Outcome("cancelled", 0.0, category="cancelled", reason="the run was stopped"))
            for job_id, task in self._running.items():
                if job_id >> 20 == queue_no:
                    task.cancel()

    def _start(self, job: Job) -> None:
        self._held[job.id] = job.attempt
        if len(self._running) < self._slots:
            self._running[job.id] = asyncio.create_task(self._execute(job))
        else:
            self._waiting.append(job)

    async def _execute(self, job: Job) -> None:
        began = time.monotonic()
        try:
            self._report(job, *await self._attempt(job))
        except asyncio.CancelledError:
            if job.queue_no not in self._stopping:
                raise
            elapsed = time.monotonic() - began
            self._report(job, Outcome("cancelled", elapsed, category="cancelled", reason="the run was stopped"))
        except Exception as error:  # noqa: BLE001 - an executor that raises must cost one test, not the run
            _log.error("%s, attempt %d: %s in its executor", job, job.attempt, type(error).__name__)
            reason = self._masked(job, f"a fault inside Orbit: {type(error).__name__}: {error}")
            self._report(job, Outcome("errored", time.monotonic() - began, category="internal", reason=reason))
        finally:
            self._running.pop(job.id, None)
            while self._waiting and len(self._running) < self._slots:
                following = self._waiting.popleft()
                self._running[following.id] = asyncio.create_task(self._execute(following))

    async def _attempt(self, job: Job) -> tuple[Outcome, list[dict[str, Any]]]:
        """The outcome, and what it captured as the database takes it."""
        task = self._states.get(job.queue_no)
        if task is None:
            task = self._states[job.queue_no] = asyncio.ensure_future(self._load(job.queue_no))
        try:
            state, executor = await asyncio.shield(task)
        except OrbitError as error:
            return Outcome("errored", 0.0, category="config", reason=str(error)), []
        if state.missing_secrets([job.position]):
            try:
                await self._loader.open_secrets(state, job)
            except OrbitError as error:
                return Outcome("errored", 0.0, category="config", reason=str(error)), []
        if not state.knows_variables(job.position):
            try:
                await self._loader.refresh_variables(state, job)
            except OrbitError as error:
                return Outcome("errored", 0.0, category="config", reason=str(error)), []
        outcome = await executor.run(job.position, job.attempt)
        if outcome.status != "passed" or not outcome.captures:
            return outcome, []
        try:
            return outcome, state.share(job.position, outcome.captures)
        except OrbitError as error:
            reason = str(error)
            return Outcome("errored", outcome.duration, category="config", reason=reason, exchange=outcome.exchange), []

    def _masked(self, job: Job, text: str) -> str:
        task = self._states.get(job.queue_no)
        if task is None or not task.done() or task.cancelled() or task.exception() is not None:
            return text
        return task.result()[0].redactor.redact_text(text)

    async def _load(self, queue_no: int) -> tuple[RunState, Executor]:
        state = await self._loader.load(queue_no)
        self._known[queue_no] = state.context_version
        return state, self._executors(state)

    def _report(self, job: Job, outcome: Outcome, captures: Sequence[dict[str, Any]] = ()) -> None:
        extra: dict[str, Any] = {}
        if outcome.category:
            extra["category"] = outcome.category
        if outcome.reason:
            extra["reason"] = outcome.reason
        if outcome.retryable:
            extra["retryable"] = True
        if outcome.failures:
            extra["failures"] = [failure.to_json() for failure in outcome.failures]
        if outcome.exchange is not None:
            extra["exchange"] = outcome.exchange
        if captures:
            extra["captures"] = captures
        self._reports.append(Report(job.id, job.attempt, outcome.status, outcome.duration, extra or None))
        self._wake.set()
