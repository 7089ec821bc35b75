"""Regular expressions: RE2's, linear whatever the pattern."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbit_context.errors import ExpressionError
from orbit_context.extract.evaluator import EvaluationError
from orbit_context.extract.regex import MAX_MATCHES, compile_regex


@given(
    st.sampled_from(["a+", "(a)(b)?", "x*", "é", r"\d+", "(?i)AB", "[^a]", "a|ab", "(?P<n>b)", "^", "$", ""]),
    st.text(alphabet="abéxAB1日 ", max_size=20),
)
def test_matches_are_those_of_the_standard_library(pattern: str, text: str) -> None:
    regex = compile_regex(pattern)
    assert regex.matches(text) == (re.search(pattern, text) is not None)
    first = re.search(pattern, text)
    assert regex.find(text.encode()) == ([first[0]] if first else [])
    if regex.group_count:
        wanted = [match[1] for match in re.finditer(pattern, text) if match[1] is not None]
        assert regex.find(text.encode(), 1, every=True) == wanted


def test_empty_matches_go_on_at_the_next_character() -> None:
    assert compile_regex("x*").find("aéxx".encode(), every=True) == ["", "", "xx", ""]
    assert compile_regex("").find("日本".encode(), every=True) == ["", "", ""]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(?=a)b", "lookahead"),
        ("(?!a)", "lookahead"),
        ("(?<=a)b", "lookbehind"),
        ("(?<!a)b", "lookbehind"),
        ("(?>a)", "atomic"),
        (r"(a)\1", "backreference"),
        (r"(?P<x>a)(?P=x)", "backreference"),
        (r"a\Z", r"\z"),
        ("(a{1000}){1000}", "too large"),
        ("((a{100}){100}){100}", "too large"),
        ("a++", "not valid"),
        ("(", "not valid"),
    ],
)
def test_what_re2_leaves_out_is_refused_by_name(pattern: str, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_regex(pattern)
    assert words in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("pattern", ["^(a+)+$", "(x+x+)+y", r"^(\w+\s?)*$", "(a|aa)+$", "(.*)*b", "(a|b|ab)*c"])
def test_patterns_that_explode_elsewhere_are_linear(pattern: str) -> None:
    begin = time.thread_time()
    for size in (30, 10_000):
        assert not compile_regex(pattern).matches("a" * size + "!")
    assert time.thread_time() - begin < 0.5


def test_large_texts_are_not_searched_in_place() -> None:
    regex = compile_regex("id=([0-9]+)")
    assert regex.is_bounded(50_000)
    assert not regex.is_bounded(10 * 2**20)
    assert not compile_regex("([a-z]{1,500}[0-9]{1,400}){1,2}").is_bounded(50_000)


def test_finding_every_match_has_a_limit() -> None:
    assert len(compile_regex("a").find(b"a" * MAX_MATCHES, every=True, seconds=None)) == MAX_MATCHES
    with pytest.raises(EvaluationError) as caught:
        compile_regex("a").find(b"a" * (MAX_MATCHES + 1), every=True, seconds=None)
    assert caught.value.code == "too_large"


def test_looking_behind_every_match_is_cut_by_time() -> None:
    # Each match looks to the end of the text for a y before it settles for an x: quadratic in all.
    begin = time.thread_time()
    with pytest.raises(EvaluationError) as caught:
        compile_regex("[^y]*y|x").find(b"x" * 500_000, every=True, seconds=0.05)
    assert caught.value.code == "timeout"
    assert time.thread_time() - begin < 0.5


def test_what_is_no_text_does_not_break_it() -> None:
    assert compile_regex("a").matches("\ud800a")
    assert compile_regex("(.a)").find(b"\xff\xfea\xff", 1) in ([], ["�a"])
