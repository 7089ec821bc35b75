from __future__ import annotations

import base64
import html
import json
import random
import re
import string
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbit_context.redact import MASK, MIN_LENGTH, Redactor, _needles_of, _written, _written_again

if TYPE_CHECKING:
    from collections.abc import Callable

AWKWARD = string.ascii_letters + string.digits + "\"\\<>%é+/=&' "
_RANDOM = random.Random(20260131)
SECRETS = [
    "".join(_RANDOM.choice(AWKWARD) for _ in range(length - 2)) + "x9"
    for length in (8, 9, 10, 11, 12, 13, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40)
]


def traceback_text(secret: str) -> str:
    import traceback

    try:
        raise ValueError({"password": secret})
    except ValueError:
        return traceback.format_exc()


def dotnet_json(text: str) -> str:
    """What System.Text.Json writes by default."""
    written = json.dumps(text)[1:-1].replace("\\\\", "\x00").replace('\\"', "\\u0022")
    written = re.sub(r"\\u....", lambda match: "\\u" + match[0][2:].upper(), written)
    for character in "<>&'+`":
        written = written.replace(character, f"\\u{ord(character):04X}")
    return written.replace("\x00", "\\\\")


ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda s: f"password {s}!",
    "json": lambda s: json.dumps({"p": s}),
    "json utf-8": lambda s: json.dumps({"p": s}, ensure_ascii=False),
    "json in json": lambda s: json.dumps({"body": json.dumps({"p": s})}),
    "json utf-8 in json": lambda s: json.dumps({"body": json.dumps({"p": s}, ensure_ascii=False)}),
    "url": lambda s: f"https://x/?p={quote(s, safe='')}&q=1",
    "url path": lambda s: f"https://x/{quote(s)}/y",
    "url lower case": lambda s: re.sub("%..", lambda m: m[0].lower(), quote(s, safe="")),
    "double url": lambda s: quote(quote(s, safe=""), safe=""),
    "form": lambda s: urlencode({"p": s, "q": "1"}),
    "form in url": lambda s: quote(quote_plus(s)),
    "html": lambda s: f"<p>{html.escape(s)}</p>",
    "html of json": lambda s: html.escape(json.dumps({"p": s})),
    "json of html": lambda s: json.dumps(html.escape(s)),
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 offset 1": lambda s: base64.b64encode(f"u{s}".encode()).decode(),
    "base64 offset 2": lambda s: base64.b64encode(f"u:{s}:more".encode()).decode(),
    "base64url": lambda s: base64.urlsafe_b64encode(s.encode()).decode().rstrip("="),
    "base64url offset 1": lambda s: base64.urlsafe_b64encode(f"user{s}".encode()).decode(),
    "hex": lambda s: s.encode().hex(),
    "HEX": lambda s: s.encode().hex().upper(),
    "traceback": traceback_text,
    "repr of bytes": lambda s: repr(s.encode()),
    "shell": lambda s: f"curl -d {__import__('shlex').quote(s)}",
    "go json": lambda s: json.dumps(s).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"),
    "dotnet json": lambda s: dotnet_json(s),
    "php json": lambda s: json.dumps(s).replace("/", "\\/"),
}  # fmt: skip


def shapes(secret: str) -> list[str]:
    """What must not be left over: the secret plain, and as it is written in each encoding without what surrounds it."""
    encoded = json.dumps(secret)[1:-1]
    return [
        secret, encoded, json.dumps(encoded)[1:-1], quote(secret, safe=""), quote(quote(secret, safe=""), safe=""),
        quote_plus(secret), html.escape(secret), secret.encode().hex(), secret.encode().hex().upper(),
        base64.b64encode(secret.encode()).decode().rstrip("=")[:-1],
    ]  # fmt: skip


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_awkward_secrets_are_masked_in_every_encoding(encoding: str) -> None:
    redactor = Redactor(SECRETS)
    everything = []
    for secret in SECRETS:
        text = f"before {ENCODINGS[encoding](secret)} after"
        masked = redactor.redact_text(text)
        assert MASK in masked, secret
        assert masked.startswith("before ")
        assert masked.endswith(" after")
        assert not any(shape in masked for shape in shapes(secret)), secret
        assert redactor.redact_bytes(text.encode()).decode() == masked
        everything.append(text)
    masked = redactor.redact_text("\n".join(everything))
    assert not any(shape in masked for secret in SECRETS for shape in shapes(secret))


def test_what_surrounds_a_secret_stays() -> None:
    redactor = Redactor(['pa"ss/wörd'])
    assert redactor.redact_text('{"a": "pa\\"ss/wörd", "b": 1}') == '{"a": "***", "b": 1}'
    assert redactor.redact_text("x=pa%22ss%2Fw%C3%B6rd&y=1") == "x=***&y=1"
    assert redactor.redact_text("nothing here") == "nothing here"
    assert redactor.redact_bytes('pa"ss/wörd'.encode("latin-1") + b"\xff\x00") == b"***\xff\x00"


def test_nothing_to_mask_gives_back_the_very_object() -> None:
    value = {"a": ["text", 1, None, {"b": True}]}
    for redactor in (Redactor(), Redactor(["secret-value"])):
        text, data = "some text " * 3, b"bytes"
        assert redactor.redact_text(text) is text
        assert redactor.redact_bytes(data) is data
        assert redactor.redact_json(value) is value
    assert not Redactor()
    assert Redactor(["secret-value"])


def test_overlapping_secrets_leave_no_tails() -> None:
    redactor = Redactor(["secret", "secret-long-form", "form-tail", "abab"])
    assert redactor.redact_text("a secret-long-form b") == "a *** b"
    assert redactor.redact_text("a secret-long-form-tail b") == "a *** b"
    assert redactor.redact_text("a secretsecret b secret") == "a *** b ***"
    assert redactor.redact_text("xababababy") == "x***y"
    assert redactor.redact_text("xabababy") == "x***y"


def test_secrets_without_letters_or_of_common_words_leave_no_tails_either() -> None:
    redactor = Redactor(["-=-=", "word-é"])
    assert redactor.redact_text("x-=-=-=y-=-=") == "x***y***"
    many = "word " * 2000
    assert redactor.redact_text(f"{many}word-é {many}word-%C3%A9") == f"{many}*** {many}***"


def test_json_values_keys_and_numbers_are_masked_at_any_depth() -> None:
    redactor = Redactor([918273, "hunter2!"])
    value = {
        "a": [{"pw": "x hunter2! y", "pin": 918273, "other": 5, "exact": 0.5}],
        "hunter2!": 1,
        "hunter2! ": 2,
        "raw": b"hunter2!",
        "deep": (None, True, {"hunter2!hunter2!": "918273"}),
    }
    before = repr(value)
    assert redactor.redact_json(value) == {
        "a": [{"pw": "x *** y", "pin": "***", "other": 5, "exact": 0.5}],
        "***": 1,
        "*** ": 2,
        "raw": b"***",
        "deep": [None, True, {"***": "***"}],
    }
    assert repr(value) == before
    assert redactor.redact_json({"hunter2!": 1, "918273": 2}) == {"***": 1, "*** (2)": 2}
    assert redactor.redact_json([2**70, "hunter2!", "\ud800"]) == [2**70, "***", "\ud800"]


def test_secrets_may_come_later_and_lie_inside_values() -> None:
    redactor = Redactor()
    assert redactor.redact_text("token-12345") == "token-12345"
    redactor.add(
        {"token": "token-12345", "more": ["other-secret", {"n": 778899}], "flag": True, "none": None}, name="t"
    )
    assert (
        redactor.redact_text("token-12345 other-secret 778899 True None true null") == "*** *** *** True None true null"
    )
    redactor.add(b"byte-secret")
    assert redactor.redact_text("byte-secret") == MASK


def test_a_copy_goes_its_own_way() -> None:
    redactor = Redactor(["first-secret", "a***", "x"])
    copy = redactor.copy()
    assert copy.too_short == ("(unnamed)",)
    assert copy.redact_text("afirst-secret") == MASK
    copy.add("second-secret")
    redactor.add("third-secret")
    text = "first-secret second-secret third-secret"
    assert copy.redact_text(text) == "*** *** third-secret"
    assert redactor.redact_text(text) == "*** second-secret ***"


def test_short_values_are_not_masked_but_named() -> None:
    redactor = Redactor()
    redactor.add("abc", name="pin")
    redactor.add({"x": "  a ", "empty": "", "blank": "     "}, name="env")
    redactor.add(7)
    assert redactor.too_short == ("pin", "env.x", "(unnamed)")
    assert redactor.redact_text("abc a      7") == "abc a      7"
    redactor.add("abcd")
    assert redactor.redact_text("abcd") == MASK


def test_white_space_around_a_secret_does_not_hide_it() -> None:
    assert Redactor(["from-a-file\n"]).redact_text("<from-a-file>") == "<***>"


def test_a_secret_with_stars_does_not_come_about_beside_a_mask() -> None:
    redactor = Redactor(["****", "a***", "secret"])
    for text in ("*secret", "asecret", "aasecret", "secret*secret", "***secret***", "a****"):
        masked = redactor.redact_text(text)
        assert "****" not in masked
        assert "a***" not in masked


def test_headers_are_masked_by_name_and_by_value() -> None:
    redactor = Redactor(["known-secret"], headers=["X-Custom-Key"])
    headers = {
        "Authorization": "Bearer abc.def",
        "authorization": "whole value",
        "Proxy-Authorization": "Basic dXNlcg==",
        "Cookie": "session=abc; theme=dark; odd",
        "Set-Cookie": ["session=abc; Path=/; HttpOnly", "a=known-secret"],
        "X-API-KEY": "k",
        "x-custom-key": "k",
        "X-Other": "has known-secret inside",
        "Accept": "*/*",
    }
    masked = {
        "Authorization": "Bearer ***",
        "authorization": "***",
        "Proxy-Authorization": "Basic ***",
        "Cookie": "session=***; theme=***; ***",
        "Set-Cookie": ["session=***; Path=/; HttpOnly", "a=***"],
        "X-API-KEY": "***",
        "x-custom-key": "***",
        "X-Other": "has *** inside",
        "Accept": "*/*",
    }
    assert redactor.redact_headers(headers) == masked
    assert redactor.redact_headers(list(headers.items())) == list(masked.items())
    assert Redactor().redact_headers([(b"Cookie", b"a=b")]) == [(b"Cookie", b"a=***")]
    assert Redactor().redact_headers({"Authorization": "hunter two"}) == {"Authorization": "***"}


def test_nothing_about_a_redactor_shows_its_secrets() -> None:
    redactor = Redactor(["very-secret"])
    assert "very-secret" not in f"{redactor!r} {redactor}"


def test_every_encoding_holds_its_anchor() -> None:
    """What is looked for first must stand in all that is looked for then, or it would be missed."""
    for secret in [
        *SECRETS,
        "p%41ss",
        "a\\u00e9b\\u00C9",
        "line one\nline two",
        "tab\there",
        " edge ",
        "日本語パス1",
        "𝒳𝒴𝒵é",
    ]:
        for group in _needles_of(secret):
            assert all(group.anchor in variant for variant, _offset in (*group.text, *group.raw)), secret


@settings(deadline=None)
@given(st.from_regex(r"[A-Za-z0-9._-]{4,12}", fullmatch=True))
def test_tokens_are_written_one_way_only(token: str) -> None:
    """Why `_needles_of` need not try the ways of writing text on them."""
    assert {encoded for text in _written(token) for encoded in _written_again(text)} == {token}


secrets = st.text(min_size=MIN_LENGTH, max_size=20).filter(lambda text: len(text.strip()) >= MIN_LENGTH)
few_letters = st.text("ab*", min_size=MIN_LENGTH, max_size=7)


@settings(deadline=None)
@given(st.lists(secrets | few_letters, min_size=1, max_size=4), st.text() | st.text("ab*", max_size=60), st.data())
def test_the_output_never_contains_a_secret(known: list[str], text: str, data: Any) -> None:
    redactor = Redactor(known)
    pieces = data.draw(st.lists(st.sampled_from(known) | st.text("ab* ", max_size=3), max_size=8))
    position = data.draw(st.integers(0, len(text)))
    hostile = text[:position] + "".join(pieces) + text[position:]
    masked = redactor.redact_text(hostile)
    assert not any(secret in masked for secret in known)
    assert redactor.redact_text(masked) == masked
    body = {"k" + hostile: [hostile, {"x": hostile}]}
    assert not any(secret in string_of(redactor.redact_json(body)) for secret in known)
    if "\ud800" <= max(hostile, default="") <= "\udfff" or any("\ud800" <= c <= "\udfff" for c in hostile):
        return
    raw = redactor.redact_bytes(hostile.encode())
    assert not any(secret.encode() in raw for secret in known)


@settings(deadline=None)
@given(secrets, st.sampled_from(sorted(ENCODINGS)))
def test_any_secret_is_masked_in_any_encoding(secret: str, encoding: str) -> None:
    text = ENCODINGS[encoding](secret)
    masked = Redactor([secret]).redact_text(f"<{text}>")
    assert secret not in masked
    assert MASK in masked


def string_of(value: Any) -> str:
    if isinstance(value, dict):
        return "\x00".join(f"{key}\x00{string_of(member)}" for key, member in value.items())
    return "\x00".join(map(string_of, value)) if isinstance(value, list) else value


def test_masking_is_fast_enough_and_free_without_secrets() -> None:
    """Facts: 20 MB/s with 20 awkward secrets. Compared with plain replacing in the same process, so that a slow machine
    or a busy one does not decide."""
    body = json.dumps([{"id": n, "name": f"product {n}", "sku": f"{n * 7919:x}"} for n in range(12_000)])
    redactor, empty = Redactor(SECRETS), Redactor()
    variants = [variant for group in redactor._groups for variant, _offset in group.text]

    def seconds(run: Callable[[], object]) -> float:
        best = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            run()
            best = min(best, time.perf_counter() - start)
        return best

    naive = seconds(lambda: [body.replace(variant, MASK) for variant in variants])
    assert seconds(lambda: redactor.redact_text(body)) < naive / 3
    assert seconds(lambda: [empty.redact_text(body) for _ in range(100)]) < 0.001


@pytest.mark.parametrize("secret", ["s3cr3t-Tok3n-0123456789abcdef", 'pa"ss\\w/örd€ 7'])
@pytest.mark.parametrize("write", [str, lambda s: repr(s)[1:-1], lambda s: json.dumps(s)[1:-1], quote_plus])
def test_a_cut_leaves_no_part_of_a_secret_beside_its_mark(secret: str, write: Callable[[str], str]) -> None:
    redactor = Redactor([secret])
    written = write(secret)
    for cut in range(MIN_LENGTH, len(written) - MIN_LENGTH + 1):
        for quotation in ("", '"', "'"):
            first = f"before {written[:cut]}{quotation}…"
            last = f"…{quotation}{written[cut:]} after"
            # A quote that the secret itself could have there goes with it.
            assert redactor.redact_text(first) in (f"before ***{quotation}…", "before ***…")
            assert redactor.redact_text(last) in (f"…{quotation}*** after", "…*** after")
            assert redactor.redact_json([first, {last: 1}]) == [
                redactor.redact_text(first),
                {redactor.redact_text(last): 1},
            ]
    assert redactor.redact_text(f"{written[:3]}… {written[:9]} …") == f"{written[:3]}… {written[:9]} …"


def test_a_text_full_of_marks_is_masked_in_time() -> None:
    redactor = Redactor(SECRETS)
    text = "abc…" * 50_000
    began = time.perf_counter()
    assert redactor.redact_text(text) is text
    assert time.perf_counter() - began < 1
