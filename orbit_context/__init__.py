"""Orbit's SDK: suites of dependent API tests on Postgres and Supabase.

    from orbit_context import Orbit, load_suite

    async with Orbit.connect("postgresql://…") as orbit:
        saved = await orbit.suites.save(load_suite("checkout.yaml"))
        run = await orbit.runs.start(suite_id=saved.suite_id)
        async for event in orbit.runs.watch(run.id):
            print(event.kind, event.key, event.status)

Names are imported when they are first used: importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orbit_context.client import Orbit
    from orbit_context.context import TestExecutionContextManager
    from orbit_context.errors import OrbitError
    from orbit_context.models.runs import Result, Run, RunEvent
    from orbit_context.seal import Sealer
    from orbit_context.suite.document import Suite
    from orbit_context.suite.load import LoadedSuite, build_suite, load_environment, load_suite

__version__ = "0.1.0"

__all__ = [
    "LoadedSuite",
    "Orbit",
    "OrbitError",
    "Result",
    "Run",
    "RunEvent",
    "Sealer",
    "Suite",
    "TestExecutionContextManager",
    "build_suite",
    "load_environment",
    "load_suite",
]

_HOMES = {
    "LoadedSuite": "suite.load",
    "Orbit": "client",
    "OrbitError": "errors",
    "Result": "models.runs",
    "Run": "models.runs",
    "RunEvent": "models.runs",
    "Sealer": "seal",
    "Suite": "suite.document",
    "TestExecutionContextManager": "context",
    "build_suite": "suite.load",
    "load_environment": "suite.load",
    "load_suite": "suite.load",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
