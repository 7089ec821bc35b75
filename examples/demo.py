"""`make demo`: the shop suite against the bundled shop API, on the embedded Postgres.

Starts the API on a free port, runs `orbit run` as anyone would, and says what to look at next. The exit code is the run's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SHOP = ROOT / "examples" / "shop"

sys.path.insert(0, str(SHOP))
import api  # noqa: E402 - the shop's folder is no package


def main() -> int:
    out = Path(os.environ.get("ORBIT_HOME") or ROOT / ".orbit").expanduser().resolve() / "demo"
    out.mkdir(parents=True, exist_ok=True)
    html, junit = out / "report.html", out / "junit.xml"
    html.unlink(missing_ok=True)
    with api.running() as url:
        shown = [
            *("orbit", "run", _near(SHOP / "shop.yaml"), "--env", _near(SHOP / "local.env.yaml")),
            *("--var", f"base_url={url}", "--report", f"html={_near(html)}", "--report", f"junit={_near(junit)}"),
        ]
        _say(f"The shop API listens on {url}; its code is examples/shop/api.py.")
        _say(f"$ {' '.join(shown)}\n")
        code = _run([sys.executable, "-m", "orbit_runner", *shown[1:]])
    _say("")
    if html.exists() and code in (0, 1):
        _say("Look around")
        _say(f"  the report   open {_near(html)} in a browser")
        _say('  the data     psql "$(.venv/bin/orbit db url)" -c "select * from orbit.test_runs"')
        _say("               (.venv/bin/orbit db url is the address for any Postgres client)")
        _say("Try next")
        _say("  read examples/shop/shop.yaml, break an expectation, and `make demo` again")
        _say("  .venv/bin/orbit show last               this run, once more")
        _say("  .venv/bin/python examples/httpbin.py    every feature, on a real httpbin; some tests fail on purpose")
        _say("  .venv/bin/orbit run your-suite.yaml     a suite of your own")
    else:
        _say(f"The run ended with exit code {code}; what it said is above. `.venv/bin/orbit doctor` checks everything.")
    return code


def _run(command: list[str]) -> int:
    """Run `command` with our terminal. Ctrl-C and SIGTERM reach the run, which ends itself and says how."""
    run = subprocess.Popen(command, cwd=ROOT, env=os.environ)

    def pass_on(number: int, _frame: Any) -> None:
        run.send_signal(number)

    signal.signal(signal.SIGTERM, pass_on)
    while True:
        try:
            return run.wait()
        except KeyboardInterrupt:
            continue  # the terminal sent it to the run too


def _near(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
