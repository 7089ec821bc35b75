"""What is stored is what was written: a suite that is dumped and read again is the same suite."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbit_context.suite.document import Suite
from orbit_context.suite.load import build_suite
from orbit_context.suite.units import parse_duration, parse_size
from orbit_context.suite.yaml import parse_document

words = st.text("abcdefgh_-é0123456789", min_size=1, max_size=12).filter(lambda word: not word.startswith("-"))
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="{\ufeff\ufffe\uffff"), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts
values = st.recursive(
    scalars | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
durations = st.floats(0.001, 1000) | st.sampled_from(["1ms", "2s", "3 m"])
multi = st.dictionaries(words, scalars | st.lists(scalars, max_size=2), max_size=2)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


operators = st.one_of(
    st.fixed_dictionaries({"equals": values}),
    st.fixed_dictionaries({"contains": values, "not_equals": values}),
    st.fixed_dictionaries({"length": st.integers(0, 9) | st.fixed_dictionaries({"gte": st.integers(0, 9)})}),
    st.fixed_dictionaries({"in": st.lists(values, max_size=2)}),
    st.fixed_dictionaries({"between": st.lists(st.integers(-9, 9), min_size=2, max_size=2)}),
    st.fixed_dictionaries({"any": st.fixed_dictionaries({"gt": st.integers(-9, 9)})}),
    st.fixed_dictionaries({"exists": st.booleans(), "type": st.sampled_from(["string", "null"])}),
)
check = st.one_of(
    st.fixed_dictionaries(
        {"status": st.integers(100, 599) | st.sampled_from(["2xx"]) | st.lists(st.integers(100, 599))}
    ),
    st.builds(lambda subject, found: {**subject, **found}, st.fixed_dictionaries({"json": texts}), operators),
    st.builds(lambda subject, found: {**subject, **found}, st.fixed_dictionaries({"header": words}), operators),
    st.builds(lambda found: {"body": None, **found}, operators),
    st.fixed_dictionaries({"schema": st.booleans() | st.dictionaries(words, values, max_size=2)}),
    st.fixed_dictionaries({"time": st.fixed_dictionaries({"lt": durations})}),
)
checks = st.one_of(
    st.lists(check | st.fixed_dictionaries({"not": check}), max_size=3),
    some(
        status=st.just(200),
        json=st.dictionaries(texts, values | operators, max_size=2),
        headers=st.dictionaries(words, texts),
    ),
)
auth = st.sampled_from(
    [
        "none",
        None,
        {"bearer": "t"},
        {"basic": {"username": "u", "password": "p"}},
        {"api_key": {"name": "n", "value": "v"}},
    ]
)
request = st.one_of(
    texts.map(lambda path: f"/{path}"),
    st.builds(
        lambda method, rest, body: {method: "/x", **rest, **body},
        st.sampled_from(["GET", "POST", "DELETE"]),
        some(query=multi, headers=multi, cookies=st.dictionaries(words, scalars, max_size=2), auth=auth, timeout=durations,
             redirects=st.booleans() | st.fixed_dictionaries({"max": st.integers(0, 9)}), tls=some(verify=st.booleans())),
        st.one_of(
            st.just({}),
            st.fixed_dictionaries({"json": values}),
            st.fixed_dictionaries({"form": multi}),
            st.fixed_dictionaries({"body": texts}),
            st.fixed_dictionaries({"multipart": st.dictionaries(words, texts | st.fixed_dictionaries({"content": texts}))}),
        ),
    ),
)  # fmt: skip
capture = st.one_of(
    texts,
    st.builds(
        lambda source, rest: {**source, **rest},
        st.one_of(st.fixed_dictionaries({"json": texts}), st.fixed_dictionaries({"regex": texts, "group": st.integers(0, 3)}),
                  st.just({"status": True})),
        some(all=st.booleans(), default=values, share=st.sampled_from(["token", "variable"]), secret=st.booleans()),
    ),
)  # fmt: skip
test = st.builds(
    lambda made, rest: {"request": made, **rest},
    request,
    some(
        name=texts,
        tags=st.lists(words, max_size=2),
        always=st.booleans(),
        skip=texts,
        capture=st.dictionaries(words, capture, max_size=2),
        expect=checks,
        retry=st.integers(0, 20) | st.fixed_dictionaries({"max": st.just(1), "on": st.just([503, "network"])}),
        poll=st.fixed_dictionaries({"until": checks}),
        data=st.lists(st.dictionaries(words, values, max_size=2), min_size=1, max_size=3),
    ),
)
suites = st.builds(
    lambda tests, rest: {"suite": "s", "tests": tests, **rest},
    st.dictionaries(words, test, min_size=1, max_size=3),
    some(variables=st.dictionaries(words, values | st.fixed_dictionaries({"value": values, "secret": st.booleans()}), max_size=2),
         timeout=durations, tags=st.lists(words, max_size=2), defaults=some(headers=multi, auth=auth, timeout=durations)),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(suites)
def test_a_dumped_suite_reads_back_as_itself(written: dict[str, Any]) -> None:
    loaded = build_suite(written)
    dumped = loaded.document.to_json()
    again = build_suite(dumped)
    assert again.document == Suite.model_validate(dumped)
    assert again.document.to_json() == dumped
    assert (again.edges, again.bare) == (loaded.edges, loaded.bare)
    assert len(again.document.tests) == len(loaded.document.tests)
    assert parse_document(json.dumps(dumped, ensure_ascii=False)).data == dumped


def test_what_is_not_said_is_not_stored() -> None:
    loaded = build_suite({"suite": "s", "tests": {"a": {"request": "/x", "expect": {"json": {"$.x": None}}}}})
    assert loaded.document.to_json() == {
        "suite": "s",
        "tests": {"a": {"request": {"method": "GET", "url": "/x"}, "expect": [{"json": "$.x", "equals": None}]}},
    }


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("800ms", 0.8), ("10s", 10), ("2m", 120), ("1.5 h", 5400), (3, 3.0), ("1d", 86400), ("5us", 5e-6)],
)
def test_durations(written: object, seconds: float) -> None:
    assert parse_duration(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("written", "size"), [("10KiB", 10240), ("5MB", 5_000_000), (7, 7), ("1 gib", 2**30), ("3B", 3)]
)
def test_sizes(written: object, size: int) -> None:
    assert parse_size(written) == size


@pytest.mark.parametrize(
    "written", ["", "s", "-1s", -1, "1 s 2", True, None, "10", "1e3s", [], "1w", float("inf"), float("nan")]
)
def test_no_duration(written: object) -> None:
    with pytest.raises(ValueError, match="a duration is a number of seconds"):
        parse_duration(written)
