"""Untrusted expressions in child processes that can be killed.

A child starts when it is first needed, in about 50 ms, and answers one question at a time; a question and its answer cost
about 0.15 ms. It has no environment, no file descriptor but its socket, little memory and a second of processor time for
each question. Whatever goes wrong with a child ends it, and the next question starts another. A child whose parent is
gone reads the end of its socket and exits; should it be busy then, its processor time runs out.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from orbit_context.extract.evaluator import DEFAULT_BUDGET, EvaluationError
from orbit_runner.sandbox_child import ANSWER, FINAL, KINDS, OK, QUESTION, SAME_BODY

if TYPE_CHECKING:
    import subprocess
    from typing import Self

    from orbit_context.extract.evaluator import Kind

__all__ = ["Sandbox"]

_MIB = 2**20
# A child is charged for processor time only; this ends one that gets none (a stopped process, a machine that swaps).
_WALL_SECONDS = 10.0
_WALL_FACTOR = 10.0
_POLL_SECONDS = 0.002


class Sandbox:
    """An :class:`orbit_context.extract.evaluator.Evaluator` on a few child processes.

    Use it as `async with Sandbox() as sandbox`, or call `close`. It belongs to the event loop that it is first used on.

    Args:
        processes: children at most; another one starts when all are busy.
        memory: bytes of address space of a child, libraries included (they take about 60 MiB).
    """

    def __init__(self, *, processes: int = 2, memory: int = 256 * _MIB) -> None:
        self._processes = processes
        self._memory = memory
        # Questions wait in groups by document, in the order in which the documents came: a document is sent and parsed
        # once, and nobody waits behind another's later questions.
        self._waiting: OrderedDict[int, list[_Job]] = OrderedDict()
        self._idle: list[_Child] = []
        self._serving: dict[asyncio.Task[None], _Child | None] = {}
        self._closed = False

    async def evaluate(self, kind: Kind, expression: str, body: bytes, budget: float = DEFAULT_BUDGET) -> Any:
        """See :meth:`orbit_context.extract.evaluator.Evaluator.evaluate`."""
        if self._closed:
            raise EvaluationError("the sandbox is closed", code="crashed")
        job = _Job(kind, expression, body, budget)
        self._waiting.setdefault(id(body), []).append(job)
        if len(self._serving) < self._processes:
            task = asyncio.create_task(self._serve(), name="sandbox")
            self._serving[task] = None
        return await job.answer

    def start(self) -> None:
        """Start a child ahead of the first question, for whoever knows that one will come."""
        if not self._idle and not self._serving and not self._closed:
            self._idle.append(_Child(self._memory))

    async def close(self) -> None:
        """End the children; evaluations under way fail with code `crashed`."""
        self._closed = True
        children = [child for child in (*self._idle, *self._serving.values()) if child is not None]
        tasks = list(self._serving)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for jobs in self._waiting.values():
            for job in jobs:
                job.fail(EvaluationError("the sandbox was closed", code="crashed"))
        self._waiting.clear()
        self._idle.clear()
        for child in children:
            await child.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _serve(self) -> None:
        """Answer what waits, one document after another, with one child."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        child: _Child | None = None
        try:
            while self._waiting:
                _, jobs = self._waiting.popitem(last=False)
                for number, job in enumerate(jobs):
                    if job.answer.done():  # whoever asked has given up
                        continue
                    try:
                        child = self._serving[task] = await self._living(child)
                        try:
                            job.succeed(await child.ask(job))
                        except _KilledError:  # by somebody else, perhaps while it was idle: another one may answer
                            child = self._serving[task] = await self._living(child)
                            job.succeed(await child.ask(job))
                    except EvaluationError as error:
                        job.fail(error)
                    except OSError as error:
                        job.fail(EvaluationError(f"the sandbox cannot be started: {error}", code="crashed"))
                    except BaseException:
                        for unanswered in jobs[number:]:
                            unanswered.fail(EvaluationError("the sandbox was closed", code="crashed"))
                        raise
        finally:
            # At once and not when the task is seen to be done: until then `evaluate` would count on it.
            del self._serving[task]
        if child is not None and not child.is_gone:
            self._idle.append(child)

    async def _living(self, child: _Child | None) -> _Child:
        """`child`, or another one if that has ended."""
        while child is None or child.is_gone:
            if child is not None:
                await child.end()
            child = self._idle.pop() if self._idle else _Child(self._memory)
        return child


class _KilledError(EvaluationError):
    """A child was killed from outside."""


class _Job:
    """A question and the promise of its answer."""

    __slots__ = ("answer", "body", "budget", "expression", "kind")

    def __init__(self, kind: Kind, expression: str, body: bytes, budget: float) -> None:
        self.kind = kind
        self.expression = expression
        self.body = body
        self.budget = budget
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def succeed(self, value: Any) -> None:
        if not self.answer.done():
            self.answer.set_result(value)

    def fail(self, error: EvaluationError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class _Child:
    """One child process and the socket to it."""

    def __init__(self, memory: int) -> None:
        import socket

        self._memory = memory
        self._wire = _Wire()
        self._connected = False
        self._last_body: bytes | None = None
        self._resident = 0  # bytes of memory that it had at most, once it has ended
        self._socket, theirs = socket.socketpair()
        try:
            self._process = _start(theirs.fileno(), memory)
        except BaseException:
            self._socket.close()
            raise
        finally:
            theirs.close()
        self._socket.setblocking(False)

    @property
    def is_gone(self) -> bool:
        return self._wire.is_lost

    async def ask(self, job: _Job) -> Any:
        """The answer to one question.

        Raises:
            EvaluationError: there is none; the child may be gone then.
        """
        if not self._connected:
            await asyncio.get_running_loop().create_connection(lambda: self._wire, sock=self._socket)
            self._connected = True
        expression = job.expression.encode(errors="replace")
        is_same = job.body is self._last_body
        size = SAME_BODY if is_same else len(job.body)
        header = QUESTION.pack(KINDS.index(job.kind), job.budget, len(expression), size)
        self._last_body = job.body
        wall = _WALL_SECONDS + _WALL_FACTOR * job.budget
        try:
            status, content = await self._wire.exchange(header + expression, None if is_same else job.body, wall)
        except EOFError:
            raise self._obituary(job, await self.end()) from None
        except TimeoutError:
            await self.end()
            raise EvaluationError(
                f"the evaluation got no answer within {wall:g} s and was stopped", code="timeout"
            ) from None
        if status == OK:
            return _from_json(content)
        reason = _from_json(content)
        if status == FINAL:
            await self.end()
        if reason["code"] == "memory":
            raise self._out_of_memory(job)
        raise EvaluationError(reason["message"], code=reason["code"], hint=reason["hint"])

    async def end(self) -> int:
        """Make sure that the child is gone and collect it: its return code as :mod:`subprocess` has it."""
        self._wire.close()
        if not self._connected:
            self._socket.close()
        # A child that closed its end is dying of something; what that was is told by its return code.
        code = await self._collect(patience=1.0 if self._wire.was_lost_by_peer else 0.0)
        if code is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            code = await self._collect(patience=10.0)
        return -signal.SIGKILL if code is None else code

    async def _collect(self, patience: float) -> int | None:
        """The return code, once the process has ended within `patience` seconds."""
        for _ in range(int(patience / _POLL_SECONDS) + 1):
            code = self._reap()
            if code is not None:
                return code
            await asyncio.sleep(_POLL_SECONDS)
        return None

    def _reap(self) -> int | None:
        """The return code, if the process has ended; notes what memory it had, which `Popen.poll` does not tell."""
        process = self._process
        if process.returncode is None:
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
            if ended:
                process.returncode = os.waitstatus_to_exitcode(status)
                self._resident = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return process.returncode

    def _obituary(self, job: _Job, code: int) -> EvaluationError:
        """Why the child ended without an answer."""
        if code in (-signal.SIGKILL, -signal.SIGTERM) and self._wire.was_lost_by_peer:
            # Not by us: by a person, or by the system for want of memory.
            return _KilledError(f"the evaluator was killed while it worked on the {_NAMES[job.kind]}", code="memory")
        if code == -signal.SIGPROF:
            return EvaluationError(
                f"the {_NAMES[job.kind]} took more than {job.budget:g} s and was stopped",
                code="timeout",
                hint="Make it say more exactly where to look, or the response smaller.",
            )
        # Libraries written in C may crash where they get no memory.
        if code < 0 and self._resident > self._memory // 2:
            return self._out_of_memory(job)
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return EvaluationError(
            f"the {_NAMES[job.kind]} made its evaluator crash ({how})", code="crashed", detail=job.expression[:200]
        )

    def _out_of_memory(self, job: _Job) -> EvaluationError:
        return EvaluationError(
            f"the {_NAMES[job.kind]} needed more than {self._memory // _MIB} MiB and was stopped",
            code="memory",
            hint="Make it say more exactly where to look, or the response smaller.",
        )


_NAMES: dict[Kind, str] = {
    "jsonpath": "JSONPath",
    "jsonpath_ng": "JSONPath",
    "regex": "regular expression",
    "xpath_xml": "XPath",
    "xpath_html": "XPath",
    "schema": "JSON Schema",
    "report_html": "report template",
    "report_text": "report template",
    "report_check": "report template",
}


class _Wire(asyncio.Protocol):
    """The parent's end: writes a question, collects the answer."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self.is_lost = False
        self.was_lost_by_peer = False

    async def exchange(self, question: bytes, body: bytes | None, wall: float) -> tuple[int, bytes]:
        """The status and content of the answer.

        Raises:
            EOFError: the child closed its end.
            TimeoutError: nothing came for `wall` seconds.
        """
        if self.is_lost or self._transport is None:
            raise EOFError
        loop = asyncio.get_running_loop()
        answer = self._answer = loop.create_future()
        alarm = loop.call_later(wall, self._expire)
        try:
            self._transport.write(question)
            if body:
                self._transport.write(body)
            result: tuple[int, bytes] = await answer
            return result
        finally:
            alarm.cancel()
            self._answer = None

    def close(self) -> None:
        self.is_lost = True
        if self._transport is not None:
            self._transport.abort()

    def _expire(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(TimeoutError())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        if len(received) < ANSWER.size:
            return
        status, size = ANSWER.unpack_from(received)
        end = ANSWER.size + size
        if len(received) < end:
            return
        content = bytes(received[ANSWER.size : end])
        received.clear()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((status, content))

    def connection_lost(self, exc: Exception | None) -> None:
        self.was_lost_by_peer = not self.is_lost
        self.is_lost = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(EOFError())


def _from_json(content: bytes) -> Any:
    from orbit_context.extract.view import parse_json  # keeps large integers

    return parse_json(content)


def _start(socket: int, memory: int) -> subprocess.Popen[bytes]:
    """A child that serves the file descriptor `socket`."""
    import subprocess
    from pathlib import Path

    import orbit_context
    import orbit_runner

    # Isolated from the user's environment and working folder, and without `site`: modules are looked for where we look,
    # and our own packages, should an import hook have found them, where they are.
    homes = [str(Path(package.__path__[0]).parent) for package in (orbit_context, orbit_runner)]
    path = list(dict.fromkeys([*(entry for entry in sys.path if entry), *homes]))
    code = (
        f"import sys; sys.path[:] = {path!r}\nfrom orbit_runner.sandbox_child import serve\nserve({socket}, {memory})"
    )
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={},
        cwd="/",
        pass_fds=(socket,),
        start_new_session=True,
    )
