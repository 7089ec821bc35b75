"""What a worker knows of a run it works for: the suite's version, the variables, the context so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.context import secret_place
from orbit_context.errors import SecretKeyError
from orbit_context.redact import Redactor
from orbit_context.suite.load import build_suite
from orbit_context.suite.stored import document_from_json
from orbit_context.template import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from orbit_context.gateway.runner import ContextDelta
    from orbit_context.models.outcome import Captured
    from orbit_context.seal import Sealer
    from orbit_context.suite.document import Test
    from orbit_context.suite.load import LoadedSuite

__all__ = ["RunState"]

_OWN = "env."


class RunState:
    """A run as one worker sees it. `queue_no` is the run's number in the queue, `context_version` how new its context is."""

    def __init__(
        self,
        *,
        queue_no: int,
        run_id: str,
        created_at: str,
        suite: LoadedSuite,
        variables: Mapping[str, Any],
        secrets: Iterable[str] = (),
        sealer: Sealer | None,
    ) -> None:
        self.queue_no = queue_no
        self.run_id = run_id
        self.suite = suite
        self.tests: list[tuple[str, Test]] = list(suite.document.tests.items())
        # `env.x` is the environment's own value where another one overrides it.
        self.variables = {name: value for name, value in variables.items() if not name.startswith(_OWN)}
        self.environment = self.variables | {
            name.removeprefix(_OWN): value for name, value in variables.items() if name.startswith(_OWN)
        }
        self.context_version = 0
        self.redactor = Redactor()
        self.tokens: dict[str, Any] = {}
        self.shared: dict[str, Any] = {}
        self.captured: dict[str, dict[str, Any]] = {}
        self._run = {"id": run_id, "started_at": created_at}
        self._sealer = sealer
        for name in secrets:
            self.redactor.add(variables[name], name=name)

    @classmethod
    def from_database(cls, loaded: Mapping[str, Any], sealer: Sealer | None) -> RunState:
        """From the answer of orbit_runner.load_run. Raises SecretKeyError where a secret cannot be opened."""
        variables = dict(loaded["variables"])
        for name, sealed in loaded["secrets"].items():
            variables[name] = _opened(sealer, sealed, loaded["run_id"], name)
        suite = build_suite(
            document_from_json(loaded["document"]),
            base_dir=loaded["base_dir"],
            environment={name.removeprefix(_OWN) for name in variables},
            overrides=variables,
        )
        state = cls(
            queue_no=loaded["queue_no"],
            run_id=loaded["run_id"],
            created_at=loaded["created_at"],
            suite=suite,
            variables=variables,
            secrets=loaded["secrets"],
            sealer=sealer,
        )
        state._absorb(loaded["context"])
        state.context_version = loaded["context_version"]
        return state

    def scope(self, position: int, attempt: int) -> Scope:
        """What the names of that test's templates stand for, now."""
        key, test = self.tests[position]
        return Scope(
            shared_auth_tokens=self.tokens,
            captured_data=self.captured,
            shared_variables=self.shared,
            vars=self.variables,
            env=self.environment,
            row=test.row or {},
            run=self._run,
            test={"key": key, "attempt": attempt},
            bare=self.suite.bare.get(key, {}),
        )

    def share(self, position: int, captures: Iterable[Captured]) -> list[dict[str, Any]]:
        """Keeps what a test captured, and returns it as the database takes it: secrets sealed."""
        key = self.tests[position][0]
        entries = []
        for capture in captures:
            if capture.secret:
                self.redactor.add(capture.value, name=capture.name)
            self._put("captured", key, capture.name, capture.value)
            if capture.share:
                self._put(capture.share, "", capture.name, capture.value)
            value = self._sealed(capture) if capture.secret else capture.value
            entries.append({"name": capture.name, "value": value, "share": capture.share, "secret": capture.secret})
        return entries

    def learn(self, delta: ContextDelta) -> None:
        """Takes in what other workers' tests captured."""
        self._absorb(delta.entries)
        self.context_version = delta.version

    def _absorb(self, entries: Iterable[tuple[str, str, str, Any, bool]]) -> None:
        for kind, producer, name, value, secret in entries:
            if secret:
                clear = _opened(self._sealer, value, self.run_id, name)
                self.redactor.add(clear, name=name)
                self._put(kind, producer, name, clear)
            else:
                self._put(kind, producer, name, value)

    def _put(self, kind: str, producer: str, name: str, value: Any) -> None:
        if kind == "token":
            self.tokens[name] = value
        elif kind == "variable":
            self.shared[name] = value
        else:
            self.captured.setdefault(producer, {})[name] = value

    def _sealed(self, capture: Captured) -> str:
        if self._sealer is None:
            raise _no_key(capture.name)
        return self._sealer.seal(capture.value, aad=secret_place(self.run_id, capture.name))


def _opened(sealer: Sealer | None, sealed: str, run_id: str, name: str) -> Any:
    if sealer is None:
        raise _no_key(name)
    return sealer.open(sealed, aad=secret_place(run_id, name))


def _no_key(name: str) -> SecretKeyError:
    return SecretKeyError(
        f"{name} is secret, and this worker has no key to seal or open it",
        hint="set ORBIT_SECRET_KEY to the key of the project",
    )
