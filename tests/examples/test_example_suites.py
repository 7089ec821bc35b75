"""The example suites as documents: they load, validate, and show what they say they show."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import jsonschema
import pytest

from orbit_context.suite.load import load_environment, load_suite
from orbit_context.suite.yaml import read_document

if TYPE_CHECKING:
    from pathlib import Path


def test_the_shop_suite_loads_with_and_without_its_environment(examples: Path) -> None:
    shop = examples / "shop" / "shop.yaml"
    alone = load_suite(shop)
    local = load_suite(shop, environment=load_environment(examples / "shop" / "local.env.yaml"))
    assert list(alone.document.tests) == list(local.document.tests)
    needs = {(edge.dependent_key, edge.required_key): edge.kind for edge in local.edges}
    assert needs["add_tea", "login"] == "token"
    assert needs["add_tea", "catalog"] == "data"
    assert needs["token_is_void", "logout"] == "order"


def test_whatever_logs_out_waits_for_all_that_use_the_token(examples: Path) -> None:
    edges = load_suite(examples / "shop" / "shop.yaml").edges
    before: dict[str, set[str]] = {}
    for edge in edges:
        before.setdefault(edge.dependent_key, set()).add(edge.required_key)
    reached: set[str] = set()
    todo = ["logout"]
    while todo:
        for key in before.get(todo.pop(), ()):
            if key not in reached:
                reached.add(key)
                todo.append(key)
    users = {edge.dependent_key for edge in edges if edge.kind == "token"}
    assert users - reached == {"logout", "token_is_void"}


@pytest.mark.parametrize("path", ["shop/shop.yaml", "httpbin.yaml"])
def test_editors_accept_the_suites(examples: Path, path: str) -> None:
    schema_line = (examples / path).read_text().splitlines()[0]
    location = schema_line.removeprefix("# yaml-language-server: $schema=")
    schema = json.loads(((examples / path).parent / location).read_text())
    jsonschema.Draft202012Validator(schema).validate(read_document(examples / path).data)


def test_the_httpbin_suite_uses_every_feature(examples: Path) -> None:
    suite = load_suite(examples / "httpbin.yaml")
    tests = suite.document.tests
    assert len(tests) >= 40
    assert sum(key.startswith("fan_out[") for key in tests) == 20
    captures = [capture for test in tests.values() for capture in test.capture.values()]
    for extractor in ("json_path", "regex", "xpath", "header", "cookie"):
        assert any(getattr(capture, extractor) is not None for capture in captures), extractor
    depth: dict[str, int] = {}
    for key in tests:
        required = [edge.required_key for edge in suite.edges if edge.dependent_key == key]
        depth[key] = 1 + max((depth[one] for one in required), default=0)
    assert depth["chain_7_arrives"] == 7


def test_the_comment_names_what_is_to_fail_and_to_be_skipped(examples: Path) -> None:
    text = (examples / "httpbin.yaml").read_text()
    on_purpose = {
        key for key, test in load_suite(examples / "httpbin.yaml").document.tests.items() if "on-purpose" in test.tags
    }
    assert stated(text, "failed") | stated(text, "timed_out") | stated(text, "skipped") | {"clean_up"} == on_purpose


def stated(text: str, status: str) -> set[str]:
    """The keys that the suite's first comment lists for a status."""
    line = re.search(rf"(?m)^#   {status} +(.*)$", text)
    assert line is not None
    return set(line[1].split())
