"""`orbit worker`"""

from __future__ import annotations

import asyncio
import signal
import sys

from orbit_context.errors import DefinitionError
from orbit_context.gateway.postgres import connect
from orbit_runner.cli.exits import Exit
from orbit_runner.cli.target import ensure_schema, find_database, find_sealer
from orbit_runner.sandbox import Sandbox
from orbit_runner.transport.curl import CurlTransport
from orbit_runner.worker import Worker
from orbit_runner.worker.http import HttpRuns

__all__ = ["serve"]


def serve(*, slots: int, name: str | None, prefetch: int, heartbeat: float, lease: float) -> Exit:
    import uvloop

    if not heartbeat * 2 <= lease:  # also where one of them is no number
        raise DefinitionError(
            f"a heartbeat every {heartbeat:g} s is too seldom for a lease of {lease:g} s",
            hint="give it two in a lease: --heartbeat 2.5 --lease 10",
        )
    target = find_database()
    sealer = find_sealer(target)

    async def main() -> None:
        if target.kind == "embedded":  # elsewhere a worker's role may read no table, the migrations' least of all
            connection = await connect(target.dsn)
            try:
                await ensure_schema(connection, target)
            finally:
                await connection.close()
        transport, sandbox = CurlTransport(), Sandbox()
        worker = Worker(
            target.dsn,
            slots=slots,
            prefetch=prefetch,
            executors=HttpRuns(transport, sandbox),
            sealer=sealer,
            name=name,
            heartbeat=heartbeat,
            lease=lease,
        )
        loop = asyncio.get_running_loop()
        work = loop.create_task(worker.run())
        asked = False

        def stop() -> None:
            nonlocal asked
            if asked:
                work.cancel()
                return
            asked = True
            sys.stderr.write("finishing what is running and taking nothing more; once more to hand it back at once\n")
            worker.drain()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        sys.stderr.write(f"{worker.name} serves {target.shown} with {slots} slots\n")
        try:
            await work
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        finally:
            await transport.close()
            await sandbox.close()

    uvloop.run(main())
    return Exit.PASSED
