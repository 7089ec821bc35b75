"""What a test costs beyond its request: CPU per test, in all and by cause.

    python -m benchmarks.overhead [--tests 3000] [--concurrency 50] [--rounds 5] [--secrets 3]

The same requests go over the bare transport and through the HTTP executor, turn about in one run; the difference of the
medians is what a test costs in all. Each cause is then timed alone on a real answer, and what they do not explain is
"the rest": the session, the view of the response, the deadline, the outcome. A test is a GET with a token from the
context, one capture and three assertions.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

from benchmarks.target_server import TOKEN, running

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LIMIT = 350
"""Microseconds of CPU that a test may cost beyond its request."""


async def _cpu(count: int, at_once: int, one: Callable[[int], Awaitable[object]]) -> tuple[float, float]:
    """Microseconds of CPU per call, and calls per second."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await one(number)

    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used / count * 1e6, count / wall


def _alone(call: Callable[[], Any], count: int) -> float:
    """Microseconds per call: the best of three, since whatever disturbs only adds."""
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(count):
            call()
        best = min(best, time.perf_counter() - start)
    return best / count * 1e6


def _at_once(coroutine: Any) -> Any:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("it waited")


async def _measure(base: str, options: argparse.Namespace) -> int:
    from orbit_runner.execute.compile import compile_test
    from orbit_runner.execute.exchange import describe_exchange
    from orbit_runner.execute.http import HttpExecutor
    from orbit_runner.transport.curl import CurlTransport
    from orbit_runner.transport.port import HttpRequest

    from orbit_context.extract.capture import take_all
    from orbit_context.extract.view import ResponseView
    from orbit_context.redact import Redactor
    from orbit_context.suite.document import Defaults, Test
    from orbit_context.template import Scope

    def view_of(response: Any) -> ResponseView:
        return ResponseView(response.status, headers=response.headers, body=response.body, url=response.url)

    test = Test.model_validate(
        {
            "request": {"GET": "/item/{{row.n}}", "auth": {"bearer": "{{shared_auth_tokens.access_token}}"}},
            "capture": {"sku": "$.sku"},
            "expect": [
                {"status": 200},
                {"json": "$.id", "equals": "{{row.n}}"},
                {"header": "content-type", "contains": "json"},
            ],
        }
    )
    compiled = compile_test("item", test, Defaults(base_url="{{base_url}}"))
    redactor = Redactor([TOKEN, *(f"another-secret-{number:04}!" for number in range(options.secrets - 1))])
    transport = CurlTransport(max_connections=options.concurrency)
    executor = HttpExecutor(transport, redactor)
    tokens, variables = {"access_token": TOKEN}, {"base_url": base}

    def scope(number: int) -> Scope:
        return Scope(shared_auth_tokens=tokens, vars=variables, row={"n": number})

    async def bare(number: int) -> None:
        request = HttpRequest("GET", f"{base}/item/{number}", [("Authorization", f"Bearer {TOKEN}")])
        assert (await transport.send(request)).status == 200

    async def whole(number: int) -> None:
        outcome = await executor.run(compiled, scope(number))
        assert outcome.status == "passed", outcome

    await bare(0)
    await whole(0)
    results: dict[str, list[tuple[float, float]]] = {"bare": [], "whole": []}
    for _ in range(options.rounds):
        for name, one in (("bare", bare), ("whole", whole)):
            results[name].append(await _cpu(options.tests, options.concurrency, one))
    without = statistics.median(cpu for cpu, _ in results["bare"])
    complete = statistics.median(cpu for cpu, _ in results["whole"])

    rendered = compiled.request.render(scope(7))
    response = await transport.send(rendered.http)
    view = view_of(response)
    at = scope(7)
    checks = compiled.checks
    assert checks is not None
    count = max(200, options.tests // 2)
    causes = {
        "template": _alone(lambda: compiled.request.render(scope(7)), count),
        "extract": _alone(lambda: _at_once(take_all(compiled.captures, view_of(response))), count),
        "assert": _alone(lambda: checks.evaluate(view, lambda template: template.render(at)), count),
        "exchange": _alone(
            lambda: describe_exchange(rendered.http, redactor, response=response, view=view, full=False), count
        ),
    }
    failed = _alone(lambda: describe_exchange(rendered.http, redactor, response=response, view=view), count // 4)
    await transport.close()

    overhead = complete - without
    print(f"{options.tests} tests, {options.concurrency} at once, {options.rounds} rounds, {options.secrets} secrets")
    print(f"{'':28} {'CPU µs/test':>12} {'tests/s':>9}")
    for title, name, cpu in (("bare transport", "bare", without), ("through the executor", "whole", complete)):
        print(f"{title:28} {cpu:12,.0f} {statistics.median(rate for _, rate in results[name]):9,.0f}")
    print(f"{'overhead':28} {overhead:12,.0f}   (limit {LIMIT})")
    for name, micros in causes.items():
        print(f"  {name:26} {micros:12,.0f}")
    print(f"  {'the rest':26} {overhead - sum(causes.values()):12,.0f}")
    print(f"{'exchange of a failed test':28} {failed:12,.0f}")
    return 0 if overhead <= LIMIT else 1


def main() -> int:
    """Prints the table; 1 if a test costs more than it may."""
    parser = argparse.ArgumentParser(description="What a test costs beyond its request.")
    parser.add_argument("--tests", type=int, default=3000)
    parser.add_argument("--concurrency", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--secrets", type=int, default=3)
    options = parser.parse_args()
    import uvloop

    with running() as base:
        return uvloop.run(_measure(base, options))


if __name__ == "__main__":
    sys.exit(main())
