from __future__ import annotations

import pytest

from orbit_context.template import KnownNames, check, compile_value

KNOWN = KnownNames(
    captured_data={"login": ("token", "user"), "item[1]": (), "free": None},
    shared_auth_tokens=("token",),
    shared_variables=(),
    vars=("base_url", "user_name"),
    env=("stage",),
    row=("sku",),
    bare={"token": ("captured_data", "login", "token")},
)


@pytest.mark.parametrize(
    "text",
    [
        "{{captured_data.login.token}}", "{{captured_data.login.user.any.path[3].below}}", "{{captured_data.login}}",
        "{{captured_data.free.whatever}}", "{{shared_auth_tokens.token}}", "{{base_url}}/{{stage}}/{{sku}}/{{token}}",
        "{{vars.base_url}}", "{{row}}", "{{row.sku}}", "{{run.id}} {{run.started_at}} {{test.key}} {{test.attempt}}",
        "{{vars.maybe ?? 'x'}}", "{{maybe | default('x')}}", "{{shared_variables.later ?? 1}}", "{{uuid()}}", "static",
    ],
)  # fmt: skip
def test_names_that_exist_pass(text: str) -> None:
    assert check(compile_value(text), KNOWN) == []


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("{{captured_data.logn.token}}", "captured_data has no 'logn'", "Did you mean captured_data.login?"),
        ("{{captured_data.login.tokens}}", "captured_data.login has no 'tokens'", "Did you mean captured_data.login.token?"),
        ("{{captured_data.logn.token ?? 'x'}}", "captured_data has no 'logn'", ...),
        ("{{captured_data.login.tokens ?? 'x'}}", "captured_data.login has no 'tokens'", ...),
        ("{{captured_data['item[1]'].x}}", "captured_data.item[1] has no 'x'", None),
        ("{{shared_auth_tokens.tokn}}", "shared_auth_tokens has no 'tokn'", "Did you mean shared_auth_tokens.token?"),
        ("{{shared_variables.x}}", "shared_variables has no 'x'", None),
        ("{{env.stge}}", "env has no 'stge'", "Did you mean env.stage?"),
        ("{{row.skew}}", "row has no 'skew'", ...),
        ("{{run.status}}", "run has no 'status'", ...),
        ("{{test.name ?? 'x'}}", "test has no 'name'", ...),
        ("{{basurl}}", "no row field, variable or capture is called 'basurl'", "Did you mean base_url?"),
        ("{{uuid}}", "no row field, variable or capture is called 'uuid'", "uuid is a function: write uuid()."),
    ],
)  # fmt: skip
def test_names_that_do_not_exist_are_found_before_anything_is_sent(text: str, message: str, hint: object) -> None:
    errors = check(compile_value({"a": ["x " + text]}, field="request", file="s.yaml"), KNOWN)
    assert [error.message for error in errors] == [message]
    assert (errors[0].field, errors[0].file, errors[0].source_column) == ("request.a[0]", "s.yaml", 5)
    if hint is not ...:
        assert errors[0].hint == hint


def test_every_wrong_name_is_reported_in_order() -> None:
    template = compile_value({"a": "{{x1}}", "b": ["{{captured_data.no.x}}", "{{token}}", "{{y1}} {{z1}}"]})
    assert [error.source for error in check(template, KNOWN)] == ["x1", "captured_data.no.x", "y1", "z1"]


def test_where_nothing_is_known_every_name_may_exist() -> None:
    template = compile_value("{{captured_data.a.b}} {{vars.x}} {{env.x}} {{bare}} {{row.x}} {{shared_auth_tokens.x}}")
    assert check(template, KnownNames()) == []
