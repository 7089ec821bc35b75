"""What the names of a template stand for while it is rendered."""

from __future__ import annotations

import time
from random import Random, SystemRandom
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["NAMESPACES", "Scope"]

NAMESPACES = (
    "shared_auth_tokens",
    "captured_data",
    "shared_variables",
    "vars",
    "env",
    "credentials",
    "row",
    "run",
    "test",
)
"""The words that a name may begin with; any other first word is a bare name."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_SYSTEM_RANDOM = SystemRandom()


class Scope:
    """The values that names resolve to, all of them JSON values; cheap to make, one per attempt of a test.

    A bare name is looked up in `row`, `vars`, `env` and then in `bare`, which the suite loader decides statically: bare
    name → absolute path, such as `{"token": ("captured_data", "login", "token")}`.

    `clock` gives seconds since the epoch. `random` makes the generated values: seed it (`Random(7)`) and they repeat.
    Mappings are only read, and may be lazy: what they raise other than KeyError comes through.
    """

    __slots__ = (*NAMESPACES, "bare", "clock", "random", "sequences")

    def __init__(
        self,
        *,
        shared_auth_tokens: Mapping[str, Any] = _NOTHING,
        captured_data: Mapping[str, Mapping[str, Any]] = _NOTHING,
        shared_variables: Mapping[str, Any] = _NOTHING,
        vars: Mapping[str, Any] = _NOTHING,  # noqa: A002 - the word of the template language
        env: Mapping[str, Any] = _NOTHING,
        credentials: Mapping[str, Mapping[str, Any]] = _NOTHING,
        row: Mapping[str, Any] = _NOTHING,
        run: Mapping[str, Any] = _NOTHING,
        test: Mapping[str, Any] = _NOTHING,
        bare: Mapping[str, tuple[str | int, ...]] = _NOTHING,
        clock: Callable[[], float] = time.time,
        random: Random = _SYSTEM_RANDOM,
    ) -> None:
        self.shared_auth_tokens = shared_auth_tokens
        self.captured_data = captured_data
        self.shared_variables = shared_variables
        self.vars = vars
        self.env = env
        self.credentials = credentials
        self.row = row
        self.run = run
        self.test = test
        self.bare = bare
        self.clock = clock
        self.random = random
        self.sequences: dict[str, int] = {}

    def __repr__(self) -> str:
        """Names only: the values may be secret."""
        return f"Scope({', '.join(f'{name}: {len(getattr(self, name))}' for name in NAMESPACES)})"
