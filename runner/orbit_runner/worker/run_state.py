"""What a worker knows of a run it works for: the suite's version, the variables, the context so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.context import secret_place
from orbit_context.errors import SecretKeyError
from orbit_context.redact import Redactor
from orbit_context.seal import is_sealed_by_database
from orbit_context.suite.load import build_suite
from orbit_context.suite.stored import document_from_json
from orbit_context.template import Scope

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from orbit_context.gateway.runner import ContextDelta, ReleasedSecret
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
        unopened: Iterable[str] = (),
        uses: Sequence[Collection[str] | None] | None = None,
        sealer: Sealer | None,
    ) -> None:
        """`variables` holds the values of `secrets`. Those of `unopened` come later (`open_secrets`), for the tests that use
        them; `uses` says which do, by position: None, or no list at all, stands for all."""
        self.queue_no = queue_no
        self.run_id = run_id
        self.suite = suite
        self.tests: list[tuple[str, Test]] = list(suite.document.tests.items())
        # `env.x` is the environment's own value where another one overrides it.
        self.variables = {name: value for name, value in variables.items() if not name.startswith(_OWN)}
        self._own = {name.removeprefix(_OWN): value for name, value in variables.items() if name.startswith(_OWN)}
        self.environment = self.variables | self._own
        self.context_version = 0
        self.redactor = Redactor()
        self.tokens: dict[str, Any] = {}
        self.shared: dict[str, Any] = {}
        self.captured: dict[str, dict[str, Any]] = {}
        self._run = {"id": run_id, "started_at": created_at}
        self._sealer = sealer
        self._unopened = set(unopened)
        self._uses = uses
        for name in secrets:
            self.redactor.add(variables[name], name=name)

    @classmethod
    def from_database(cls, loaded: Mapping[str, Any], sealer: Sealer | None) -> RunState:
        """From the answer of orbit_runner.load_run. Raises SecretKeyError where a captured secret cannot be opened."""
        variables, secrets = loaded["variables"], loaded["secrets"]
        suite = build_suite(
            document_from_json(loaded["document"]),
            base_dir=loaded["base_dir"],
            environment={name.removeprefix(_OWN) for name in (*variables, *secrets)},
            overrides={*variables, *secrets},
        )
        state = cls(
            queue_no=loaded["queue_no"],
            run_id=loaded["run_id"],
            created_at=loaded["created_at"],
            suite=suite,
            variables=variables,
            unopened=secrets,
            uses=loaded["uses"],
            sealer=sealer,
        )
        state._absorb(loaded["context"])
        state.context_version = loaded["context_version"]
        return state

    def missing_secrets(self, positions: Iterable[int]) -> set[str]:
        """The secret variables that these tests use and that have not been opened yet."""
        missing: set[str] = set()
        for position in positions if self._unopened else ():
            uses = self._uses[position] if self._uses is not None else None
            if uses is None:
                return set(self._unopened)
            plain = {name.removeprefix(_OWN) for name in uses}
            missing |= {name for name in self._unopened if name.removeprefix(_OWN) in plain}
        return missing

    def open_secrets(self, released: Iterable[ReleasedSecret]) -> None:
        """Takes in what the database released. Raises SecretKeyError where one cannot be opened."""
        for secret in released:
            if secret.name not in self._unopened:
                continue
            value = secret.value if secret.sealed is None else self._open(secret.name, secret.sealed, secret.place)
            self.redactor.add(value, name=secret.name)  # before anything can use it
            (self._own if secret.name.startswith(_OWN) else self.variables)[secret.name.removeprefix(_OWN)] = value
            self.environment = self.variables | self._own
            self._unopened.discard(secret.name)

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
                clear = self._open(name, value, secret_place(self.run_id, name))
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

    def _open(self, name: str, sealed: str, place: str) -> Any:
        if is_sealed_by_database(sealed):
            raise SecretKeyError(
                f"{name} was sealed by the database with a key that neither its Vault nor this worker has",
                hint="add that key to ORBIT_SECRET_KEY after the present one, or to the Vault's orbit_secret_key",
            )
        if self._sealer is None:
            raise _no_key(name)
        return self._sealer.open(sealed, aad=place)


def _no_key(name: str) -> SecretKeyError:
    return SecretKeyError(
        f"{name} is secret, and this worker has no key to seal or open it",
        hint="set ORBIT_SECRET_KEY to the key of the project",
    )
