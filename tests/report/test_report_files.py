"""Reports in files: JUnit, JSON, and how they are written."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from orbit_runner.report import KINDS, parse_report, write_report
from orbit_runner.report import junit as junit_report
from orbit_runner.report.json import render, run_document
from report_factory import HOSTILE, failure, hostile, make_exchange, make_result, make_run, many, shop

from orbit_context.errors import DefinitionError, InfrastructureError
from orbit_context.models.runs import Attempt, Result, Run

RERUN = {"rerunFailure", "rerunError", "flakyFailure", "flakyError"}
# Element → what it may hold and what it must and may say; the common denominator of Surefire's and Jenkins' schemas.
CHILDREN: dict[str, set[str]] = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase"},
    "properties": {"property"},
    "property": set(),
    "testcase": {"skipped", "error", "failure", "system-out"} | RERUN,
    "skipped": set(), "error": set(), "failure": set(), "system-out": set(), "stackTrace": set(),
} | {tag: {"stackTrace"} for tag in RERUN}  # fmt: skip
REQUIRED: dict[str, set[str]] = {
    "testsuites": {"name", "time", "tests", "failures", "errors"},
    "testsuite": {"name", "time", "tests", "failures", "errors", "skipped", "timestamp"},
    "testcase": {"name", "classname", "time"},
    "property": {"name", "value"},
    "failure": {"message", "type"}, "error": {"message", "type"}, "skipped": {"message"},
} | {tag: {"message", "type"} for tag in RERUN}  # fmt: skip
ORDER = ["failure", "rerunFailure", "flakyFailure", "skipped", "error", "rerunError", "flakyError", "system-out"]


def junit(run: Run, results: list[Result], **options: Any) -> etree._Element:
    root = etree.fromstring(junit_report.render(run, results, **options))
    for element in root.iter():
        assert {child.tag for child in element} <= CHILDREN[element.tag]
        assert set(element.attrib) == REQUIRED.get(element.tag, set())
        if element.tag == "testcase":
            places = [ORDER.index(child.tag) for child in element]
            assert places == sorted(places)
    cases = root.findall("testsuite/testcase")
    names = [(case.get("classname"), case.get("name")) for case in cases]
    assert len(set(names)) == len(names)
    for counted in (root, *root.findall("testsuite")):
        assert int(counted.get("tests")) == len(cases)
        assert int(counted.get("failures")) == sum(case.find("failure") is not None for case in cases)
        assert int(counted.get("errors")) == sum(case.find("error") is not None for case in cases)
    assert int(root.find("testsuite").get("skipped")) == sum(case.find("skipped") is not None for case in cases)
    return root


def case_of(root: etree._Element, name: str) -> etree._Element:
    return next(case for case in root.iter("testcase") if case.get("name") == name)


def test_junit_of_a_run_with_everything() -> None:
    root = junit(*shop(), places={"add_to_cart": "shop.yaml:12"})
    suite = root.find("testsuite")
    assert (suite.get("name"), suite.get("time"), suite.get("timestamp")) == ("shop", "1.600", "2026-03-14T09:26:53")
    properties = {p.get("name"): p.get("value") for p in root.iter("property")}
    assert properties["orbit.run"] == "0192f0c1-7b1a-7c3e-9d55-0a1b2c3d4e5f"
    assert properties["orbit.environment"] == "staging"
    assert set(properties) >= {"orbit.version", "orbit.status", "orbit.project"}

    cart = case_of(root, "Add to cart")
    assert (cart.get("classname"), cart.get("time")) == ("demo.shop", "0.012")
    assert cart.find("failure").get("type") == "assertion"
    assert cart.find("failure").text.startswith(
        'at shop.yaml:12\njson $.qty\n  expected  1 (integer)\n  got       "1" (string)'
    )
    sent = cart.find("system-out").text
    assert sent.startswith("> POST http://127.0.0.1:8080/cart\n")
    assert '"price": 1.10' in sent
    assert "timings: connect 0.4 ms, first byte 10 ms, transfer 1 ms, total 12 ms" in sent
    assert "curl -X POST" in sent

    assert [child.tag for child in case_of(root, "Log in")] == []
    assert case_of(root, "Pay").find("error").get("type") == "timeout"
    assert case_of(root, "Refund").find("skipped").get("message") == "payment timed out"


def test_junit_keeps_retries_visible() -> None:
    root = junit(*shop())
    order = case_of(root, "Place the order")
    assert [child.tag for child in order] == ["failure", "rerunFailure", "system-out"]
    assert order.find("rerunFailure").get("type") == "status_5xx"
    assert order.find("rerunFailure/stackTrace").text.startswith("attempt 1\nstatus\n")
    stock = case_of(root, "Stock settles")
    assert [child.tag for child in stock] == ["flakyFailure"]
    assert stock.find("flakyFailure").get("message") == "json $.stock: expected 4, got 5"


def test_junit_tells_errors_of_earlier_attempts_from_failures() -> None:
    attempts = [Attempt(number=1, status="errored", category="reset"), Attempt(number=2, status="failed", reason="no")]
    results = [
        make_result("a", "errored", attempts=3, previous_attempts=attempts, reason="x"),
        make_result("b", "passed_on_retry", position=1, attempts=3, previous_attempts=attempts),
    ]
    root = junit(make_run(results), results)
    assert [child.tag for child in case_of(root, "a")] == ["rerunFailure", "error", "rerunError"]
    assert [child.tag for child in case_of(root, "b")] == ["flakyFailure", "flakyError"]


def test_junit_names_are_unique() -> None:
    results = [
        make_result(key, position=n, name=name)
        for n, (key, name) in enumerate([("a", "Same"), ("b", "Same"), ("c", ""), ("d", "Other"), ("e", "Same [a]")])
    ]
    names = [case.get("name") for case in junit(make_run(results), results).iter("testcase")]
    assert names == ["Same [a]", "Same [b]", " [c]", "Other", "Same [a] (2)"]


def test_junit_of_hostile_text_is_xml() -> None:
    root = junit(*hostile())
    assert root.get("name") == HOSTILE[0]
    assert case_of(root, "a\\x00b\\ud800c\\ufffe [k4]").find("failure") is not None


@pytest.mark.parametrize("count", [40, 10_000])
def test_junit_stays_below_what_ci_servers_accept(count: int) -> None:
    body = "<&\u00e9>" * 3_000
    exchange = make_exchange(body=body)
    results = [
        make_result(f"t{n}", "failed", position=n, failures=[failure("body", body, "", "&" * 5000)], exchange=exchange)
        for n in range(count)
    ]
    content = junit_report.render(make_run(results), results)
    assert len(content) < 30_000_000
    assert "more characters" in content.decode()


def test_json_holds_what_is_documented() -> None:
    run, results = shop()
    document = json.loads(render(run, results))
    assert document == run_document(run, results)
    assert set(document["run"]) == {
        "id", "suite", "project", "environment", "status", "reason", "counts", "created_at", "started_at",
        "finished_at", "duration",
    }  # fmt: skip
    assert document["run"]["started_at"] == "2026-03-14T09:26:53.589000Z"
    login, catalog = document["results"][:2]
    fields = {
        "id", "key", "name", "status", "category", "reason", "duration", "attempts", "previous_attempts", "failures",
        "started_at", "finished_at",
    }  # fmt: skip
    assert set(catalog) == fields
    assert set(login) == fields | {"exchange"}
    text = (Path(__file__).parents[2] / "docs" / "json-output.md").read_text()
    assert all(f"`{name}`" in text for name in fields | {"exchange", *document["run"]})


def test_json_of_anything_is_json() -> None:
    run, results = hostile()
    document = json.loads(render(run, results))
    assert [r["name"] for r in document["results"] if r["status"] == "failed"] == list(HOSTILE)
    odd = [make_result("a", "failed", failures=[failure("json $", float("nan"), [float("inf")])])]
    assert '"actual": [\n            "inf"' in render(make_run(odd), odd).decode()


def test_json_is_in_the_order_of_the_suite() -> None:
    run, results = many(20)
    assert [r["key"] for r in run_document(run, list(reversed(results)))["results"]] == [
        f"item[{n}]" for n in range(20)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_is_written_with_its_directories(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "a b" / "ü" / "report"
    assert write_report(f"{kind}={target}", *shop()) == target
    first = target.read_bytes()
    assert first
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask
    target.write_text("old")
    write_report(f"{kind}={target}", *shop())
    assert target.read_bytes() == first
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("pdf=x", "no report of the kind 'pdf'"),
        ("report.html", "no report of the kind 'report.html'"),
        ("junit", "'junit' has no path"),
        ("junit=", "'junit' has no path"),
        ("html={dir}", "it is a directory"),
    ],
)
def test_a_slip_in_the_option_is_named(tmp_path: Path, spec: str, message: str) -> None:
    with pytest.raises(DefinitionError, match=message) as caught:
        parse_report(spec.format(dir=tmp_path))
    assert caught.value.hint
    if "kind" in message:
        assert "junit, html, json" in caught.value.hint


def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DefinitionError, match="cannot be written to"):
        write_report(f"json={tmp_path / 'file' / 'r.json'}", *shop())


def test_a_full_disk_leaves_the_old_report_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "r.json"
    target.write_text("old")

    def no_space(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(InfrastructureError, match="No space left"):
        write_report(f"json={target}", *shop())
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "latest.json"
    link.symlink_to(tmp_path / "real" / "r.json")
    write_report(f"json={link}", *shop())
    assert link.is_symlink()
    assert json.loads((tmp_path / "real" / "r.json").read_text())["run"]["suite"] == "shop"


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        results = [make_result()]
        assert write_report(f"json={pipe}", make_run(results), results) == pipe
        assert pipe.is_fifo()
        assert json.loads(os.read(reader, 60_000))["run"]["suite"] == "shop"
    finally:
        os.close(reader)


def test_a_report_is_replaced_in_one_step(tmp_path: Path) -> None:
    target = tmp_path / "r.json"
    target.write_text("old")
    with target.open() as reader:
        write_report(f"json={target}", *shop())
        assert reader.read() == "old"  # whoever reads it meanwhile has it whole
