"""A project's own reports: what they show, and what they may not do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from orbit_runner.sandbox import Sandbox
from support.documentation import page

from orbit_context.extract.evaluator import EvaluationError
from orbit_context.extract.report import render_report

if TYPE_CHECKING:
    from support.command import Done, OrbitCommand
    from support.target import Target

HTML = "<h1>{{ run.suite }}</h1>{% for result in results %}<p>{{ result.key }} {{ result.status }}</p>{% endfor %}\n"


async def a_run(orbit: OrbitCommand, target: Target, name: str = "the <b>cart</b>") -> Done:
    suite = orbit.suite(
        {"good": {"request": "/item/7"}, "bad": {"request": "/item/7", "expect": {"status": 404}}},
        base_url=target.url(""),
        suite=name,
    )
    return await orbit("run", suite, "--json")


async def test_a_template_shows_a_run(orbit: OrbitCommand, target: Target) -> None:
    await a_run(orbit, target)
    saved = await orbit("template", "save", orbit.write("summary.html.j2", HTML), "--default", "--json")
    assert saved.json == {"name": "summary", "kind": "html"}
    shown = await orbit("show", "last", "--template", "summary")
    assert shown.code == 1  # the run's
    assert shown.stdout == "<h1>the &lt;b&gt;cart&lt;/b&gt;</h1><p>good passed</p><p>bad failed</p>"
    assert (await orbit("show", "last", "--template", "default")).stdout == shown.stdout

    (example,) = (block for block in page("docs/library.md").blocks if block.language == "text")
    await orbit("template", "save", orbit.write("failures.txt", example.text))
    told = await orbit("show", "last", "--template", "failures")
    assert told.stdout.startswith("the <b>cart</b>: failed\n- bad: "), told.stderr
    assert "good" not in told.stdout

    listed = (await orbit("template", "list", "--json")).json
    assert [(one["name"], one["kind"], one["is_default"]) for one in listed] == [
        ("failures", "text", False),
        ("summary", "html", True),
    ]
    assert (await orbit("template", "show", "summary")).stdout == HTML
    assert (await orbit("template", "rm", "summary")).code == 0
    refused = await orbit("show", "last", "--template", "summary")
    assert refused.code == 4
    assert "no report template summary" in refused.stderr
    assert "there are: failures" in refused.stderr


async def test_a_terminal_is_not_written_to_by_what_a_server_answered(orbit: OrbitCommand, target: Target) -> None:
    await a_run(orbit, target, "red \x1b[31m alert")
    await orbit("template", "save", orbit.write("name.txt", "{{ run.suite }}"))
    shown = await orbit("show", "last", "--template", "name")
    assert "\x1b" not in shown.stdout
    assert "\\x1b[31m" in shown.stdout


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% for x in results %}\n{{ x.key }\n", "bad.txt:2: "),
        ("a\n{% if %}", "bad.txt:2: "),
        ("{{ x | nosuchfilter }}", "bad.txt:1: No filter named 'nosuchfilter'"),
    ],
)
async def test_a_template_that_is_no_jinja_is_not_saved(orbit: OrbitCommand, source: str, message: str) -> None:
    refused = await orbit("template", "save", orbit.write("bad.txt", source))
    assert refused.code == 4
    assert message in refused.stderr
    assert (await orbit("template", "list", "--json")).json == []


LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


async def test_a_template_that_never_ends_is_stopped_with_one_error(orbit: OrbitCommand, target: Target) -> None:
    await a_run(orbit, target)
    await orbit("template", "save", orbit.write("endless.txt", LOOP))
    refused = await orbit("show", "last", "--template", "endless")
    assert refused.code == 4
    assert "template endless: the template took more than 10 s and was stopped" in refused.stderr
    assert refused.stderr.count("error") == 1
    assert refused.stdout == ""


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (LOOP, "timeout"),
        ("{% set n = 9 %}{{ n ** (n ** n) }}", "timeout"),
        ("{% set x = 'x' %}{{ x * 2000000000 }}", "memory"),
        ("{% for a in range(99999) %}{{ 'x' * 1000 }}{% endfor %}", "too_large"),
    ],
    ids=["loop", "power", "text", "output"],
)
async def test_what_a_template_may_not_use_up(source: str, code: str) -> None:
    async with Sandbox(processes=1) as sandbox:
        with pytest.raises(EvaluationError) as refusal:
            await sandbox.evaluate("report_text", source, b"{}", 0.5 if code == "timeout" else 10.0)
        assert refusal.value.code == code
        assert await sandbox.evaluate("report_text", "{{ x }}", b'{"x": 1}') == "1"


DATA: dict[str, Any] = {"run": {"suite": "s"}, "results": []}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ ''.__class__.__mro__ }}", "line 1: access to attribute '__class__'"),
        ("\n{{ run.nosuch }}", "line 2: 'dict object' has no attribute 'nosuch'"),
        ("{{ nosuch }}", "line 1: 'nosuch' is undefined"),
        ("{% include '/etc/passwd' %}", "line 1: there is no template '/etc/passwd' here"),
        ("{% import 'os' as os %}", "line 1: there is no template 'os' here"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "line 1: a macro calls itself too often"),
        ("{{ run.update({'suite': 'other'}) }}", "line 1: access to attribute 'update'"),
        ("{{ '{0.__class__}'.format(run) }}", "line 1: access to attribute '__class__'"),
        ("{{ range(1000000) | length }}", "line 1: Range too big"),
        ("{{ lipsum() }}", "line 1: 'lipsum' is undefined"),
        ("{{ 1 / 0 }}", "line 1: division by zero"),
    ],
)
def test_what_a_template_may_not_do(source: str, message: str) -> None:
    with pytest.raises(EvaluationError) as refusal:
        render_report(source, DATA, "text")
    assert refusal.value.code == "expression"
    assert refusal.value.message.startswith(message)
