"""Equality and difference of JSON values, against plain oracles."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbit_runner.assertions.difference import MAX_DIFFERENCES, bounded, differences, equal, hashable, show

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, -1.0, 0.5]) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=1), inner, max_size=3),
    max_leaves=10,
)


def _normal(value: Any) -> str:
    """JSON in one spelling: whole floats as integers, keys sorted."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, list):
        return "[" + ",".join(map(_normal, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_normal(value[key])}" for key in sorted(value)) + "}"
    return json.dumps(value)


@given(VALUES, VALUES)
def test_equal_is_what_one_spelling_says(left: Any, right: Any) -> None:
    assert equal(left, right) == (_normal(left) == _normal(right))
    assert (hashable(left) == hashable(right)) == equal(left, right)
    if equal(left, right):
        assert hash(hashable(left)) == hash(hashable(right))


@given(VALUES, VALUES)
def test_values_differ_exactly_where_differences_are_told(left: Any, right: Any) -> None:
    told = differences(left, right)
    assert bool(told) != equal(left, right)
    assert len(told) <= MAX_DIFFERENCES + 4  # one object's names may pass the limit together


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (1, 1.0, True), (1, True, False), (0, False, False), (True, True, True), ([1], [True], False),
        ({"a": 0}, {"a": False}, False), ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}, True), ("1", 1, False), (None, False, False),
        (10**30, 10**30, True), ({}, [], False), (None, None, True), ("", None, False),
    ],
)  # fmt: skip
def test_numbers_are_equal_by_value_and_true_is_none(left: Any, right: Any, same: bool) -> None:
    assert equal(left, right) is same
    assert equal(right, left) is same
    assert (hashable(left) == hashable(right)) is same


def test_depth_is_no_problem() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    other: Any = 2
    for _ in range(100_000):
        other = [other]
    assert equal(deep, deep)
    assert not equal(deep, other)


def test_differences_name_their_places_in_document_order() -> None:
    expected = {"id": 1, "items": [{"qty": 2, "sku": "a"}, {"qty": 1}], "at": "x", "gone": None}
    actual = {"id": "1", "items": [{"qty": 2.0, "sku": "b"}, {"qty": 1}, {"qty": 9}], "at": "x", "a b": True}
    assert differences(expected, actual) == [
        '$.id: expected 1 (integer), got "1" (string)',
        "$.items: expected 2 items, got 3 items",
        '$.items[0].sku: expected "a", got "b"',
        "$.gone: missing, expected null",
        "$['a b']: not expected, got true",
    ]
    assert differences([1], [2], "$.list")[0] == "$.list[0]: expected 1, got 2"


def test_values_are_shown_on_one_short_line() -> None:
    assert show({"a": [1, None, True, "x\ny"]}) == '{"a": [1, null, true, "x\\ny"]}'
    assert len(show("x" * 10_000_000)) < 250
    assert len(show(list(range(1_000_000)))) < 250
    assert show(True, other=1) == "true (boolean)"
    assert show(1, other=1.5) == "1"


def test_what_a_failure_keeps_is_bounded() -> None:
    small = {"a": [1]}
    assert bounded(small) is small
    assert len(bounded(list(range(100_000)))) < 4100
    assert len(bounded("x" * 100_000)) < 4100
