"""Start the real httpbin (a PyPI package) on a free port and run `examples/httpbin.yaml` against it.

    python examples/httpbin.py [options of `orbit run`]

Exit code 1 is the good one: two tests of the suite fail on purpose.
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SUITE", "running"]

SUITE = Path(__file__).resolve().with_suffix(".yaml")
THREADS = 64
START_SECONDS = 30


@contextmanager
def running() -> Iterator[str]:
    """httpbin under gunicorn's threads for as long as the block runs; gives its URL.

    Raises:
        RuntimeError: it did not start; the message holds what it printed.
    """
    with tempfile.TemporaryFile() as log:
        # We bind the port and hand it on: it is free, and a request that comes early waits in the socket's queue.
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(512)
            port = listener.getsockname()[1]
            command = [
                *(sys.executable, "-m", "gunicorn", "httpbin:app", "--bind", f"fd://{listener.fileno()}"),
                *("--worker-class", "gthread", "--threads", str(THREADS), "--keep-alive", "30"),
                *("--graceful-timeout", "1", "--log-level", "warning"),
            ]
            server = subprocess.Popen(
                command,
                cwd=SUITE.parent.parent,  # not here: `httpbin` would be this file
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the run; the server is stopped after it
            )
        try:
            _wait(server, port, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait(server: subprocess.Popen[bytes], port: int, log: IO[bytes]) -> None:
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up:
        if server.poll() is not None:
            log.seek(0)
            said = log.read().decode(errors="replace")
            raise RuntimeError(f"httpbin did not start; is the extra `examples` installed? It said:\n{said}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
        try:
            connection.request("GET", "/uuid")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise RuntimeError(f"httpbin did not answer within {START_SECONDS} s")


def main() -> int:
    """Run the suite; its exit code is ours."""
    with running() as url:
        print(f"httpbin on {url}", file=sys.stderr)
        other = url.replace("127.0.0.1", "localhost")
        variables = ["--var", f"base_url={url}", "--var", f"other_origin={other}"]
        command = [sys.executable, "-m", "orbit_runner", "run", str(SUITE), *variables, *sys.argv[1:]]
        run = subprocess.Popen(command, env=os.environ)
        while True:
            try:
                return run.wait()
            except KeyboardInterrupt:
                continue  # the run has it too: it ends itself and says how


if __name__ == "__main__":
    sys.exit(main())
