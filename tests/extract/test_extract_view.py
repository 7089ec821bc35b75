"""The response as extractors and assertions see it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbit_context.extract.view import BodyError, ResponseView, parse_json


def test_headers_are_found_in_any_case_and_keep_their_repeats() -> None:
    view = ResponseView(200, headers=[("X-A", "1"), ("Content-Type", "text/html"), ("x-a", "2")])
    assert view.header("x-A") == "1"
    assert view.header_values("X-a") == ["1", "2"]
    assert view.header_values("none") == []
    assert view.header("none") is None
    assert view.header_names == ["X-A", "Content-Type"]


def test_cookies_with_their_attributes_and_the_last_of_a_name() -> None:
    view = ResponseView(
        200,
        headers=[
            ("Set-Cookie", 'sid="a b"; Path=/; HttpOnly; SameSite=Lax'),
            ("set-cookie", "sid=2; Max-Age=0"),
            ("set-cookie", "broken"),
            ("set-cookie", "=nameless"),
            ("set-cookie", "odd=a=b"),
        ],
    )
    assert [(cookie.name, cookie.value) for cookie in view.cookies] == [("sid", "a b"), ("sid", "2"), ("odd", "a=b")]
    assert dict(view.cookies[0].attributes) == {"path": "/", "httponly": True, "samesite": "Lax"}
    found = view.cookie("sid")
    assert found is not None
    assert found.value == "2"
    assert view.cookie("SID") is None


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/plain", "grün".encode(), "grün"),
        ("text/plain; charset=ISO-8859-1", "grün".encode("latin-1"), "grün"),
        ('text/plain; Charset="utf-16"', "grün".encode("utf-16"), "grün"),
        ("text/plain", b"gr\xfcn", "gr�n"),
        ("text/plain; charset=nonsense", b"a", "a"),
        ("text/plain; charset=hex", b"6161", "6161"),
        ("text/plain; charset=zip", b"x", "x"),
        ("text/plain; charset=idna", b"a\xff", "a\ufffd"),
        ("text/plain; charset=punycode", b"a\xff", "a\ufffd"),
        ("text/plain; charset=undefined", b"a", "a"),
        ("text/plain; charset=unicode_escape", b"\\x61", "\\x61"),
        ("text/plain; charset=raw_unicode_escape", b"\\u0061", "\\u0061"),
        ("", b"", ""),
    ],
)
def test_text_is_decoded_by_its_charset(content_type: str, body: bytes, text: str) -> None:
    view = ResponseView(200, headers=[("Content-Type", content_type)], body=body)
    assert view.text == text


@pytest.mark.parametrize(
    ("body", "position", "words"),
    [
        (b"", 0, "empty"),
        (b" \n ", 0, "empty"),
        (b'{"a": 1,}', 7, "trailing comma"),
        ('{"é":"üüü", x}'.encode(), 16, 'byte 16, near \'{"é":"üüü", x}\''),
        (b'{"a":"\xff\xfe"}', 6, "not UTF-8 at byte 6"),
        (b"<html>", 0, "near '<html>'"),
        (b"NaN", 0, "not JSON"),
        (b"[" * 1_000_000, 1025, "depth limit"),
    ],
)
def test_what_is_not_json_is_told_with_its_place(body: bytes, position: int, words: str) -> None:
    view = ResponseView(200, body=body, headers=[("Content-Type", "text/html")])
    with pytest.raises(BodyError) as caught:
        _ = view.json
    assert words in str(caught.value)
    assert caught.value.position == position
    assert len(str(caught.value)) < 300
    assert caught.value.hint == "The response says it is text/html."
    with pytest.raises(BodyError):  # the second time too
        _ = view.json


def test_integers_of_any_size_keep_their_digits() -> None:
    body = b'{"big": 123456789012345678901234567890, "low": -9223372036854775809, "text": "12345678901234567890"}'
    assert parse_json(body) == {
        "big": 123456789012345678901234567890,
        "low": -9223372036854775809,
        "text": "12345678901234567890",
    }
    assert parse_json(b"[" + b"7" * 400 + b"]") == [int("7" * 400)]
    for beyond in (b"1e999", b"[1e999, " + b"7" * 400 + b"]", b"[" + b"7" * 400 + b"]]"):
        with pytest.raises(BodyError, match="not JSON"):
            parse_json(beyond)
    with pytest.raises(BodyError, match="digits"):
        parse_json(b"1" * 5000)
    with pytest.raises(BodyError, match="nested too deeply"):
        parse_json(b"[" * 1000 + b"1" * 30 + b"]" * 1000)


def test_a_byte_order_mark_is_passed_over() -> None:
    assert parse_json(b"\xef\xbb\xbf[1]") == [1]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(_JSON)
def test_json_means_what_the_standard_library_reads(value: object) -> None:
    try:
        text = json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        text = json.dumps(value).encode()
        return
    assert parse_json(text) == json.loads(text)
    assert json.dumps(parse_json(text)) == json.dumps(json.loads(text))


@pytest.mark.parametrize(
    ("content_type", "body", "is_html"),
    [
        ("text/html; charset=utf-8", b"", True),
        ("application/xml", b"<html/>", False),
        ("application/xhtml+xml", b"<html/>", False),
        ("", b"  <!DOCTYPE html><p>", True),
        ("", b"<a/>", False),
        ("text/plain", b"<HTML><p>", True),
    ],
)
def test_html_is_told_from_xml(content_type: str, body: bytes, is_html: bool) -> None:
    assert ResponseView(200, headers=[("Content-Type", content_type)], body=body).is_html is is_html
