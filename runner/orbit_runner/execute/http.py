"""One attempt of an HTTP test: render, send, capture, check.

Rules that a suite's author may rely on:

- The request is rendered once per attempt. Polling repeats that very request; another attempt renders anew.
- Without `expect` any status below 400 passes; a test that polls expects what `until` says.
- Captures are taken from every answer, also where an assertion fails; what a failed assertion and a missing capture
  have to say is told in this order.
- `timeout` bounds the exchange, redirects included; captures and assertions may take until `GRACE` after it. Polling as a
  whole is bounded by `within` in the same way, and each of its requests by `timeout` or what is left of `within`.
- While polling, no answer counts as "not yet"; if nothing better comes, it is what the outcome tells.
- Each attempt has a cookie jar of its own.
"""

from __future__ import annotations

import asyncio
import logging
import re
from time import perf_counter
from typing import TYPE_CHECKING, Any

from orbit_context.errors import DefinitionError, ExpressionError, TemplateError
from orbit_context.extract.capture import take_all
from orbit_context.extract.view import ResponseView
from orbit_context.models.outcome import Captured, Failure, Outcome
from orbit_runner.execute.exchange import describe_exchange
from orbit_runner.execute.retry import is_retryable
from orbit_runner.transport.port import TransportError
from orbit_runner.transport.session import Session

if TYPE_CHECKING:
    from orbit_context.extract.evaluator import Evaluator
    from orbit_context.models.outcome import OutcomeStatus
    from orbit_context.redact import Redactor
    from orbit_context.template import Scope, Template
    from orbit_runner.assertions.compiler import CompiledChecks
    from orbit_runner.execute.compile import CompiledTest
    from orbit_runner.execute.request import RenderedRequest
    from orbit_runner.transport.port import HttpRequest, HttpResponse, Transport
    from orbit_runner.transport.session import Hop

__all__ = ["GRACE", "HttpExecutor"]

GRACE = 0.9
"""Seconds after the deadline in which captures and assertions may still end."""

_log = logging.getLogger(__name__)

# A transport's word → a result's word. What is not here is the same in both.
_CATEGORIES = {
    "invalid_request": "config",
    "invalid_url": "config",
    "unsupported": "config",
    "address_refused": "config",
    "incomplete": "reset",
    "invalid_redirect": "protocol",
    "closed": "internal",
}
# An assertion that could not be asked says nothing about the system under test.
_NO_VERDICT = frozenset({"expression", "template", "config"})
_HALF_CHARACTER = re.compile(r"[\ud800-\udfff]").search
_MAX_FAILURES = 100
_MAX_SHOWN = 4096
"""Characters of an expected or actual value, as JSON, that a failure keeps; the same for its message."""


class HttpExecutor:
    """Runs compiled tests over a transport; serves any number at once.

    Args:
        transport: shared by all.
        redactor: the run's; what a test captures as secret and what its authentication sends is added to it.
        evaluator: where expressions run that could take long; None refuses them.
    """

    def __init__(self, transport: Transport, redactor: Redactor, evaluator: Evaluator | None = None) -> None:
        self.transport = transport
        self.redactor = redactor
        self.evaluator = evaluator

    async def run(self, test: CompiledTest, scope: Scope, attempt: int = 1) -> Outcome:
        """The outcome of one attempt; never raises but for cancellation.

        Whatever the outcome holds is masked, except the captured values themselves.
        """
        return await _Attempt(self, test, scope, attempt).outcome()


class _Attempt:
    """What is known of one attempt, as far as it came."""

    __slots__ = (
        "began", "captures", "error", "executor", "hops", "http", "number", "polls", "redactor", "rendered", "response",
        "scope", "test", "view",
    )  # fmt: skip

    def __init__(self, executor: HttpExecutor, test: CompiledTest, scope: Scope, number: int) -> None:
        self.began = perf_counter()
        self.executor = executor
        self.redactor = executor.redactor
        self.test = test
        self.scope = scope
        self.number = number
        self.rendered: RenderedRequest | None = None
        self.http: HttpRequest | None = None
        self.response: HttpResponse | None = None
        self.view: ResponseView | None = None
        self.hops: list[Hop] = []
        self.error: TransportError | None = None
        self.polls = 0
        self.captures: list[Captured] = []

    async def outcome(self) -> Outcome:
        test = self.test
        within = test.request.timeout if test.poll is None else test.poll.within
        try:
            async with asyncio.timeout(within + GRACE):
                return await self._run()
        except TemplateError as error:
            return self._end("errored", [_definition_failure(error, "template")])
        except ExpressionError as error:
            return self._end("errored", [_definition_failure(error, "expression")])
        except DefinitionError as error:
            return self._end("errored", [_definition_failure(error, "config")])
        except TimeoutError:
            what = "no complete answer came" if self.view is None else "captures and assertions had not ended"
            failure = Failure(
                f"{what} within {perf_counter() - self.began:.3g} s",
                "response",
                expected=f"within {within:g} s",
                category="timeout",
                hint="An expression may be too costly for this response." if self.view is not None else None,
            )
            return self._end("timed_out", [failure])
        except Exception as error:  # noqa: BLE001 - a fault of ours must end one test, not the worker
            return self._fault(error)

    async def _run(self) -> Outcome:
        test = self.test
        rendered = self.rendered = test.request.render(self.scope)
        for secret in rendered.secrets:
            self.redactor.add(secret, "authentication")
        self.http = rendered.http
        if rendered.file is not None:
            try:
                rendered.http.body = await asyncio.to_thread(rendered.file.read_bytes)
            except OSError as error:
                raise DefinitionError(
                    f"the file {rendered.file.name!r} cannot be read: {error.strerror}", field="request.file"
                ) from None
        session = Session(self.executor.transport)
        if test.poll is not None:
            failures = await self._poll(session)
        else:
            failures = []
            try:
                await self._exchange(session, rendered.http)
            except TransportError as error:
                return self._no_answer(error)
        view = self.view
        if view is None:
            assert self.error is not None  # noqa: S101 - polling ends with an answer or with an error
            return self._no_answer(self.error)
        missing: list[Failure] = []
        if test.captures:
            taken, missing = await take_all(test.captures, view, self.executor.evaluator)
            for captured in taken:
                if captured.secret:
                    self.redactor.add(captured.value, captured.name)
                if _can_be_kept(captured.value):
                    self.captures.append(captured)
                else:
                    missing.append(_not_kept(captured.name))
        if test.checks is not None:
            failures = failures + await self._check(test.checks, view)
        elif test.until is None and view.status >= 400:
            failures = [Failure("the status says that the request failed", "status", "below 400", view.status)]
        return self._verdict(failures + missing, view.status) if failures or missing else self._end("passed", [])

    async def _exchange(self, session: Session, http: HttpRequest) -> None:
        """Send once; the answer is the one that captures and assertions see.

        Raises:
            TransportError: none came.
        """
        rendered = self.rendered
        assert rendered is not None  # noqa: S101 - nothing is sent before it is rendered
        exchange = await session.send(
            http,
            max_redirects=rendered.max_redirects,
            cookies=rendered.cookies or None,
            secret_headers=rendered.secret_headers,
        )
        self.error = None
        self.http = exchange.request
        self.response = response = exchange.response
        self.hops = exchange.hops
        self.view = ResponseView(
            response.status,
            reason=response.reason,
            http_version=response.http_version,
            headers=response.headers,
            body=response.body,
            url=response.url,
            elapsed=exchange.elapsed,
            redirects=len(exchange.hops),
        )

    async def _poll(self, session: Session) -> list[Failure]:
        """Repeat the request until `until` holds or `within` is over; what did not hold of it in the end."""
        poll, until, rendered = self.test.poll, self.test.until, self.rendered
        assert poll is not None and until is not None and rendered is not None  # noqa: S101, PT018 - the caller looked
        ends = self.began + poll.within
        failures: list[Failure] = []
        while True:
            left = ends - perf_counter()
            http = rendered.http
            is_cut = left < http.timeout
            if is_cut:
                http = _with_timeout(http, max(left, 0.001))
            self.polls += 1
            try:
                await self._exchange(session, http)
                failures = await self._check(until, self.view)
                if not failures:
                    return []
            except TransportError as error:
                if _CATEGORIES.get(error.category) == "config":
                    self.view = None
                    self.error = error
                    return []
                # Cut short by `within`: the last answer says more than that.
                if not (is_cut and error.category == "timeout" and self.view is not None):
                    self.error, self.view, self.response, self.hops = error, None, None, []
            if perf_counter() + poll.every >= ends:
                break
            await asyncio.sleep(poll.every)
        if self.view is not None:
            took = f"{self.polls} poll{'s' if self.polls > 1 else ''} in {perf_counter() - self.began:.3g} s"
            for failure in failures:
                failure.message = f"{failure.message} (after {took})"
        return failures

    async def _check(self, checks: CompiledChecks, view: ResponseView | None) -> list[Failure]:
        assert view is not None  # noqa: S101 - there is an answer
        if checks.needs_evaluator:
            return await checks.evaluate_with(view, self._render, self.executor.evaluator)
        return checks.evaluate(view, self._render)

    def _render(self, template: Template) -> Any:
        return template.render(self.scope)

    def _verdict(self, failures: list[Failure], http_status: int) -> Outcome:
        for failure in failures:
            if failure.where == "status" and failure.category == "assertion":
                failure.category = _status_category(http_status)
        found = [failure for failure in failures if failure.category not in _NO_VERDICT]
        if not found:
            return self._end("errored", failures)
        return self._end("failed", found + [failure for failure in failures if failure.category in _NO_VERDICT])

    def _no_answer(self, error: TransportError) -> Outcome:
        self.error = error
        category = _CATEGORIES.get(error.category, error.category)
        where = "request" if category == "config" else "response" if error.phase == "transfer" else "connection"
        failure = Failure(error.message.rstrip("."), where, category=category, hint=error.hint)
        return self._end("timed_out" if category == "timeout" else "errored", [failure])

    def _fault(self, error: Exception) -> Outcome:
        if _log.isEnabledFor(logging.DEBUG):
            import traceback

            _log.debug(
                "test %s, attempt %d: %s",
                self.test.key,
                self.number,
                self.redactor.redact_text("".join(traceback.format_exception(error))),
            )
        failure = Failure(
            f"a fault inside Orbit: {type(error).__name__}: {error}",
            "internal",
            category="internal",
            hint="Please report it; the debug log has the traceback.",
        )
        try:
            return self._end("errored", [failure])
        except Exception:  # noqa: BLE001 - telling the exchange may be what failed
            failure.message = self.redactor.redact_text(failure.message)
            return Outcome("errored", perf_counter() - self.began, "internal", failure.message, [failure])

    def _end(self, status: OutcomeStatus, failures: list[Failure]) -> Outcome:
        redactor = self.redactor
        exchange = None
        if self.http is not None and self.rendered is not None:
            exchange = describe_exchange(
                self.http,
                redactor,
                response=self.response,
                view=self.view,
                hops=self.hops,
                error=self.error,
                polls=self.polls,
                max_redirects=self.rendered.max_redirects,
                full=status != "passed",
            )
        if status == "passed":
            return Outcome("passed", perf_counter() - self.began, captures=self.captures, exchange=exchange)
        shown = [_masked(failure, redactor) for failure in failures[:_MAX_FAILURES]]
        first = shown[0]
        message = first.message if first.where in first.message else f"{first.where}: {first.message}"
        http_status = self.response.status if self.response is not None else None
        return Outcome(
            status,
            perf_counter() - self.began,
            first.category,
            message,
            shown,
            self.captures,
            is_retryable(self.test.retry, status, first.category, http_status),
            exchange,
        )


def _definition_failure(error: DefinitionError, category: str) -> Failure:
    return Failure(error.message, error.field or "request", category=category, hint=error.hint or error.detail)


def _can_be_kept(value: Any) -> bool:
    """Whether jsonb takes `value`: it refuses NUL and half characters, and one such value would spoil a whole batch."""
    if type(value) is str:
        return value.isprintable() or ("\x00" not in value and not _HALF_CHARACTER(value))
    if value is None or isinstance(value, (bool, int, float)):
        return True
    import json

    written = json.dumps(value, ensure_ascii=False)
    return "\\u0000" not in written and not _HALF_CHARACTER(written)


def _not_kept(name: str) -> Failure:
    message = f"capture {name}: the value holds a NUL or half a character, which the database cannot keep"
    return Failure(
        message, f"capture {name}", category="data", hint="Capture a part of it, or its place in the answer."
    )


def _status_category(status: int) -> str:
    if status in (401, 403):
        return "auth"
    return {4: "status_4xx", 5: "status_5xx"}.get(status // 100, "assertion")


def _with_timeout(http: HttpRequest, timeout: float) -> HttpRequest:
    from dataclasses import replace

    return replace(http, timeout=timeout)


def _masked(failure: Failure, redactor: Redactor) -> Failure:
    """`failure` without secrets, as the database can store it, its values cut to size."""
    return Failure(
        _storable(redactor.redact_text(failure.message))[:_MAX_SHOWN],
        _storable(redactor.redact_text(failure.where))[:_MAX_SHOWN],
        _shown(redactor.redact_json(failure.expected)),
        _shown(redactor.redact_json(failure.actual)),
        failure.category,
        None if failure.hint is None else _storable(redactor.redact_text(failure.hint)),
    )


def _shown(value: Any) -> Any:
    """`value`, or the beginning of its JSON where it is large; no NUL and no half characters, which jsonb refuses."""
    if value is None or isinstance(value, (bool, int)):
        return value
    import json

    written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    if len(written) > _MAX_SHOWN:
        return f"{_storable(written[:_MAX_SHOWN])}… ({len(written):,} characters)"
    storable = _storable(written)
    if isinstance(value, str):
        return storable
    return json.loads(storable) if "\\u0000" not in storable else storable.replace("\\u0000", "\ufffd")


def _storable(text: str) -> str:
    if text.isprintable():
        return text
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode() if text else text
