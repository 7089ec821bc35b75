"""What docs/workers.md gives people to copy is what systemd, Compose and Kubernetes understand, and `orbit worker` too."""

from __future__ import annotations

import configparser
import shlex
from typing import TYPE_CHECKING, Any

import asyncpg
import click
import pytest
import yaml
from orbit_runner.cli.commands.running import worker
from support.documentation import page

from orbit_context.suite.units import parse_duration

if TYPE_CHECKING:
    from support.postgres import Database

BLOCKS = {block.kind: block.text for block in page("docs/workers.md").blocks if block.kind}


def drain_seconds(command: list[str]) -> float:
    """Of a command that runs workers; understood as the command line understands it."""
    program, name, *arguments = command
    assert (program.rpartition("/")[2], name) == ("orbit", "worker")
    context = worker.make_context("orbit worker", arguments)
    return parse_duration(context.params["drain_timeout"])


def test_the_unit_of_systemd() -> None:
    unit = configparser.ConfigParser(strict=True, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(BLOCKS["systemd"])
    assert set(unit.sections()) == {"Unit", "Service", "Install"}
    service = unit["Service"]
    known = {"User", "EnvironmentFile", "ExecStart", "Restart", "RestartSec", "KillMode", "TimeoutStopSec"}
    assert set(service) <= known
    assert service["KillMode"] in {"control-group", "mixed", "process"}
    assert service["Restart"] in {"no", "always", "on-failure"}
    assert float(service["TimeoutStopSec"]) > drain_seconds(shlex.split(service["ExecStart"]))


def test_the_service_of_compose() -> None:
    document = yaml.safe_load(BLOCKS["compose"])
    service: dict[str, Any] = document["services"]["worker"]
    assert all(isinstance(word, str) for word in service["command"])
    assert parse_duration(service["stop_grace_period"]) > drain_seconds(service["command"])
    assert service["deploy"]["replicas"] > 1


def test_the_deployment_of_kubernetes() -> None:
    document = yaml.safe_load(BLOCKS["kubernetes"])
    assert (document["apiVersion"], document["kind"]) == ("apps/v1", "Deployment")
    template = document["spec"]["template"]
    assert document["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
    [container] = template["spec"]["containers"]
    assert all(isinstance(word, str) for word in container["command"])
    assert template["spec"]["terminationGracePeriodSeconds"] > drain_seconds(container["command"])


async def test_the_login_that_is_shown_is_a_runners(database: Database) -> None:
    [statement] = [block.text for block in page("docs/workers.md").blocks if block.language == "sql"]
    async with database.connect() as connection, connection.transaction():
        await connection.execute(statement.replace("role lab", "role orbit_docs_lab"))
        query = "select has_function_privilege('orbit_docs_lab', p.oid, 'execute') from pg_proc p where p.proname = $1"
        assert await connection.fetchval(query, "register_worker")
        assert not await connection.fetchval(query, "create_agent_token")
        await connection.execute("set local role orbit_docs_lab")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with connection.transaction():
                await connection.execute("select from orbit.test_runs")
        await connection.execute("reset role")
        await connection.execute("drop role orbit_docs_lab")


def test_a_command_that_is_wrong_is_noticed() -> None:
    """The control: the command line refuses what it does not know."""
    with pytest.raises(click.ClickException, match="--drain"):
        drain_seconds(["orbit", "worker", "--drain", "5m"])
