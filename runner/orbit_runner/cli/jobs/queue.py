"""`orbit queue`, `orbit workers`: what waits, and who executes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_runner.cli.answers import print_answer, say
from orbit_runner.cli.asking import asking
from orbit_runner.cli.jobs.screen import ago, keep_showing, print_lines, table
from orbit_runner.report.wording import format_duration

if TYPE_CHECKING:
    from orbit_context.client import Orbit
    from orbit_context.models.operations import WorkerInfo
    from orbit_context.models.status import Group, QueueStatus
    from orbit_runner.cli.exits import Exit
    from orbit_runner.report.terminal import Line

__all__ = ["show_queue", "show_workers"]

_SILENT_SECONDS = 10


def show_queue(*, watching: bool, as_json: bool, **asked: Any) -> Exit:
    async def ask(orbit: Orbit) -> Exit:
        if as_json:
            return print_answer(await orbit.queue.status(**asked))

        async def lines() -> list[Line]:
            groups = await orbit.queue.groups(project=asked["project"], organization=asked["organization"])
            return _queue(await orbit.queue.status(**asked)) + _groups(groups)

        return await keep_showing(lines) if watching else print_lines(await lines())

    return asking(ask)


def _queue(status: QueueStatus) -> list[Line]:
    depth, finished, workers = status.depth, status.finished, status.workers
    about = "about " if finished.is_estimate else ""
    oldest = f", the oldest for {format_duration(status.oldest_waiting)}" if status.oldest_waiting is not None else ""
    lines: list[Line] = [
        [
            (f"{depth.running:,} running", "accent"),
            (f", {depth.ready:,} ready{oldest}; {depth.blocked:,} need others, ", ""),
            (f"{depth.put_off:,} are put off, {depth.parked:,} are held back by a cap; {depth.runs:,} runs", ""),
        ],
        [
            (f"finished: {about}{finished.last_minute:,} in the last minute ({finished.per_second:g} a second), ", ""),
            (f"{about}{finished.last_5_minutes:,} in 5, {about}{finished.last_15_minutes:,} in 15", ""),
        ],
        [
            (f"workers: {workers.alive} alive", "" if workers.alive else "warning"),
            (f", {workers.free} of {workers.slots} slots free", ""),
            (f", {workers.draining} draining" if workers.draining else "", "warning"),
        ],
    ]
    if status.waiting:
        rows = [
            {
                "run": str(test.run_id)[:8],
                "suite": test.suite,
                "test": test.key,
                "since": test.since,
                "priority": test.priority or None,
                "reason": test.reason.replace("_", " "),
                "why": test.sentence,
            }
            for test in status.waiting
        ]
        lines += [[("", "")], *table(rows, ("run", "suite", "test", "since", "priority", "reason", "why"), toned=())]
    return lines


def _groups(groups: list[Group]) -> list[Line]:
    rows = [
        group.model_dump()
        | {"group": group.key, "workers": [one.worker for one in group.workers], "tests": group.remaining}
        for group in groups
    ]
    columns = ("group", "project", "state", "workers", "runs", "tests", "running", "set_ups", "opens_at")
    return [[("", "")], *table(rows, columns, toned=())] if rows else []


def show_workers(*, capability: str | None, watching: bool, as_json: bool) -> Exit:
    async def ask(orbit: Orbit) -> Exit:
        async def look() -> list[WorkerInfo]:
            workers = await orbit.workers.list()
            return [one for one in workers if capability is None or capability in (*one.capabilities, "http")]

        if as_json:
            return print_answer(await look())
        if watching:

            async def lines() -> list[Line]:
                return _workers(await look())

            return await keep_showing(lines)
        workers = await look()
        return print_lines(_workers(workers)) if workers else say("no worker is alive; start one: orbit worker")

    return asking(ask)


def _workers(workers: list[WorkerInfo]) -> list[Line]:
    rows = []
    for worker in workers:
        fields = worker.model_dump()
        rows.append(
            fields
            | {
                "status": "draining" if fields.get("draining") else "alive",
                "running": f"{worker.running}/{worker.slots}",
                "seen": ago(worker.seen_at),
            }
        )
    columns = (
        "id",
        "name",
        "status",
        "running",
        "capabilities",
        "organization",
        "group",
        "version",
        "started_at",
        "seen",
    )
    return table(rows, columns)
