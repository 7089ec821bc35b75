"""The HTML report: whole, harmless, and usable in a browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from lxml import html as lxml_html
from orbit_runner.report.html import render
from report_factory import HOSTILE, hostile, make_result, make_run, many, shop

if TYPE_CHECKING:
    from pathlib import Path

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)


def page(run: Any, results: Any, **options: Any) -> Any:
    return lxml_html.document_fromstring(render(run, results, **options).decode())


def text_of(element: Any) -> str:
    return " ".join(" ".join(element.itertext()).split())


def test_it_needs_nothing_else() -> None:
    content = render(*shop()).decode()
    document = lxml_html.document_fromstring(content)
    assert not document.xpath("//link | //img | //iframe | //*[@src] | //*[@style] | //form | //object")
    assert not [a for a in document.xpath("//@href") if not a.startswith("#")]
    assert not [name for name in document.xpath("//@*") if getattr(name, "attrname", "").startswith("on")]
    policy = document.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")[0]
    assert policy.startswith("default-src 'none'; ")
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (inline,) = re.findall(rf"<{tag}>(.*?)</{tag}>", content, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert "url(" not in content


def test_every_link_leads_somewhere_and_every_id_is_there_once() -> None:
    for run, results in (shop(), hostile(), many(300, failing=3)):
        document = page(run, results)
        ids = document.xpath("//@id")
        assert len(ids) == len(set(ids))
        assert {link.removeprefix("#") for link in document.xpath("//a/@href")} <= set(ids)
        labels = set(document.xpath("//@aria-labelledby")) | set(document.xpath("//label/@for"))
        assert labels <= set(ids)


def test_it_tells_everything() -> None:
    document = page(*shop(), places={"order": "shop.yaml:41"})
    text = text_of(document.find("body"))
    for piece in (
        "shop failed", "demo · staging", "37 tests", "in 1.60 s", "14 March 2026, 09:26:53 UTC",
        "8 tests with one cause: status: expected 200, got 500", "7 more tests Item 2, Item 3, Item 4, Item 5, …",
        "Place the order order shop.yaml:41", "expected less than 200 ms", '$.items[1].qty expected 2, got "2"',
        "POST http://127.0.0.1:8080/order → 308 /orders?dry=1", "Attempts failed 190 ms status: expected 201",
        "no response", "curl -X POST http://127.0.0.1:8080/cart", "2 tests because payment timed out",
        "Passed only on a retry 1 ✓ Stock settles", "Slowest 1.50 s Pay", "Only the type differs.",
    ):  # fmt: skip
        assert piece in text
    sections = document.xpath("//main/section/@aria-labelledby")
    assert sections == ["failures", "skipped", "flaky", "slowest", "timeline", "tests"]
    rows = document.xpath("//ol[@id='all']/li")
    assert len(rows) == 37
    assert len(document.xpath("//details[@open][contains(@class, 'failing')]")) == 5
    assert len(document.xpath("//ol[@class='gantt']/li[not(@class)]")) == 35


def test_a_run_that_passed_has_no_section_on_failures() -> None:
    results = [make_result("one")]
    document = page(make_run(results), results)
    assert document.xpath("//main/section/@aria-labelledby") == ["timeline", "tests"]
    assert document.xpath("//header/@data-tone") == ["good"]
    assert page(make_run([], status="cancelled"), []).xpath("//header/@data-tone") == ["bad"]


def test_hostile_text_never_becomes_markup() -> None:
    tame_run, tame = shop()
    run, results = hostile()
    content = render(run, results).decode()
    document = lxml_html.document_fromstring(content)
    known = {element.tag for element in page(tame_run, tame).iter()}
    assert {element.tag for element in document.iter()} <= known
    assert len(document.xpath("//script")) == 1
    text = document.text_content()
    for piece in (
        "<script>alert(1)</script>",
        "{{7*7}} {% raw %}",
        "\\x1b[31mred",
        "evil\\u202etxt.exe",
        "]]> &amp; <!-- -- > \" ' `",
    ):
        assert piece in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", content)


def test_ten_thousand_tests_stay_small() -> None:
    assert len(render(*many(10_000))) < 4_000_000
    run, results = many(2_000, failing=100, details=True)
    last = len(results) - 1  # those that failed come last here: they are to keep their details nevertheless
    big = [
        result.model_copy(update={"exchange": blown_up(result.exchange), "position": last - result.position})
        for result in results
    ]
    content = render(run, big)
    assert len(content) < 9_000_000
    failing = lxml_html.document_fromstring(content.decode()).get_element_by_id(f"t{last}")
    assert "x" * 1000 in failing.text_content()
    assert b"left out to keep this page small" in content


def blown_up(exchange: dict[str, Any] | None) -> dict[str, Any]:
    assert exchange is not None
    return exchange | {"response": exchange["response"] | {"body": "x" * 16_000}}


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: the page is not tried in a browser")
def test_in_a_browser(tmp_path: Path) -> None:
    """The page's own script finds, filters, sorts and unfolds, and nothing that a server sent is run."""
    run, results = shop()
    hostile_results = [r.model_copy(update={"position": r.position + 1000}) for r in hostile()[1]]
    content = render(run, [*results, *hostile_results]).decode()
    # What a person would do, done by a script that is let in by its hash like the page's own.
    script = """
    "use strict";
    const out = {};
    const visible = () => [...document.querySelectorAll("#all > li")].filter((row) => !row.hidden).length;
    const wait = (ms) => new Promise((done) => setTimeout(done, ms));
    addEventListener("load", async () => {
      const search = document.getElementById("search");
      out.all = visible();
      search.value = "page 1"; search.dispatchEvent(new Event("input")); await wait(20);
      out.found = visible();
      out.said = document.getElementById("shown").textContent;
      search.value = ""; search.dispatchEvent(new Event("input")); await wait(20);
      const chip = document.querySelector('[data-status="timed_out"][aria-pressed]');
      chip.click(); out.timedOut = visible(); chip.click();
      document.getElementById("by-duration").click();
      out.first = document.querySelector("#all > li b").textContent;
      location.hash = "#t12"; await wait(50);
      out.unfolded = document.getElementById("t12").open && document.getElementById("t12").parentElement.open;
      out.images = document.images.length;
      out.scripts = document.scripts.length;
      out.wide = document.documentElement.scrollWidth <= innerWidth;
      const told = document.createElement("pre");
      told.id = "told"; told.textContent = JSON.stringify(out);
      document.body.append(told);
    });
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    content = content.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    content = content.replace("</body>", f"<script>{script}</script></body>", 1)
    (tmp_path / "report.html").write_text(content)
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", f"--user-data-dir={tmp_path / 'profile'}",
            "--enable-logging=stderr", "--virtual-time-budget=5000", "--window-size=500,800", "--dump-dom",
            (tmp_path / "report.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    told = json.loads(lxml_html.document_fromstring(done.stdout).get_element_by_id("told").text)
    assert told == {
        "all": 37 + 3 * len(HOSTILE),
        "found": 11,
        "said": "11 of 64 shown",
        "timedOut": 1,
        "first": "Pay",
        "unfolded": True,
        "images": 0,
        "scripts": 2,
        "wide": True,
    }
