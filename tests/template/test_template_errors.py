from __future__ import annotations

import pytest

from orbit_context.errors import SecretKeyError, TemplateError
from orbit_context.template import Scope, compile_value

SECRET = "s3cr3t-value-never-shown"
SCOPE = Scope(
    captured_data={"login": {"token": SECRET, "user_id": 5, "list": [SECRET], "null": None}, "logout": {}},
    vars={"base_url": SECRET, "user_name": SECRET},
    env={"stage": SECRET},
    row={"sku": SECRET},
    bare={"token": ("captured_data", "login", "token")},
)


def failure(text: object, scope: Scope = SCOPE) -> TemplateError:
    with pytest.raises(TemplateError) as caught:
        compile_value(text, field="request.url", file="suite.yaml").render(scope)
    error = caught.value
    assert error.file == "suite.yaml"
    assert error.field == "request.url"
    assert SECRET not in f"{error} {error.detail} {error.hint} {error.source} {error!r}"
    return error


@pytest.mark.parametrize(
    ("text", "message", "detail", "hint"),
    [
        ("{{captured_data.login.tokn}}", "captured_data.login has no 'tokn'",
         "captured_data.login has: list, null, token, user_id", "Did you mean captured_data.login.token?"),
        ("{{captured_data.logn.token}}", "captured_data has no 'logn'", "captured_data has: login, logout",
         "Did you mean captured_data.login or captured_data.logout?"),
        ("{{captured_data.logout.x}}", "captured_data.logout has no 'x'", "captured_data.logout has: nothing", None),
        ("{{captured_data.login.list[3]}}", "captured_data.login.list[3] does not exist: the list has 1 item", None, None),
        ("{{captured_data.login.list.id}}", "captured_data.login.list is a list, not an object", None,
         "Take an item first: captured_data.login.list[0].id"),
        ("{{captured_data.login.token[0]}}", "captured_data.login.token is text, not a list", None, None),
        ("{{captured_data.login.user_id.x}}", "captured_data.login.user_id is a number, not an object", None, None),
        ("{{captured_data.login.null.x}}", "captured_data.login.null is null, not an object", None, None),
        ("{{usr_name}}", "no row field, variable or capture is called 'usr_name'",
         "row: sku; variables: base_url, stage, user_name; captures: token", "Did you mean user_name?"),
        ("{{token.x}}", "captured_data.login.token is text, not an object", None, None),
        ("{{captured_dta.login.token}}", "no row field, variable or capture is called 'captured_dta'", ...,
         "Did you mean captured_data?"),
        ("{{uuid}}", "no row field, variable or capture is called 'uuid'", ..., "uuid is a function: write uuid()."),
        ("{{uid()}}", "there is no function called 'uid'", ..., "Did you mean uuid()?"),
        ("{{upper(token)}}", "there is no function called 'upper'", ..., "upper is a filter: write … | upper."),
        ("{{token | uper}}", "there is no filter called 'uper'", ..., "Did you mean upper?"),
        ("{{shared_auth_tokens}}", "shared_auth_tokens stands for no value of its own", None,
         "Say which: shared_auth_tokens.<name>."),
        ("x{{captured_data.login.null}}", "null cannot stand inside text", None, ...),
        ("{{7*7}}", "expected }}, found *", None, ...),
        ("{{token.upper()}}", "a value cannot be called", None, ...),
        ("{{$guid}}", "expected a name, a value or a function, found $", None, "Names stand without $: {{user_id}}, {{uuid()}}."),
        ("{{}}", "there is nothing between {{ and }}", None, ...),
        ("a {{token", "{{ is not closed by }}", None, ...),
        ("{{'abc}}", "the text that begins here is not closed by '", None, None),
        ("{{token | int}}", "text cannot be made a whole number", None, None),
        ("{{captured_data.login | int}}", "an object cannot be made a whole number", None, None),
        ("{{token | length(1)}}", "the filter length takes no arguments", None, None),
        ("{{token | join}}", "text is not a list", None, None),
        ("{{token | base64_decode}}", "the text is not base64 of UTF-8 text", None, None),
        ("{{random_int(6, 1)}}", "random_int wants the smaller number first", None, None),
        ("{{random_int(1)}}", "random_int(a, b) gets too few arguments", None, None),
        ("{{uuid(1)}}", "uuid() gets too many arguments", None, None),
        ("{{now(zone='UTC')}}", "now(format, offset, tz) has no argument called 'zone'", None, None),
        ("{{now('iso', format='iso')}}", "now(format, offset, tz) gets its argument format twice", None, None),
        ("{{now('is')}}", "now knows no format 'is'", None, ...),
        ("{{now(offset='1 day')}}", "the offset does not parse", None, ...),
        ("{{now('%999999999d')}}", "the format holds a directive that strftime does not have everywhere", None, None),
        ("{{now(tz='Mars/Base')}}", "there is no such time zone here", None, ...),
        ("{{random_choice()}}", "random_choice(…) gets too few arguments", None, None),
        ("{{default('x')}}", "there is no function called 'default'", ..., ...),
        ("{{ " + "x." * 1200 + "x }}", "the expression is longer than 2000 characters", None, None),
        ("{{" + "(" * 20 + "1" + ")" * 20 + "}}", "the expression is nested deeper than 16 levels", None, None),
        ("{{token" + "|trim" * 51 + "}}", "the expression has more than 50 operators", None, None),
    ],
)  # fmt: skip
def test_an_error_says_what_is_there_and_what_is_near(text: str, message: str, detail: object, hint: object) -> None:
    error = failure(text)
    assert error.message == message
    if detail is not ...:
        assert error.detail == detail
    if hint is not ...:
        assert error.hint == hint


@pytest.mark.parametrize(
    ("text", "source", "column"),
    [
        ("ab {{ vars.usr }}", "vars.usr", 7),
        ("{{n ?? 1}} {{ token | uper }}", "token | uper", 23),
        ("x {{ 1 + 1 }}", None, 8),
        ("ab {{ token", None, 4),
        ("{{ random_int(2, 1) }}", "random_int(2, 1)", 4),
        ("ab {{ token | trim | int }}", "token | trim | int", 22),
        ("{{ 1 }} {{ random_int(captured_data.login.user_id, 1) }}", "random_int(captured_data.login.user_id, 1)", 12),
    ],
)
def test_an_error_says_where_in_the_string(text: str, source: str | None, column: int) -> None:
    error = failure(text)
    assert (error.source, error.source_column) == (source, column)


def test_constant_arguments_are_looked_at_when_compiling() -> None:
    for text in ("{{random_int(2, 1)}}", "{{now('is')}}", "{{'x' | int}}", "a{{null}}", "{{x ?? random_string(-1)}}"):
        with pytest.raises(TemplateError):
            compile_value(text)


def test_the_field_is_named_down_to_the_string() -> None:
    with pytest.raises(TemplateError) as caught:
        compile_value({"a b": [{"c": "{{x"}]}, field="tests.t.json")
    assert caught.value.field == 'tests.t.json["a b"][0].c'
    with pytest.raises(TemplateError) as caught:
        compile_value({"headers": {"X-Id": ["ok", "{{x}}"]}}, field="request").render(Scope())
    assert str(caught.value) == "request.headers.X-Id[1]: no row field, variable or capture is called 'x'"


def test_names_from_a_response_are_shown_short_few_and_printable() -> None:
    hostile = {f"\x1b[31mkey{'x' * 500}{number}": number for number in range(500)}
    error = failure("{{captured_data.t.x.y}}", Scope(captured_data={"t": {"x": hostile}}))
    assert error.detail is not None
    assert error.detail.isprintable()
    assert len(error.detail) < 1000
    assert "and 488 more" in error.detail


def test_depth_is_limited() -> None:
    value: object = "{{x}}"
    for _ in range(101):
        value = [value]
    with pytest.raises(TemplateError, match="nested deeper than 100"):
        compile_value(value)


@pytest.mark.parametrize(
    "text",
    [
        "{{v}}" * 3,
        "{{v | json | json}}",
        "{{v | urlencode}}",
        "{{ l | join(v) }}",
        "x{{l}}",
        "{{random_string(100001)}}",
        "{{v" + " | json" * 40 + "}}",
    ],
)
def test_output_cannot_fill_the_memory(text: str) -> None:
    import tracemalloc

    scope = Scope(vars={"v": '"é' * 2_500_000, "l": ['"' * 1_000_000] * 40})
    template = compile_value({"a": text}, field="request.url") if "random_string" not in text else None
    tracemalloc.start()
    try:
        with pytest.raises(TemplateError):
            (template or compile_value(text)).render(scope)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 160 * 1024**2


def test_the_limit_holds_for_the_whole_value() -> None:
    scope = Scope(vars={"v": "x" * 1_000_000})
    template = compile_value(["a{{v}}"] * 12)
    with pytest.raises(TemplateError, match="larger than 10 MiB"):
        template.render(scope)
    assert len(compile_value(["a{{v}}"] * 10).render(scope)) == 10
    assert len(compile_value(["a{{v}}"] * 10).render(scope)) == 10  # counted anew for each rendering


def test_a_secret_that_cannot_be_opened_stays_that_error() -> None:
    class Sealed(dict[str, object]):
        def __getitem__(self, key: str) -> object:
            raise SecretKeyError("no key")

    with pytest.raises(SecretKeyError):
        compile_value("{{env.password}}").render(Scope(env=Sealed(password="sealed")))
