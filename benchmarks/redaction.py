"""Masking secrets in bodies: MB/s, and how it grows with the number of secrets and with the size.

    python -m benchmarks.redaction [--rounds 5]

Bodies are JSON that holds no secret, which is what nearly every answer is, and JSON that holds each secret once per 50 kB.
Secrets have 8 to 40 characters, among them quotes, backslashes, signs and é. The yardstick is one pass of `str.replace` for
each way of writing each secret, timed in the same process. Times are of the CPU: a busy machine is no slow one.
"""

from __future__ import annotations

import argparse
import json
import random
import string
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from orbit_context.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable

LEAST = 20.0
"""MB/s for a body of 1 MB and 20 secrets."""

_CHARACTERS = string.ascii_letters + string.digits + "\"\\<>%é+/=&' "


def secrets_of(count: int) -> list[str]:
    source = random.Random(20)
    return ["".join(source.choice(_CHARACTERS) for _ in range(6 + n % 33)) + f"x{n % 10}" for n in range(count)]


def body_of(size: int, secrets: list[str] = []) -> str:  # noqa: B006 - read only
    """JSON of about `size` bytes, with the secrets in turn, one in 50 kB."""
    source, rows, length, every = random.Random(7), [], 0, 0
    while length < size:
        row = {
            "id": len(rows),
            "name": f"product {source.randrange(10**6)}",
            "sku": f"{source.getrandbits(64):x}",
            "note": "",
        }
        if secrets and length >= every:
            row["note"], every = secrets[every // 50_000 % len(secrets)], every + 50_000
        rows.append(row)
        length += len(json.dumps(row)) + 2
    return json.dumps(rows)


def seconds(run: Callable[[], object], rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return best


def plainly(redactor: Redactor, body: str) -> None:
    for group in redactor._groups:  # noqa: SLF001 - the same ways of writing
        for variant, _offset in group.text:
            body.replace(variant, "***")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.redaction")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(f"{'secrets':>8} {'body':>8} {'with them':>10} {'ms':>9} {'MB/s':>8} {'str.replace':>14}")
    measured: dict[tuple[int, int, bool], float] = {}
    cases = [(20, 1_000_000, False), (20, 1_000_000, True)]
    cases += [(count, 1_000_000, False) for count in (0, 1, 5, 100, 200)]
    cases += [(20, size, False) for size in (1_000, 10_000, 100_000, 4_000_000)]
    for count, size, holds in cases:
        secrets = secrets_of(count)
        redactor = Redactor(secrets)
        body = body_of(size, secrets if holds else [])
        took = measured[count, size, holds] = seconds(partial(redactor.redact_text, body), rounds)
        naive = seconds(partial(plainly, redactor, body), 1) if count in (1, 5, 20) else 0
        ratio = f"{naive / took:.0f} x as long" if naive else ""
        speed = len(body) / took / 1e6 if took else float("inf")
        there = "yes" if holds else "no"
        print(f"{count:>8} {size // 1000:>5} kB {there:>10} {took * 1000:>9.3f} {speed:>8.0f} {ratio:>14}")
    adding = seconds(lambda: Redactor(secrets_of(20)), rounds)
    print(f"20 secrets are taken in within {adding * 1000:.1f} ms")
    asked = 1 / measured[20, 1_000_000, False]
    growth = (
        measured[200, 1_000_000, False] / measured[20, 1_000_000, False],
        measured[20, 4_000_000, False] / measured[20, 1_000_000, False],
    )
    print(f"10 times the secrets: {growth[0]:.1f} times as long; 4 times the size: {growth[1]:.1f} times")
    print(f"{asked:.0f} MB/s with 20 secrets; at least {LEAST:.0f} are asked for")
    return 0 if asked >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
