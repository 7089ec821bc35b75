from __future__ import annotations

import json
from random import Random
from types import MappingProxyType
from typing import Any

import pytest

from orbit_context.errors import TemplateError
from orbit_context.template import Scope, compile_value, escape

SCOPE = Scope(
    shared_auth_tokens={"access_token": "abc.def"},
    captured_data={
        "test-2": {"product_ids": [7, 8, 9], "user": {"name": "Ann", "tags": ["a", "b"], "nick": None}},
        "create order": {"id": 41},
        "item[1]": {"x": 1},
        "2fa": {"code": "000123"},
        "login": {"token": "from-capture", "ok": True},
    },
    shared_variables={"region": "eu"},
    vars={"base_url": "http://shop.test", "n": 3, "half": 0.5, "name": "vars", "nothing": None, "list": [1, "a", None]},
    env={"name": "env", "stage": "test", "0": "zero"},
    row={"n": 4, "empty": ""},
    run={"id": "r-1", "started_at": "2026-01-31T00:00:00Z"},
    test={"key": "t", "attempt": 2},
    bare={"token": ("captured_data", "login", "token"), "user": ("captured_data", "test-2", "user")},
)


def render(value: object, scope: Scope = SCOPE) -> object:
    return compile_value(value, field="request").render(scope)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{captured_data.test-2.product_ids[0]}}", 7),
        ("{{captured_data.test-2.product_ids[-1]}}", 9),
        ("{{ captured_data.test-2.product_ids }}", [7, 8, 9]),
        ('{{captured_data["create order"].id}}', 41),
        ("{{captured_data['item[1]'].x}}", 1),
        ("{{captured_data.2fa.code}}", "000123"),
        ("{{captured_data.login}}", {"token": "from-capture", "ok": True}),
        ("{{ captured_data . test-2 [ 'user' ] . name }}", "Ann"),
        ("{{shared_auth_tokens.access_token}}", "abc.def"),
        ("{{shared_variables.region}}", "eu"),
        ("{{vars.half}}", 0.5),
        ("{{vars.nothing}}", None),
        ("{{env.name}}", "env"),
        ("{{env.0}}", "zero"),
        ("{{run.id}}", "r-1"),
        ("{{test.attempt}}", 2),
        ("{{row}}", {"n": 4, "empty": ""}),
        ("{{base_url}}", "http://shop.test"),
        ("{{n}}", 4),
        ("{{name}}", "vars"),
        ("{{stage}}", "test"),
        ("{{token}}", "from-capture"),
        ("{{user.tags[1]}}", "b"),
        ("{{'text'}}", "text"),
        ('{{"a\\"b\\u00e9\\n"}}', 'a"bé\n'),
        ("{{-1.5e2}}", -150.0),
        ("{{true}}", True),
        ("{{null}}", None),
        ("{{'}}'}}", "}}"),
    ],
)
def test_an_expression_alone_keeps_the_type_of_its_value(text: str, value: object) -> None:
    rendered = render(text)
    assert rendered == value
    assert type(rendered) is type(value)


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("{{base_url}}/orders/{{captured_data['create order'].id}}?a=b", "http://shop.test/orders/41?a=b"),
        ("x{{vars.half}}", "x0.5"),
        ("x{{captured_data.login.ok}}", "xtrue"),
        ("x{{vars.list}}", 'x[1,"a",null]'),
        ("{{user}} ", '{"name":"Ann","tags":["a","b"],"nick":null} '),
        ("x{{row.empty}}", "x"),
        ("{{n}}{{n}}", "44"),
        ("}} { } {%", "}} { } {%"),
        ("{{n}}}}", "4}}"),
        ('{"a":{"b":{{n}}}}', '{"a":{"b":4}}'),
    ],
)
def test_inside_text_a_value_stands_as_in_json(text: str, rendered: str) -> None:
    assert render(text) == rendered


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        (r"\{{n}}", "{{n}}"),
        (r"\\{{n}}", "\\4"),
        (r"\\\{{n}}", r"\{{n}}"),
        (r"a\b\n {{n}}", r"a\b\n 4"),
        (r"\{{n}} {{n}}", "{{n}} 4"),
        (r"\{{{n}", "{{{n}"),
        (r"C:\\{{n}}\x", r"C:\4\x"),
    ],
)
def test_a_backslash_before_the_braces_makes_them_text(text: str, rendered: str) -> None:
    assert render(text) == rendered


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("missing ?? 'd'", "d"),
        ("vars.nothing ?? 1", 1),
        ("row.empty ?? 1", ""),
        ("captured_data.nowhere.at.all[3] | default(null)", None),
        ("captured_data.test-2.user.nick.first ?? 'x'", "x"),
        ("missing ?? also_missing ?? n", 4),
        ("missing ?? 'a' | upper", "A"),
        ("missing | default(stage | upper)", "TEST"),
        ("user.tags | first", "a"),
        ("user.tags | last | upper", "B"),
        ("vars.empty_list ?? user.tags | join('-')", "a-b"),
        ("vars.list | length", 3),
        ("user | length", 3),
        ("user.tags | join", "a,b"),
        ("captured_data.2fa.code | int", 123),
        ("' -12 ' | int", -12),
        ("2.9 | int", 2),
        ("'2.50' | float", 2.5),
        ("n | float", 4.0),
        ("n | string", "4"),
        ("'Yes' | bool", True),
        ("0 | bool", False),
        ("user | json", '{"name":"Ann","tags":["a","b"],"nick":null}'),
        ("null | json", "null"),
        ("'é/ ?&' | urlencode", "%C3%A9%2F%20%3F%26"),
        ("'user:pässword' | base64", "dXNlcjpww6Rzc3dvcmQ="),
        ("'dXNlcjpww6Rzc3dvcmQ' | base64_decode", "user:pässword"),
        ("'a' | md5", "0cc175b9c0f1b6a831c399e269772661"),
        ("'a' | sha256", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
        ("'  a ' | trim", "a"),
        ("'AbC' | lower", "abc"),
        ("(missing ?? 'x') | upper", "X"),
    ],
)
def test_filters_and_defaults(expression: str, value: object) -> None:
    rendered = render("{{" + expression + "}}")
    assert rendered == value
    assert type(rendered) is type(value)


def test_an_empty_list_has_no_first_item_but_a_default_stands_in() -> None:
    scope = Scope(vars={"list": []})
    assert render("{{list | first ?? 'none'}}", scope) == "none"
    with pytest.raises(TemplateError, match="the list is empty"):
        render("{{list | first}}", scope)


def test_keys_are_templates_too_and_the_order_stays() -> None:
    rendered = render({"a": 1, "b": {"{{stage}}": "{{n}}"}, "c": ["{{n}}", 2, {"d": "{{n}}"}]})
    assert json.dumps(rendered) == '{"a": 1, "b": {"test": 4}, "c": [4, 2, {"d": 4}]}'
    with pytest.raises(TemplateError, match="same name"):
        render({"test": 1, "{{stage}}": 2})


def test_callers_cannot_damage_a_template() -> None:
    template = compile_value({"static": {"deep": [1, {"a": 2}]}, "list": [["x"], "{{n}}"], "text": "{{n}}"})
    first = template.render(SCOPE)
    expected = json.dumps(first)
    first["static"]["deep"][1]["a"] = 3
    first["static"]["deep"].append(4)
    first["list"][0].clear()
    first["list"].clear()
    first.clear()
    assert json.dumps(template.render(SCOPE)) == expected


def test_the_value_given_may_change_after_compiling() -> None:
    value: dict[str, Any] = {"a": [1, "{{n}}"], "b": {"c": []}}
    template = compile_value(value)
    value["a"].append(2)
    value["b"].clear()
    assert template.render(SCOPE) == {"a": [1, 4], "b": {"c": []}}


def test_static_values_are_known_as_static() -> None:
    assert compile_value({"a": [1, None, "x"], "b": r"\{{x}}", "c": "{{'k' | upper}}"}).is_static
    for text in ("{{uuid()}}", "{{n}}", "a {{missing ?? 1}}"):
        assert not compile_value([text]).is_static
    assert not compile_value({"{{n}}": 1}).is_static


def test_references_say_what_is_named_and_where() -> None:
    template = compile_value(
        {
            "headers": {"X Id": "id {{captured_data['create order'].items[0].id}}"},
            "body": ["{{token ?? row.t}}", "{{random_int(1, vars.most | default(9))}}"],
        },
        field="tests.a.request",
        file="suite.yaml",
    )
    seen = [(r.root, r.path, r.source, r.field, r.column, r.has_default, r.is_bare) for r in template.references]
    assert seen == [
        ("captured_data", ("create order", "items", 0, "id"), "captured_data['create order'].items[0].id",
         'tests.a.request.headers["X Id"]', 6, False, False),
        ("token", (), "token", "tests.a.request.body[0]", 3, True, True),
        ("row", ("t",), "row.t", "tests.a.request.body[0]", 12, False, False),
        ("vars", ("most",), "vars.most", "tests.a.request.body[1]", 17, True, False),
    ]  # fmt: skip


def test_values_of_the_scope_are_handed_on_and_any_mapping_will_do() -> None:
    class Lazy(dict[str, object]):
        def __missing__(self, key: str) -> object:
            return f"opened {key}"

    scope = Scope(vars=Lazy(), captured_data=MappingProxyType({"a": MappingProxyType({"b": (1, 2)})}))
    assert render("{{vars.password}}", scope) == "opened password"
    assert render("{{captured_data.a.b[1]}}", scope) == 2
    assert render("x{{captured_data.a}}", scope) == 'x{"b":[1,2]}'


def test_an_error_of_a_lazy_mapping_comes_through() -> None:
    class Sealed(dict[str, object]):
        def __missing__(self, key: str) -> object:
            raise PermissionError(key)

    with pytest.raises(PermissionError):
        render("{{vars.password ?? 'x'}}", Scope(vars=Sealed()))


def test_a_python_object_in_the_scope_is_refused() -> None:
    for text in ("{{vars.a}}", "x{{vars.a}}", "{{a}}", "{{vars.a | string}}"):
        with pytest.raises(TemplateError, match="no JSON value"):
            render(text, Scope(vars={"a": object()}))
    with pytest.raises(TemplateError, match="no JSON value"):
        render("x{{vars.a}}", Scope(vars={"a": [Random]}))


@pytest.mark.parametrize("value", [object(), b"x", {1: 2}, [{"a": {1, 2}}], {"a": object()}])
def test_only_json_can_be_compiled(value: object) -> None:
    with pytest.raises(TemplateError):
        compile_value(value)


def test_escape_writes_text_that_means_itself() -> None:
    for text in ("{{a}}", "\\{{a}}", "{{{", "\\\\{{{{\\", "plain", ""):
        assert compile_value(escape(text)).render(Scope()) == text
        assert compile_value(escape(text)).is_static
