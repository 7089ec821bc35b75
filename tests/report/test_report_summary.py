"""The summary of a run: the failures first, grouped, complete, and harmless on a terminal."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import pytest
from orbit_runner.report.causes import fingerprint, group_failures
from orbit_runner.report.summary import print_summary
from report_factory import HOSTILE, failure, hostile, make_exchange, make_result, make_run, many, shop

if TYPE_CHECKING:
    from orbit_context.models.runs import Result, Run

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def summary(run: Run, results: list[Result], **options: object) -> str:
    stream = io.StringIO()
    print_summary(stream, run, results, **options)  # type: ignore[arg-type]
    return stream.getvalue()


def test_it_tells_everything_in_the_order_of_interest() -> None:
    text = summary(
        *shop(),
        places={"order": "shop.yaml:41", "item": "shop.yaml:60"},
        artifacts=[("report", "out/r.html")],
        commands=[("orbit run shop.yaml", "again")],
    )
    wanted = [
        "Failures  12",
        "8 tests: status: expected 200, got 500",
        "Item 1, Item 2, Item 3, Item 4, Item 5 and 3 more",
        "Item 1  item[1]  shop.yaml:60",
        "GET http://127.0.0.1:8080/item/1 → 500 Internal Server Error  12 ms",
        "expected  200\n",
        "got       500 Internal Server Error\n",
        "database is down",
        "✗ Add to cart  add_to_cart",
        "got       \"1\" (string)",
        "hint      Only the type differs.",
        "curl -X POST http://127.0.0.1:8080/cart -H 'Authorization: Bearer ***'",
        "Place the order  order  shop.yaml:41",
        "$.items[1].qty  expected 2, got \"2\"",
        "expected  less than 200 ms",
        "attempt 1: failed after 190 ms, status: expected 201",
        "attempt 2: failed",
        "! Pay  payment",
        "→ no response  1.50 s",
        "Connection refused: shop.test:443",
        "Not run  2",
        "2 tests because payment timed out",
        "Refund, Receipt",
        "Passed only on a retry  1",
        "Stock settles  attempt 2, before: json $.stock: expected 4, got 5",
        "Slowest",
        "1.50 s  Pay",
        "✗ shop failed  22 passed, 1 passed on a retry, 2 skipped, 1 timed out, 1 errored, 10 failed",
        "  37 tests in 1.60 s, 22 tests/s",
        "0192f0c1-7b1a-7c3e-9d55-0a1b2c3d4e5f",
        "out/r.html",
        "orbit show 0192f0c1",
        "orbit logs 0192f0c1",
        "orbit run shop.yaml",
    ]  # fmt: skip
    at = 0
    for piece in wanted:
        found = text.find(piece, at)
        assert found >= 0, f"{piece!r} is missing, or comes too early, in\n{text}"
        at = found


def test_many_failures_of_one_cause_are_told_once() -> None:
    text = summary(*many(1000, failing=300))
    assert "300 tests: status: expected 200, got 500" in text
    assert text.count("curl") == 1
    assert len(text.splitlines()) < 40


def test_many_causes_are_cut() -> None:
    results = [
        make_result(
            f"t{chr(97 + n // 26)}{chr(97 + n % 26)}",
            "failed",
            position=n,
            failures=[failure(f"json $.{'x' * (n + 1)}", 1, 2)],
        )
        for n in range(60)
    ]
    text = summary(make_run(results), results)
    assert "and 35 more failed tests with 35 other causes: orbit show" in text


def test_a_run_that_passed_is_told_shortly() -> None:
    results = [make_result("one")]
    text = summary(make_run(results), results)
    assert "Failures" not in text
    assert "Slowest" not in text
    assert "✓ shop passed  1 passed  1 test in 12 ms\n" in text


def test_a_cancelled_run_says_why() -> None:
    results = [make_result("a", "cancelled", reason="the run was cancelled")]
    text = summary(make_run(results, status="cancelled", reason="asked for by eve"), results)
    assert "✗ shop cancelled  1 cancelled" in text
    assert "asked for by eve" in text


def test_an_empty_run() -> None:
    assert "no results" in summary(make_run([], status="cancelled", duration=None), [])


def test_the_command_can_be_copied_as_it_is() -> None:
    curl = "curl -X POST \\\n  http://h/ \\\n  --data-raw 'a\n  b'"
    results = [
        make_result("a", "failed", failures=[failure("status", 1, 2)], exchange=make_exchange() | {"curl": curl})
    ]
    assert curl in summary(make_run(results), results)


@pytest.mark.parametrize("plain", [True, False])
def test_hostile_text_is_shown_and_not_obeyed(plain: bool) -> None:
    stream = Terminal()
    print_summary(stream, *hostile(), plain=plain)
    text = COLOUR.sub("", stream.getvalue()) if not plain else stream.getvalue()
    assert CONTROL.sub("", text) == text
    for piece in (
        "[red]not red[/red]",
        "\\x1b[31mred",
        "evil\\u202etxt.exe",
        "<script>",
        "价格 🛒",
        "a\\x00b",
    ):
        assert piece in text
    text.encode()


def test_colours_change_no_word() -> None:
    stream = Terminal()
    print_summary(stream, *shop(), plain=False)
    coloured = stream.getvalue()
    assert "\x1b[31m" in coloured
    plain = summary(*shop())
    words = [line.strip() for line in COLOUR.sub("", coloured).splitlines() if not line.startswith("─")]
    assert words == [line.strip() for line in plain.splitlines() if not line.startswith("─")]


def test_a_stream_that_knows_no_symbols_gets_none() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    print_summary(stream, *hostile())
    stream.flush()
    assert b"x <script>" in raw.getvalue()
    assert b"\\u4ef7" in raw.getvalue()


def assertion(key: str, where: str, message: str) -> Result:
    return make_result(key, "failed", category="assertion", failures=[failure(where, 1, 2, f"{where}: {message}")])


def error(key: str, category: str, reason: str, status: str = "errored") -> Result:
    return make_result(key, status, category=category, reason=reason)


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        # the same words: one cause, whatever the test
        (assertion("a", "status", "expected 200, got 500"), assertion("b", "status", "expected 200, got 500"), True),
        # a status is a cause by its number
        (assertion("a", "status", "expected 200, got 500"), assertion("a", "status", "expected 200, got 404"), False),
        # other values in rows of one test: one cause; in tests that have nothing to do with each other: two
        (assertion("i[1]", "json $.n", "expected 1, got 2"), assertion("i[2]", "json $.n", "expected 3, got 4"), True),
        (assertion("a", "json $.n", "expected 1, got 2"), assertion("b", "json $.n", "expected 3, got 4"), False),
        # what differs each time is no difference
        (
            error("a", "connect", "refused by 10.0.0.1:80 after 0.3 s"),
            error("b", "connect", "refused by 10.0.0.7:80 after 1.2 s"),
            True,
        ),
        (
            error("a", "internal", "request 0192f0c1-7b1a-7c3e-9d55-0a1b2c3d4e5f at 2026-01-02T03:04:05Z"),
            error("b", "internal", "request 7292f0c1-7b1a-7c3e-9d55-0a1b2c3d4e5f at 2026-05-02T03:04:05Z"),
            True,
        ),
        (error("a", "dns", "x"), error("a", "dns", "x", "timed_out"), False),
    ],
)
def test_what_counts_as_one_cause(one: Result, two: Result, same: bool) -> None:
    assert (fingerprint(one) == fingerprint(two)) is same


def test_the_cause_that_struck_most_comes_first() -> None:
    _, results = shop()
    sizes = [len(cause.results) for cause in group_failures(reversed(results))]
    assert sizes == sorted(sizes, reverse=True)
    assert [r.position for r in group_failures(results)[0].results] == sorted(
        r.position for r in group_failures(results)[0].results
    )
    assert len(HOSTILE) == len(group_failures(hostile()[1]))
