"""What evaluators do: XPath on XML and HTML, JSON Schema."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import pytest

from orbit_context.errors import ExpressionError
from orbit_context.extract.evaluation import Document, InProcessEvaluator, evaluate
from orbit_context.extract.evaluator import EvaluationError
from orbit_context.extract.schema import bundle
from orbit_context.extract.view import ResponseView
from orbit_context.extract.xpath import check_xpath, markup_of

if TYPE_CHECKING:
    from pathlib import Path

FEED = b"""<?xml version="1.0"?>
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:d="urn:d">
  <entry d:id="3" lang="en"><title>One <b>bold</b></title><d:price>7.5</d:price></entry>
  <entry><title>Two</title><!--note--></entry>
</feed>"""


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("//entry/title", ["One bold", "Two"]),
        ("//entry/title/text()", ["One ", "Two"]),
        ("/feed/entry[1]/@lang", ["en"]),
        ("//d:price", ["7.5"]),
        ("//@d:id", ["3"]),
        ("count(//entry)", [2]),
        ("number(//d:price)", [7.5]),
        ("number(//title)", ["NaN"]),
        ("1 div 0", ["Infinity"]),
        ("string(//entry[2]/title)", ["Two"]),
        ("boolean(//entry)", [True]),
        ("//comment()", ["note"]),
        ("//*[local-name()='price']", ["7.5"]),
        ("//nothing", []),
    ],
)
def test_names_are_written_as_the_document_writes_them(expression: str, found: list[Any]) -> None:
    result = evaluate("xpath_xml", expression, FEED)
    assert result == found
    assert json.loads(json.dumps(result)) == found


def test_an_unknown_prefix_is_told_with_those_that_are_known() -> None:
    with pytest.raises(EvaluationError) as caught:
        evaluate("xpath_xml", "//soap:Body", FEED)
    assert caught.value.code == "expression"
    assert "declares: d." in (caught.value.hint or "")


def test_html_is_read_tolerantly_and_in_its_encoding() -> None:
    assert evaluate("xpath_html", "//p", "<p>é<p>b".encode()) == ["é", "b"]
    assert evaluate("xpath_html", "//p", "<meta charset=iso-8859-1><p>é".encode("latin-1")) == ["é"]
    assert evaluate("xpath_html", "//input[@name='csrf']/@value", b"<form><input name=csrf value='x y'></form>") == [
        "x y"
    ]


def test_the_charset_of_the_response_counts() -> None:
    body = "<p>é</p>".encode("latin-1")
    view = ResponseView(200, headers=[("Content-Type", "text/html; charset=iso-8859-1")], body=body)
    kind, transcoded = markup_of(view)
    assert evaluate(kind, "//p", transcoded) == ["é"]


@pytest.mark.parametrize(
    ("body", "hint"), [(b'{"a":1}', "JSON"), (b"<!DOCTYPE html><p>", "HTML"), (b"", None), (b"<a><b></a>", None)]
)
def test_what_is_not_well_formed_is_a_finding_about_the_body(body: bytes, hint: str | None) -> None:
    with pytest.raises(EvaluationError) as caught:
        evaluate("xpath_xml", "//a", body)
    assert caught.value.code == "body"
    assert (caught.value.hint is None) if hint is None else (hint in (caught.value.hint or ""))


def test_no_file_is_read_through_an_entity(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("TOPSECRET")
    for declaration in (f'<!ENTITY x SYSTEM "{secret.as_uri()}">', f'<!ENTITY % p SYSTEM "{secret.as_uri()}"> %p;'):
        body = f"<!DOCTYPE r [{declaration}]><r>&x;</r>".encode()
        for kind in ("xpath_xml", "xpath_html"):
            try:
                found = evaluate(kind, "string(/)", body)
            except EvaluationError as error:
                found = str(error)
            assert "TOPSECRET" not in str(found)


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE l [<!ENTITY a "' + b"A" * 100 + b'">'
        + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(8)) + b"]><r>&i;</r>",
        b'<!DOCTYPE r [<!ENTITY a "' + b"A" * 50_000 + b'">]><r>' + b"&a;" * 50_000 + b"</r>",
        b"<a>" * 200_000 + b"</a>" * 200_000,
        b"<a>" * 1000 + b"</a>" * 1000,
    ],
    ids=["billion laughs", "quadratic", "very deep", "deep"],
)  # fmt: skip
def test_xml_bombs_are_refused_by_the_parser(body: bytes) -> None:
    with pytest.raises(EvaluationError) as caught:
        evaluate("xpath_xml", "string(/)", body)
    assert caught.value.code == "body"


def test_too_many_nodes_and_too_much_text_are_refused() -> None:
    body = b"<r>" + b"<a/>" * 10_001 + b"</r>"
    with pytest.raises(EvaluationError) as caught:
        evaluate("xpath_xml", "//a", body)
    assert caught.value.code == "too_large"
    nested = b"<r>" + b"<a>" * 200 + b"x" * 100_000 + b"</a>" * 200 + b"</r>"
    with pytest.raises(EvaluationError) as caught:
        evaluate("xpath_xml", "//a", nested)
    assert caught.value.code == "too_large"


@pytest.mark.parametrize("expression", ["//a[", "//[", "//a['x'"])
def test_a_wrong_xpath_is_refused_when_compiled(expression: str) -> None:
    with pytest.raises(ExpressionError, match="XPath"):
        check_xpath(expression)


SCHEMA = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "integer"},
        "at": {"format": "date-time"},
        "home": {"format": "uri"},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
    },
    "$defs": {"tag": {"type": "string", "maxLength": 3}},
}


def _violations(schema: Any, document: Any, **how: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = evaluate("schema", bundle(schema, **how), json.dumps(document).encode())
    return found


def test_a_schema_says_where_and_why() -> None:
    assert _violations(SCHEMA, {"id": 1, "tags": ["a"], "at": "2026-01-31T10:00:00.5Z", "home": "http://x/y?z"}) == []
    (violation,) = _violations(SCHEMA, {"id": 1, "tags": ["a", "long"]})
    assert violation == {
        "path": "$.tags[1]",
        "message": "'long' is too long",
        "keyword": "maxLength",
        "schema_path": "properties/tags/items/maxLength",
    }
    several = _violations(SCHEMA, {"tags": "x", "at": "yesterday", "home": "not one"})
    assert {violation["keyword"] for violation in several} == {"required", "type", "format"}
    assert len(_violations({"items": {"type": "string"}}, list(range(500)))) == 20


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date-time", "2024-02-29t23:59:60+02:00", "2023-02-29T00:00:00Z"),
        ("time", "10:00:00Z", "10:00"),
        ("date", "2024-02-29", "2024-2-9"),
        ("email", "a@b", "ab"),
        ("uuid", "6fa459ea-ee8a-3ca4-894e-db77e160355e", "6fa459ea"),
        ("ipv4", "10.0.0.1", "10.0.0.256"),
        ("ipv6", "::1", ":::"),
        ("hostname", "a-b.example", "-a.example"),
        ("uri", "urn:x:y", "/relative"),
        ("nobody-knows", "x", None),
    ],
)
def test_formats_are_asserted(name: str, good: str, bad: str | None) -> None:
    assert _violations({"format": name}, good) == []
    assert _violations({"format": name}, 7) == []
    if bad is not None:
        assert [violation["keyword"] for violation in _violations({"format": name}, bad)] == ["format"]


@pytest.mark.parametrize("draft", ["http://json-schema.org/draft-04/schema#", "http://json-schema.org/draft-07/schema"])
def test_the_draft_is_the_one_that_is_named(draft: str) -> None:
    schema = {"$schema": draft, "items": [{"type": "string"}]}  # a tuple only before 2020-12
    assert [violation["path"] for violation in _violations(schema, [1, 1])] == ["$[0]"]


def test_other_files_are_part_of_the_schema() -> None:
    files = {
        "common/id.json": {"$ref": "types.json#/$defs/id"},
        "common/types.json": {"$defs": {"id": {"type": "integer"}}},
    }

    def load(path: str) -> Any:
        if path not in files:
            raise FileNotFoundError(path)
        return files[path]

    schema = {"properties": {"id": {"$ref": "common/id.json"}}}
    assert _violations(schema, {"id": "x"}, path="order.json", load=load)[0]["path"] == "$.id"
    deeper = {"$ref": "../common/id.json"}
    assert _violations(deeper, "x", path="orders/order.json", load=load)[0]["keyword"] == "type"
    with pytest.raises(ExpressionError, match=r"nope\.json, which cannot be read"):
        bundle({"$ref": "nope.json"}, "order.json", load)


def test_parts_with_an_identifier_are_found() -> None:
    schema = {
        "$id": "https://example.com/root",
        "$ref": "item",
        "$defs": {"item": {"$id": "https://example.com/item", "type": "string"}},
    }
    assert _violations(schema, 1)[0]["keyword"] == "type"


def test_a_schema_may_refer_to_itself() -> None:
    tree = {"properties": {"children": {"items": {"$ref": "#"}}, "n": {"type": "integer"}}}
    assert _violations(tree, {"children": [{"children": [{"n": "x"}]}]})[0]["path"] == "$.children[0].children[0].n"


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "strnig"}, "not a JSON Schema"),
        ([1], "not a JSON Schema"),
        ({"$ref": "https://example.com/x.json"}, "nothing is fetched"),
        ({"$ref": "#/$defs/none"}, "not in it"),
        ({"$schema": "http://example.com/mine"}, "not known"),
        ({"pattern": "("}, "not a JSON Schema"),
    ],
)
def test_a_wrong_schema_is_refused_when_compiled(schema: Any, words: str) -> None:
    with pytest.raises(ExpressionError, match=words.replace("$", r"\$")):
        bundle(schema)


def test_documents_are_parsed_once_but_never_changed_by_ng() -> None:
    document = Document(b'{"items":[{"n":3},{"n":1}]}')
    assert evaluate("jsonpath_ng", "$.items.`sorted`", Document(b'{"items":[3,1]}')) == [[1, 3]]
    found = evaluate("jsonpath_ng", "$.items", document)
    found[0].clear()  # as an extension might
    assert evaluate("jsonpath", "$.items[*].n", document) == [3, 1]
    assert evaluate("regex", json.dumps({"pattern": '"n":(.)', "group": 1, "every": True}), document) == ["3", "1"]


async def test_the_evaluator_in_this_process() -> None:
    assert await InProcessEvaluator().evaluate("jsonpath", "$..a", b'{"a":1}') == [1]


def test_the_calendar_of_formats_is_that_of_python() -> None:
    today = dt.datetime.now(dt.UTC)
    assert _violations({"format": "date-time"}, today.isoformat()) == []
