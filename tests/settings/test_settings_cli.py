"""`orbit config`, and what a worker is started with."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click
import pytest
from orbit_runner.cli.commands.running import worker
from orbit_runner.cli.configuration.settings import runners_own, value_of
from orbit_runner.worker.heartbeat import HEARTBEAT_SECONDS, LEASE_SECONDS
from support.documentation import page, words

from orbit_context.errors import DefinitionError

if TYPE_CHECKING:
    import asyncpg
    from support.command import OrbitCommand


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("0.5", 0.5),
        ("-3", -3),
        ("true", True),
        ("none", "none"),
        ("90s", 90),
        ("5m", 300),
        ("1.5h", 5400),
        ("250ms", 0.25),
        ("5/s", {"per_second": 5}),
        ("60/m:10", {"per_second": 1, "burst": 10}),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("many", "many"),
        ("5/day", "5/day"),
        ("", ""),
    ],
)
def test_values_as_they_are_typed(text: str, value: Any) -> None:
    assert value_of(text) == value
    assert type(value_of(text)) is type(value) or isinstance(value, int)


async def test_config_is_set_shown_and_unset(orbit: OrbitCommand) -> None:
    assert (await orbit("config", "show", "--json")).code == 0  # nothing was saved yet
    env = orbit.write("staging.yaml", "environment: staging\nvariables: {a: 1}\n")
    assert (await orbit("env", "save", env)).code == 0
    answer = await orbit("config", "set", "run.timeout=10m")
    assert (answer.code, answer.stdout) == (0, "run.timeout is 600 for the organisation\n")
    assert (await orbit("config", "set", "run.timeout=1h", "--project", "default")).code == 0
    assert (await orbit("config", "set", "run.priority=-3", "--env", "staging")).code == 0
    assert (await orbit("config", "set", "run.fail_fast=true", "--all")).code == 0

    shown = await orbit("config", "show", "--env", "staging", "--json")
    rows = {row["name"]: row for row in json.loads(shown.stdout)}
    told = {name: (rows[name]["value"], rows[name]["source"]) for name in rows if name.startswith("run.")}
    assert told == {
        "run.timeout": (3600, "project"),
        "run.priority": (-3, "environment"),
        "run.fail_fast": (True, "installation"),
        "run.concurrency": (None, "default"),
    }
    assert rows["run.timeout"]["shadows"] == [{"source": "organization", "value": 600}]
    assert (rows["limits.start_run"]["value"], rows["limits.start_run"]["source"]) == (None, "default")

    table = (await orbit("config", "show", "--env", "staging")).stdout.splitlines()
    assert table[0].split() == ["name", "value", "unit", "source", "shadows"]
    line = next(line for line in table if line.startswith("run.timeout"))
    assert line.split() == ["run.timeout", "3600", "seconds", "project", "600", "(organisation)"]

    assert (await orbit("config", "unset", "run.timeout", "--project", "default")).code == 0
    again = await orbit("config", "unset", "run.timeout", "--project", "default")
    assert again.code == 4
    assert "run.timeout is not set there" in again.stderr


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("run.timeout", "sets nothing"),
        ("run.timeout=-5", "between 0.1 and 2592000"),
        ("run.timeout=NaN", "between 0.1 and 2592000"),
        ("run.priority=1e9", "between -100 and 100"),
        ("rate.host:api.example:80=5/s", "is no host"),
        ("run.tiemout=5", "there is no setting run.tiemout"),
    ],
)
async def test_what_cannot_be_set_is_told_in_one_error(orbit: OrbitCommand, assignment: str, words: str) -> None:
    answer = await orbit("config", "set", assignment)
    assert answer.code == 4
    assert words in answer.stderr
    assert answer.stderr.count("error:") == 1
    assert answer.stdout == ""


async def test_a_worker_is_configured_by_options_and_the_environment(orbit: OrbitCommand) -> None:
    shown = await orbit("config", "show", "--json", ORBIT_WORKER_SLOTS="7")
    rows = {row["name"]: row for row in json.loads(shown.stdout) if row["type"] == "runner"}
    assert (rows["worker.slots"]["value"], rows["worker.slots"]["source"]) == (7, "ORBIT_WORKER_SLOTS")
    assert rows["worker.slots"]["shadows"] == [{"source": "default", "value": 20}]
    assert (rows["worker.lease"]["value"], rows["worker.lease"]["source"]) == (10, "default")
    assert (rows["worker.name"]["value"], rows["worker.name"]["source"]) == (None, "default")
    refused = await orbit("worker", ORBIT_WORKER_SLOTS="-7")
    assert refused.code == 4
    assert "ORBIT_WORKER_SLOTS" in refused.stderr


@pytest.mark.parametrize("arguments", [("--heartbeat", "8"), ("--lease", "nan"), ("--heartbeat", "nan")])
async def test_a_heartbeat_that_misses_the_lease_is_refused(orbit: OrbitCommand, arguments: tuple[str, ...]) -> None:
    answer = await orbit("worker", *arguments)
    assert answer.code == 4
    assert "too seldom for a lease" in answer.stderr


def test_what_the_environment_says_of_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ORBIT_WORKER_")]:
        monkeypatch.delenv(name)
    assert {row["source"] for row in runners_own(worker)} == {"default"}
    monkeypatch.setenv("ORBIT_WORKER_LEASE", "many")
    with pytest.raises(DefinitionError, match="ORBIT_WORKER_LEASE"):
        list(runners_own(worker))


def test_defaults_of_a_worker_are_those_of_its_class() -> None:
    defaults = {option.name: option.default for option in worker.params}
    assert (defaults["heartbeat"], defaults["lease"]) == (HEARTBEAT_SECONDS, LEASE_SECONDS)


# The page ----------------------------------------------------------------------------------------------------------------------


async def test_every_setting_is_described_with_its_range_and_default(connection: asyncpg.Connection[Any]) -> None:
    rows = await connection.fetch("select * from orbit.setting_definitions order by name")
    table = page("docs/configuration.md").section("Settings").table("setting")
    described = {words(row[0])[0]: row for row in table.rows}
    assert set(described) == {row["name"] + (":<host>" if row["takes_host"] else "") for row in rows}
    for row in rows:
        _, value, default, levels, _ = described[row["name"] + (":<host>" if row["takes_host"] else "")]
        if row["minimum"] is not None:
            low, high = (f"{row[side]:.3f}".rstrip("0").rstrip(".") for side in ("minimum", "maximum"))
            assert value.startswith(f"{low} to {high}"), row["name"]
        assert default == (row["default_value"] or "none"), row["name"]
        assert levels.split(", ") == row["levels"], row["name"]


def test_every_variable_of_a_worker_is_described() -> None:
    table = page("docs/configuration.md").section("Workers").table("variable")
    described = {words(row[0])[0]: (words(row[1])[0], row[2]) for row in table.rows}
    options = [option for option in worker.params if isinstance(option, click.Option) and option.envvar]
    assert set(described) == {str(option.envvar) for option in options}
    for option in options:
        written, default = described[str(option.envvar)]
        assert written in option.opts
        assert default == (str(option.default) if isinstance(option.default, int | float) else "host and process")
