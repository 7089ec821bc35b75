"""YAML and JSON into plain data: types, limits, hostile files, and places."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbit_context.errors import DefinitionError
from orbit_context.suite.yaml import MAX_ALIASES, MAX_BYTES, MAX_DEPTH, MAX_NODES, parse_document, read_document


def refused(text: str, *, is_json: bool = False) -> DefinitionError:
    with pytest.raises(DefinitionError) as caught:
        parse_document(text, file="suite.yaml", is_json=is_json)
    return caught.value


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("", None), ("~", None), ("null", None), ("true", True), ("False", False), ("7", 7), ("-0", 0), ("1.5", 1.5),
        (".5", 0.5), ("1e3", 1000.0), ("18446744073709551615", 2**64 - 1), ("-9223372036854775808", -(2**63)),
        ("on", "on"), ("off", "off"), ("yes", "yes"), ("NO", "NO"), ("y", "y"), ("2026-01-31", "2026-01-31"),
        ("2026-01-31T10:00:00Z", "2026-01-31T10:00:00Z"), ("12:30:00", "12:30:00"), ("1_000", "1_000"), ("007", "007"),
        ("+4912345", "+4912345"), ("0x1F", "0x1F"), ("0o17", "0o17"), (".nan", ".nan"), (".inf", ".inf"), ("1.", "1."),
        ("-", "-"), ("'7'", "7"), ('"true"', "true"), ("!!str 7", "7"), ("! 7", "7"), ("!!int 7", 7), ("!!float 7", 7.0),
        ('"\\u00e9"', "é"), ("🙂", "🙂"), ("=", "="),
    ],
)  # fmt: skip
def test_a_scalar_is_what_json_and_yaml_agree_on_and_text_otherwise(written: str, value: object) -> None:
    if written == "-":
        written = "'-'"
    found = parse_document(f"a: {written}").data["a"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_text_as_written() -> None:
    assert parse_document("{on: 1, 200: 2, true: 3, ~: 4, 1.50: 5}").data == {
        "on": 1, "200": 2, "true": 3, "~": 4, "1.50": 5,
    }  # fmt: skip


def test_anchors_and_merge_keys() -> None:
    text = "base: &b {a: 1, b: {c: 2}}\nother: &o {d: 4}\nx: {<<: *b, a: 9}\ny: {<<: [*b, *o], '<<': quoted}\nz: [*b]\n"
    data = parse_document(text).data
    assert data["x"] == {"a": 9, "b": {"c": 2}}
    assert data["y"] == {"a": 1, "b": {"c": 2}, "d": 4, "<<": "quoted"}
    assert data["z"] == [{"a": 1, "b": {"c": 2}}]


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", None, None, "the file is empty"),
        ("# only a comment\n", None, None, "the file is empty"),
        ("a: {b: 1,\n    b: 2}", 2, 5, "the key 'b' stands twice in one mapping"),
        ("a: 1\n'a': 2", 2, 1, "the key 'a' stands twice in one mapping"),
        ("a: 1\n---\nb: 2", 2, 1, "a second document begins here"),
        ("a: !!python/object/apply:os.system [ls]", 1, 4, "the tag !!python/object/apply:os.system is not allowed"),
        ("a: !!python/name:os.system x", 1, 4, "the tag !!python/name:os.system is not allowed"),
        ("a: !secret x", 1, 4, "the tag !secret is not allowed"),
        ("a: !!binary aGk=", 1, 4, "the tag !!binary is not allowed"),
        ("a: !!set {b}", 1, 4, "the tag !!set is not allowed"),
        ("a: !!int x", 1, 4, "the tag !!int is not allowed"),
        ("a: &x [*x]", 1, 8, "no anchor &x ends above this alias"),
        ("a: *nobody", 1, 4, "no anchor &nobody ends above this alias"),
        ("a: {<<: 5}", 1, 9, "`<<` merges a mapping, or a list of mappings"),
        ("url: {{base}}/x", 1, 7, "a key is text, not a list, mapping or alias"),
        ("? [1, 2]\n: x", 1, 3, "a key is text, not a list, mapping or alias"),
        ("a:\n\tb: 1", 2, 1, "this is not YAML: a line is indented with a tab"),
        ("a: b: c", 1, 5, "this is not YAML: mapping values are not allowed in this context"),
        ("a: [1, 2", 2, 1, "this is not YAML: did not find expected ',' or ']'"),
        ("a: @x", 1, 4, "this is not YAML: found character that cannot start any token"),
        ('a: "x', 1, 6, "this is not YAML: found unexpected end of stream"),
        ("a: 99999999999999999999", 1, 4, "the whole number does not fit into 64 bits"),
        ("a: -9223372036854775809", 1, 4, "the whole number does not fit into 64 bits"),
        ("a: " + "9" * 5000, 1, 4, "the whole number does not fit into 64 bits"),
        ("a: 1e999", 1, 4, "the number is too large"),
        ("a: x\x00y", 1, 5, "the file holds a character that text has not (U+0000)"),
        ('a: "x\\0"', 1, 4, "text holds the character U+0000, which a database cannot keep"),
        ('{b: 1, "\\0": 1}', 1, 8, "text holds the character U+0000, which a database cannot keep"),
        ('a: "\\ud800"', 1, 7, "this is not YAML: found invalid Unicode character escape code"),
        ("a: 1\nb: \x1b[31m", 2, 4, "the file holds a character that text has not (U+001B)"),
    ],
)  # fmt: skip
def test_broken_yaml_says_what_and_where(text: str, line: int | None, column: int | None, message: str) -> None:
    error = refused(text)
    assert (error.line, error.column, error.message) == (line, column, message)
    assert error.file == "suite.yaml"


def test_an_unquoted_template_is_told_apart_from_a_mapping() -> None:
    assert refused("url: {{base}}/x").hint == 'Quote a value that begins with a brace: "{{name}}".'


@pytest.mark.parametrize(
    ("text", "message", "line", "column"),
    [
        ('{"a": 1, "a": 2}', "the key 'a' stands twice in one object", None, None),
        ('{"a": NaN}', "NaN is not JSON", None, None),
        ('{"a": 1e999}', "the number is too large: 1e999", None, None),
        ('{"a": 123456789012345678901}', "the whole number does not fit into 64 bits: 123456789012345678901", None, None),
        ('{"a":\n 1,}', "this is not JSON: ", 2, None),
        ('{"a": [{"b": "x\\u0000"}]}', "text holds the character U+0000, which a database cannot keep", None, None),
        ('{"\\ud800": 1}', "text holds half a character (a lone surrogate), which a database cannot keep", None, None),
        ("", "this is not JSON: expecting value", 1, 1),
        ("[" * 65 + "]" * 65, f"lists and objects are nested deeper than {MAX_DEPTH}", None, None),
        ("[" * 100_000, f"lists and objects are nested deeper than {MAX_DEPTH}", None, None),
        ("[" + "0," * MAX_NODES + "0]", f"the file holds more than {MAX_NODES:,} values", None, None),
    ],
)  # fmt: skip
def test_broken_json_says_what_and_where(text: str, message: str, line: int | None, column: int | None) -> None:
    error = refused(text, is_json=True)
    assert error.message.startswith(message)
    assert error.line == line
    assert column is None or error.column == column


class TestLimits:
    def test_aliases(self) -> None:
        assert len(parse_document("a: &x 1\nb: [" + "*x, " * MAX_ALIASES + "]").data["b"]) == MAX_ALIASES
        assert (
            refused("a: &x 1\nb: [" + "*x, " * (MAX_ALIASES + 1) + "]").message == "the file uses more than 50 aliases"
        )

    def test_an_alias_bomb_is_refused_before_it_grows(self) -> None:
        lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 6)}]" for n in range(1, 9)]
        started = time.process_time()
        error = refused("\n".join(lines))
        assert time.process_time() - started < 1
        assert error.message == f"the file holds more than {MAX_NODES:,} values once its aliases are expanded"

    @pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
    def test_depth(self, opening: str) -> None:
        started = time.process_time()
        error = refused(opening * 100_000)
        assert time.process_time() - started < 1
        assert error.message == f"lists and mappings are nested deeper than {MAX_DEPTH}"
        assert error.line == 1

    def test_depth_up_to_the_limit(self) -> None:
        parse_document("[" * MAX_DEPTH + "]" * MAX_DEPTH)
        refused("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))

    def test_values(self) -> None:
        error = refused("[" + "0," * MAX_NODES + "0]")
        assert error.message == f"the file holds more than {MAX_NODES:,} values"

    def test_file_size(self, tmp_path: Path) -> None:
        file = tmp_path / "suite.yaml"
        file.write_text("a: " + "x" * (MAX_BYTES - 3))
        assert len(read_document(file).data["a"]) == MAX_BYTES - 3
        file.write_text("a: " + "x" * (MAX_BYTES - 2))
        with pytest.raises(DefinitionError, match="larger than 1 MiB"):
            read_document(file)

    def test_an_endless_file_is_not_read_to_its_end(self) -> None:
        with pytest.raises(DefinitionError, match="larger than 1 MiB"):
            read_document(Path("/dev/zero"))


class TestFiles:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(DefinitionError) as caught:
            read_document(tmp_path / "none.yaml")
        assert str(caught.value) == f"{tmp_path}/none.yaml: there is no such file"

    def test_a_directory(self, tmp_path: Path) -> None:
        with pytest.raises(DefinitionError, match="cannot be read: Is a directory"):
            read_document(tmp_path)

    def test_a_byte_order_mark_is_no_part_of_the_text(self, tmp_path: Path) -> None:
        file = tmp_path / "suite.yaml"
        file.write_bytes(b"\xef\xbb\xbfa: 1\n")
        document = read_document(file)
        assert document.data == {"a": 1}
        assert document.locate(("a",), key=True) == (1, 1)

    def test_windows_line_ends(self) -> None:
        document = parse_document("a: 1\r\nb:\r\n  c: 2\r\n")
        assert document.data == {"a": 1, "b": {"c": 2}}
        assert document.locate(("b", "c")) == (3, 6)

    @pytest.mark.parametrize("content", [b"a: 1\nb: caf\xe9\n", b"a: 1\nb: x\xff\n", "a: 1\nb: x".encode("utf-16")])
    def test_not_utf8(self, tmp_path: Path, content: bytes) -> None:
        file = tmp_path / "suite.yaml"
        file.write_bytes(content)
        with pytest.raises(DefinitionError) as caught:
            read_document(file)
        assert caught.value.message == "the file is not UTF-8 text"
        assert caught.value.line == (1 if content.startswith(b"\xff") else 2)

    def test_json(self, tmp_path: Path) -> None:
        file = tmp_path / "suite.json"
        file.write_text('{"a": {"b": [1, "\\ud83d\\ude00"]}}')
        assert read_document(file).data == {"a": {"b": [1, "😀"]}}


class TestPlaces:
    TEXT = """\
tests:
  login:
    request: {POST: /login, json: {user: "{{user}}"}}
  list:
    - one
    - {two: 2}
  block: |
    first
    second
  base: &base
    inside: 1
  derived:
    <<: *base
"""

    @pytest.mark.parametrize(
        ("path", "place"),
        [
            ((), (1, 1)),
            (("tests", "login"), (3, 5)),
            (("tests", "login", "request", "json", "user"), (3, 42)),
            (("tests", "list", 1, "two"), (6, 13)),
            (("tests", "derived", "inside"), (11, 13)),
            (("tests", "login", "nothing", "here"), (2, 3)),
            (("tests", "list", 9), (4, 3)),
            (("nothing",), (1, 1)),
        ],
    )  # fmt: skip
    def test_values(self, path: tuple[str | int, ...], place: tuple[int, int]) -> None:
        assert parse_document(self.TEXT).locate(path) == place

    def test_keys(self) -> None:
        assert parse_document(self.TEXT).locate(("tests", "login", "request", "json"), key=True) == (3, 29)

    def test_characters(self) -> None:
        document = parse_document(self.TEXT)
        assert document.locate(("tests", "login", "request", "json", "user"), offset=2) == (3, 45)
        assert document.locate(("tests", "list", 0), offset=2) == (5, 9)
        assert document.locate(("tests", "block"), offset=8) == (9, 1)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff\ufffe\uffff\u0085\u2028\u2029")),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcdef .:-#{}[]é", min_size=1), inner, max_size=4),
        max_leaves=20,
    )
)  # fmt: skip
def test_json_written_as_json_and_as_yaml_reads_back(value: object) -> None:
    assert parse_document(json.dumps(value), is_json=True).data == value
    assert parse_document(json.dumps({"v": value}, ensure_ascii=False, indent=1)).data == {"v": value}


@given(st.text(max_size=200) | st.text("{}[]:,-&*!|>'\"#%@`?\n\t ab1", max_size=80))
def test_any_text_gives_data_or_a_definition_error(text: str) -> None:
    try:
        json.dumps(parse_document(text).data)
    except DefinitionError as error:
        assert error.message  # noqa: PT017 - what is asserted is that nothing else is raised
