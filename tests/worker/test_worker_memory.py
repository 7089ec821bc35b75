"""What a worker takes: many slots busy at once, and a long run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.bench import until
from support.command import finished

if TYPE_CHECKING:
    from support.command import OrbitCommand, Process
    from support.target import Target

MIB = 1024


def resident(process: Process) -> float:
    """MiB that are resident."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) / MIB


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
async def test_a_hundred_busy_slots_stay_below_200_mib(orbit: OrbitCommand, target: Target) -> None:
    tests: dict[str, Any] = {
        f"t{n}": {"request": f"/hold?n={n}", "expect": {"status": 200, "json": {"$.held": True}}} for n in range(200)
    }
    process = await orbit.start("run", orbit.suite(tests, base_url=target.url("")), "--quiet", "--concurrency", "100")
    await until(lambda: len(target.requests) == 100)
    busy = resident(process)
    target.release.set()
    done = await finished(process)
    assert done.code == 0
    print(f"resident with 100 slots busy: {busy:.0f} MiB")
    assert busy < 200


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
async def test_a_run_of_ten_thousand_does_not_grow_its_worker(orbit: OrbitCommand, target: Target) -> None:
    rows = [{"n": number} for number in range(10_000)]
    tests = {
        "item": {"data": rows, "request": "/item/{{row.n}}", "expect": {"status": 200, "json": {"$.id": "{{row.n}}"}}}
    }
    process = await orbit.start("run", orbit.suite(tests, base_url=target.url("")), "--quiet", "--concurrency", "50")
    seen = {}
    for number in (2_000, 6_000, 9_000):
        await until(lambda number=number: len(target.requests) >= number, within=60)  # type: ignore[misc]
        seen[number] = resident(process)
    done = await finished(process)
    assert done.code == 0, done.stderr[-2000:]
    assert "10,000 passed" in done.stderr or "10000 passed" in done.stderr
    print("resident after tests: " + ", ".join(f"{number}: {size:.0f} MiB" for number, size in seen.items()))
    assert seen[9_000] - seen[2_000] < 10
