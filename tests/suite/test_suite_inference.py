"""Which test waits for which, and what bare names mean."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbit_context.errors import CycleError, DefinitionError
from orbit_context.suite.document import EnvironmentDocument, Suite
from orbit_context.suite.infer import Edge
from orbit_context.suite.load import LoadedSuite, build_suite, load_suite

if TYPE_CHECKING:
    from pathlib import Path


def suite(tests: dict[str, Any], **rest: Any) -> LoadedSuite:
    return build_suite({"suite": "s", "tests": tests, **rest})


def edges(loaded: LoadedSuite) -> set[tuple[str, str, str]]:
    assert len({(edge.dependent_key, edge.required_key) for edge in loaded.edges}) == len(loaded.edges)
    return {(edge.dependent_key, edge.required_key, edge.kind) for edge in loaded.edges}


TOKEN: dict[str, Any] = {"request": {"POST": "/login"}, "capture": {"token": {"json": "$.t", "share": "token"}}}
ID = {"request": "/", "capture": {"id": "$.id"}}


def test_needs_in_all_spellings() -> None:
    loaded = suite(
        {
            "a": {"request": "/"},
            "b": {"request": "/", "needs": "a"},
            "c": {"request": "/", "needs": {"test": "a", "kind": "data"}},
            "d": {"request": "/", "needs": ["a", {"test": "b", "kind": "token"}]},
        }
    )
    assert edges(loaded) == {("b", "a", "order"), ("c", "a", "data"), ("d", "a", "order"), ("d", "b", "token")}


@pytest.mark.parametrize(
    "use",
    [
        {"request": "/{{NAME}}"},
        {"request": {"GET": "/x", "query": {"q": ["{{NAME}}"]}}},
        {"request": {"GET": "/{p}", "path": {"p": "{{NAME}}"}}},
        {"request": {"GET": "/", "headers": {"X": "a {{ NAME | upper }}"}}},
        {"request": {"GET": "/", "cookies": {"X": "{{NAME}}"}}},
        {"request": {"GET": "/", "auth": {"bearer": "{{NAME}}"}}},
        {"request": {"GET": "/", "auth": {"api_key": {"name": "k", "value": "{{NAME}}"}}}},
        {"request": {"POST": "/", "json": {"deep": [{"x": "{{NAME}}"}]}}},
        {"request": {"POST": "/", "json": {"{{NAME}}": 1}}},
        {"request": {"POST": "/", "form": {"x": "{{NAME}}"}}},
        {"request": {"POST": "/", "multipart": {"f": {"content": "{{NAME}}"}}}},
        {"request": {"POST": "/", "body": "{{NAME}}"}},
        {"request": {"POST": "/", "file": "{{NAME}}.bin"}},
        {"request": "/", "expect": {"json": {"$.x": "{{NAME}}"}}},
        {"request": "/", "expect": [{"json": "$[?@.id == {{NAME}}]", "exists": True}]},
        {"request": "/", "poll": {"until": {"status": "{{NAME}}"}}},
    ],
)
def test_a_name_anywhere_in_a_test_makes_an_edge(use: dict[str, Any]) -> None:
    def named(value: Any, name: str) -> Any:
        if isinstance(value, dict):
            return {named(key, name): named(member, name) for key, member in value.items()}
        if isinstance(value, list):
            return [named(item, name) for item in value]
        return value.replace("NAME", name) if isinstance(value, str) else value

    for name, kind in (("captured_data.a.id", "data"), ("shared_auth_tokens.token", "token")):
        loaded = suite({"use": named(use, name), "a": ID, "login": TOKEN})
        assert edges(loaded) == {("use", "a" if kind == "data" else "login", kind)}


def test_what_a_capture_looks_for_is_no_template() -> None:
    loaded = suite({"a": {"request": "/", "capture": {"x": {"regex": r"\{\{(.*?)}}{{y}}"}}}})
    assert [(found.path, found.kind, found.source) for found in loaded.expressions] == [
        (("tests", "a", "capture", "x", "regex"), "regex", r"\{\{(.*?)}}{{y}}")
    ]


def test_expressions_of_assertions_are_listed_unless_they_are_templates(tmp_path: Path) -> None:
    (tmp_path / "order.json").write_text('{"type": "object"}')
    loaded = build_suite(
        {
            "suite": "s",
            "variables": {"x": 1},
            "tests": {
                "a": {
                    "request": "/",
                    "expect": [
                        {"not": {"json": "$.a", "matches": "^b"}},
                        {"xpath": "//c", "all": {"matches": "d+"}},
                        {"json": "$[{{x}}]", "exists": True, "dialect": "ng"},
                        {"schema": "order.json"},
                        {"schema": "{{x}}.json"},
                        {"schema": True},
                    ],
                    "poll": {"until": {"json": {"$.e": {"any": {"matches": "f"}}}}},
                }
            },
        },
        base_dir=tmp_path,
    )
    expect = ("tests", "a", "expect")
    until = ("tests", "a", "poll", "until", 0)
    assert [(found.path, found.kind, found.source) for found in loaded.expressions] == [
        ((*expect, 0, "not", "json"), "jsonpath", "$.a"),
        ((*expect, 0, "not", "matches"), "regex", "^b"),
        ((*expect, 1, "xpath"), "xpath", "//c"),
        ((*expect, 1, "all", "matches"), "regex", "d+"),
        ((*expect, 3, "schema"), "schema", {"type": "object"}),
        ((*expect, 5, "schema"), "schema", True),
        ((*until, "json"), "jsonpath", "$.e"),
        ((*until, "any", "matches"), "regex", "f"),
    ]


def test_the_strongest_reason_stays() -> None:
    loaded = suite(
        {
            "login": {**TOKEN, "capture": {**TOKEN["capture"], "id": "$.id"}},
            "a": {"needs": "login", "request": "/{{captured_data.login.id}}"},
            "b": {"needs": "login", "request": "/{{captured_data.login.id}}/{{shared_auth_tokens.token}}"},
            "c": {"needs": {"test": "login", "kind": "data"}, "request": "/"},
        }
    )
    assert edges(loaded) == {("a", "login", "data"), ("b", "login", "token"), ("c", "login", "data")}


def test_a_default_orders_and_does_not_require() -> None:
    loaded = suite({"a": ID, "login": TOKEN, "b": {"request": "/{{captured_data.a.id ?? 0}}/{{token ?? 'none'}}"}})
    assert edges(loaded) == {("b", "a", "order"), ("b", "login", "order")}


def test_every_test_that_shares_a_name_is_waited_for() -> None:
    tests = {
        "one": TOKEN,
        "two": TOKEN,
        "three": {"request": "/", "capture": {"v": {"json": "$.v", "share": "variable"}}},
        "use": {"request": "/{{shared_auth_tokens.token}}/{{shared_variables.v}}"},
    }
    assert edges(suite(tests)) == {("use", "one", "token"), ("use", "two", "token"), ("use", "three", "data")}


def test_a_refresh_waits_for_the_others_that_share_its_token() -> None:
    refresh = {
        "request": {"POST": "/refresh", "auth": {"bearer": "{{shared_auth_tokens.token}}"}},
        "capture": TOKEN["capture"],
    }
    assert edges(suite({"login": TOKEN, "refresh": refresh})) == {("refresh", "login", "token")}
    with pytest.raises(CycleError, match="wait for each other: one → two → one"):
        suite({"one": refresh, "two": refresh})


def test_a_shared_variable_that_nobody_captures_is_one_of_the_run() -> None:
    assert edges(suite({"a": {"request": "/{{shared_variables.v}}"}}, variables={"v": 1})) == set()


def test_bare_names_and_their_paths() -> None:
    loaded = suite(
        {
            "login": TOKEN,
            "item": {"request": "/", "capture": {"id": "$.id", "v": {"json": "$.v", "share": "variable"}}},
            "use": {"request": "/{{token}}/{{id.inner[0]}}/{{v}}/{{colour}}"},
            "plain": {"request": "/{{captured_data.item.id}}"},
        },
        variables={"colour": "red"},
    )
    assert edges(loaded) == {("use", "login", "token"), ("use", "item", "data"), ("plain", "item", "data")}
    assert loaded.bare == {
        "use": {
            "token": ("shared_auth_tokens", "token"),
            "id": ("captured_data", "item", "id"),
            "v": ("captured_data", "item", "v"),
        }
    }


def test_a_row_field_comes_before_a_variable_and_a_capture() -> None:
    loaded = suite(
        {"a": ID, "rows": {"data": [{"id": 1, "colour": 2}], "request": "/{{id}}/{{colour}}"}},
        variables={"colour": "red"},
    )
    assert loaded.edges == []
    assert loaded.bare == {}


class TestDefaults:
    AUTH = {"auth": {"bearer": "{{shared_auth_tokens.token}}"}}

    def test_they_count_for_every_test_that_does_not_say_otherwise(self) -> None:
        tests = {
            "login": {**TOKEN, "request": {"POST": "/login", "auth": "none"}},
            "a": {"request": "/"},
            "b": {"request": {"GET": "/", "auth": {"bearer": "x"}}},
            "c": {"request": {"GET": "/", "auth": None}},
        }
        assert edges(suite(tests, defaults=self.AUTH)) == {("a", "login", "token"), ("c", "login", "token")}

    def test_a_header_of_the_test_stands_for_the_authentication(self) -> None:
        tests = {
            "login": {**TOKEN, "request": {"POST": "/login", "headers": {"authorization": "none"}}},
            "a": {"request": {"GET": "/", "headers": {"X-Key": "mine"}}},
        }
        assert edges(suite(tests, defaults=self.AUTH)) == {("a", "login", "token")}
        tests["login"] = {**TOKEN, "request": {"POST": "/login", "headers": {"x-key": "none"}}}
        auth = {"api_key": {"name": "X-Key", "value": "{{token}}"}}
        assert edges(suite(tests, defaults={"auth": auth})) == set()
        with pytest.raises(DefinitionError, match="login uses token, which it captures itself"):
            suite(tests, defaults={"auth": {"api_key": {**auth["api_key"], "in": "query"}}})

    def test_by_header_and_query(self) -> None:
        tests = {
            "login": {**TOKEN, "request": {"POST": "/login", "headers": {"x-token": None}, "query": {"t": None}}},
            "a": {"request": {"GET": "/", "headers": {"X-TOKEN": "mine"}, "query": {"t": 1}}},
            "b": {"request": {"GET": "/", "query": {"t": 1}}},
            "c": {"request": {"GET": "/", "headers": {"X-Token": 1}}},
        }
        defaults = {"headers": {"X-Token": "{{token}}"}, "query": {"t": "{{token}}"}}
        loaded = suite(tests, defaults=defaults)
        assert edges(loaded) == {("b", "login", "token"), ("c", "login", "token")}
        assert set(loaded.bare) == {"b", "c"}

    def test_a_base_url_is_not_used_by_an_absolute_one(self) -> None:
        tests = {"find": {"request": "http://h/", "capture": {"host": "$.host"}}, "a": {"request": "/"}}
        assert edges(suite(tests, defaults={"base_url": "http://{{host}}"})) == {("a", "find", "data")}


class TestEnvironment:
    ENVIRONMENT = EnvironmentDocument.model_validate(
        {"environment": "e", "variables": {"host": "h"}, "secrets": {"key": "k"}}
    )

    def test_its_names_are_known(self, tmp_path: Path) -> None:
        file = tmp_path / "s.yaml"
        file.write_text("suite: s\ntests: {a: {request: '/{{host}}/{{key}}/{{env.host}}/{{vars.key}}/{{extra}}'}}")
        load_suite(file, environment=self.ENVIRONMENT, overrides=["extra"])
        with pytest.raises(DefinitionError) as caught:
            load_suite(file)
        assert len(caught.value.errors) == 5

    def test_only_its_names_may_be_known(self) -> None:
        written = {
            "suite": "s",
            "variables": {"host": "{{nobody}}"},
            "tests": {"a": {"request": "/{{env.host}}/{{key}}"}},
        }
        assert build_suite(written, environment=["host", "key"]).edges == []
        with pytest.raises(DefinitionError, match="env has no 'host'"):
            build_suite({**written, "variables": {}}, environment=["key"])

    def test_its_own_names_are_not_those_of_the_suite(self) -> None:
        with pytest.raises(DefinitionError, match="env has no 'mine'"):
            build_suite(
                {"suite": "s", "variables": {"mine": 1}, "tests": {"a": {"request": "/{{env.mine}}"}}},
                environment=self.ENVIRONMENT,
            )

    def test_what_is_wrong_in_it_is_said_of_it(self, tmp_path: Path) -> None:
        file = tmp_path / "s.yaml"
        file.write_text("suite: s\ntests: {a: {request: /}}")
        wrong = EnvironmentDocument.model_validate({"environment": "e", "variables": {"a": "{{b}}"}})
        with pytest.raises(DefinitionError) as caught:
            load_suite(file, environment=wrong)
        assert str(caught.value) == "environment e: variables.a: no row field, variable or capture is called 'b'"


class TestRows:
    def test_who_needs_the_test_needs_all_its_rows(self) -> None:
        loaded = suite(
            {
                "rows": {"data": [{"n": 1}, {"n": 2}], "needs": "first", "request": "/"},
                "first": {"request": "/"},
                "last": {"needs": "rows", "request": "/"},
                "pairs": {"data": [{"m": 1}, {"m": 2}], "needs": "rows", "request": "/"},
            }
        )
        assert edges(loaded) == {
            ("rows[1]", "first", "order"), ("rows[2]", "first", "order"),
            ("last", "rows[1]", "order"), ("last", "rows[2]", "order"),
            ("pairs[1]", "rows[1]", "order"), ("pairs[1]", "rows[2]", "order"),
            ("pairs[2]", "rows[1]", "order"), ("pairs[2]", "rows[2]", "order"),
        }  # fmt: skip

    def test_one_row_by_its_key(self) -> None:
        loaded = suite(
            {
                "rows": {"data": [{"n": 1}, {"n": 2}], "request": "/", "capture": {"id": "$.id"}},
                "a": {"request": '/{{captured_data["rows[2]"].id}}'},
                "b": {"needs": "rows[1]", "request": "/"},
            }
        )
        assert edges(loaded) == {("a", "rows[2]", "data"), ("b", "rows[1]", "order")}

    def test_bare_names_of_each_row(self) -> None:
        loaded = suite({"a": ID, "rows": {"data": [{"n": 1}, {"n": 2}], "request": "/{{id}}/{{n}}"}})
        assert loaded.bare == {key: {"id": ("captured_data", "a", "id")} for key in ("rows[1]", "rows[2]")}

    def test_too_many_edges_are_refused_before_they_are_made(self) -> None:
        rows = [{"n": n} for n in range(600)]
        with pytest.raises(DefinitionError, match="in more than 250,000 ways"):
            suite({"a": {"data": rows, "request": "/"}, "b": {"data": rows, "needs": "a", "request": "/"}})

    def test_a_suite_that_was_expanded_before_gives_the_same_edges(self) -> None:
        loaded = suite(
            {
                "login": TOKEN,
                "rows": {"data": [{"n": 1}, {"n": 2}], "request": "/{{token}}/{{n}}", "capture": {"id": "$.id"}},
                "last": {"needs": "rows", "request": '/{{captured_data["rows[2]"].id}}'},
            }
        )
        again = build_suite(loaded.document.to_json())
        assert edges(again) == edges(loaded)
        assert again.bare == loaded.bare
        assert again.document == Suite.model_validate(loaded.document.to_json())


@given(st.data())
def test_any_graph_without_a_cycle_is_taken_and_any_with_one_is_refused(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 8))
    pairs = data.draw(
        st.sets(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda p: p[0] != p[1]))
    )
    tests: dict[str, Any] = {
        f"t{n}": {
            "needs": [f"t{required}" for dependent, required in pairs if dependent == n and required % 2],
            "request": "/" + "".join(
                f"{{{{captured_data.t{required}.v}}}}" for dependent, required in pairs if dependent == n and not required % 2
            ),
            "capture": {"v": "$.v"},
        }
        for n in range(count)
    }  # fmt: skip
    remaining = {n: {required for dependent, required in pairs if dependent == n} for n in range(count)}
    while free := [n for n, required in remaining.items() if not required]:
        for n in free:
            del remaining[n]
        for required in remaining.values():
            required.difference_update(free)
    if remaining:
        with pytest.raises(CycleError) as caught:
            suite(tests)
        steps = caught.value.message.partition(": ")[2].split(" → ")
        assert steps[0] == steps[-1]
        assert all((int(a[1:]), int(b[1:])) in pairs for a, b in pairwise(steps))
    else:
        expected = [Edge(f"t{a}", f"t{b}", "order" if b % 2 else "data") for a, b in pairs]
        assert sorted(suite(tests).edges, key=repr) == sorted(expected, key=repr)
