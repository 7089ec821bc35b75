"""Captures: what is taken, converted, defaulted, and what a failure says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orbit_context.errors import ExpressionError
from orbit_context.extract.capture import CaptureError, compile_capture, compile_captures, take_all
from orbit_context.extract.evaluation import InProcessEvaluator
from orbit_context.extract.view import ResponseView
from orbit_context.suite.checks import Capture

BODY = {
    "access": "t0k3n",
    "items": [{"id": 1, "tags": ["a"]}, {"id": 2, "tags": []}],
    "n": "12",
    "ratio": "1.5e2",
    "yes": "True",
    "nothing": None,
    "nested": '{"a": [1]}',
    "price": 7.0,
}
VIEW = ResponseView(
    200,
    headers=[("Content-Type", "application/json"), ("X-A", "1"), ("x-a", "2"), ("Set-Cookie", "sid=abc; HttpOnly; Path=/")],
    body=json.dumps(BODY).encode(),
    url="http://shop/items",
)  # fmt: skip


def _capture(**keys: Any) -> Capture:
    return Capture.model_validate(keys)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ({"json": "$.access"}, "t0k3n"),
        ({"json": "$.items[*].id"}, 1),
        ({"json": "$.items[*].id", "all": True}, [1, 2]),
        ({"json": "$..tags", "all": True}, [["a"], []]),
        ({"json": "$.items[?@.id > 1].id"}, 2),
        ({"json": "$.items[*].id", "dialect": "ng", "all": True}, [1, 2]),
        ({"json": "$.items"}, BODY["items"]),
        ({"json": "$.nothing"}, None),
        ({"json": "$.nothing", "default": 5}, None),
        ({"json": "$.none", "default": 5}, 5),
        ({"json": "$.none", "default": None}, None),
        ({"json": "$.none[*]", "all": True, "default": []}, []),
        ({"json": "$.n", "type": "integer"}, 12),
        ({"json": "$.ratio", "type": "number"}, 150.0),
        ({"json": "$.yes", "type": "boolean"}, True),
        ({"json": "$.items[0].id", "type": "string"}, "1"),
        ({"json": "$.items[0]", "type": "string"}, '{"id":1,"tags":["a"]}'),
        ({"json": "$.price", "type": "integer"}, 7),
        ({"json": "$.nested", "type": "json"}, {"a": [1]}),
        ({"regex": r'"id": (\d+)'}, "1"),
        ({"regex": r'"id": (\d+)', "all": True, "type": "integer"}, [1, 2]),
        ({"regex": r'"id": (\d+)', "group": 0}, '"id": 1'),
        ({"regex": r'"(?P<key>ra\w+)"', "group": "key"}, "ratio"),
        ({"regex": "acc[a-z]+"}, "access"),
        ({"header": "x-A"}, "1"),
        ({"header": "X-a", "all": True}, ["1", "2"]),
        ({"cookie": "sid"}, "abc"),
        ({"cookie": "sid.httponly"}, True),
        ({"cookie": "sid.path"}, "/"),
        ({"body": True, "type": "json"}, BODY),
        ({"status": True}, 200),
        ({"url": True}, "http://shop/items"),
    ],
)
async def test_a_value_is_taken(keys: dict[str, Any], value: Any) -> None:
    capture = compile_capture("x", _capture(**keys))
    captured = await capture.take_with(VIEW, InProcessEvaluator())
    assert captured.name == "x"
    assert captured.value == value
    assert type(captured.value) is type(value)
    if not capture.needs_evaluator:
        assert capture.take(VIEW).value == value


async def test_xpath_is_taken_from_html_and_xml() -> None:
    html = ResponseView(
        200, headers=[("Content-Type", "text/html")], body=b"<form><input name='csrf' value='abc'><p>7<p>8</form>"
    )
    captures = compile_captures(
        {
            "csrf": _capture(xpath="//input[@name='csrf']/@value"),
            "all": _capture(xpath="//p", all=True, type="integer"),
            "count": _capture(xpath="count(//p)"),
        }
    )
    taken, failures = await take_all(captures, html, InProcessEvaluator())
    assert failures == []
    assert {captured.name: captured.value for captured in taken} == {"csrf": "abc", "all": [7, 8], "count": 2}


@pytest.mark.parametrize(
    ("keys", "words", "hint"),
    [
        ({"json": "$.acces"}, "json $.acces: found nothing: $ has no 'acces'; it is an object with access", "'access'"),
        ({"json": "$.items[7].id"}, "$.items is an array of 2", None),
        ({"json": "$.none[*]", "all": True}, "$ has no 'none'", None),
        ({"json": "$.items", "type": "integer"}, "an array of 2 and cannot be made an integer", None),
        ({"json": "$.nothing", "type": "string"}, "null cannot be made a string", None),
        ({"json": "$.access", "type": "number"}, "cannot be made a number", None),
        ({"json": "$.access", "type": "json"}, "not JSON", None),
        ({"regex": "zz+"}, "does not match the body of", None),
        ({"header": "x-b"}, "the response has Content-Type, X-A, Set-Cookie", "'X-A'"),
        ({"cookie": "sidd"}, "it sets sid", "'sid'"),
        ({"cookie": "sid.secure"}, "it has httponly, path", None),
        ({"xpath": "//a"}, "not well-formed XML", "JSON"),
    ],
)
async def test_what_is_missing_says_what_is_there(keys: dict[str, Any], words: str, hint: str | None) -> None:
    capture = compile_capture("x", _capture(**keys))
    with pytest.raises(CaptureError) as caught:
        await capture.take_with(VIEW, InProcessEvaluator())
    failure = caught.value.failure
    assert failure.category == "capture_missing"
    assert failure.message.startswith("capture x: ")
    assert words in failure.message
    assert (failure.hint is None) if hint is None else (hint in (failure.hint or ""))
    assert "t0k3n" not in failure.message  # a value that is secret perhaps, and nobody knows yet


async def test_a_body_that_is_not_json_is_told_with_the_status() -> None:
    view = ResponseView(502, headers=[("Content-Type", "text/html")], body=b"<h1>Bad gateway</h1>")
    with pytest.raises(CaptureError) as caught:
        compile_capture("x", _capture(json="$.a")).take(view)
    assert "(status 502)" in caught.value.failure.message
    assert "the body is not JSON" in caught.value.failure.message
    assert caught.value.failure.hint == "The response says it is text/html."
    assert compile_capture("x", _capture(json="$.a", default=1)).take(view).value == 1


async def test_one_failure_keeps_no_other_from_being_taken() -> None:
    captures = compile_captures({"a": _capture(json="$.none"), "b": _capture(json="$.n"), "c": _capture(header="none")})
    taken, failures = await take_all(captures, VIEW)
    assert [captured.name for captured in taken] == ["b"]
    assert [failure.where for failure in failures] == ["json $.none", "header none"]


def test_what_could_take_long_is_refused_without_an_evaluator() -> None:
    capture = compile_capture("x", _capture(json="$..*..*"))
    assert capture.needs_evaluator
    with pytest.raises(CaptureError) as caught:
        capture.take(VIEW)
    assert caught.value.failure.category == "expression"
    assert "needs an evaluator" in caught.value.failure.message


def test_secrets_and_shares_are_passed_on() -> None:
    token = compile_capture("t", _capture(json="$.access", share="token")).take(VIEW)
    assert (token.share, token.secret) == ("token", True)
    assert "t0k3n" not in repr(token)
    plain = compile_capture("t", _capture(json="$.access", share="token", secret=False)).take(VIEW)
    assert plain.secret is False


@pytest.mark.parametrize(
    ("keys", "field"),
    [
        ({"json": "a.b"}, "json"),
        ({"regex": "(a"}, "regex"),
        ({"regex": "a", "group": 1}, "regex"),
        ({"regex": "(?P<a>b)", "group": "c"}, "regex"),
        ({"xpath": "//["}, "xpath"),
    ],
)
def test_a_wrong_expression_is_refused_with_its_field(keys: dict[str, Any], field: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_capture("x", _capture(**keys), "tests.t.capture.x")
    assert caught.value.field == f"tests.t.capture.x.{field}"


async def test_questions_about_one_response_are_asked_side_by_side() -> None:
    asked: list[tuple[str, str]] = []

    class Recording(InProcessEvaluator):
        async def evaluate(self, kind: Any, expression: str, body: bytes, budget: float = 1.0) -> Any:
            assert body is VIEW.body
            asked.append((kind, expression))
            return await super().evaluate(kind, expression, body, budget)

    captures = compile_captures(
        {
            "a": _capture(json="$..*..*"),
            "b": _capture(json="$..id..*", default=1),
            "c": _capture(json="$..*..*", all=True),
        }
    )
    taken, failures = await take_all(captures, VIEW, Recording())
    assert not failures
    assert len(taken) == 3
    assert asked == [("jsonpath", "$..*..*"), ("jsonpath", "$..id..*")]  # and the same one only once
