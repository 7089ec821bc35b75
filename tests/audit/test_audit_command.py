"""`orbit audit` and `orbit limits`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from orbit_runner.cli.moments import ago, ahead
from orbit_runner.cli.oversight.limits import limit_of

from orbit_context.errors import DefinitionError

if TYPE_CHECKING:
    from support.command import OrbitCommand


async def test_what_was_set_is_shown_and_in_the_log_which_is_whole(orbit: OrbitCommand) -> None:
    saved = await orbit("env", "save", str(orbit.write("e.yaml", "environment: staging\nvariables: {host: h}\n")))
    assert saved.code == 0, saved.stderr
    limits = await orbit("limits", "set", "concurrent_runs=3", "start_run=60/m:20")
    assert limits.code == 0, limits.stderr
    shown = await orbit("limits", "show")
    assert "60 in 60 s, 20 at once" in shown.stdout
    listed = await orbit("audit", "list", "--action", "limit", "--since", "1h")
    assert listed.code == 0, listed.stderr
    assert listed.stdout.count("limit.create") == 2
    verified = await orbit("audit", "verify")
    assert (verified.code, verified.stdout.startswith("whole: ")) == (0, True), verified.stderr
    head = verified.stdout.rpartition("head: ")[2].strip()
    assert (await orbit("audit", "verify", "--head", head)).code == 0
    wrong = await orbit("audit", "verify", "--head", f"1:{head.partition(':')[2]}", "--json")
    assert wrong.code == 1
    assert json.loads(wrong.stdout)["first_bad"]["number"] == 1
    assert (await orbit("limits", "set", "colour=3")).code == 4


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("10", 10),
        ("0", 0),
        ("unlimited", "unlimited"),
        ("default", None),
        ("60/m", {"amount": 60, "per": 60}),
        ("5/10s:20", {"amount": 5, "per": 10, "burst": 20}),
    ],
)
def test_limits_as_they_are_written(text: str, limit: Any) -> None:
    assert limit_of(text) == limit


@pytest.mark.parametrize("text", ["", "-1", "1.5", "60/", "60/y", "m", "60/m:"])
def test_what_is_no_limit(text: str) -> None:
    with pytest.raises(DefinitionError):
        limit_of(text)


def test_times_as_they_are_written() -> None:
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert ago("90m", option="--since", now=now) == datetime(2026, 11, 21, 10, 30, tzinfo=UTC)
    assert ago("2026-11-01T08:00+01:00", option="--since", now=now) == datetime(2026, 11, 1, 7, tzinfo=UTC)
    assert ahead("30d", option="--expires", now=now) == datetime(2026, 12, 21, 12, tzinfo=UTC)
    with pytest.raises(DefinitionError):
        ago("yesterday", option="--since", now=now)
