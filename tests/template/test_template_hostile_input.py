"""Whatever text arrives, as a template or as data: a value or a TemplateError, never code that runs or a Python object."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbit_context.errors import TemplateError
from orbit_context.template import NAMESPACES, KnownNames, Scope, check, compile_value, escape

# Strings that make something happen in other template engines, shells, parsers and protocols: here they are text.
HOSTILE = json.loads(Path(__file__).with_name("payloads.json").read_text())
EXPRESSIONS = HOSTILE["expressions"]
PAYLOADS = [wrapper % expression for wrapper in HOSTILE["wrappers"] for expression in EXPRESSIONS] + HOSTILE["texts"]

JSON_TYPES = (str, int, float, bool, type(None), list, dict)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
# Text made of the pieces that the grammar is made of, so that much of it parses.
fragments = st.lists(
    st.sampled_from(
        ["{{", "}}", "{", "}", "\\", "x", "vars", "row", "captured_data", ".", "[", "]", "0", "-1", "'", '"', "'a'", "(", ")",
         ",", "|", "??", " ", "upper", "json", "int", "default", "first", "join", "uuid", "now", "random_int", "=", "null",
         "__class__", "%s", "{0}", "é", "\x00", "\ud800", "length", "base64_decode", "random_choice", "+1d", "1e5"]
    ),
    max_size=25,
).map("".join)  # fmt: skip
templates = fragments | fragments.map(lambda text: "{{" + text + "}}") | st.text()


def scope_with(value: Any) -> Scope:
    return Scope(
        vars={"x": value},
        row={"x": value},
        captured_data={"login": {"token": value}},
        shared_auth_tokens={"access_token": value},
        env={"SECRET": "env-secret"},
        bare={"b": ("captured_data", "login", "token")},
    )


def assert_json(value: Any) -> None:
    assert type(value) in JSON_TYPES
    if isinstance(value, dict):
        assert all(type(key) is str for key in value)
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            assert_json(item)


def test_there_are_two_hundred_payloads() -> None:
    assert len(set(PAYLOADS)) >= 200


@pytest.mark.parametrize("name", ["vars.x", "x", "captured_data.login.token", "shared_auth_tokens.access_token", "b"])
def test_data_is_never_evaluated(name: str) -> None:
    template = compile_value(
        {"whole": f"{{{{{name}}}}}", "text": f"<{{{{{name}}}}}>{{{{ {name} }}}}", f"k{{{{{name}}}}}": 1}
    )
    for payload in PAYLOADS:
        rendered = template.render(scope_with(payload))
        assert rendered == {"whole": payload, "text": f"<{payload}>{payload}", f"k{payload}": 1}


def test_data_does_not_change_the_structure_of_a_json_body() -> None:
    structured = compile_value({"name": "{{x}}", "list": ["a{{x}}"], "fixed": {"role": "user"}})
    written = compile_value('{"name":{{x | json}},"list":[{{x | json}}],"fixed":{"role":"user"}}')
    for payload in PAYLOADS:
        scope = scope_with(payload)
        expected = {"name": payload, "list": ["a" + payload], "fixed": {"role": "user"}}
        assert json.loads(json.dumps(structured.render(scope))) == expected
        assert json.loads(written.render(scope)) == expected | {"list": [payload]}


def test_encoded_data_does_not_change_the_structure_of_a_url() -> None:
    from urllib.parse import parse_qsl, urlsplit

    template = compile_value("https://shop.test/items/{{x | urlencode}}?q={{x | urlencode}}&page=1")
    for payload in PAYLOADS:
        url = urlsplit(template.render(scope_with(payload)))
        assert (url.scheme, url.netloc, url.fragment) == ("https", "shop.test", "")
        assert url.path.count("/") == 2
        assert parse_qsl(url.query, keep_blank_values=True) == [("q", payload), ("page", "1")]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions_of_other_engines_reach_nothing(expression: str) -> None:
    """Nothing of Python: either it is no expression here, or it names JSON that the scope holds."""
    known = {"x-value", "env-secret", None}
    generated = {"uuid()", "now()", "random_int(1,6)", "'a' | upper", "1 ?? 2"}
    try:
        rendered = compile_value("{{" + expression + "}}").render(scope_with("x-value"))
    except TemplateError:
        return
    assert_json(rendered)
    assert rendered in known or expression in generated


@settings(deadline=None)
@given(templates)
def test_any_text_compiles_or_is_a_template_error(text: str) -> None:
    try:
        template = compile_value({"a": [text]}, field="f", file="s.yaml")
        check(template, KnownNames(vars=("x",), row=(), env=(), captured_data={"login": ("token",)}))
        rendered = template.render(scope_with("value"))
    except TemplateError as error:
        column = error.source_column or 1
        if str(error).startswith("s.yaml: f") and 1 <= column <= len(text) + 1:
            return
        raise
    assert_json(rendered)
    if template.is_static:
        assert rendered == compile_value({"a": [text]}).render(Scope())


@settings(deadline=None)
@given(templates, json_values)
def test_any_data_renders_or_is_a_template_error(text: str, value: Any) -> None:
    try:
        rendered = compile_value(text).render(scope_with(value))
    except TemplateError as error:
        if "env-secret" in f"{error.message}{error.detail}{error.hint}":
            raise
        return
    assert_json(rendered)


@settings(deadline=None)
@given(json_values, st.sampled_from(NAMESPACES), st.lists(st.text(min_size=1) | st.integers(0, 3), max_size=4))
def test_a_value_alone_comes_back_as_it_is(value: Any, namespace: str, path: list[str | int]) -> None:
    """Round trip through any path: the value itself, its type kept, however its keys are spelt."""
    holder: Any = value
    for step in reversed(path):
        holder = {step: holder} if isinstance(step, str) else [None] * step + [holder]
    spelt = "".join(f"[{step}]" if isinstance(step, int) else f"[{quoted(step)}]" for step in path)
    names: dict[str, Any] = {namespace: {"key": holder}}
    scope = Scope(**names)
    assert compile_value(f"{{{{ {namespace}.key{spelt} }}}}").render(scope) is value


@settings(deadline=None)
@given(json_values)
def test_a_value_inside_text_reads_back_as_json(value: Any) -> None:
    template = compile_value('[{{x | json}},"end"]')
    assert json.loads(template.render(scope_with(value))) == [value, "end"]


@settings(deadline=None)
@given(json_values)
def test_static_values_come_back_as_they_are(value: Any) -> None:
    template = compile_value(escaped(value))
    assert template.is_static
    assert template.references == ()
    assert template.render(Scope()) == value


@settings(deadline=None)
@given(st.lists(st.sampled_from(["\\", "{", "}", "{{", "}}", "x", " "]), max_size=12).map("".join) | st.text())
def test_escaped_text_means_itself_also_beside_an_expression(text: str) -> None:
    assert compile_value(escape(text)).render(Scope()) == text
    # A brace before, or a backslash after which nothing is escaped, would join with what follows: a space keeps them apart.
    assert compile_value(escape(text) + " {{x}}").render(scope_with(1)) == text + " 1"


@settings(deadline=None)
@given(st.text(string.ascii_letters + "_.-[]'\"|?() {}0123456789", max_size=60))
def test_static_check_finds_every_name_that_rendering_misses(text: str) -> None:
    """A bare name or variable that `check` accepts with full knowledge does not fail at its first step when rendered."""
    try:
        template = compile_value("{{" + text + "}}")
    except TemplateError:
        return
    known = KnownNames(
        {"login": ("token",)}, ("access_token",), (), ("x",), ("SECRET",), ("x",), {"b": ("captured_data",)}
    )
    if check(template, known) or any(reference.path for reference in template.references):
        return
    try:
        template.render(scope_with("v"))
    except TemplateError as error:
        if "is called" in error.message:
            raise


def quoted(text: str) -> str:
    return '"' + "".join(f"\\{c}" if c in '"\\' else c for c in text) + '"'


def escaped(value: Any) -> Any:
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, list):
        return [escaped(item) for item in value]
    if isinstance(value, dict):
        return {escape(key): escaped(item) for key, item in value.items()}
    return value
