"""What a worker knows of a run it works for: the suite's version, the variables, the context so far."""

from __future__ import annotations

import time
from collections import ChainMap
from datetime import datetime
from typing import TYPE_CHECKING, Any

from orbit_context.context import secret_place
from orbit_context.errors import SecretKeyError
from orbit_context.redact import Redactor
from orbit_context.seal import is_sealed_by_database
from orbit_context.suite.load import build_suite
from orbit_context.suite.stored import document_from_json, refuse_files
from orbit_context.suite.variables import DatabaseVariable, resolve_at_execution
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
_CREDENTIALS = "credentials."
_STALE_SECONDS = 0.9
"""For so long after the database was asked it is not asked again: what begins a second after a change sees it."""


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
        defaults: Collection[str] = (),
        templates: Mapping[str, Any] | None = None,
        variables_version: int = 0,
        variable_names: Collection[str] = (),
        sealer: Sealer | None,
    ) -> None:
        """`variables` holds the values of `secrets`. Those of `unopened` come later (`open_secrets`), for the tests that use
        them; `uses` says which do, by position: None, or no list at all, stands for all.

        `defaults`, `templates`: as of orbit.start_run. `variable_names`: what the database defines of the names that tests use,
        at `variables_version`; their values come when tests begin (`take_variables`)."""
        self.queue_no = queue_no
        self.run_id = run_id
        self.suite = suite
        self.tests: list[tuple[str, Test]] = list(suite.document.tests.items())
        # `env.x` is the environment's own value where another one overrides it.
        self._sent = {name: value for name, value in variables.items() if not name.startswith(_OWN)}
        self._own = {name.removeprefix(_OWN): value for name, value in variables.items() if name.startswith(_OWN)}
        self._defaults, self._templates = frozenset(defaults), dict(templates or {})
        self.variables_version = variables_version
        self.variables_checked = time.monotonic()
        """When it was last known to be the present version."""
        self._complete = not variable_names
        self._covered: set[int] = set()
        self._of_database: dict[str, DatabaseVariable] = {}
        self._of_environment: dict[str, DatabaseVariable] = {}
        self._of_tests: dict[int, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
        self.context_version = 0
        self.redactor = Redactor()
        self.tokens: dict[str, Any] = {}
        self.shared: dict[str, Any] = {}
        self.captured: dict[str, dict[str, Any]] = {}
        self._run = {"id": run_id, "started_at": created_at}
        self.credentials: dict[str, Mapping[str, Any]] = {}
        self._sealer = sealer
        self._unopened = set(unopened)
        self._uses = uses
        self.variables: Mapping[str, Any]
        self.environment: Mapping[str, Any]
        self._merge()
        for name in secrets:
            self.redactor.add(variables[name], name=name)

    @classmethod
    def from_database(cls, loaded: Mapping[str, Any], sealer: Sealer | None) -> RunState:
        """From the answer of orbit_runner.load_run. Raises SecretKeyError where a captured secret cannot be opened."""
        variables, secrets = loaded["variables"], loaded["secrets"]
        names = {*variables, *secrets, *loaded["templates"], *loaded["variable_names"]}
        names = {name for name in names if not name.startswith(_CREDENTIALS)}
        document = document_from_json(loaded["document"])
        if loaded["base_dir"] is None:
            refuse_files(document)
        suite = build_suite(
            document,
            base_dir=loaded["base_dir"],
            environment={name.removeprefix(_OWN) for name in names},
            overrides=names,
        )
        state = cls(
            queue_no=loaded["queue_no"],
            run_id=loaded["run_id"],
            created_at=loaded["created_at"],
            suite=suite,
            variables=variables,
            unopened=secrets,
            uses=loaded["uses"],
            defaults=loaded["defaults"],
            templates=loaded["templates"],
            variables_version=loaded["variables_version"],
            variable_names=loaded["variable_names"],
            sealer=sealer,
        )
        state._absorb(loaded["context"])
        state.context_version = loaded["context_version"]
        return state

    def missing_secrets(self, positions: Iterable[int]) -> set[str]:
        """The secret variables and credentials that these tests use and that have not been opened yet."""
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
            self._unopened.discard(secret.name)
            if secret.name.startswith(_CREDENTIALS):
                given = {name: value if field is None else field for name, field in (secret.fields or {}).items()}
                self.credentials = self.credentials | {secret.name.removeprefix(_CREDENTIALS): given}
                continue
            (self._own if secret.name.startswith(_OWN) else self._sent)[secret.name.removeprefix(_OWN)] = value
        self._merge()

    def knows_variables(self, position: int) -> bool:
        """Whether what the database defines of the names that this test uses is at hand, and was right a second ago."""
        if time.monotonic() - self.variables_checked > _STALE_SECONDS:
            return False
        return self._complete or position in self._covered

    def doubt_variables(self) -> None:
        """Something was changed: the next test asks first."""
        self.variables_checked = float("-inf")

    @property
    def asks_variables_for(self) -> int:
        """The version to be told apart from; -1 where more is needed than is at hand."""
        return self.variables_version if self._complete else -1

    def take_variables(self, answer: Mapping[str, Any], checked: float) -> None:
        """Takes in the answer of orbit_runner.resolve_variables, asked at `checked`. Tests that have begun keep what they had.

        Raises SecretKeyError where a secret cannot be opened."""
        if "variables" in answer:
            if answer["version"] != self.variables_version:
                self._covered.clear()
                self._of_database, self._of_environment, self._of_tests = {}, {}, {}
            base, own = dict(self._of_database), dict(self._of_environment)
            of_tests: dict[int, dict[str, DatabaseVariable]] = {}
            for row in answer["variables"]:
                value = row["value"] if row["sealed"] is None else self._open(row["name"], row["sealed"], row["place"])
                if row["secret"]:
                    self.redactor.add(value, name=row["name"])  # before anything can use it
                variable = DatabaseVariable(value, row["secret"])
                if row["position"] is not None:
                    of_tests.setdefault(row["position"], {})[row["name"]] = variable
                    continue
                if row["own"]:
                    own[row["name"]] = variable
                if not row["hidden"]:
                    base[row["name"]] = variable
            self._of_database, self._of_environment = base, own
            self._complete = answer["complete"]
            self._covered.update(answer["positions"])
            self.variables_version = answer["version"]
            self._merge()
            for position, variables in of_tests.items():
                self._of_tests[position] = self._resolved(base | variables)
        self.variables_checked = checked

    def _merge(self) -> None:
        """New mappings, never changed ones: whoever renders with the old goes on doing so."""
        self.variables, self.environment = self._resolved(self._of_database)

    def _resolved(self, database: Mapping[str, DatabaseVariable]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        missing = any(
            name not in self._sent and name not in self._unopened and not variable.secret
            for name, variable in self.suite.document.variables.items()
        )
        if not database and not self._of_environment and not self._templates and not missing:
            return self._sent.copy(), self._sent | self._own
        resolved = resolve_at_execution(
            self.suite.document,
            self._sent,
            defaults=self._defaults,
            templates=self._templates,
            unopened=[name for name in self._unopened if not name.startswith((_OWN, _CREDENTIALS))],
            database=database,
            own=self._of_environment,
            seed=self.run_id,
            at=datetime.fromisoformat(self._run["started_at"]).timestamp(),
        )
        for name in resolved.secret_names:
            for values in (resolved.values, resolved.environment):
                if dict.__contains__(values, name):
                    self.redactor.add(values[name], name=name)
        return resolved.values, ChainMap(self._own, resolved.environment, resolved.values)

    def scope(self, position: int, attempt: int) -> Scope:
        """What the names of that test's templates stand for, now."""
        key, test = self.tests[position]
        variables, environment = self._of_tests.get(position) or (self.variables, self.environment)
        return Scope(
            shared_auth_tokens=self.tokens,
            captured_data=self.captured,
            shared_variables=self.shared,
            vars=variables,
            env=environment,
            credentials=self.credentials,
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

    def _absorb(self, entries: Iterable[Sequence[Any]]) -> None:
        """Each: kind, producer, name, value, whether it is sealed, and for which run, where that is another one."""
        for kind, producer, name, value, secret, *sealed_for in entries:
            if secret:
                clear = self._open(name, value, secret_place(next(filter(None, sealed_for), self.run_id), name))
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
