"""TestExecutionContextManager: the context of a run, for programs that take part in it.

async with orbit.context(run.id) as context:
    await context.update_shared_auth_tokens({"access_token": token})
    user = (await context.captured_data())["login"]["user_id"]
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from orbit_context.errors import SecretKeyError
from orbit_context.gateway.requests import given
from orbit_context.models.context import DependencyContext, TestExecutionContext
from orbit_context.models.suites import Environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orbit_context.extract.view import ResponseView
    from orbit_context.gateway.port import Gateway
    from orbit_context.seal import Sealer
    from orbit_context.suite.checks import Capture

__all__ = ["TestExecutionContextManager"]


class TestExecutionContextManager:
    """Reads and writes the context of one run.

    What was read is kept for `cache_seconds`; what this manager writes makes it look again. Tokens and captures marked secret are
    sealed before they are sent, which needs a `sealer` (SecretKeyError without one). With one, reading opens them.
    """

    __test__ = False  # not a pytest class

    def __init__(
        self, gateway: Gateway, run_id: UUID | str, *, sealer: Sealer | None = None, cache_seconds: float = 1.0
    ) -> None:
        self._gateway = gateway
        self.run_id = str(run_id)
        self._sealer = sealer
        self._cache_seconds = cache_seconds
        self._cached: TestExecutionContext | None = None
        self._cached_at = float("-inf")

    async def __aenter__(self) -> Self:
        await self.get_test_run_context()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._forget()

    async def get_test_run_context(self, *, fresh: bool = False) -> TestExecutionContext:
        """The whole context. Raises NotFoundError where there is no such run."""
        if fresh or self._cached is None or time.monotonic() - self._cached_at > self._cache_seconds:
            answer = await self._gateway.call("get_context", {"run_id": self.run_id})
            self.run_id = answer["run_id"]  # in full, where the beginning of an id was given
            self._cached = TestExecutionContext.model_validate(self._opened(answer))
            self._cached_at = time.monotonic()
        return self._cached

    async def shared_auth_tokens(self) -> dict[str, Any]:
        return (await self.get_test_run_context()).shared_auth_tokens

    async def shared_variables(self) -> dict[str, Any]:
        return (await self.get_test_run_context()).shared_variables

    async def captured_data(self) -> dict[str, dict[str, Any]]:
        return (await self.get_test_run_context()).captured_data

    async def update_shared_auth_tokens(self, tokens: Mapping[str, Any]) -> None:
        """Shares tokens with every test that starts from now on; always sealed. Raises ConflictError once the run is over."""
        await self._find()
        await self._put([self._entry("token", "", name, value, secret=True) for name, value in tokens.items()])

    async def update_shared_variables(self, variables: Mapping[str, Any]) -> None:
        """Shares variables with every test that starts from now on. Raises ConflictError once the run is over."""
        await self._put([self._entry("variable", "", name, value, secret=False) for name, value in variables.items()])

    async def capture_variables_from_response(
        self, test: str, response: ResponseView, captures: Mapping[str, Capture]
    ) -> dict[str, Any]:
        """Takes values from a response and shares them as captures of `test`; returns them by name.

        Captures that need an evaluator that can be stopped (XPath, costly JSONPath) are a worker's work: CaptureError here.
        """
        from orbit_context.extract.capture import compile_capture  # lxml and JSONPath are only needed here

        await self._find()
        values: dict[str, Any] = {}
        entries = []
        for name, capture in captures.items():
            values[name] = compile_capture(name, capture, field=f"capture.{name}").take(response).value
            entries.append(self._entry("captured", test, name, values[name], secret=capture.is_secret))
            if capture.share:
                entries.append(self._entry(capture.share, "", name, values[name], secret=capture.is_secret))
        await self._put(entries)
        return values

    async def resolve_dependencies(self, test: str) -> DependencyContext:
        """What a test needs, how that stands, and what it captured. Raises NotFoundError."""
        answer = await self._gateway.call("resolve_dependencies", {"run_id": self.run_id, "test": test})
        return DependencyContext.model_validate(answer)

    async def get_environment_variables(
        self, environment: str, *, project: str | None = None, organization: str | None = None
    ) -> Environment:
        """The variables of an environment; secrets stay sealed. Raises NotFoundError."""
        request = given(name=environment, project=project, organization=organization)
        return Environment.model_validate(await self._gateway.call("get_environment", request))

    async def cleanup_expired_contexts(self) -> int:
        """Deletes the entries of every context past its 24 hours; returns how many. Workers do it on their own."""
        return int((await self._gateway.call("cleanup_expired_contexts", {}))["deleted"])

    async def _find(self) -> None:
        """The run's id in full, where its beginning or `last` was given: what is sealed is bound to it."""
        try:
            self.run_id = str(UUID(self.run_id))
        except ValueError:
            self.run_id = (await self._gateway.call("get_run", {"run_id": self.run_id}))["id"]

    async def _put(self, entries: list[dict[str, Any]]) -> None:
        await self._gateway.call("put_context", {"run_id": self.run_id, "entries": entries})
        self._forget()

    def _entry(self, kind: str, producer: str, name: str, value: Any, *, secret: bool) -> dict[str, Any]:
        if secret:
            if self._sealer is None:
                raise SecretKeyError(f"{name} is secret, and there is no key to seal it with", hint="give a sealer")
            value = self._sealer.seal(value, aad=secret_place(self.run_id, name))
        return {"kind": kind, "producer": producer, "name": name, "value": value, "secret": secret}

    def _opened(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The answer with every sealed value opened, where there is a key."""
        from orbit_context.seal import is_sealed

        sealer = self._sealer
        if sealer is None:
            return answer

        sealed_for = {(kind, producer, name): run for kind, producer, name, run in answer["sealed_for"]}

        def each(values: dict[str, Any], kind: str, producer: str = "") -> dict[str, Any]:
            found = {}
            for name, value in values.items():
                place = secret_place(sealed_for.get((kind, producer, name), answer["run_id"]), name)
                found[name] = sealer.open(value, aad=place) if is_sealed(value) else value
            return found

        flat = {"shared_auth_tokens": "token", "shared_variables": "variable"}
        captured = {test: each(values, "captured", test) for test, values in answer["captured_data"].items()}
        return answer | {key: each(answer[key], kind) for key, kind in flat.items()} | {"captured_data": captured}

    def _forget(self) -> None:
        self._cached = None


def secret_place(run_id: str, name: str) -> str:
    """What a sealed value of a run is bound to: it opens nowhere else."""
    return f"run:{run_id}:{name}"
