"""Runs and results as the database would tell them, made without one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from orbit_context.models.runs import Attempt, Result, Run, RunCounts, RunEvent

START = datetime(2026, 3, 14, 9, 26, 53, 589_000, tzinfo=UTC)
RUN_ID = UUID("0192f0c1-7b1a-7c3e-9d55-0a1b2c3d4e5f")


def make_result(
    key: str = "catalog", status: str = "passed", *, position: int = 0, start: float = 0.0, **fields: Any
) -> Result:
    """A result; `start` is in seconds after the run's."""
    never_sent = status in ("skipped", "cancelled")
    duration = fields.pop("duration", 0.0 if never_sent else 0.012)
    began = START + timedelta(seconds=start)
    values: dict[str, Any] = {
        "id": UUID(int=position + 1),
        "run_id": RUN_ID,
        "position": position,
        "key": key,
        "name": fields.pop("name", key),
        "test_case_id": UUID(int=position + 1_000_000),
        "status": status,
        "duration": duration,
        "started_at": None if never_sent else began,
        "finished_at": began + timedelta(seconds=duration),
        "attempts": 0 if never_sent else 1,
    }
    return Result.model_validate(values | fields)


def make_run(results: list[Result], **fields: Any) -> Run:
    """The run that holds `results`."""
    counts = RunCounts(
        total=len(results), **{s: sum(r.status == s for r in results) for s in {r.status for r in results}}
    )
    verdict = "passed"
    if counts.failed:
        verdict = "failed"
    elif counts.errored or counts.timed_out:
        verdict = "errored"
    end = max((r.finished_at for r in results), default=START)
    values: dict[str, Any] = {
        "id": RUN_ID,
        "queue_no": 1,
        "suite": "shop",
        "suite_id": UUID(int=7),
        "project": "demo",
        "environment": "staging",
        "status": verdict,
        "counts": counts,
        "created_at": START - timedelta(milliseconds=40),
        "started_at": START,
        "finished_at": end,
        "duration": (end - START).total_seconds(),
    }
    return Run.model_validate(values | fields)


def make_exchange(
    method: str = "POST",
    url: str = "http://127.0.0.1:8080/cart",
    status: int | None = 201,
    body: str = "",
    **response: Any,
) -> dict[str, Any]:
    """An exchange, masked and cut, as an executor hands it over."""
    sent = '{"product_id":"p-1","qty":1}' if method in ("POST", "PUT", "PATCH") else None
    answer = None
    if status is not None:
        reason = {200: "OK", 201: "Created", 404: "Not Found", 500: "Internal Server Error"}.get(status, "")
        answer = {"status": status, "reason": reason, "headers": [["Content-Type", "application/json"], ["Date", "x"]]}
        answer |= {"body": body} | response
    return {
        "request": {
            "method": method,
            "url": url,
            "headers": [["Accept", "*/*"], ["Authorization", "Bearer ***"], ["Content-Type", "application/json"]],
            "body": sent,
        },
        "response": answer,
        "timings": {"dns": 0.00001, "total": 0.0118, "connect": 0.0004, "transfer": 0.0011, "first_byte": 0.0103},
        "hops": [],
        "curl": f"curl -X {method} {url} -H 'Authorization: Bearer ***'" + (f" --data '{sent}'" if sent else ""),
    }


def failure(where: str, expected: Any, actual: Any, message: str | None = None, **more: Any) -> dict[str, Any]:
    """A failed assertion, in the words in which assertions speak."""
    text = message or f"{where}: expected {json.dumps(expected)}, got {json.dumps(actual)}"
    return {"message": text, "where": where, "category": "assertion", "expected": expected, "actual": actual} | more


BASE = "http://127.0.0.1:8080"


def shop() -> tuple[Run, list[Result]]:
    """A run with something of everything: failures of several kinds, a retry, skipped dependents, slow and quick tests."""
    wanted = {"id": 7, "state": "paid", "items": [{"sku": "a", "qty": 1}, {"sku": "b", "qty": 2}], "total": 42.5}
    got = {"id": 7, "state": "open", "items": [{"sku": "a", "qty": 1}, {"sku": "b", "qty": "2"}], "note": "late"}
    text = (
        'json $: differs: $.state: expected "paid", got "open"; $.items[1].qty: expected 2 (integer), got "2" (string)'
    )
    refused = failure("status", 201, 500, "status: expected 201, got 500 Internal Server Error")
    stale = failure("json $.stock", 4, 5)
    down = failure("status", 200, 500, "status: expected 200, got 500 Internal Server Error", category="status_5xx")
    down["hint"] = 'The body begins "{\\"error\\":\\"database is down\\"}".'
    rows: list[dict[str, Any]] = [
        {
            "key": "login",
            "name": "Log in",
            "exchange": make_exchange(url=f"{BASE}/auth/login", status=200, body='{"access_token":"***"}'),
        },
        {"key": "catalog", "name": "List the catalogue", "start": 0.02, "duration": 0.034},
        {
            "key": "add_to_cart",
            "name": "Add to cart",
            "status": "failed",
            "start": 0.06,
            "category": "assertion",
            "failures": [
                failure(
                    "json $.qty",
                    1,
                    "1",
                    'json $.qty: expected 1 (integer), got "1" (string)',
                    hint="Only the type differs.",
                )
            ],
            "exchange": make_exchange(body='{"id":"c-1","qty":"1","price":1.10,"tags":[]}'),
        },
        {
            "key": "order",
            "name": "Place the order",
            "status": "failed",
            "start": 0.06,
            "duration": 0.21,
            "category": "assertion",
            "attempts": 2,
            "previous_attempts": [
                Attempt(
                    number=1,
                    status="failed",
                    reason=refused["message"],
                    category="status_5xx",
                    duration=0.19,
                    failures=[refused],
                )
            ],
            "failures": [
                failure("json $", wanted, got, text),
                failure("time", 0.2, 0.21, "time: expected less than 200 ms, got 210 ms"),
            ],
            "exchange": make_exchange(url=f"{BASE}/orders?dry=1", body='{"id":7}')
            | {"hops": [{"method": "POST", "url": f"{BASE}/order", "status": 308, "location": "/orders?dry=1"}]},
        },
        {
            "key": "payment",
            "name": "Pay",
            "status": "timed_out",
            "start": 0.08,
            "duration": 1.5,
            "category": "timeout",
            "reason": "connection: no answer within 1.5 s",
            "failures": [
                {
                    "where": "connection",
                    "message": "no answer within 1.5 s",
                    "category": "timeout",
                    "expected": None,
                    "actual": None,
                }
            ],
            "exchange": make_exchange(url=f"{BASE}/pay", status=None),
        },
        {"key": "refund", "name": "Refund", "status": "skipped", "start": 1.6, "reason": "payment timed out"},
        {"key": "receipt", "name": "Receipt", "status": "skipped", "start": 1.6, "reason": "payment timed out"},
        {
            "key": "stock",
            "name": "Stock settles",
            "status": "passed_on_retry",
            "start": 0.1,
            "duration": 0.05,
            "attempts": 2,
            "previous_attempts": [
                Attempt(
                    number=1,
                    status="failed",
                    reason=stale["message"],
                    category="assertion",
                    duration=0.04,
                    failures=[stale],
                )
            ],
        },
        {
            "key": "tls",
            "name": "Shop over TLS",
            "status": "errored",
            "start": 0.1,
            "category": "connect",
            "reason": "Connection refused: shop.test:443",
            "duration": 0.003,
        },
    ]
    rows += [
        {
            "key": f"item[{n}]",
            "name": f"Item {n}",
            "status": "failed",
            "start": 0.2 + n / 100,
            "category": "status_5xx",
            "reason": down["message"],
            "failures": [down],
            "exchange": make_exchange("GET", f"{BASE}/item/{n}", 500, '{"error":"database is down"}'),
        }
        for n in range(1, 9)
    ]
    rows += [
        {"key": f"page[{n}]", "name": f"Page {n}", "start": 0.3 + n / 50, "duration": 0.01 + n / 1000}
        for n in range(1, 21)
    ]
    results = [make_result(position=position, **row) for position, row in enumerate(rows)]
    return make_run(results), results


HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "[red]not red[/red] {{7*7}} {% raw %}",
    "\x1b[31mred\x1b[0m\x1b]0;title\x07\x9b2J",
    "a\x00b\ud800c\ufffe",
    "evil\u202etxt.exe",
    "line\nbreak\ttab\r",
    "价格 🛒 ñ",
    "]]> &amp; <!-- -- > \" ' `",
)
"""Texts that a server, or a suite, may bring; nothing that shows them may obey them."""


def hostile() -> tuple[Run, list[Result]]:
    """A run in which every text is hostile."""
    results = []
    for position, text in enumerate(HOSTILE):
        exchange = make_exchange(url=f"http://h/{text}", body=text)
        exchange["response"]["headers"].append(["X-Evil", text])
        exchange["response"]["reason"] = text
        exchange["curl"] = f"curl '{text}'"
        results.append(
            make_result(
                f"k{position}", "failed", position=position, name=text, reason=text, category="assertion", exchange=exchange,
                failures=[failure(text, {text: [text, 1]}, {text: [text, 2]}, text, hint=text)], attempts=2,
                previous_attempts=[Attempt(number=1, status="failed", reason=text, duration=0.1)],
            )
        )  # fmt: skip
        results.append(make_result(f"s{position}", "skipped", position=100 + position, name=text, reason=text))
        results.append(make_result(f"r{position}", "passed_on_retry", position=200 + position, name=text, attempts=2))
    return make_run(results, suite=HOSTILE[0], project=HOSTILE[1], environment=HOSTILE[3], reason=HOSTILE[3]), results


def many(count: int, *, failing: int = 0, details: bool = False) -> tuple[Run, list[Result]]:
    """A run of `count` tests at 50 at once, the first `failing` of them failed for one reason.

    :param details: whether those that passed carry what was sent and answered
    """
    results = []
    for n in range(count):
        start, duration = (n // 50) * 0.02, 0.01 + (n * 7919 % 100) / 10_000
        if n < failing:
            results.append(
                make_result(
                    f"item[{n}]", "failed", position=n, start=start, duration=duration, category="status_5xx", name=f"Item {n}",
                    failures=[failure("status", 200, 500)], reason="status: expected 200, got 500",
                    exchange=make_exchange("GET", f"http://127.0.0.1:8080/item/{n}", 500, '{"error":"database is down"}'),
                )
            )  # fmt: skip
        else:
            told = {"exchange": make_exchange("GET", f"{BASE}/item/{n}", 200, "x" * 1000)} if details else {}
            results.append(
                make_result(f"item[{n}]", position=n, start=start, duration=duration, name=f"Item {n}", **told)
            )
    return make_run(results), results


def make_event(kind: str, key: str | None = None, *, seq: int = 1, **fields: Any) -> RunEvent:
    """Something that happened to the run."""
    return RunEvent.model_validate({"seq": seq, "kind": kind, "at": START, "run_id": RUN_ID, "key": key} | fields)
