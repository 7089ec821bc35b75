"""`orbit dead-letters`: tests that were given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.errors import DefinitionError
from orbit_runner.cli.answers import moment, print_answer, say
from orbit_runner.cli.asking import asking
from orbit_runner.cli.jobs.screen import TONES, print_lines, table
from orbit_runner.report.wording import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orbit_context.client import Orbit
    from orbit_context.models.status import LettersLeft
    from orbit_runner.cli.exits import Exit
    from orbit_runner.report.terminal import Line

__all__ = ["drop", "list_letters", "replay", "show"]


def list_letters(*, state: str, as_json: bool, **asked: Any) -> Exit:
    async def ask(orbit: Orbit) -> Exit:
        letters = await orbit.history.dead_letters(state=state, **asked)
        if as_json:
            return print_answer(letters)
        if not letters:
            return say("there is none" if state == "all" else f"none is {state}")
        rows = [
            letter.model_dump() | {"id": str(letter.id)[:8], "test": letter.key, "run": str(letter.run_id)[:8]}
            for letter in letters
        ]
        columns = ("id", "created_at", "state", "run", "suite", "test", "attempts", "note", "reason")
        return print_lines(table(rows, columns, toned=("state",)))

    return asking(ask)


def show(letter_id: str, *, as_json: bool) -> Exit:
    async def ask(orbit: Orbit) -> Exit:
        letter = await orbit.dead_letters.get(letter_id)
        if as_json:
            return print_answer(letter)
        lines: list[Line] = [
            [
                (f"{letter.id}  ", "strong"),
                (letter.state, TONES[letter.state]),
                (f"  {visible(letter.suite)}: {visible(letter.key)}", ""),
            ],
            [
                (
                    f"  given up {moment(letter.created_at)} after {letter.attempts} attempts, in the run {letter.run_id}",
                    "",
                )
            ],
        ]
        lines += [
            [
                (f"  attempt {attempt.get('number')} {attempt.get('status')}", "warning"),
                (f": {visible(str(attempt.get('reason') or ''))}", ""),
            ]
            for attempt in letter.previous_attempts
        ]
        lines.append([(f"  attempt {letter.attempts} lost", "bad"), (f": {visible(letter.reason or '')}", "")])
        if letter.replayed_at:
            lines.append(
                [(f"  replayed {moment(letter.replayed_at)} in the run {letter.replay_run_id or '(gone)'}", "good")]
            )
        if letter.dropped_at:
            lines.append([(f"  dropped {moment(letter.dropped_at)}", "quiet")])
        if letter.note:
            lines.append([(f"  {visible(letter.note)}", "")])
        return print_lines(lines)

    return asking(ask)


def replay(ids: Sequence[str], *, as_json: bool, **asked: Any) -> Exit:
    _require_one_way(ids, asked)

    async def ask(orbit: Orbit) -> Exit:
        answer = await orbit.dead_letters.replay(ids or None, **asked)
        if as_json:
            return print_answer(answer)
        for letter in answer.replayed:
            say(f"{letter.key} is tried anew in the run {letter.run_id}")
        return _told(len(answer.replayed), answer.skipped)

    return asking(ask)


def drop(ids: Sequence[str], *, as_json: bool, **asked: Any) -> Exit:
    _require_one_way(ids, asked)

    async def ask(orbit: Orbit) -> Exit:
        answer = await orbit.dead_letters.drop(ids or None, **asked)
        if as_json:
            return print_answer(answer)
        for letter in answer.dropped:
            say(f"{letter} is dropped")
        return _told(len(answer.dropped), answer.skipped)

    return asking(ask)


def _require_one_way(ids: Sequence[str], asked: dict[str, Any]) -> None:
    if sum((bool(ids), asked["project"] is not None, asked["every"])) != 1:
        raise DefinitionError(
            "which dead letters is not said, or said twice", hint="name them by ID, or say --project NAME, or --all"
        )


def _told(done: int, skipped: Sequence[LettersLeft]) -> Exit:
    for letter in skipped:
        say(f"{letter.id} is left alone: {letter.reason}")
    return (
        say("there was nothing to do") if not done and not skipped else say(f"{done} done, {len(skipped)} left alone")
    )
