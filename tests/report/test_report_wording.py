"""Values, durations and hostile text as a person can read them."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbit_runner.report.difference import compare
from orbit_runner.report.exchange import exchange_text, request_of, response_of
from orbit_runner.report.explain import explain
from orbit_runner.report.terminal import fit
from orbit_runner.report.timeline import _pack, build_timeline
from orbit_runner.report.wording import clip, format_duration, render_value, visible, visible_block
from report_factory import failure, make_exchange, make_result, many
from rich.cells import cell_len

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=15,
)


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_no_control_character_is_left(text: str) -> None:
    shown = visible(text)
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cs", "Zl", "Zp"}
    shown.encode()
    kept = visible_block(text)
    assert {c for c in kept if unicodedata.category(c) in ("Cc", "Cs")} <= {"\n", "\t"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ☕ 价格", "plain ☕ 价格"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("evil\u202etxt", "evil\\u202etxt"),
        ("\x9b2J\x85", "\\x9b2J\\x85"),
        ("half \ud800", "half \\ud800"),
        ("tag \U000e0041", "tag \\U000e0041"),
    ],
)
def test_what_is_not_seen_is_written_as_an_escape(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 ms"),
        (0.0004, "0.4 ms"),
        (0.012, "12 ms"),
        (0.9996, "1.00 s"),
        (1.234, "1.23 s"),
        (59.996, "1 min 00 s"),
        (125.2, "2 min 05 s"),
        (3725, "1 h 02 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_a_long_value_is_cut_and_says_so() -> None:
    assert clip("x" * 12, 10) == "x" * 10 + "… (2 more characters)"
    assert render_value("y" * 1_000_000, 5) == '"yyyyy"… (999,995 more characters)'
    assert len(render_value(list(range(10_000)), 50)) < 100
    assert render_value("2") == '"2"'
    assert render_value(2) == "2"


@given(st.text(), st.integers(1, 40))
def test_a_fitted_text_fits(text: str, width: int) -> None:
    assert cell_len(fit(visible(text), width)) <= width


@given(JSON)
def test_a_document_does_not_differ_from_itself(document: object) -> None:
    assert compare(document, json.loads(json.dumps(document))).changes == []


def test_documents_differ_where_they_differ() -> None:
    filler = {f"same{n}": n for n in range(20)}
    expected = {"a": 1, "b": [1, {"c": "x"}], "gone": True, "odd key": 1} | filler
    actual = {"a": 1.0, "b": [1, {"c": True}, 3], "new": None, "odd key": 2} | filler
    changes = {change.path: change.describe() for change in compare(expected, actual).changes}
    assert changes == {
        "$.gone": "missing, expected true",
        "$.new": "not expected: null",
        "$.b[1].c": 'expected "x", got true',
        "$.b[2]": "not expected: 3",
        "$['odd key']": "expected 1, got 2",
    }


def test_a_deep_or_wide_document_costs_neither_the_stack_nor_the_page() -> None:
    left, right = [1], [2]
    for _ in range(500):
        left, right = [left], [right]  # type: ignore[list-item]
    assert len(compare(left, right).changes) == 1
    wide = compare(dict.fromkeys("abcdefghijklmnop", 1), dict.fromkeys("abcdefghijklmnop", 2))
    assert (len(wide.changes), wide.more_changes) == (8, 8)


def test_long_texts_point_at_the_first_difference() -> None:
    difference = compare("a" * 300 + "b" + "c" * 300, "a" * 300 + "x" + "c" * 300)
    assert difference.changes[0].path == "from character 301"
    assert "ab" in (difference.changes[0].expected or "")


@pytest.mark.parametrize(
    ("given", "title", "sides"),
    [
        (failure("status", 200, 500, "status: expected 200 or 201, got 500 Oops"), "status", ["200 or 201", "500 Oops"]),
        (failure("time", 0.2, 1, "time: expected less than 200 ms, got 1 s"), "time", ["less than 200 ms", "1 s"]),
        (failure("json $.a", "x, got y", "z"), "json $.a", ['"x, got y"', '"z"']),
        (failure("header x", "a", None, 'header x: expected "a", found nothing: there is no such header'),
         'header x: expected "a", found nothing: there is no such header', []),
        (failure("not status", None, None, "not status: should not hold"), "not status: should not hold", []),
        (failure("json $", 1, "1", "not the same"), "json $: not the same", ["1", '"1"']),
    ],
)  # fmt: skip
def test_a_failure_is_told_in_the_assertions_own_words(given: dict[str, object], title: str, sides: list[str]) -> None:
    told = explain(given)
    assert told.title == title
    assert [text for _, text, _, _ in told.sides()] == sides


def test_types_stand_beside_a_sentence_that_does_not_name_them() -> None:
    told = explain(failure("json $.a", 1, "1"))
    assert [(text, kind) for _, text, kind, _ in told.sides()] == [("1", "integer"), ('"1"', "string")]
    named = explain(failure("json $.a", 1, "1", 'json $.a: expected 1 (integer), got "1" (string)'))
    assert [kind for _, _, kind, _ in named.sides()] == [None, None]


def test_types_are_told_where_the_text_does_not() -> None:
    told = explain(failure("json $", 1, "1", "not the same"))
    assert (told.expected_type, told.got_type) == ("integer", "string")
    assert explain(failure("json $", 1, 1.5, "not the same")).expected_type is None


def test_violations_of_a_schema_are_listed() -> None:
    listed = [f"$[{n}]: 'id' is a required property" for n in range(10)]
    told = explain(failure("schema", "/items/required", listed, "schema: $[0]: … (and 9 more)", category="schema"))
    assert [change.path for change in told.changes] == listed[:8]
    assert told.more == 2
    assert not list(told.sides())


def test_a_json_body_is_laid_out_without_touching_a_value() -> None:
    body = '{"price":1.10,"big":12345678901234567890,"e":[],"o":{},"s":"a\\"{,:}","n":[1,[2,null]]}'
    shown = response_of(make_result(exchange=make_exchange(body=body)))
    assert shown is not None
    assert shown.body is not None
    assert shown.body.splitlines()[1] == '  "price": 1.10,'
    assert "12345678901234567890" in shown.body
    assert json.loads(shown.body) == json.loads(body)


@given(JSON)
def test_laying_out_keeps_the_document(document: object) -> None:
    text = json.dumps({"document": document})
    shown = response_of(make_result(exchange=make_exchange(body=text)))
    assert shown is not None
    assert json.loads(shown.body or "") == json.loads(text)


def test_bodies_that_are_no_text() -> None:
    binary = {"binary": True, "size": 1234, "sha256": "ab12"}
    parts = {
        "parts": [
            {"name": "a", "value": "1"},
            {"name": "f", "filename": "x.png", "content_type": "image/png", "content": binary},
        ]
    }
    exchange = make_exchange(body=binary)  # type: ignore[arg-type]
    exchange["request"]["body"] = parts
    result = make_result(exchange=exchange)
    response, request = response_of(result), request_of(result)
    assert response is not None
    assert request is not None
    assert (response.body, response.note) == (None, "binary, 1,234 bytes, SHA-256 ab12")
    assert request.body == "a: 1\nf: x.png (image/png)\nbinary, 1,234 bytes, SHA-256 ab12"
    cut = response_of(make_result(exchange=make_exchange(body={"text": "abc", "truncated": True, "size": 9000})))  # type: ignore[arg-type]
    assert cut is not None
    assert (cut.body, cut.note) == ("abc", "cut; 9,000 bytes in all")


def test_an_exchange_without_an_answer() -> None:
    text = exchange_text(make_result(exchange=make_exchange(status=None)), limit=5000)
    assert text.startswith("> POST http://127.0.0.1:8080/cart\n> Accept: */*")
    assert "< " not in text
    assert exchange_text(make_result(), limit=5000) == ""


def test_the_timeline_packs_tests_into_as_few_lanes_as_ran_side_by_side() -> None:
    _, results = many(1000)
    timeline = build_timeline(results)
    assert timeline is not None
    assert (timeline.named, timeline.lanes) == (False, 50)
    by_lane: dict[int, float] = {}
    for bar in timeline.bars:
        assert bar.x >= by_lane.get(bar.lane, 0) - 0.05
        assert bar.x + bar.width <= 100.001
        by_lane[bar.lane] = bar.x + bar.width
    assert len(timeline.bars) <= 4100
    # Twenty waves of fifty: without merging a thousand bars, and tests of one lane do not overlap.
    crowded = build_timeline(many(10_000)[1])
    assert crowded is not None
    assert (crowded.lanes, len(crowded.bars) < 6000) == (50, True)
    assert timeline.ticks[0] == (0, "0")
    assert 2 <= len(timeline.ticks) <= 6


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30)), min_size=1, max_size=40))
def test_no_two_tests_share_a_lane_at_one_time(spans: list[tuple[int, int]]) -> None:
    spans.sort()
    lanes = _pack([float(start) for start, _ in spans], [float(start + length) for start, length in spans])
    taken: set[tuple[int, int]] = set()
    for lane, (start, length) in zip(lanes, spans, strict=True):
        cells = {(lane, moment) for moment in range(start, start + length)}
        assert not cells & taken
        taken |= cells
    assert max(lanes) + 1 == max(
        sum(start <= moment < start + length for start, length in spans) for moment in range(61)
    )


def test_the_timeline_leaves_out_what_never_ran() -> None:
    timeline = build_timeline([make_result(), make_result("b", "skipped", position=1)])
    assert timeline is not None
    assert (timeline.named, len(timeline.bars)) == (True, 1)
    assert build_timeline([make_result("b", "skipped")]) is None
