"""The published JSON Schema: equal to the models, true to every shorthand, strict where the models are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from orbit_context.errors import DefinitionError
from orbit_context.suite.document import Suite
from orbit_context.suite.load import build_suite, load_suite
from orbit_context.suite.schema import suite_schema
from orbit_context.suite.yaml import parse_document, read_document

ROOT = Path(__file__).parents[2]
BROKEN = yaml.safe_load(Path(__file__).with_name("broken_suites.yaml").read_text())
VALIDATOR = Draft202012Validator(suite_schema())


def test_the_published_schema_is_the_one_the_models_make() -> None:
    published = json.loads((ROOT / "docs" / "suite.schema.json").read_text())
    assert published == suite_schema(), "run: python -m orbit_context.suite.schema > docs/suite.schema.json"


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(suite_schema())


EXAMPLES = sorted(
    path
    for path in (ROOT / "examples").rglob("*.yaml")
    if "tests:" in path.read_text(encoding="utf-8") and "suite:" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.name for path in EXAMPLES])
def test_every_example_is_valid(path: Path) -> None:
    VALIDATOR.validate(read_document(path).data)


def test_the_suite_in_the_documentation(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "suites.md").read_text(encoding="utf-8").split("```yaml suite\n")[1].split("```")[0]
    file = tmp_path / "suite.yaml"
    file.write_text(text)
    loaded = load_suite(file)
    VALIDATOR.validate(read_document(file).data)
    needs = {(edge.dependent_key, edge.required_key): edge.kind for edge in loaded.edges}
    assert needs == {
        ("catalog", "login"): "token",
        ("add_to_cart", "login"): "token",
        ("add_to_cart", "catalog"): "data",
        ("logout", "login"): "token",
        ("logout", "add_to_cart"): "order",
    }


SPELLINGS: dict[str, list[Any]] = {
    "request": [
        "/x",
        {"GET": "/x"},
        {"TRACE": "/x"},
        {"url": "/x"},
        {"method": "PURGE", "url": "/x", "timeout": "800ms", "max_body": "1MiB", "redirects": False},
        {"GET": "/", "redirects": "none", "timeout": 1.5, "max_body": 10, "auth": "none", "headers": {"a": None, "b": [1, "c"]}},
        {"GET": "/", "redirects": {"max": 3}, "auth": {"basic": {"username": "a", "password": "b"}}},
        {"GET": "/", "auth": {"api_key": {"name": "a", "value": "b", "in": "query"}}},
        {"POST": "/", "multipart": {"a": "x", "b": {"file": "y"}, "c": ["x", {"content": "y"}]}},
        {"POST": "/", "json": None},
    ],
    "expect": [
        {"status": 200},
        [{"status": "2xx"}, {"status": [200, 201]}],
        {"status": 200, "json": {"$.a": 1, "$.b": {"gt": 1}}, "headers": {"x": "y"}, "cookies": {"x": {"exists": True}}},
        {"json": "$.a", "equals": 1},
        {"not": {"body": None, "contains": "x"}},
        {"schema": {"type": "object"}, "time": {"lt": "800ms"}, "size": {"lte": "10KiB"}, "body": {"contains": "x"}},
        {"xpath": {"//a": "b"}},
        [{"json": "$.a", "all": {"gt": 0}, "dialect": "ng"}],
    ],
    "capture": [{"a": "$.a"}, {"a": {"jsonpath": "$.a"}}, {"a": {"regex": "x(.)", "group": 1, "default": None}}],
    "retry": [3, {"max": 1}, {"max": 1, "on": "5xx"}, {"max": 1, "on": 503}, {"max": 1, "on": ["network", 502, "502-504"]},
              {"max": 1, "backoff": "200ms..2s"}, {"max": 1, "backoff": 2}, {"max": 1, "backoff": {"initial": "1s"}}],
    "poll": [{"until": {"status": 200}}, {"until": [{"status": 200}], "every": "1s", "within": 5}],
    "needs": ["other", ["other"], {"test": "other"}, [{"test": "other", "kind": "data"}]],
    "data": [[{"n": 1}], {"rows": [{"n": 1}], "key": "n"}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in SPELLINGS.items() for value in values], ids=str
)
def test_every_spelling_is_taken_by_the_models_and_by_the_schema(field: str, value: Any) -> None:
    document = {"suite": "s", "tests": {"other": {"request": "/"}, "a": {"request": "/", field: value}}}
    Suite.model_validate(document)
    VALIDATOR.validate(document)


@pytest.mark.parametrize(
    "value", ["text", 1, 1.5, True, None, [1], {"a": 1}, {}, {"value": 1, "secret": True}], ids=str
)
def test_every_spelling_of_a_variable(value: Any) -> None:
    document = {"suite": "s", "variables": {"v": value}, "tests": {"a": {"request": "/"}}}
    build_suite(document)
    VALIDATOR.validate(document)


# Wrong in the relation of values to each other, which the schema leaves to `orbit validate`.
LATER = {
    "a duration", "no time at all", "a size", "two bodies", "a capture without a source", "two subjects", "no expectation",
    "the place of a shorthand assertion", "data of two kinds", "no rows", "brackets by hand",
}  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN, ids=[broken["case"] for broken in BROKEN])
def test_a_wrong_form_is_refused_by_the_schema_too(broken: dict[str, str]) -> None:
    data = parse_document(broken["suite"] + "\nsuite: s\n").data
    is_form = broken["case"] not in LATER and not _is_about_names(data)
    assert VALIDATOR.is_valid(data) == (not is_form)


def _is_about_names(data: Any) -> bool:
    """Whether the models take it, so that only its names, files or variables are wrong."""
    from pydantic import ValidationError

    try:
        Suite.model_validate(data)
    except ValidationError:
        return False
    return "row" not in str(data.get("tests", {}).get("a", {}).keys())


def _mappings(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of the mappings in a document whose keys are Orbit's own."""
    own: list[tuple[Any, ...]] = []
    if isinstance(value, dict):
        own.append(path)
        for key, member in value.items():
            own += _mappings(member, (*path, key))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            own += _mappings(item, (*path, position))
    return own


FULL: dict[str, Any] = {
    "suite": "s",
    "defaults": {"auth": {"basic": {"username": "a", "password": "b"}}, "tls": {"verify": True}, "redirects": {"max": 1},
                 "retry": {"max": 1, "backoff": {"factor": 2}}},
    "tests": {
        "b": {"request": "/"},
        "a": {
            "needs": [{"test": "b"}],
            "request": {"POST": "/", "auth": {"api_key": {"name": "a", "value": "b"}}, "multipart": {"f": {"content": "y"}}},
            "capture": {"x": {"json": "$.x"}},
            "expect": [{"status": 200}, {"not": {"status": 500}}],
            "poll": {"until": [{"status": 200}]},
            "data": {"rows": [{"n": 1}]},
        },
    },
}  # fmt: skip
OPEN = {
    ("tests",),
    ("tests", "a", "capture"),
    ("tests", "a", "request", "multipart"),
    ("tests", "a", "data", "rows", 0),
}


@pytest.mark.parametrize("path", [path for path in _mappings(FULL) if path not in OPEN], ids=str)
def test_an_unknown_key_is_refused_everywhere_by_both(path: tuple[Any, ...]) -> None:
    document = json.loads(json.dumps(FULL))
    VALIDATOR.validate(document)
    build_suite(document)
    part = document
    for step in path:
        part = part[step]
    part["unknwon"] = "x"
    with pytest.raises(DefinitionError, match=r"there is no key 'unknwon' here|authentication is one of"):
        build_suite(document)
    assert not VALIDATOR.is_valid(document)


def test_fields_are_described_for_editors() -> None:
    schema = suite_schema()
    assert schema["$defs"]["Test"]["properties"]["skip"]["description"].startswith("Why the test is not run")
    assert schema["$defs"]["Capture"]["anyOf"][-1]["properties"]["share"]["description"]
    assert "row" not in schema["$defs"]["Test"]["properties"]
