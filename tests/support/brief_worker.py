"""A worker of the shared lane as a process, with a lease short enough for tests.

`python -m support.brief_worker NAME SLOTS LEASE`; the database is that of ORBIT_DATABASE_URL. Prints its name when it runs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

from orbit_runner.sandbox import Sandbox
from orbit_runner.transport.curl import CurlTransport
from orbit_runner.worker import Worker
from orbit_runner.worker.http import HttpRuns

from orbit_context.seal import Sealer


async def main(name: str, slots: int, lease: float) -> None:
    """Serve until SIGTERM."""
    sealer = Sealer.from_environment() if os.environ.get("ORBIT_SECRET_KEY") else None
    async with Sandbox() as sandbox:
        transport = CurlTransport()
        worker = Worker(
            os.environ["ORBIT_DATABASE_URL"],
            slots=slots,
            executors=HttpRuns(transport, sandbox),
            sealer=sealer,
            name=name,
            heartbeat=lease / 4,
            lease=lease,
        )
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.drain)
        print(name, flush=True)
        await worker.run()
        await transport.close()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
