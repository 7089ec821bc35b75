"""The reference pages name everything there is, and nothing else."""

from __future__ import annotations

import inspect
import json
import re
import shlex
from typing import TYPE_CHECKING, Any

import click
import pytest
from orbit_runner.cli.app import app
from orbit_runner.cli.exits import Exit, of_error
from pydantic import BaseModel
from support.documentation import ROOT, Section, page, pages, words

import orbit_context.errors as errors_module
from orbit_context.client.agent_tokens import AgentTokens
from orbit_context.client.audit import Audit
from orbit_context.client.business_units import BusinessUnits
from orbit_context.client.credentials import Credentials
from orbit_context.client.environments import Environments
from orbit_context.client.fixtures import Fixtures
from orbit_context.client.limits import Limits
from orbit_context.client.operations import Channels, History, Tokens, Workers
from orbit_context.client.organizations import Organizations
from orbit_context.client.permissions import Permissions
from orbit_context.client.pipelines import Batches, Pipelines
from orbit_context.client.preferences import Preferences
from orbit_context.client.projects import Projects
from orbit_context.client.report_templates import ReportTemplates
from orbit_context.client.runs import Runs
from orbit_context.client.schedules import Schedules
from orbit_context.client.searches import Searches
from orbit_context.client.secrets import Secrets
from orbit_context.client.settings import Settings
from orbit_context.client.status import DeadLetters, Queue
from orbit_context.client.suites import Suites
from orbit_context.client.variables import Variables
from orbit_context.context import TestExecutionContextManager
from orbit_context.errors import OrbitError, from_sqlstate
from orbit_context.gateway.port import FUNCTIONS as FUNCTIONS_OF_SQL
from orbit_context.models.outcome import CATEGORIES
from orbit_context.suite.checks import OPERATORS, SUBJECTS, Capture, Check
from orbit_context.suite.document import (
    Backoff,
    Data,
    Defaults,
    EnvironmentDocument,
    Need,
    Poll,
    Retry,
    Suite,
    Test,
    Variable,
)
from orbit_context.suite.pipeline import Pipeline, Selection, Step
from orbit_context.suite.request import ApiKeyFields, BasicAuthFields, FilePart, Redirects, Request, Tls
from orbit_context.suite.units import parse_duration, parse_size
from orbit_context.template import NAMESPACES
from orbit_context.template.filters import FILTERS
from orbit_context.template.functions import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orbit_context.suite.base import Part

SOURCES = [path for folder in ("orbit_context", "runner") for path in (ROOT / folder).rglob("*.py")]

# Suite files -----------------------------------------------------------------------------------------------------------

MODELS: list[tuple[type[Part], str, str, str]] = [
    (Suite, "docs/suites.md", "Suite", "key"),
    (Defaults, "docs/suites.md", "Defaults", "key"),
    (Test, "docs/suites.md", "Tests", "key"),
    (Request, "docs/suites.md", "Requests", "key"),
    (Redirects, "docs/suites.md", "Redirects", "key"),
    (Tls, "docs/suites.md", "TLS", "key"),
    (FilePart, "docs/suites.md", "Files", "key"),
    (Need, "docs/suites.md", "Dependencies", "key"),
    (Data, "docs/suites.md", "Data-driven tests", "key"),
    (Retry, "docs/suites.md", "Retries", "key"),
    (Backoff, "docs/suites.md", "Retries", "key of `backoff`"),
    (Poll, "docs/suites.md", "Polling", "key"),
    (Variable, "docs/suites.md", "Variables", "key"),
    (EnvironmentDocument, "docs/suites.md", "Environments", "key"),
    (Capture, "docs/assertions.md", "Captures", "key"),
    (Pipeline, "docs/pipelines.md", "File", "key"),
    (Step, "docs/pipelines.md", "Steps", "key"),
    (Selection, "docs/pipelines.md", "Selection", "key"),
]


def fields(model: type[Part]) -> dict[str, Any]:
    """Fields by the names that are written."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


@pytest.mark.parametrize(("model", "name", "title", "header"), MODELS, ids=[model[0].__name__ for model in MODELS])
def test_every_key_of_a_suite_is_described(model: type[Part], name: str, title: str, header: str) -> None:
    table = page(name).section(title).table(header)
    described = {words(row[0])[0]: row for row in table.rows}
    assert set(described) == set(fields(model))
    default_column = table.header.index("default")
    for key, field in fields(model).items():
        cell = described[key][default_column]
        assert (cell == "required") is field.is_required(), key
        if re.fullmatch(r"`[^`]+`", cell):
            default = field.get_default(call_default_factory=True)
            if isinstance(default, BaseModel):
                default = default.model_dump(exclude_unset=True)
            # None: what holds then is decided elsewhere, and the page says what.
            assert default is None or default in readings(cell.strip("`")), key


def readings(text: str) -> Iterator[Any]:
    """What a written default may stand for."""
    yield text
    for read in (json.loads, parse_duration, parse_size):
        try:
            value = read(text)
        except ValueError:
            continue
        yield value
    yield [word.strip() for word in text.strip("[]").split(",")]


def test_every_kind_of_authentication_is_described() -> None:
    table = page("docs/suites.md").section("Authentication").table("key")
    described = {words(row[0])[0]: words(row[2]) for row in table.rows}
    assert set(described) == {"bearer", "basic", "api_key"}
    assert set(described["basic"]) == set(fields(BasicAuthFields))
    assert set(described["api_key"]) >= set(fields(ApiKeyFields))


def test_every_subject_and_operator_is_described() -> None:
    one = page("docs/assertions.md")
    assert one.section("Subjects").table("subject").words() == [*SUBJECTS, "not"]
    assert sorted(one.section("Operators").table("operator").words()) == sorted([*OPERATORS, "any", "all"])
    table = one.section("Fields of an assertion").table("kind")
    assert sorted(table.words(1)) == sorted(fields(Check))


def test_every_category_is_named() -> None:
    text = page("docs/assertions.md").section("Failures").text.partition("category")[2]
    assert sorted(words(text)) == sorted(CATEGORIES)


def test_every_name_function_and_filter_of_templates_is_described() -> None:
    one = page("docs/templates.md")
    names = one.section("Names").table("name")
    assert [words(row[0])[0].partition(".")[0] for row in names.rows[:-1]] == [
        "captured_data",
        "shared_auth_tokens",
        "shared_variables",
        "vars",
        "env",
        "credentials",
        "row",
        "run",
        "test",
    ]
    assert len(NAMESPACES) == len(names.rows) - 1
    calls = one.section("Functions").table("function").words()
    written = {name: tuple(inner.split(", ")) if inner else () for name, inner in map(_call, calls)}
    assert written == {
        name: arguments or ("…",) if name == "random_choice" else arguments
        for name, (_, arguments, _) in FUNCTIONS.items()
    }
    filters = [_call(word)[0] for word in one.section("Filters").table("filter").words()]
    assert sorted(filters) == sorted([*FILTERS, "default"])


def _call(text: str) -> tuple[str, str]:
    name, _, rest = text.partition("(")
    return name, rest.removesuffix(")")


# Commands ----------------------------------------------------------------------------------------------------------------


def leaves(
    command: click.Command = app, path: tuple[str, ...] = ("orbit",)
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from leaves(inner, (*path, name))
    else:
        yield path, command


LEAVES = list(leaves())
COMMANDS = page("docs/commands.md")


def section_of(path: tuple[str, ...]) -> Section:
    return COMMANDS.section(" ".join(path[:2]))


def spelt(command: click.Command) -> set[str]:
    """Arguments and options, as a table writes them."""
    found = set()
    for parameter in command.params:
        metavar = parameter.metavar or parameter.type.name.upper()
        if isinstance(parameter, click.Argument):
            found.add(metavar.strip("[]"))
            continue
        assert isinstance(parameter, click.Option)
        found |= {option if parameter.is_flag else f"{option} {metavar}" for option in parameter.opts}
    return found


def test_every_command_is_described() -> None:
    headings = [section.title for section in COMMANDS.sections if section.title.startswith("orbit ")]
    assert headings == list(dict.fromkeys(" ".join(path[:2]) for path, _ in LEAVES))  # in the order of `orbit --help`
    assert COMMANDS.sections[1].table("command").words() == headings
    inner = {
        word
        for title in headings
        for table in COMMANDS.section(title).tables
        if table.header[0] == "command"
        for word in table.words()
    }
    assert inner == {" ".join(path) for path, _ in LEAVES if len(path) > 2}


COMMON = {words(row[0])[0]: words(row[1]) for row in COMMANDS.section("Common options").table("option").rows}


@pytest.mark.parametrize("title", sorted({" ".join(path[:2]) for path, _ in LEAVES}))
def test_every_option_is_described(title: str) -> None:
    """In its command's section, or among those that return; there where it means more, too."""
    commands = {path[-1]: command for path, command in LEAVES if " ".join(path[:2]) == title}
    tables = [table for table in COMMANDS.section(title).tables if table.header[0] == "option"]
    described = {word for table in tables for word in table.words()}
    taken = set().union(*map(spelt, commands.values()))
    assert described <= taken
    assert taken - described <= set(COMMON)
    for table in tables:
        for row in table.rows if "of" in table.header else ():
            option = words(row[0])[0]
            assert set(words(row[1])) == {name for name, command in commands.items() if option in spelt(command)}


def test_common_options_are_told_of_every_command_that_takes_them() -> None:
    takes = {option: {" ".join(path) for path, command in LEAVES if option in spelt(command)} for option in COMMON}
    assert takes.pop("--json") == {" ".join(path) for path, _ in LEAVES} - set(COMMON["--json"])
    for option, paths in takes.items():
        assert {" ".join(path.split()[:2]) for path in paths} == set(COMMON[option]), option


@pytest.mark.parametrize("path", [path for path, _ in LEAVES], ids=" ".join)
def test_defaults_and_help_agree(path: tuple[str, ...]) -> None:
    """A default that the help shows stands on the page, too."""
    command = dict(LEAVES)[path]
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.show_default:
            rows = [row for table in section_of(path).tables for row in table.rows if parameter.opts[0] in row[0]]
            assert any(str(parameter.default) in row[-1] for row in rows), parameter.opts


LINES = [
    (str(block), command)
    for one in pages()
    for block in one.blocks
    if block.language == "console"
    for line in block.text.splitlines()
    if line.startswith("$ ")
    for command in re.findall(
        r"(?:^\$ |[ /(])orbit ((?:pipeline|schedule|rerun|compare|"
        r"submit|status|list|watch|queue|workers|stats|health|dead-letters|"
        r"db|run|env|show|logs|worker|validate|resume|cancel|doctor|local|secret|version|"
        r"org|unit|project|access|fixture|template|search|prefs|credential|var|audit|config|limits|token|agent-token|login|logout|whoami)\b[^)]*)",
        line,
    )
]


@pytest.mark.parametrize(("place", "line"), LINES, ids=[f"{place} {line}" for place, line in LINES])
def test_commands_shown_are_understood(place: str, line: str) -> None:
    command: click.Command = app
    rest = shlex.split(line.rstrip('"'), comments=True)
    while isinstance(command, click.Group):
        inner = command.get_command(click.Context(command), rest.pop(0))
        assert inner is not None
        command = inner
    command.make_context("orbit", rest)


def test_exit_codes() -> None:
    for name in ("README.md", "docs/commands.md"):
        table = page(name).section("Exit codes").table("code")
        assert [int(row[0]) for row in table.rows] == [code.value for code in Exit]


def test_every_environment_variable_is_described() -> None:
    table = COMMANDS.section("Environment variables").table("variable")
    described = set(table.words())
    read = set()
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        read |= set(re.findall(r"[\"']((?:ORBIT|SUPABASE)_[A-Z_]+)[\"']", text))
        read |= set(re.findall(r"environ(?:\.get\(|\[)[\"']([A-Z_]+)[\"']", text))
    assert read - {"HOME"} <= described
    own = {name for name in described if name.startswith(("ORBIT_", "SUPABASE_"))}
    assert own <= read


# Errors --------------------------------------------------------------------------------------------------------------------

ERRORS = page("docs/errors.md")


def test_every_code_that_sql_raises_is_described_with_its_class() -> None:
    raised = set()
    for path in (ROOT / "sql").rglob("*.sql"):
        raised |= set(re.findall(r"'(OR\d{3})'", path.read_text(encoding="utf-8")))
    table = ERRORS.section("SQLSTATEs").table("code")
    described = {words(row[0])[0]: words(row[1])[0] for row in table.rows}
    assert set(described) == raised
    for code, name in described.items():
        error = from_sqlstate(code, "")
        assert type(error).__name__ == name
        assert error is not None
        assert error.sqlstate == code
    mapped = {cls.sqlstate for cls in classes().values() if cls.sqlstate}
    assert mapped == raised
    assert all(row[3] for row in table.rows)


def classes() -> dict[str, type[OrbitError]]:
    return {name: getattr(errors_module, name) for name in errors_module.__all__ if name != "from_sqlstate"}


def test_every_class_is_described_with_its_exit_code() -> None:
    rows = {words(row[0])[0]: row for row in ERRORS.section("Classes").table("class").rows}
    assert set(rows) == set(classes())
    for name, cls in classes().items():
        if name == "OrbitError":
            continue
        error = cls([errors_module.DefinitionError("x")]) if name == "DefinitionErrors" else cls("x")  # type: ignore[arg-type]
        assert int(rows[name][2]) == of_error(error), name
        assert rows[name][3], f"{name} has no next step"
        if cls.sqlstate:
            assert cls.sqlstate in words(rows[name][1]), name


# SDK -----------------------------------------------------------------------------------------------------------------------

SDK = page("docs/sdk.md")
METHODS: dict[str, Any] = {
    f"{prefix}{name}": method
    for prefix, cls in (
        ("suites.", Suites),
        ("environments.", Environments),
        ("variables.", Variables),
        ("runs.", Runs),
        ("batches.", Batches),
        ("pipelines.", Pipelines),
        ("secrets.", Secrets),
        ("schedules.", Schedules),
        ("channels.", Channels),
        ("tokens.", Tokens),
        ("agent_tokens.", AgentTokens),
        ("workers.", Workers),
        ("history.", History),
        ("queue.", Queue),
        ("dead_letters.", DeadLetters),
        ("fixtures.", Fixtures),
        ("report_templates.", ReportTemplates),
        ("preferences.", Preferences),
        ("searches.", Searches),
        ("credentials.", Credentials),
        ("audit.", Audit),
        ("limits.", Limits),
        ("settings.", Settings),
        ("organizations.", Organizations),
        ("business_units.", BusinessUnits),
        ("projects.", Projects),
        ("permissions.", Permissions),
        ("", TestExecutionContextManager),
    )
    for name, method in vars(cls).items()
    if not name.startswith("_") and callable(method)
}


def test_every_method_is_described() -> None:
    written = [word for table in SDK.tables if table.header[0] == "method" for word in table.words()]
    assert sorted(written) == sorted(f"{name}({arguments(method)})" for name, method in METHODS.items())


def test_every_function_of_the_contract_is_described() -> None:
    assert sorted(SDK.section("SQL").table("function").words()) == sorted(FUNCTIONS_OF_SQL)


def arguments(method: Any) -> str:
    parts = []
    for parameter in list(inspect.signature(method).parameters.values())[1:]:
        if parameter.kind is parameter.VAR_KEYWORD:
            parts.append(f"**{parameter.name}")
        elif parameter.default is parameter.empty:
            parts.append(parameter.name)
        else:
            default = json.dumps(parameter.default) if isinstance(parameter.default, str) else repr(parameter.default)
            parts.append(f"{parameter.name}={default}")
    return ", ".join(parts)


def test_errors_that_methods_raise_exist() -> None:
    known = {*classes(), "CaptureError", "TimeoutError"}  # what a response lacks is no OrbitError
    for table in SDK.tables:
        if table.header[0] == "method":
            assert set(table.words(table.header.index("raises"))) <= known


def test_every_option_of_a_start_is_described() -> None:
    sql = next((ROOT / "sql/migrations").glob("*_runs.sql")).read_text(encoding="utf-8")
    taken = re.search(r"where k not in \((.*?)\)", sql, re.DOTALL)
    assert taken is not None
    options = set(re.findall(r"'(\w+)'", taken[1])) - {"suite", "suite_id", "project"}
    assert set(SDK.section("Runs").table("option of `start`").words()) == options
