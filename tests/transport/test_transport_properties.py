"""Properties of the parts that both transports share."""

from __future__ import annotations

import gzip
import random
import zlib
from importlib.metadata import version

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from orbit_runner.transport.decoding import PIECE, UnknownEncodingError, decode, decoders
from orbit_runner.transport.message import USER_AGENT, check_request
from orbit_runner.transport.port import HttpRequest, TransportError
from orbit_runner.transport.url import parse_url

HOSTILE = st.text(st.sampled_from("aZ0:/?#@[]%\\.&=- \t\r\n\x00\x7fé日😀\ud800"), max_size=20)


@given(st.one_of(HOSTILE, st.builds("http://{}".format, HOSTILE), st.builds("https://h{}".format, HOSTILE)))
def test_any_url_is_refused_or_becomes_safe_to_send(url: str) -> None:
    try:
        target = parse_url(url)
    except TransportError:
        return
    assert target.url.isascii()
    assert target.url.isprintable()
    assert " " not in target.url
    assert 0 <= target.port <= 65535
    assert target.path[0] == "/"
    assert "#" not in target.path
    again = parse_url(target.url)
    assert (again.url, again.origin, again.path) == (target.url, target.origin, target.path)


@given(
    st.sampled_from(["http", "https", "HTTP"]),
    st.sampled_from(["a.test", "A.Test", "127.0.0.1", "[::1]", "under_score.test", "a.test."]),
    st.one_of(st.none(), st.integers(0, 65535)),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#"), max_size=30),
)
def test_printable_paths_stay_as_written(scheme: str, host: str, port: int | None, path: str) -> None:
    url = f"{scheme}://{host}{'' if port is None else f':{port}'}/{path}"
    target = parse_url(url)
    assert target.path == f"/{path}"
    assert target.origin == (
        scheme.lower(),
        host.strip("[]").lower(),
        port if port is not None else 443 if scheme == "https" else 80,
    )


@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_line_break_passes_the_check(method: str, name: str, value: str) -> None:
    try:
        check_request(HttpRequest(method, "http://h/", [(name, value)]))
    except TransportError:
        return
    assert not set("\r\n\x00 :") & set(method + name)
    assert not set("\r\n\x00") & set(value)
    value.encode()
    assert method.isascii()
    assert name.isascii()


@example(b"a", 1, "raw")
@given(
    st.binary(max_size=5000), st.integers(1, 100), st.sampled_from(["gzip", "deflate", "raw", "br", "x-gzip, deflate"])
)
def test_decompression_does_not_depend_on_the_cut(data: bytes, step: int, encoding: str) -> None:
    import brotlicffi  # type: ignore[import-untyped]

    repeated = data * 50
    packed = {
        "gzip": gzip.compress(repeated),
        "deflate": zlib.compress(repeated),
        "raw": zlib.compress(repeated)[2:-4],
        "br": brotlicffi.compress(repeated),
        "x-gzip, deflate": zlib.compress(gzip.compress(repeated)),
    }[encoding]
    chain = decoders("deflate" if encoding == "raw" else encoding)
    pieces = [piece for at in range(0, len(packed), step) for piece in decode(chain, packed[at : at + step])]
    assert b"".join(pieces) == repeated


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip"])
def test_no_piece_is_large(encoding: str) -> None:
    import brotlicffi

    zeros = bytes(50_000_000)
    packed = {
        "gzip": gzip.compress(zeros, 1),
        "deflate": zlib.compress(zeros, 1),
        "br": brotlicffi.compress(zeros, quality=1),
        "gzip, gzip": gzip.compress(gzip.compress(zeros, 1)),
    }[encoding]
    largest = total = 0
    for piece in decode(decoders(encoding), packed):
        largest, total = max(largest, len(piece)), total + len(piece)
    assert total == len(zeros)
    assert largest <= 4 * PIECE


def test_several_gzip_members_are_one_body() -> None:
    packed = gzip.compress(b"one ") + gzip.compress(b"two")
    assert b"".join(decode(decoders("gzip"), packed)) == b"one two"


@given(st.binary(min_size=1, max_size=200), st.sampled_from(["gzip", "deflate", "br"]))
def test_nonsense_is_a_value_error_or_yields_little(data: bytes, encoding: str) -> None:
    try:
        pieces = list(decode(decoders(encoding), data))
    except ValueError:
        return
    assert sum(map(len, pieces)) <= 1032 * len(data) + 2**24


def test_unknown_encodings_are_named() -> None:
    with pytest.raises(UnknownEncodingError, match="rot13"):
        decoders("gzip, rot13")
    assert decoders("") == decoders("identity, IDENTITY") == []


def test_the_user_agent_carries_the_version() -> None:
    assert f"orbit/{version('orbit-context')}" == USER_AGENT


def test_the_port_is_light() -> None:
    """A one-test run must start fast: neither transport, nor anything heavy, comes with the port and the session."""
    import subprocess
    import sys

    script = "import sys, orbit_runner.transport.port, orbit_runner.transport.session; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"pycurl", "httpx", "asyncio", "ssl", "http.cookiejar", "urllib.request", "idna", "certifi", "email"}
    assert not heavy & set(loaded)


def test_international_hosts() -> None:
    assert parse_url("http://Bücher.example/").host == "xn--bcher-kva.example"
    with pytest.raises(TransportError, match="Not a host name"):
        parse_url("http://a\u2028b/")


def test_random_bytes_in_headers_survive() -> None:
    from orbit_runner.transport.message import decode_header

    generator = random.Random(7)
    for _ in range(500):
        raw = bytes(generator.randrange(256) for _ in range(20))
        text = decode_header(raw)
        assert raw in (text.encode(), text.encode("latin-1", "replace"))
