"""What a worker says to the database: schema `orbit_runner`, always straight over Postgres."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import asyncpg
import orjson

from orbit_context.errors import DatabaseUnavailableError, InvalidRequestError
from orbit_context.gateway.postgres import CONNECTION_ERRORS, connect, translate, translated, unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from uuid import UUID

__all__ = ["Advance", "ContextDelta", "Group", "Job", "ReleasedSecret", "Report", "RunnerGateway", "Stale"]

_ADVANCE = (
    "select kind, job_id, attempt, rank, payload::text from orbit_runner.advance("
    "$1, $2, $3, $4::text::bigint[], $5::text::smallint[], $6, $7::text::real[], $8::text[]::jsonb[], $9, "
    "$10::text::bigint[], $11::text::bigint[])"
)

_COMMAND_TIMEOUT = 30.0
"""Seconds after which a connection that does not answer is given up: a network may lose one without telling."""


def _array(numbers: Iterable[float]) -> str:
    """As text: to send the binary form the driver asks the catalog first, 3 to 6 ms of each new connection."""
    return "{" + ",".join(map(str, numbers)) + "}"


@dataclass(slots=True, frozen=True)
class Job:
    """A test handed out: `id` is queue_no × 2^20 + position; `attempt` fences its report; `rank` is its place in the queue."""

    id: int
    attempt: int
    rank: float

    @property
    def queue_no(self) -> int:
        return self.id >> 20

    @property
    def position(self) -> int:
        return self.id & 0xFFFFF


@dataclass(slots=True, frozen=True)
class Stale:
    """A report that came too late: the job was somebody else's by then, or had ended."""

    job_id: int
    attempt: int


@dataclass(slots=True)
class Report:
    """What became of one job. `extra` as described at orbit_runner.advance; None where there is nothing to add."""

    job_id: int
    attempt: int
    status: str
    duration: float
    extra: dict[str, Any] | None = None


@dataclass(slots=True, frozen=True)
class ReleasedSecret:
    """A secret variable of a run: sealed for its place, or, where the database could open it, its value."""

    queue_no: int
    name: str
    sealed: str | None
    place: str
    value: Any = field(repr=False)
    fields: dict[str, Any] | None = field(default=None, repr=False)
    """Of a credential: what templates may say of it; None stands for the value."""


@dataclass(slots=True, frozen=True)
class ContextDelta:
    """Entries of a run's context that the worker did not have: (kind, producer, name, value, secret)."""

    version: int
    entries: list[tuple[str, str, str, Any, bool]]


@dataclass(slots=True, frozen=True)
class Group:
    """An affinity group that the worker has taken: it sets it up, says so (group_ready), and is then handed its tests."""

    lane: int
    key: str
    project: str
    requires: tuple[str, ...]


@dataclass(slots=True)
class Advance:
    """The answer to one round trip."""

    jobs: list[Job] = field(default_factory=list)
    stale: list[Stale] = field(default_factory=list)
    context: dict[int, ContextDelta] = field(default_factory=dict)
    stopping: list[int] = field(default_factory=list)
    done: dict[int, str] = field(default_factory=dict)
    next_in: float | None = None
    """Seconds until the next job is due; None where there is none."""
    groups: list[Group] = field(default_factory=list)
    unknown_worker: bool = False


class RunnerGateway:
    """One connection of one worker. Not for use by several tasks at once."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: asyncpg.Connection | None = None
        self._listening: asyncpg.Connection | None = None

    async def connection(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(
                self._dsn, application_name="orbit worker", command_timeout=_COMMAND_TIMEOUT
            )
        return self._connection

    async def close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            try:
                await connection.close(timeout=5)
            except CONNECTION_ERRORS:
                connection.terminate()

    async def drop(self) -> None:
        """Gives up a connection whose state is unknown; the next call opens another."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.terminate()

    async def register(
        self,
        name: str,
        slots: int,
        capabilities: Sequence[str],
        version: str,
        token: str | None = None,
        instance: UUID | None = None,
    ) -> int:
        """What the worker shows with every call from now on. Said again for the same `instance` it makes no second worker."""
        query = "select orbit_runner.register_worker($1, $2, $3, $4, $5, $6)"
        return int(await self._value(query, name, slots, list(capabilities), version, token, instance))

    async def drain(self, worker: int) -> None:
        """Says that the worker takes nothing more."""
        await self._value("select orbit_runner.drain_worker($1)", worker)

    async def group_ready(self, worker: int, lane: int, reason: str | None = None) -> bool:
        """Says that a group is set up, or with `reason` why it is not; False where it is not this worker's any more."""
        query = "select orbit_runner.group_ready($1, $2, $3, $4)"
        return bool(await self._value(query, worker, lane, reason is None, reason))

    async def retire(self, worker: int) -> None:
        await self._value("select orbit_runner.retire_worker($1)", worker)

    async def heartbeat(self, worker: int, runs: Sequence[int]) -> tuple[bool, list[int]]:
        """Whether the worker is still known, and which of the runs are being stopped or are over."""
        async with self._asking() as connection:
            row = await connection.fetchrow(
                "select alive, array_to_json(stopping)::text from orbit_runner.heartbeat($1, $2::text::bigint[])",
                worker,
                _array(runs),
            )
        return row[0], orjson.loads(row[1]) if row[1] else []

    async def tick(self, lease: float) -> dict[str, Any]:
        answer = await self._value("select orbit_runner.tick(make_interval(secs => $1))::text", lease)
        return dict(orjson.loads(answer))

    async def start_due(self, limit: int = 10) -> dict[str, Any]:
        """Starts the runs that are due by their schedules, and the next steps of pipelines; `more` asks to be called again."""
        answer = await self._value("select orbit_runner.start_due($1)::text", limit)
        return dict(orjson.loads(answer))

    async def listen(self, callbacks: Mapping[str, Callable[[str], None]]) -> None:
        """Has callbacks called with the payload of what is notified on their channels; saying it again changes nothing.

        orbit_run: the queue_no of a run that is stopped or finished. orbit_variables: some were changed. orbit_ready: the lane in
        which something can be taken. orbit_due: there is something for start_due.
        """
        connection = await self.connection()
        if connection is self._listening:
            return
        async with self._asking():
            for channel, callback in callbacks.items():
                await connection.add_listener(channel, lambda *notice, call=callback: call(notice[-1]))
        self._listening = connection

    async def load_run(self, queue_no: int, worker: int | None = None) -> dict[str, Any] | None:
        """Where there are worker tokens, only for a `worker` that may work for it."""
        answer = await self._value("select orbit_runner.load_run($1, $2)::text", queue_no, worker)
        return orjson.loads(answer) if answer else None

    async def open_secrets(
        self, worker: int, jobs: Iterable[int], *, keys: Sequence[str] = (), lease: float = 10.0
    ) -> list[ReleasedSecret]:
        """The secrets that these jobs use, if the worker holds them. `keys`: for those that the database sealed itself."""
        async with self._asking() as connection:
            rows = await connection.fetch(
                "select queue_no, name, sealed, place, value::text, fields::text from orbit_runner.open_secrets("
                "$1, $2::text::bigint[], $3, make_interval(secs => $4))",
                worker,
                _array(jobs),
                list(keys),
                lease,
            )
        return [
            ReleasedSecret(
                number,
                name,
                sealed,
                place,
                None if value is None else orjson.loads(value),
                None if fields is None else orjson.loads(fields),
            )
            for number, name, sealed, place, value, fields in rows
        ]

    async def resolve_variables(
        self, worker: int, jobs: Iterable[int], known: int, *, keys: Sequence[str] = (), lease: float = 10.0
    ) -> dict[str, Any] | None:
        """The variables of the database that these jobs of one run use; the version alone where it is `known`. None where the
        worker holds none of them (any more)."""
        answer = await self._value(
            "select orbit_runner.resolve_variables($1, $2::text::bigint[], $3, $4, make_interval(secs => $5))::text",
            worker,
            _array(jobs),
            known,
            list(keys),
            lease,
        )
        return orjson.loads(answer) if answer else None

    async def held_jobs(self, worker: int) -> list[tuple[int, int]]:
        async with self._asking() as connection:
            rows = await connection.fetch("select job_id, attempt from orbit_runner.held_jobs($1)", worker)
        return [(row[0], row[1]) for row in rows]

    async def advance(
        self, worker: int, lane: int, want: int, reports: Sequence[Report], low: float, known: dict[int, int]
    ) -> Advance:
        """Reports what ended and claims up to `want` jobs, in one round trip: of a run's own lane, or with 0 of all that the
        worker can serve.

        Raises DatabaseUnavailableError where the reply was lost: the call may or may not have taken effect, and saying it again
        is harmless. A deadlock or serialisation failure is told the same way; nothing of the call took effect then.
        Raises InvalidRequestError where one of the reports holds what cannot be stored; nothing took effect either.
        """
        try:
            extras = [None if report.extra is None else orjson.dumps(report.extra).decode() for report in reports]
            rows = await (await self.connection()).fetch(
                _ADVANCE,
                worker,
                lane,
                want,
                _array(report.job_id for report in reports),
                _array(report.attempt for report in reports),
                [report.status for report in reports],
                _array(report.duration for report in reports),
                extras if any(extras) else [],
                low,
                _array(known),
                _array(known.values()),
            )
        except (*CONNECTION_ERRORS, asyncpg.DeadlockDetectedError, asyncpg.SerializationError) as error:
            await self.drop()
            raise unavailable(self._dsn, error) from error
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, TypeError) as error:
            raise InvalidRequestError("the database refuses a report", detail=str(error)) from error
        except asyncpg.PostgresError as error:
            if (ours := translate(error)) is not None:
                raise ours from error
            raise
        answer = Advance()
        for kind, job_id, attempt, rank, payload in rows:
            if kind == "job":
                answer.jobs.append(Job(job_id, attempt, rank))
            elif kind == "next":
                answer.next_in = max(rank, 0.0)
            elif kind == "context":
                delta = orjson.loads(payload)
                answer.context[job_id] = ContextDelta(delta["version"], [tuple(entry) for entry in delta["entries"]])
            elif kind == "done":
                answer.done[job_id] = orjson.loads(payload)["status"]
            elif kind == "stop":
                answer.stopping.append(job_id)
            elif kind == "stale":
                answer.stale.append(Stale(job_id, attempt))
            elif kind == "group":
                group = orjson.loads(payload)
                answer.groups.append(Group(job_id, group["key"], group["project"], tuple(group["requires"])))
            elif kind == "unknown":
                answer.unknown_worker = True
            else:
                raise DatabaseUnavailableError(
                    f"orbit_runner.advance answered with a row of kind {kind}", hint="update Orbit"
                )
        return answer

    async def _value(self, query: str, *arguments: Any) -> Any:
        async with self._asking() as connection:
            return await connection.fetchval(query, *arguments)

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[asyncpg.Connection]:
        """The connection, given up if it fails."""
        try:
            async with translated(self._dsn):
                yield await self.connection()
        except DatabaseUnavailableError:
            await self.drop()
            raise
