"""Data-driven tests: rows from the suite and from files, and the tests they make."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from orbit_context.errors import DefinitionError
from orbit_context.suite.load import LoadedSuite, build_suite, load_suite

if TYPE_CHECKING:
    from pathlib import Path


def with_data(data: Any, base_dir: Path | None = None, **test: Any) -> LoadedSuite:
    return build_suite({"suite": "s", "tests": {"item": {"data": data, "request": "/", **test}}}, base_dir=base_dir)


def rows(loaded: LoadedSuite) -> dict[str, Any]:
    return {key: test.row for key, test in loaded.document.tests.items()}


def test_one_test_for_each_row_numbered_from_one() -> None:
    loaded = with_data([{"n": 1}, {"n": {"deep": [2]}}], id="i", name="Item", renamed_from="old", tags=["x"])
    assert rows(loaded) == {"item[1]": {"n": 1}, "item[2]": {"n": {"deep": [2]}}}
    second = loaded.document.tests["item[2]"]
    assert (second.id, second.name, second.renamed_from, second.tags) == ("i[2]", "Item [2]", "old[2]", ["x"])
    assert second.data is None
    assert loaded.document.to_json()["tests"]["item[2]"] == {
        "id": "i[2]", "name": "Item [2]", "renamed_from": "old[2]", "tags": ["x"], "row": {"n": {"deep": [2]}},
        "request": {"method": "GET", "url": "/"},
    }  # fmt: skip


def test_one_test_for_each_row_named_by_a_field() -> None:
    loaded = with_data({"rows": [{"n": "a.b"}, {"n": 2}, {"n": True}], "key": "n"})
    assert list(rows(loaded)) == ["item[a.b]", "item[2]", "item[true]"]


def test_the_tests_stay_in_the_order_of_the_file() -> None:
    loaded = build_suite(
        {"suite": "s", "tests": {"b": {"request": "/"}, "a": {"data": [{}, {}], "request": "/"}, "0": {"request": "/"}}}
    )
    assert list(loaded.document.tests) == ["b", "a[1]", "a[2]", "0"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([{"n": 1}, {}], "row 2 has no text or number called 'n'"),
        ([{"n": None}], "row 1 has no text or number called 'n'"),
        ([{"n": [1]}], "row 1 has no text or number called 'n'"),
        ([{"n": 1}, {"n": "1"}], "rows 1 and 2 have the same 'n': 1"),
        ([{"n": "a]b"}], "the 'n' of row 1 cannot stand in a key"),
        ([{"n": " "}], "the 'n' of row 1 cannot stand in a key"),
        ([{"n": "x" * 101}], "the 'n' of row 1 cannot stand in a key"),
    ],
)
def test_a_field_that_names_no_row(given: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(DefinitionError, match=message.replace("[", r"\[")):
        with_data({"rows": given, "key": "n"})


class TestFiles:
    def test_csv(self, tmp_path: Path) -> None:
        (tmp_path / "rows.csv").write_bytes(
            b'\xef\xbb\xbfn, name ,note\r\n1,Anna,"a ""quoted"", text\r\nof two lines"\r\n\r\n007,"",\r\n'
        )
        assert rows(with_data("rows.csv", tmp_path)) == {
            "item[1]": {"n": "1", "name": "Anna", "note": 'a "quoted", text\r\nof two lines'},
            "item[2]": {"n": "007", "name": "", "note": ""},
        }

    def test_json(self, tmp_path: Path) -> None:
        (tmp_path / "rows.json").write_text(json.dumps([{"n": 1, "x": [None, True]}, {"n": "😀"}]))
        loaded = with_data({"file": "rows.json", "key": "n"}, tmp_path)
        assert rows(loaded) == {"item[1]": {"n": 1, "x": [None, True]}, "item[😀]": {"n": "😀"}}

    def test_yaml(self, tmp_path: Path) -> None:
        (tmp_path / "rows.yml").write_text("- {n: 1}\n- {n: on}\n")
        assert rows(with_data("rows.yml", tmp_path)) == {"item[1]": {"n": 1}, "item[2]": {"n": "on"}}

    def test_beside_the_suite_file(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "rows.csv").write_text("n\n1\n")
        file = tmp_path / "s.yaml"
        file.write_text("suite: s\ntests:\n  a: {data: data/rows.csv, request: '/{{row.n | int}}'}\n")
        loaded = load_suite(file)
        assert rows(loaded) == {"a[1]": {"n": "1"}}
        assert loaded.locate(("tests", "a[1]", "request", "url")) == (3, 37)

    def test_more_json_than_a_suite_may_have(self, tmp_path: Path) -> None:
        (tmp_path / "rows.json").write_text(json.dumps([{"n": n, "text": "x" * 100} for n in range(20_000)]))
        assert len(with_data("rows.json", tmp_path).document.tests) == 20_000

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("r.csv", b"", "the first line of a CSV file names its columns, each differently"),
            ("r.csv", b"a,a\n1,2\n", "the first line of a CSV file names its columns, each differently"),
            ("r.csv", b"a,\n1,2\n", "the first line of a CSV file names its columns, each differently"),
            ("r.csv", b"a,b\n1,2\n3\n", "r.csv:3: tests.item.data: the row has 1 cells and the header 2"),
            ("r.csv", b'a\n"x"y\n', "r.csv:2: tests.item.data: this is not CSV: ',' expected after '\"'"),
            ("r.csv", b"a\n\xff\n", "r.csv:2:1: tests.item.data: the file is not UTF-8 text"),
            ("r.csv", b"a\nx\x00\n", "r.csv:2: tests.item.data: the file holds the character U+0000"),
            ("r.csv", b"a\n", "tests.item.data: there are no rows"),
            ("r.csv", b"a\n" + b"x" * (16 * 2**20), "the file is larger than 16 MiB"),
            ("r.json", b'{"a": 1}', "a data file holds a list of objects, one for each row"),
            ("r.json", b"[1]", "a data file holds a list of objects, one for each row"),
            ("r.json", b'[{"a": 1, "a": 2}]', "the key 'a' stands twice in one object"),
            ("r.json", b"[" * 100_000, "nested deeper than 64"),
            ("r.yaml", b"- {a: 1, a: 2}", "r.yaml:1:10: tests.item.data: the key 'a' stands twice in one mapping"),
            ("r.yaml", b"- !!python/name:os.system x", "the tag !!python/name:os.system is not allowed"),
            ("r.csv", b"a\n" + b"x\n" * 100_001, "there are 100,001 rows; at most 100,000 are allowed"),
        ],
    )
    def test_broken(self, tmp_path: Path, name: str, content: bytes, message: str) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DefinitionError) as caught:
            with_data(name, tmp_path)
        assert message in str(caught.value)
