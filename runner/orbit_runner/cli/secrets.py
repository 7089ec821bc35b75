"""`orbit secret set | get | list | rm | rotate`"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any, TypeVar

from orbit_context.client import Orbit
from orbit_context.errors import DefinitionError, SecretKeyError
from orbit_context.gateway.postgres import PostgresGateway
from orbit_runner.cli.asking import print_answer, print_rows
from orbit_runner.cli.exits import Exit
from orbit_runner.cli.project import ensure_schema, find_database, find_sealer
from orbit_runner.report.wording import visible

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

__all__ = ["delete_secret", "get_secret", "list_secrets", "rotate_secrets", "set_secret"]

_T = TypeVar("_T")


def _asking(ask: Callable[[Orbit], Awaitable[_T]]) -> _T:
    """What `ask` answers, given a client that seals and opens with the key at hand, if there is one."""
    target = find_database()
    sealer = find_sealer(target)

    async def main() -> _T:
        gateway = PostgresGateway(target.dsn)
        async with Orbit(gateway, sealer=sealer) as orbit:
            await gateway.prepare(lambda connection: ensure_schema(connection, target))
            return await ask(orbit)

    return asyncio.run(main())


def _where(options: Mapping[str, Any]) -> dict[str, str]:
    where = {name: value for name, value in options.items() if value is not None and name != "is_global"}
    return where | ({"scope": "global"} if options.get("is_global") else {})


def set_secret(name: str | None, file: Path | None, options: Mapping[str, Any], *, as_json: bool) -> Exit:
    if (name is None) == (file is None):
        raise DefinitionError("either NAME or --from-file is given", hint="Example: orbit secret set password")
    values = _from_file(file) if file is not None else {name or "": _ask_for(name or "")}

    async def ask(orbit: Orbit) -> list[dict[str, Any]]:
        return [
            (await orbit.secrets.set(key, value, **_where(options))).model_dump(mode="json")
            for key, value in values.items()
        ]

    answers = _asking(ask)
    if as_json:
        return print_answer(answers)
    sys.stdout.write("".join(f"set {visible(answer['place'])}\n" for answer in answers))
    return Exit.PASSED


def _ask_for(name: str) -> str:
    """The value: asked for without showing it, or all of standard input but the line end at its end."""
    if sys.stdin.isatty():
        from getpass import getpass

        value = getpass(f"{name}: ")
    else:
        value = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    if not value:
        raise DefinitionError(f"no value for {name}", hint="Give it on standard input: orbit secret set NAME < FILE")
    return value


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


def get_secret(name: str, options: Mapping[str, Any], *, as_json: bool) -> Exit:
    async def ask(orbit: Orbit) -> Any:
        return await orbit.secrets.read(name, **_where(options))

    secret = _asking(ask)
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


def list_secrets(project: str | None, organization: str | None, *, as_json: bool) -> Exit:
    async def ask(orbit: Orbit) -> list[dict[str, Any]]:
        found = await orbit.secrets.find(project=project, organization=organization)
        return [secret.model_dump(mode="json") for secret in found]

    columns = ("name", "scope", "project", "place", "form", "key_id", "version", "updated_at", "rotated_at")
    return print_rows(_asking(ask), columns, as_json=as_json, nothing="There are no secrets.")


def delete_secret(name: str, options: Mapping[str, Any], *, as_json: bool) -> Exit:
    async def ask(orbit: Orbit) -> None:
        await orbit.secrets.delete(name, **_where(options))

    _asking(ask)
    if as_json:
        return print_answer({"deleted": True})
    sys.stdout.write(f"deleted {visible(name)}\n")
    return Exit.PASSED


def rotate_secrets(organization: str | None, *, as_json: bool) -> Exit:
    async def ask(orbit: Orbit) -> dict[str, Any]:
        return (await orbit.secrets.rotate(organization=organization)).model_dump(mode="json")

    answer = _asking(ask)
    if as_json:
        return print_answer(answer)
    sys.stdout.write(f"rotated {answer['rotated']} secrets\n")
    for place in answer["changed"]:
        sys.stdout.write(f"set meanwhile by somebody else, rotate again: {visible(place)}\n")
    for place in answer["locked"]:
        sys.stdout.write(f"no key here opens: {visible(place)}\n")
    return Exit.FAILED if answer["locked"] or answer["changed"] else Exit.PASSED
