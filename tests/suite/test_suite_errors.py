"""What people read when a suite file is wrong: every message with its place, all of them at once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from orbit_context.errors import CycleError, DefinitionError, DefinitionErrors, TemplateError
from orbit_context.suite.load import build_suite, load_environment, load_suite

HEAD = "version: 1\nsuite: s\n"


def errors_of(tmp_path: Path, text: str) -> list[DefinitionError]:
    file = tmp_path / "suite.yaml"
    file.write_text(text)
    with pytest.raises(DefinitionError) as caught:
        load_suite(file)
    return list(caught.value.errors)


def one_error(tmp_path: Path, text: str) -> DefinitionError:
    (error,) = errors_of(tmp_path, text)
    return error


BROKEN: list[dict[str, str]] = yaml.safe_load(Path(__file__).with_name("broken_suites.yaml").read_text())


@pytest.mark.parametrize("broken", BROKEN, ids=[broken["case"] for broken in BROKEN])
def test_a_broken_suite_says_what_and_where(tmp_path: Path, broken: dict[str, str]) -> None:
    error = one_error(tmp_path, HEAD + broken["suite"])
    place = f"{error.line}:{error.column} {error.field}: {error.message}"
    assert place + (f" | {error.hint}" if error.hint else "") == broken["error"]
    assert str(error).startswith(f"{tmp_path}/suite.yaml:{error.line}:{error.column}: ")
    assert error.__cause__ is None
    assert error.__context__ is None  # pydantic's error would carry the file's values along


def test_the_column_of_a_name_is_where_the_name_begins(tmp_path: Path) -> None:
    text = (
        HEAD + "tests:\n  a:\n    request:\n      POST: /x/{{one}}/{{ two }}\n"
        "      json: {a: '{{three}}', b: \"x{{ four }}\", c: '{{ five.x ?? six }}'}\n"
    )
    for error in errors_of(tmp_path, text):
        assert isinstance(error, TemplateError)
        line = text.splitlines()[(error.line or 0) - 1]
        assert error.source is not None
        assert line[(error.column or 0) - 1 :].startswith(error.source)


def test_files_that_are_sent_are_looked_for(tmp_path: Path) -> None:
    (tmp_path / "there.bin").write_bytes(b"x")
    errors = errors_of(
        tmp_path,
        HEAD + "defaults: {tls: {ca: ca.pem}}\n"
        "tests:\n"
        "  a: {request: {POST: /, file: body.bin}}\n"
        "  b: {request: {POST: /, multipart: {f: {file: f.bin}, g: [{file: there.bin}, {file: g.bin}]}}}\n"
        "  c: {request: {GET: /, tls: {cert: '{{x ?? 1}}.pem', key: k.pem}}}\n",
    )
    assert [(error.line, error.message) for error in errors] == [
        (3, "there is no file ca.pem"),
        (5, "there is no file body.bin"),
        (6, "there is no file f.bin"),
        (6, "there is no file g.bin"),
        (7, "there is no file k.pem"),
    ]
    assert errors[0].hint == f"Paths are relative to {tmp_path}."


def test_all_errors_of_one_kind_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text(HEAD + "tests:\n  b: {request: '/{{y}}'}\n  a: {request: '/{{x}}', needs: [c]}\n")
    with pytest.raises(DefinitionErrors) as caught:
        load_suite(file)
    assert str(caught.value) == (
        f"{file}:4:20: tests.b.request: no row field, variable or capture is called 'y'\n"
        f"{file}:5:20: tests.a.request: no row field, variable or capture is called 'x'\n"
        f"{file}:5:34: tests.a.needs[0]: there is no test called 'c'"
    )


@pytest.mark.parametrize(
    "line",
    [
        "{request: '/{{captured_data.a_long_name_of_no_test.x}}'}",
        "{request: '/{{a_long_name_of_nothing}}', capture: {a_long_name_of_something_N: $.x}}",
        "{reqest: /}",
        "{request: /, needs: [t_hat_is_not_there]}",
        "{request: {GET: /, headers: {a: {}, b: {}}}}",
        "{request: /, expect: [{stauts: 1}, {jsn: 1}]}",
        "{request: {POST: /, file: none.bin}}",
    ],
)
def test_many_mistakes_are_cut_short(tmp_path: Path, line: str) -> None:
    tests = "".join(f"  t_hat_is_there_{n}: {line.replace('N', str(n))}\n" for n in range(3000))
    started = time.process_time()
    assert len(errors_of(tmp_path, HEAD + "tests:\n" + tests)) == 50
    assert time.process_time() - started < 5  # quadratic forms took a minute


def test_a_cycle_is_drawn_with_the_line_of_each_step(tmp_path: Path) -> None:
    error = one_error(
        tmp_path,
        HEAD + "tests:\n  z: {request: /}\n  a: {needs: [z, b], request: /}\n  b: {request: '/{{captured_data.c.x}}'}\n"
        "  c: {needs: {test: a, kind: token}, request: /, capture: {x: $.x}}\n",
    )
    assert isinstance(error, CycleError)
    assert (error.line, error.column) == (5, 3)
    assert error.message == "these tests wait for each other: a → b → c → a"
    assert error.detail == (
        "a waits for b: needs it (line 5)\nb waits for c: uses captured_data.c.x (line 6)\n"
        "c waits for a: needs it (line 7)"
    )


def test_a_long_cycle_is_cut(tmp_path: Path) -> None:
    tests = "".join(f"  t{n}: {{needs: t{(n + 1) % 100}, request: /}}\n" for n in range(100))
    error = one_error(tmp_path, HEAD + "tests:\n" + tests)
    assert error.message == (
        "these tests wait for each other: t0 → t1 → t2 → t3 → t4 → t5 → t6 → t7 → … 91 more … → t99 → t0"
    )
    assert (error.detail or "").endswith("\nt99 waits for t0: needs it (line 103)")


def test_a_cycle_through_one_row(tmp_path: Path) -> None:
    error = one_error(
        tmp_path,
        HEAD + "tests:\n  item: {data: [{n: 1}, {n: 2}], needs: after, request: /, capture: {x: $.x}}\n"
        "  after: {request: '/{{captured_data[\"item[2]\"].x}}'}\n",
    )
    assert error.message == "these tests wait for each other: item → after → item"


def test_no_value_of_the_file_is_told_where_it_could_be_a_secret(tmp_path: Path) -> None:
    text = HEAD + (
        "variables: {p: {value: hunter2, secret: hunter3}}\n"
        "tests: {a: {request: {GET: /, auth: {basic: {username: x, password: [hunter4]}}, headers: {X: {y: hunter5}}}}}\n"
    )
    errors = errors_of(tmp_path, text)
    assert len(errors) == 3
    assert "hunter" not in "".join(f"{error}{error.hint}{error.detail}" for error in errors)


def test_a_suite_of_a_program_has_fields_but_no_lines() -> None:
    with pytest.raises(DefinitionError) as caught:
        build_suite({"suite": "s", "tests": {"a": {"request": "/{{x}}", "expct": {}}}})
    assert str(caught.value) == "tests.a.expct: there is no key 'expct' here"
    with pytest.raises(DefinitionError) as caught:
        build_suite({"suite": "s", "tests": {"a": {"request": {"POST": "/", "json": ["{{x}}"]}}}})
    assert str(caught.value) == "tests.a.request.json[0]: no row field, variable or capture is called 'x'"
    assert caught.value.line is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "environment: e\nvariables: {a.b: 1}",
            ("2:13: variables[\"a.b\"]: 'a.b' is no name: dots, brackets, braces, quotes and bars are not allowed"),
        ),
        ("environment: e\nsecret: {a: 1}", "2:1: secret: there is no key 'secret' here"),
        (
            "environment: e\nsecrets: {a: [hunter2]}",
            "2:14: secrets.a: expected text, a number or true or false, found a list",
        ),
        ("variables: {}", "1:1: environment: `environment` is missing"),
    ],
)  # fmt: skip
def test_a_broken_environment_file(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "staging.yaml"
    file.write_text(text)
    with pytest.raises(DefinitionError) as caught:
        load_environment(file)
    assert str(caught.value) == f"{file}:{expected}"
