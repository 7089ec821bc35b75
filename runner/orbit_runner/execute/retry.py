"""Which outcomes a test's `retry.on` covers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orbit_context.models.outcome import OutcomeStatus
    from orbit_context.suite.document import Retry

__all__ = ["is_retryable"]

_NETWORK = frozenset({"dns", "connect", "tls", "reset", "protocol", "proxy"})
# What another attempt cannot change: the definition itself is wrong, or a name is missing.
_DEFINITE = frozenset({"template", "config"})


def is_retryable(retry: Retry | None, status: OutcomeStatus, category: str | None, http_status: int | None) -> bool:
    """Whether `retry.on` covers an attempt that ended like this; whether an attempt is left is not asked.

    `network`: no answer for a reason of dns, connect, tls, reset, protocol or proxy. `timeout`: the deadline.
    `assertion`: every verdict `failed`. `any`: all of these, and every other end but a definition that is wrong.
    `503`, `502-504`, `5xx`: the status of the last answer, if the attempt did not pass.
    """
    if retry is None or retry.max == 0 or status in ("passed", "cancelled"):
        return False
    for on in retry.on:
        if on == "any":
            covered = category not in _DEFINITE
        elif on == "network":
            covered = status == "errored" and category in _NETWORK
        elif on == "timeout":
            covered = status == "timed_out"
        elif on == "assertion":
            covered = status == "failed"
        elif http_status is None:
            covered = False
        elif on.endswith("xx"):
            covered = http_status // 100 == int(on[0])
        else:
            low, _, high = on.partition("-")
            covered = int(low) <= http_status <= int(high or low)
        if covered:
            return True
    return False
