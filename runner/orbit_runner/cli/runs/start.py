"""What a suite file, read and checked, is started with: saved, its environment made, its secrets sealed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from orbit_context.context import secret_place
from orbit_context.errors import SecretKeyError

if TYPE_CHECKING:
    from orbit_context.client import Orbit
    from orbit_runner.cli.runs.prepare import Prepared

__all__ = ["start_options"]


async def start_options(orbit: Orbit, prepared: Prepared) -> dict[str, Any]:
    """Options of `orbit.runs.start`. Saves the suite; raises SecretKeyError where there are secrets and no key."""
    options, suite = prepared.options, prepared.suite
    run_id = str(uuid4())
    variables, secrets = prepared.split()
    if (secrets or prepared.captures_secrets) and not orbit.can_seal:
        raise SecretKeyError(
            f"{next(iter(secrets), 'a capture of this suite')} is secret, and there is no key to seal it with",
            hint="make one with `orbit secret key` and set ORBIT_SECRET_KEY to it wherever this project's tests run",
        )
    sealed = {name: orbit.seal(value, aad=secret_place(run_id, name)) for name, value in secrets.items()}
    saved = await orbit.suites.save(suite, organization=options.organization)
    environment_id = None
    if prepared.environment is not None:
        environment_id = await orbit.environments.ensure(
            prepared.environment, project=suite.document.project, organization=options.organization
        )
    return {
        "run_id": run_id,
        "suite_id": saved.suite_id,
        "environment": prepared.saved_environment,
        "variables": variables,
        "defaults": prepared.defaults or None,
        "templates": prepared.templates or None,
        "secrets": sealed or None,
        "credentials": list(options.credentials) or None,
        "environment_id": environment_id and str(environment_id),
        "selection": prepared.selection,
        "concurrency": options.concurrency or suite.document.concurrency,
        "fail_fast": options.fail_fast or None,
        "timeout": options.timeout or suite.document.timeout,
        "base_dir": str(suite.base_dir.resolve()),
    }
