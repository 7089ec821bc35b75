"""The variables of a run: precedence, references, generated values, secrets."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from orbit_context.errors import DefinitionError, DefinitionErrors
from orbit_context.suite.document import EnvironmentDocument, Suite
from orbit_context.suite.load import build_suite
from orbit_context.suite.variables import ResolvedVariables, parse_overrides, resolve_variables


def resolve(
    variables: dict[str, Any],
    environment: dict[str, Any] | None = None,
    secrets: dict[str, Any] | None = None,
    **overrides: Any,
) -> ResolvedVariables:
    suite = Suite.model_validate({"suite": "s", "variables": variables, "tests": {"a": {"request": "/"}}})
    document = None
    if environment is not None or secrets is not None:
        document = EnvironmentDocument.model_validate(
            {"environment": "e", "variables": environment or {}, "secrets": secrets or {}}
        )
    return resolve_variables(suite, document, overrides, clock=lambda: 0.0, random=Random(7))


def test_precedence() -> None:
    found = resolve({"a": 1, "b": 1, "c": 1}, {"b": 2, "c": 2, "d": 2}, c=3, e=3)
    assert found.values == {"a": 1, "b": 2, "c": 3, "d": 2, "e": 3}
    assert found.environment == {"b": 2, "c": 2, "d": 2}


def test_variables_refer_to_variables_in_any_order_and_keep_types() -> None:
    found = resolve({"c": "{{b}}!", "b": "{{vars.a}}", "a": 7, "all": {"list": ["{{b}}", "{{c}}"]}})
    assert found.values == {"c": "7!", "b": 7, "a": 7, "all": {"list": [7, "7!"]}}


def test_references_see_what_overrides() -> None:
    found = resolve({"host": "suite", "url": "http://{{host}}/{{env.host}}"}, {"host": "environment"}, host="given")
    assert found.values == {"host": "given", "url": "http://given/environment"}
    assert found.environment == {"host": "environment"}


def test_an_environment_refers_to_the_suite() -> None:
    found = resolve({"port": 80}, {"url": "http://h:{{port}}", "again": "{{env.url}}"})
    assert found.environment == {"url": "http://h:80", "again": "http://h:80"}


def test_a_variable_may_hide_one_of_the_environment_that_it_refers_to() -> None:
    with pytest.raises(DefinitionError, match="the variable refers to itself"):
        resolve({}, {"a": "{{env.a}}"})
    assert resolve({"a": "{{env.b}}"}, {"b": "{{b_of_suite}}"}, b_of_suite=1).values["a"] == 1


def test_generated_values_are_made_once() -> None:
    found = resolve({"id": "{{uuid()}}", "again": "{{id}}", "at": "{{now('date')}}"})
    assert found.values["id"] == found.values["again"]
    assert found.values["at"] == "1970-01-01"


def test_overrides_are_no_templates() -> None:
    assert resolve({"a": 1, "b": "{{a}}"}, a="{{nobody}}").values == {"a": "{{nobody}}", "b": "{{nobody}}"}


def test_what_refers_to_a_secret_is_secret() -> None:
    found = resolve(
        {"password": {"value": "p", "secret": True}, "header": "Basic {{password}}", "two": "{{header}}", "plain": "x"},
        {"shown": "{{env.key}}"},
        {"key": "k"},
        password="other",
    )
    assert found.secret_names == {"password", "header", "two", "key", "shown"}
    assert found.values["two"] == "Basic other"


def test_no_value_in_a_repr() -> None:
    assert "hunter2" not in repr(resolve({"p": "hunter2"}))


@pytest.mark.parametrize(
    "auth",
    [
        {"basic": {"username": "u", "password": "hunter2"}},
        {"bearer": "hunter2"},
        {"api_key": {"name": "k", "value": "hunter2"}},
    ],
)
def test_no_secret_in_the_repr_of_a_document(auth: dict[str, Any]) -> None:
    suite = build_suite(
        {
            "version": 1,
            "suite": "s",
            "variables": {"p": {"value": "hunter2", "secret": True}, "q": "plain"},
            "tests": {"t": {"request": {"GET": "/", "auth": auth, "tls": {"key_password": "hunter2"}}}},
        }
    )
    environment = EnvironmentDocument.model_validate(
        {"environment": "e", "variables": {"v": {"value": "hunter2", "secret": True}}, "secrets": {"s": "hunter2"}}
    )
    for shown in (repr(suite), repr(environment), str(suite.document), str(environment)):
        assert "hunter2" not in shown
    assert "plain" in repr(suite)


def test_a_default_stands_in_for_a_name_that_is_missing() -> None:
    assert resolve({"a": "{{nobody ?? 5}}"}).values == {"a": 5}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"a": "{{b}}"}, "variables.a: no row field, variable or capture is called 'b'"),
        ({"a": "{{env.b}}"}, "variables.a: env has no 'b'"),
        ({"a": ["{{ x | }}"]}, "variables.a[0]: expected the name of a filter, found }"),
        ({"a": "{{run.id}}"}, "variables.a: run.id is not known yet when variables get their values"),
        ({"a": "{{row.n ?? 1}}"}, "variables.a: row.n is not known yet when variables get their values"),
        (
            {"a": "{{captured_data.t.x}}"},
            "variables.a: captured_data.t.x is not known yet when variables get their values",
        ),
        ({"x": 1, "a": "{{b}}", "b": ["{{a}}"]}, "variables.a: these variables refer to each other: a → b → a"),
    ],
)
def test_what_is_wrong(variables: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        resolve(variables)
    assert str(caught.value) == message


def test_all_that_is_wrong_at_once() -> None:
    with pytest.raises(DefinitionErrors) as caught:
        resolve({"a": "{{x}}", "b": "{{y}}"})
    assert len(caught.value.errors) == 2


def test_overrides_on_the_command_line() -> None:
    arguments = ["user=demo", "n=7", "empty=", "eq=a=b", "n2:=7", "flag:=true", 'list:=["a", {"b": null}]', "u=x:=y"]
    assert parse_overrides(arguments) == {
        "user": "demo", "n": "7", "empty": "", "eq": "a=b", "n2": 7, "flag": True, "list": ["a", {"b": None}], "u": "x:=y",
    }  # fmt: skip


@pytest.mark.parametrize("argument", ["user", "=x", ":=1", " =x"])
def test_an_override_without_a_name_or_value(argument: str) -> None:
    with pytest.raises(DefinitionError, match="a variable is given as name=text or name:=JSON"):
        parse_overrides([argument])


def test_an_override_with_broken_json_does_not_show_it() -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_overrides(["password:=hunter2"])
    assert str(caught.value) == "the value of 'password' is not JSON"
    assert caught.value.hint == "Write password=… to give it as text."
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
