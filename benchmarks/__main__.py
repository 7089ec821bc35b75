"""Run the benchmarks one after the other.

python -m benchmarks                          all of them
python -m benchmarks --only peers,queue       these
python -m benchmarks --only peers -- --quick  what follows -- goes to the one that is named
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys

BENCHMARKS = {
    "transport": "the HTTP transport alone, beside others",
    "overhead": "what a test costs beyond its request, by cause",
    "redaction": "masking secrets in bodies: MB/s, and how it grows",
    "queue": "the queue alone: claim, record, unlock",
    "queues": "Orbit's queue beside others on Postgres",
    "order": "the order of a run's tests: when its bad news and its end come, and what that costs",
    "rls": "row level security: a member beside service_role",
    "variables": "resolving variables: by how many are visible, beside how many of others",
    "starts": "what the audit log and limits cost a start",
    "recovery": "how long the tests of a killed worker wait for another",
    "groups": "affinity groups: installs saved, balance, priority",
    "peers": "the same suite of 300 tests in Orbit and in other tools, side by side",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Orbit.")
    parser.add_argument("--only", metavar="NAME,…", help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument("arguments", nargs="*", help="after --: for the one benchmark that is named")
    options = parser.parse_args()
    there = [name for name in BENCHMARKS if importlib.util.find_spec(f"benchmarks.{name}")]
    if options.list:
        for name in there:
            print(f"{name:<10} {BENCHMARKS[name]}")
        return 0
    chosen = options.only.split(",") if options.only else there
    if unknown := [name for name in chosen if name not in there]:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(there)}")
    if options.arguments and len(chosen) != 1:
        parser.error("name the one benchmark that the arguments after -- are for")
    failed = []
    for name in chosen:
        print(f"## {name}: {BENCHMARKS[name]}", flush=True)
        sys.argv = [f"benchmarks.{name}", *options.arguments]
        if importlib.import_module(f"benchmarks.{name}").main():
            failed.append(name)
        print(flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
