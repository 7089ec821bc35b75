"""From the answer to the outcome: verdicts, captures, errors, deadlines, polling, retries."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

import pytest
from orbit_runner.execute.compile import compile_test
from orbit_runner.execute.http import HttpExecutor
from orbit_runner.execute.retry import is_retryable

from orbit_context.suite.document import Defaults, Retry, Test
from orbit_context.template import Scope

if TYPE_CHECKING:
    from execution_bench import Bench
    from orbit_runner.transport.port import HttpRequest, HttpResponse

    from orbit_context.models.outcome import Outcome

# ---------------------------------------------------------------------------------------------------------- verdicts


async def test_passed(bench: Bench) -> None:
    outcome = await bench.run(
        {
            "request": {"POST": "/echo?q=1", "json": {"n": 7}},
            "capture": {"method": "$.method", "kind": {"header": "content-type"}, "code": {"status": True}},
            "expect": {"status": 200, "json": {"$.target": "/echo?q={{one}}"}},
        },
        one=1,
    )
    assert (outcome.status, outcome.category, outcome.reason, outcome.failures) == ("passed", None, None, [])
    assert {captured.name: captured.value for captured in outcome.captures} == {
        "method": "POST", "kind": "application/json", "code": 200,
    }  # fmt: skip
    assert 0 < outcome.duration < 5
    assert not outcome.retryable


@pytest.mark.parametrize(
    ("got", "expected", "category"),
    [
        (401, 200, "auth"), (403, 200, "auth"), (404, 200, "status_4xx"), (500, 200, "status_5xx"), (503, "2xx", "status_5xx"),
        (201, 200, "assertion"), (200, 404, "assertion"),
    ],
)  # fmt: skip
async def test_category_of_an_unexpected_status(bench: Bench, got: int, expected: Any, category: str) -> None:
    outcome = await bench.run({"request": f"/status/{got}", "expect": {"status": expected}})
    assert (outcome.status, outcome.category, outcome.failures[0].category) == ("failed", category, category)
    assert outcome.failures[0].actual == got
    assert outcome.reason


@pytest.mark.parametrize(("status", "passes"), [(200, True), (204, True), (302, True), (400, False), (500, False)])
async def test_without_expectations_any_status_below_400_passes(bench: Bench, status: int, passes: bool) -> None:
    outcome = await bench.run({"request": f"/status/{status}"})
    assert (outcome.status == "passed") is passes
    if not passes:
        assert outcome.category == ("status_4xx" if status == 400 else "status_5xx")


async def test_an_expected_error_status_passes(bench: Bench) -> None:
    assert (await bench.run({"request": "/status/404", "expect": {"status": 404}})).status == "passed"


async def test_the_assertion_leads_and_captures_are_taken_all_the_same(bench: Bench) -> None:
    bench.server.answer = (500, b'{"id": 5}', [])
    outcome = await bench.run(
        {
            "request": "/answer",
            "capture": {"id": "$.id", "token": "$.token"},
            "expect": {"status": 200, "json": {"$.id": 6}},
        }
    )
    assert [failure.where for failure in outcome.failures] == ["status", "json $.id", "json $.token"]
    assert [failure.category for failure in outcome.failures] == ["status_5xx", "assertion", "capture_missing"]
    assert (outcome.status, outcome.category) == ("failed", "status_5xx")
    assert [(captured.name, captured.value) for captured in outcome.captures] == [("id", 5)]


async def test_a_missing_capture_alone_fails_the_test(bench: Bench) -> None:
    bench.server.answer = (200, b"not json", [])
    outcome = await bench.run({"request": "/answer", "capture": {"id": "$.id"}, "expect": {"status": 200}})
    assert (outcome.status, outcome.category) == ("failed", "capture_missing")


@pytest.mark.parametrize("value", ['"a\\u0000b"', '["x", {"y": "\\u0000"}]', '{"\\u0000": 1}'])
async def test_what_the_database_cannot_keep_is_no_capture(bench: Bench, value: str) -> None:
    bench.server.answer = (200, b'{"v": %s, "ok": ["\\n", "\\\\u0000"]}' % value.encode(), [])
    outcome = await bench.run({"request": "/answer", "capture": {"v": "$.v", "ok": "$.ok[0]"}})
    assert (outcome.status, outcome.category, outcome.failures[0].where) == ("failed", "data", "capture v")
    assert [captured.name for captured in outcome.captures] == ["ok"]


async def test_unknown_name_in_an_expectation(bench: Bench) -> None:
    outcome = await bench.run({"request": "/echo", "expect": {"json": {"$.method": "{{nothing_here}}"}}})
    assert (outcome.status, outcome.category) == ("errored", "template")
    assert outcome.exchange is not None
    assert outcome.exchange["response"]["status"] == 200
    outcome = await bench.run({"request": "/echo", "expect": {"json": {"$.method": "{{nothing_here}}"}, "status": 201}})
    assert (outcome.status, outcome.category) == ("failed", "assertion")
    assert [failure.where for failure in outcome.failures] == ["status", "json $.method"]


# ------------------------------------------------------------------------------------------------------- no answer


@pytest.mark.parametrize(
    ("path", "status", "category"),
    [
        ("/reset", "errored", "reset"), ("/reset-midway", "errored", "reset"), ("/short", "errored", "reset"),
        ("/empty", "errored", "reset"), ("/garbage", "errored", "protocol"), ("/bad-chunk", "errored", "protocol"),
        ("/gzip-bomb", "errored", "body_too_large"), ("/endless", "errored", "body_too_large"),
        ("/loop/0", "errored", "too_many_redirects"), ("/silent", "timed_out", "timeout"),
        ("/drip-body", "timed_out", "timeout"), ("/drip-headers", "timed_out", "timeout"),
    ],
)  # fmt: skip
async def test_every_misdeed_of_a_server_has_its_category(bench: Bench, path: str, status: str, category: str) -> None:
    began = time.perf_counter()
    timeout = 0.4 if category == "timeout" else 20
    outcome = await bench.run({"request": {"GET": path, "timeout": timeout}, "expect": {"status": 200}})
    assert (outcome.status, outcome.category) == (status, category), outcome
    assert time.perf_counter() - began < timeout + 1
    assert outcome.exchange is not None
    assert outcome.exchange["error"]["message"]
    assert outcome.exchange["request"]["url"] == bench.server.url(path)
    assert outcome.exchange["curl"]
    assert outcome.captures == []


async def test_nobody_listens_and_no_such_host(bench: Bench) -> None:
    outcome = await bench.run({"request": "http://127.0.0.1:1/"})
    assert (outcome.status, outcome.category, outcome.failures[0].where) == ("errored", "connect", "connection")
    outcome = await bench.run({"request": {"GET": "http://no-such-host.invalid/", "timeout": 10}})
    assert (outcome.status, outcome.category) == ("errored", "dns")


class _Endless:
    """An evaluator that never comes back."""

    cancelled = 0

    async def evaluate(self, *_: Any, **__: Any) -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def test_slow_extraction_cannot_outlast_the_deadline(bench: Bench) -> None:
    """The exchange is over at once; what hangs is the expression."""
    bench.server.answer = (200, b"<a><b>1</b></a>", [("Content-Type", "application/xml")])
    bench.evaluator = evaluator = _Endless()
    began = time.perf_counter()
    outcome = await bench.run(
        {
            "request": {"GET": "/answer", "timeout": 0.2},
            "capture": {"b": {"xpath": "//b/text()"}},
            "expect": {"status": 200},
        }
    )
    assert time.perf_counter() - began < 1.2
    assert (outcome.status, outcome.category) == ("timed_out", "timeout")
    assert "captures and assertions" in outcome.failures[0].message
    assert evaluator.cancelled == 1


async def test_cancelling_leaves_nothing_behind(bench: Bench) -> None:
    tasks_before = asyncio.all_tasks()
    task = asyncio.create_task(bench.run({"request": {"GET": "/drip-body", "timeout": 60}}))
    await bench.server.until(lambda: bench.server.requests)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await bench.server.until(lambda: bench.server.closed == bench.server.connections == 1)
    assert {t for t in asyncio.all_tasks() if not t.done()} - tasks_before <= set(bench.server._tasks)
    assert (await bench.run({"request": "/echo"})).status == "passed"


class _Broken:
    """A transport with a fault of its own."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        raise RuntimeError("it broke with pa$$-canary in its hands")

    async def close(self) -> None:
        pass


async def test_a_fault_of_ours_ends_one_test_only(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.transport = _Broken()
    bench.redactor.add("pa$$-canary")
    with caplog.at_level(logging.DEBUG, "orbit_runner.execute"):
        outcome = await bench.run({"request": "/echo"})
    assert (outcome.status, outcome.category) == ("errored", "internal")
    assert outcome.failures[0].message == "a fault inside Orbit: RuntimeError: it broke with *** in its hands"
    assert "Traceback" in caplog.text
    assert "canary" not in caplog.text
    assert "canary" not in repr(outcome)


# ---------------------------------------------------------------------------------------------------------- polling


async def test_polling_until_it_holds(bench: Bench) -> None:
    outcome = await bench.run(
        {
            "request": {"GET": "/count", "headers": {"X-Id": "{{uuid()}}"}},
            "poll": {"until": {"json": {"$.count": 3}}, "every": 0.01, "within": 10},
            "capture": {"count": "$.count"},
        }
    )
    assert (outcome.status, outcome.captures[0].value, bench.server.count) == ("passed", 3, 3)
    assert outcome.exchange is not None
    assert outcome.exchange["polls"] == 3
    assert len({request.values("x-id")[0] for request in bench.server.requests}) == 1  # rendered once


async def test_polling_ends_with_its_time_and_tells_the_last_answer(bench: Bench) -> None:
    outcome = await bench.run(
        {
            "request": "/count",
            "poll": {"until": {"json": {"$.count": 0}}, "every": 0.05, "within": 1},
            "expect": {"status": 200},
        }
    )
    assert (outcome.status, outcome.category) == ("failed", "assertion")
    assert outcome.failures[0].actual == bench.server.count > 1
    assert f"after {bench.server.count} polls" in outcome.failures[0].message


async def test_no_answer_while_polling_is_not_yet(bench: Bench) -> None:
    bench.server.respond = lambda n: (0, b"") if n < 3 else (503, b"{}") if n == 3 else (200, b'{"ok":true}')
    poll = {"until": {"status": 200}, "every": 0.01, "within": 10}
    outcome = await bench.run({"request": "/count", "poll": poll, "expect": {"json": {"$.ok": True}}})
    assert (outcome.status, bench.server.count) == ("passed", 4)


async def test_polling_without_any_answer_tells_the_last_error(bench: Bench) -> None:
    bench.server.respond = lambda n: (0, b"")
    outcome = await bench.run({"request": "/count", "poll": {"until": {"status": 200}, "every": 0.01, "within": 0.2}})
    assert (outcome.status, outcome.category) == ("errored", "reset")
    assert bench.server.count > 1


async def test_a_hanging_poll_is_cut_by_within(bench: Bench) -> None:
    began = time.perf_counter()
    poll = {"until": {"status": 200}, "every": 0.01, "within": 0.3}
    outcome = await bench.run({"request": {"GET": "/silent", "timeout": 60}, "poll": poll})
    assert time.perf_counter() - began < 1.3
    assert (outcome.status, outcome.category) == ("timed_out", "timeout")
    assert outcome.exchange is not None
    assert outcome.exchange["error"]["elapsed"] == pytest.approx(0.3, abs=0.2)  # the request itself was cut


async def test_what_cannot_be_sent_is_not_polled(bench: Bench) -> None:
    poll = {"until": {"status": 200}, "every": 0.01, "within": 5}
    outcome = await bench.run({"request": "nonsense://x/", "poll": poll})
    assert (outcome.status, outcome.category) == ("errored", "config")
    assert outcome.duration < 1


async def test_each_attempt_has_a_cookie_jar_of_its_own(bench: Bench) -> None:
    test = {"request": {"GET": f"/redirect?to={'/echo'}&cookie=a%3D1"}, "capture": {"headers": "$.headers"}}
    for _ in range(2):
        outcome = await bench.run(test)
        assert [pair for pair in outcome.captures[0].value if pair[0].lower() == "cookie"] == [["Cookie", "a=1"]]
    assert [request.values("cookie") for request in bench.server.requests] == [[], ["a=1"], [], ["a=1"]]


# ---------------------------------------------------------------------------------------------------------- retries

_ENDS: dict[str, tuple[Any, str | None, int | None]] = {
    "passed": ("passed", None, 200),
    "assertion": ("failed", "assertion", 200),
    "schema": ("failed", "schema", 200),
    "missing": ("failed", "capture_missing", 200),
    "404": ("failed", "status_4xx", 404),
    "503": ("failed", "status_5xx", 503),
    "401": ("failed", "auth", 401),
    "reset": ("errored", "reset", None),
    "dns": ("errored", "dns", None),
    "timeout": ("timed_out", "timeout", None),
    "too large": ("errored", "body_too_large", None),
    "template": ("errored", "template", None),
    "config": ("errored", "config", None),
    "expression": ("errored", "expression", 200),
    "internal": ("errored", "internal", None),
    "cancelled": ("cancelled", "cancelled", None),
}
_FAILED = {"assertion", "schema", "missing", "404", "503", "401"}


@pytest.mark.parametrize(
    ("on", "covered"),
    [
        ("network", {"reset", "dns"}),
        ("timeout", {"timeout"}),
        ("assertion", _FAILED),
        ("any", set(_ENDS) - {"passed", "cancelled", "template", "config"}),
        ("503", {"503"}),
        ("5xx", {"503"}),
        ("4xx", {"404", "401"}),
        ("404-503", {"404", "503"}),
        ("2xx", {"assertion", "schema", "missing", "expression"}),
        (["network", "404"], {"reset", "dns", "404"}),
    ],
)
def test_retry_table(on: Any, covered: set[str]) -> None:
    retry = Retry.model_validate({"max": 2, "on": on})
    assert {name for name, end in _ENDS.items() if is_retryable(retry, *end)} == covered
    assert not any(is_retryable(Retry.model_validate({"max": 0, "on": on}), *end) for end in _ENDS.values())
    assert not any(is_retryable(None, *end) for end in _ENDS.values())


async def test_outcomes_know_whether_another_attempt_may_help(bench: Bench) -> None:
    async def outcome(path: str, on: Any) -> Outcome:
        return await bench.run({"request": path, "retry": {"max": 1, "on": on}})

    assert (await outcome("/status/503", 503)).retryable
    assert not (await outcome("/status/503", "network")).retryable
    assert (await outcome("/reset", "network")).retryable
    assert not (await outcome("/echo", "any")).retryable
    bench.defaults["retry"] = 2
    assert (await bench.run({"request": "/status/500"})).retryable
    assert not (await bench.run({"request": "/{{missing}}"})).retryable


async def test_one_compiled_test_serves_many_attempts_at_once(bench: Bench) -> None:
    test = Test.model_validate(
        {"request": "/echo?n={{n}}", "capture": {"t": "$.target"}, "expect": {"json": {"$.target": "/echo?n={{n}}"}}}
    )
    compiled = compile_test("it", test, Defaults(base_url=bench.server.url("")))
    executor = HttpExecutor(bench.transport, bench.redactor)
    outcomes = await asyncio.gather(*[executor.run(compiled, Scope(vars={"n": n})) for n in range(50)])
    assert [outcome.status for outcome in outcomes] == ["passed"] * 50
    assert [outcome.captures[0].value for outcome in outcomes] == [f"/echo?n={n}" for n in range(50)]
