"""`orbit secret`"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from orbit_context.errors import DefinitionError, SecretKeyError
from orbit_runner.cli.answers import print_answer, print_rows, say, told
from orbit_runner.cli.asking import asking
from orbit_runner.cli.configuration.asked import asked_for
from orbit_runner.cli.configuration.place import place
from orbit_runner.cli.exits import Exit
from orbit_runner.report.wording import plural

if TYPE_CHECKING:
    from pathlib import Path

    from orbit_context.client import Orbit
    from orbit_context.models.secrets import SetSecret

__all__ = ["get", "key", "list_", "rm", "rotate", "set_"]


def set_(name: str | None, file: Path | None, *, as_json: bool, **where: Any) -> Exit:
    if (name is None) == (file is None):
        raise DefinitionError("either NAME or --from-file is given", hint="Example: orbit secret set password")
    named = _named(where)
    if file is not None:
        values = _from_file(file)
    else:
        values = {str(name): asked_for(str(name), hint="Give it on standard input: orbit secret set NAME < FILE")}

    async def ask(orbit: Orbit) -> list[SetSecret]:
        return [await orbit.secrets.set(key, value, **named) for key, value in values.items()]

    answers = asking(ask, seals=True)
    if as_json:
        return print_answer(answers)
    for answer in answers:
        say(f"set {answer.place}")
    return Exit.PASSED


def get(name: str, *, as_json: bool, **where: Any) -> Exit:
    named = _named(where)
    secret = asking(lambda orbit: orbit.secrets.read(name, **named), seals=True)
    if secret.value is None:
        raise SecretKeyError(
            f"{name} was sealed with the key {secret.key_id}, and there is none here",
            hint="set ORBIT_SECRET_KEY to the key of the project",
        )
    if as_json:
        return print_answer({"name": name, "place": secret.place, "version": secret.version, "value": secret.value})
    value = secret.value if isinstance(secret.value, str) else json.dumps(secret.value, ensure_ascii=False)
    sys.stdout.write(value + "\n")
    return Exit.PASSED


def list_(*, as_json: bool, **given: Any) -> Exit:
    return print_rows(
        asking(lambda orbit: orbit.secrets.find(**given)),
        ("project", "place", "form", "key_id", "version", "updated_at", "rotated_at"),
        as_json=as_json,
        nothing="There are no secrets; set one: orbit secret set NAME",
    )


def rm(name: str, *, as_json: bool, **where: Any) -> Exit:
    named = _named(where)
    asking(lambda orbit: orbit.secrets.delete(name, **named))
    return told({"deleted": True}, f"deleted {name}", as_json=as_json)


def rotate(*, organization: str | None, as_json: bool) -> Exit:
    answer = asking(lambda orbit: orbit.secrets.rotate(organization=organization), seals=True)
    if as_json:
        return print_answer(answer)
    say(f"rotated {plural(answer.rotated, 'secret')}")
    for changed in answer.changed:
        say(f"set meanwhile by somebody else, rotate again: {changed}")
    for locked in answer.locked:
        say(f"no key here opens: {locked}")
    return Exit.FAILED if answer.locked or answer.changed else Exit.PASSED


def key(*, as_json: bool) -> Exit:
    from orbit_context.seal import generate_key

    made = generate_key()
    return told({"key": made}, made, as_json=as_json)


def _named(where: dict[str, Any]) -> dict[str, str]:
    scope, named = place(where)
    return named | ({"scope": scope} if scope else {})


def _from_file(file: Path) -> dict[str, str]:
    """Lines NAME=VALUE; blank ones and comments (#) are passed over, a pair of quotes around the value is taken off."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(
            f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}"
        ) from None
    values: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise DefinitionError(f"line {number} is not NAME=VALUE", file=str(file), line=number)
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        if not value:
            raise DefinitionError(f"line {number} has no value", file=str(file), line=number)
        values[name.strip()] = value
    return values
