"""`orbit config`"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import click

from orbit_context.errors import DefinitionError
from orbit_context.suite.units import parse_duration
from orbit_runner.cli.answers import print_answer, print_rows, told
from orbit_runner.cli.asking import asking

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from orbit_context.client import Orbit
    from orbit_context.models.limits import Limit
    from orbit_context.models.settings import Setting
    from orbit_runner.cli.exits import Exit

__all__ = ["runners_own", "set_", "show", "unset", "value_of"]

_SECONDS = {"s": 1, "m": 60, "h": 3600}
_RATE = re.compile(r"(\d+(?:\.\d+)?)/([smh])(?::(\d{1,9}))?")
_DURATION = re.compile(r"\d+(\.\d+)?(ms|s|m|h)")


def value_of(text: str) -> Any:
    """A value as SQL takes it: JSON (`5`, `true`), a time in seconds (`90s`, `5m`), a rate (`5/s`, `60/m:10`: 10 at once).

    What is none of these goes as the text it is, and is refused there with what the setting takes.
    """
    if rate := _RATE.fullmatch(text):
        value: dict[str, Any] = {"per_second": float(rate[1]) / _SECONDS[rate[2]]}
        return value | ({"burst": int(rate[3])} if rate[3] else {})
    if _DURATION.fullmatch(text):
        return parse_duration(text)
    try:
        return json.loads(text, parse_constant=str)
    except ValueError:
        return text


def set_(assignment: str, *, as_json: bool, **place: Any) -> Exit:
    """Sets one and says what holds then."""
    name, equals, text = assignment.partition("=")
    if not equals:
        raise DefinitionError(f"{assignment!r} sets nothing", hint="write NAME=VALUE: run.timeout=5m")
    value = value_of(text)
    setting = asking(lambda orbit: orbit.settings.set(name, value, **place))
    return told(
        setting, f"{setting.name} is {_value(setting.value)} for the {_SOURCES[setting.source]}", as_json=as_json
    )


def unset(name: str, *, as_json: bool, **place: Any) -> Exit:
    asking(lambda orbit: orbit.settings.unset(name, **place))
    return told({"deleted": True}, f"{name} is no longer set there", as_json=as_json)


def show(
    *, worker: click.Command, as_json: bool, installation: bool, organization: str | None, **place: str | None
) -> Exit:
    """Settings, limits, and what this machine's worker would be started with: `worker`, the command."""

    async def ask(orbit: Orbit) -> tuple[Sequence[Setting], Sequence[Limit]]:
        settings = await orbit.settings.list(installation=installation, organization=organization, **place)
        return settings, await orbit.limits.get(organization=organization, defaults=installation)

    settings, limits = asking(ask)
    rows = [setting.model_dump(mode="json") for setting in settings]
    rows += [_limit(limit) for limit in limits]
    rows += runners_own(worker)
    if as_json:
        return print_answer(rows)
    return print_rows(rows, ("name", "value", "unit", "source", "shadows"), as_json=False, nothing="", shown=_shown)


def runners_own(worker: click.Command) -> Iterator[dict[str, Any]]:
    """What the command would be started with here: each of its options that the environment can say.

    Raises DefinitionError where the environment says what is none.
    """
    context = click.Context(worker, info_name="orbit worker")
    for option in worker.params:
        if not isinstance(option, click.Option) or not isinstance(option.envvar, str):
            continue
        said = option.value_from_envvar(context)
        default = option.get_default(context)
        default = default if isinstance(default, int | float | str) else None  # click has a word of its own for none
        try:
            value = default if said is None else option.type_cast_value(context, said)
        except click.BadParameter as error:
            raise DefinitionError(f"{option.envvar}: {error.message}", hint="see: orbit worker --help") from None
        shadows = [{"source": "default", "value": default}] if said is not None and default is not None else []
        yield {
            "name": f"worker.{option.name}",
            "value": value,
            "source": "default" if said is None else option.envvar,
            "shadows": shadows,
            "type": "runner",
            "unit": None,
            "description": f"{option.help} Also: orbit worker {option.opts[0]}",
        }


_SOURCES = {"installation": "installation", "organization": "organisation"} | {
    name: name for name in ("default", "project", "environment")
}


def _limit(limit: Limit) -> dict[str, Any]:
    value = None
    if limit.amount is not None:
        value = limit.amount if limit.per is None else {"amount": limit.amount, "per": limit.per, "burst": limit.burst}
    source = {"organization": "organization", "default": "installation", "none": "default"}[limit.origin]
    return {
        "name": f"limits.{limit.name}",
        "value": value,
        "source": source,
        "shadows": [],
        "type": limit.kind,
        "unit": None,
        "description": limit.description,
    }


def _shown(row: Mapping[str, Any]) -> dict[str, str]:
    shadows = ", ".join(f"{_value(one['value'])} ({_SOURCES[one['source']]})" for one in row["shadows"])
    return {
        "value": _value(row["value"]),
        "source": _SOURCES.get(row["source"], row["source"]),
        "shadows": shadows,
        "unit": "" if row["value"] is None or isinstance(row["value"], dict) else row["unit"] or "",
    }


def _value(value: Any) -> str:
    match value:
        case None:
            return "none"
        case {"per_second": rate, "burst": burst}:
            return f"{rate:g}/s, {burst} at once"
        case {"amount": amount, "per": per, "burst": burst}:
            return f"{amount} in {per:g} s, {burst} at once"
        case bool() | str() | list():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return f"{value:g}" if isinstance(value, float) else str(value)
