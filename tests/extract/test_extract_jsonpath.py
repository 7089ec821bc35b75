"""JSONPath: the official compliance suite, and that walking a path gives what the library gives."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jsonpath_rfc9535
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbit_context.errors import ExpressionError
from orbit_context.extract.jsonpath import compile_jsonpath
from orbit_context.extract.wording import json_type, shape

CASES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("cts.json").read_text())["tests"]


def _tagged(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def test_the_compliance_suite_is_whole() -> None:
    assert len(CASES) == 706
    assert sum("invalid_selector" in case for case in CASES) == 247


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_compliance_suite(case: dict[str, Any]) -> None:
    if case.get("invalid_selector"):
        with pytest.raises(ExpressionError):
            compile_jsonpath(case["selector"])
        return
    found = compile_jsonpath(case["selector"]).find(case["document"])
    results = [case["result"]] if "result" in case else case["results"]
    assert _tagged(found) in [_tagged(result) for result in results]


_NAMES = st.sampled_from(["a", "b", "ab", "é", "_", "a b", "0", "", "x-y", "'", '"', "\\", "*", "日"])
_DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=25,
)
_SEGMENTS = st.one_of(
    _NAMES.map(lambda name: f".{name}"),
    _NAMES.map(lambda name: f"['{name}']"),
    _NAMES.map(lambda name: f'["{name}"]'),
    st.integers(-5, 5).map(lambda index: f"[{index}]"),
    st.sampled_from(["[*]", ".*", "[00]", "[-0]", "[ 1]", "[1:]", "..a", "['a','b']", "[?@.a]", ". a"]),
)


@given(_DOCUMENTS, st.lists(_SEGMENTS, max_size=4).map("".join))
def test_walking_gives_what_the_library_gives(document: Any, tail: str) -> None:
    expression = f"${tail}"
    try:
        wanted = jsonpath_rfc9535.compile(expression).find(document).values()
    except jsonpath_rfc9535.JSONPathError:
        with pytest.raises(ExpressionError):
            compile_jsonpath(expression)
        return
    path = compile_jsonpath(expression)
    assert _tagged(path.find(document)) == _tagged(wanted)
    if path.is_singular:
        assert len(wanted) <= 1


@pytest.mark.parametrize(
    "expression", ["$.日本", "$['日本']", "$..日本", "$[?@ == 3]", "$[?@>length($.日本語日)].日本", "$.日本[?@.é本]"]
)
def test_names_of_any_script_stand_after_a_dot(expression: str) -> None:
    nested = (
        {"a": {"日本": 3}} if "length" in expression else {"日本": [{"é本": 3}]} if "é本" in expression else {"日本": 3}
    )
    wanted = [{"é本": 3}] if "é本" in expression else [] if "length" in expression else [3]
    assert compile_jsonpath(expression).find(nested) == wanted


def test_the_same_text_is_compiled_once() -> None:
    assert compile_jsonpath("$.a[?@.b>1]") is compile_jsonpath("$.a[?@.b>1]")


@pytest.mark.parametrize("expression", ["$", "$.a[0].b", "$['a b'][-1]", "$.items[*].id", "$.*[*]"])
def test_plain_paths_never_need_an_evaluator(expression: str) -> None:
    path = compile_jsonpath(expression)
    assert not path.needs_evaluator
    assert path.is_bounded(10**9)


@pytest.mark.parametrize(
    ("expression", "up_to"),
    [("$.a[1:3]", 64 * 1024), ("$.products[?@.price > 500].sku", 32 * 1024), ("$..sku", 21_845)],
)
def test_queries_of_one_pass_are_answered_in_place_on_small_documents(expression: str, up_to: int) -> None:
    path = compile_jsonpath(expression)
    assert path.needs_evaluator
    assert path.is_bounded(up_to)
    assert not path.is_bounded(up_to + 1)


@pytest.mark.parametrize(
    "expression",
    [
        "$..*..*",
        "$..a[?@..b]",
        "$[?$.a == @.b]",
        "$[?match(@.a, '(a|a)*b')]",
        "$[?search(@.a, 'x')]",
        "$[*,*,*,*,*]",
        "$[?@[?@[?@.a]]]",
    ],
)
def test_what_has_no_bound_always_needs_an_evaluator(expression: str) -> None:
    assert not compile_jsonpath(expression).is_bounded(1)


def test_quoted_names_do_not_count_as_operators() -> None:
    assert not compile_jsonpath("$['..']['?,,,,']").needs_evaluator
    assert compile_jsonpath("$[?@['..'] == '?,,,,$ match(']").is_bounded(1000)


@pytest.mark.parametrize(
    ("expression", "unit"),
    [
        ("$..*", b'{"a":[1,2,{"b":[3]}]},'),
        ("$..a", b"[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]],"),
        ("$[?@.a.b.c.d || @.e == 1 || length(@.f) > 1]", b"1,"),
        ("$[?@.a[?@.b == 1]]", b'{"a":[{"b":1},{"b":2}]},'),
        ("$[::2,1::2,*,-1]", b"1,"),
    ],
)
def test_the_dearest_document_in_place_takes_less_than_the_longest_pause(expression: str, unit: bytes) -> None:
    path = compile_jsonpath(expression)
    size = next(size for size in range(128 * 1024, 0, -512) if path.is_bounded(size))
    count = (size - 2) // len(unit)
    document = json.loads(b"[" + (unit * count)[:-1] + b"]")
    begin = time.thread_time()
    path.find(document)
    assert time.thread_time() - begin < 0.15


@pytest.mark.parametrize(
    ("expression", "document", "reason", "hint"),
    [
        ("$.acces_token", {"access_token": 1}, "$ has no 'acces_token'; it is an object with access_token", "access_token"),
        ("$.Id", {"id": 1}, "$ has no 'Id'", "'id'"),
        ("$.a.b", {"a": "text"}, "$.a is a string, not an object", None),
        ("$.a[3].b", {"a": [1, 2]}, "$.a is an array of 2", None),
        ("$.a[0]", {"a": {"0": 1}}, "$.a is an object with 0, not an array", None),
        ("$.a[?@.b].c", {"a": [{"b": 1}]}, "nothing matches below $.a, which is an array of 1", None),
        ("$['a b'].c", {"a b": {}}, "$['a b'] has no 'c'; it is an empty object", None),
        ("$.a", None, "$ is null, not an object", None),
    ],
)  # fmt: skip
def test_a_path_that_ends_early_says_where_and_what_is_there(
    expression: str, document: Any, reason: str, hint: str | None
) -> None:
    path = compile_jsonpath(expression)
    assert path.find(document) == []
    found, near = path.explain_missing(document)
    assert reason in found
    assert (near is None) if hint is None else (near is not None and hint in near)


@pytest.mark.parametrize(
    ("expression", "hint"),
    [("a.b", "begins with $"), ("$.user-id", "brackets"), ("$.a.`sorted`", "dialect: ng"), ("$.a[", None)],
)
def test_a_wrong_query_is_refused_with_a_hint(expression: str, hint: str | None) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_jsonpath(expression)
    assert expression in str(caught.value)
    assert (caught.value.hint is None) if hint is None else (hint in (caught.value.hint or ""))


def test_the_root_in_an_inner_filter_is_refused_rather_than_mistaken() -> None:
    with pytest.raises(ExpressionError, match="filter inside a filter"):
        compile_jsonpath("$[?@.a[?@ == $.x]]")
    assert compile_jsonpath("$[?@['$?'] == $.x || @.a[?@ == '$']]").find(
        {"x": 1, "y": {"$?": 1}, "z": {"a": ["$"]}}
    ) == [
        {"$?": 1},
        {"a": ["$"]},
    ]


def test_a_query_has_a_longest_length() -> None:
    with pytest.raises(ExpressionError, match="longer than"):
        compile_jsonpath("$" + ".a" * 4000)


@pytest.mark.parametrize("expression", ["$.a\ud800", "$['\udfff']", "$..\ud800"])
def test_half_a_character_is_refused(expression: str) -> None:
    with pytest.raises(ExpressionError, match="half a character"):
        compile_jsonpath(expression)


def test_the_dialect_ng_is_jsonpath_ng() -> None:
    document = {"items": [{"n": 3}, {"n": 1}, {"n": 2}]}
    assert compile_jsonpath("$.items.`len`", "ng").find(document) == [3]
    assert compile_jsonpath("items[*].n", "ng").find(document) == [3, 1, 2]
    assert not compile_jsonpath("$.items", "ng").is_bounded(1)
    with pytest.raises(ExpressionError, match="dialect ng"):
        compile_jsonpath("$.items[?(", "ng")


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        (None, "null", "null"),
        (True, "boolean", "a boolean"),
        (1, "integer", "an integer"),
        (1.0, "number", "a number"),
        ("", "string", "a string"),
        ([], "array", "an empty array"),
        ([1], "array", "an array of 1"),
        ({}, "object", "an empty object"),
    ],
)
def test_types_have_their_json_names(value: Any, kind: str, words: str) -> None:
    assert json_type(value) == kind
    assert shape(value) == words
