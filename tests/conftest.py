"""Fixtures for tests that need Postgres.

    async def test_it(database):                 # a database of your own, with the whole schema
        async with database.connect() as conn:   # asyncpg
            await conn.execute("…")

    async def test_it(connection): ...           # one connection to such a database
    def test_cli(database): run(env={"ORBIT_DATABASE_URL": database.dsn}); database.fetch("select …")
    async def test_bare(empty_database): ...     # nothing in it: no shim, no migrations
    async def test_run(orbit, target): ...       # the command on such a database, and an API for it to test

A test that asks for none of them starts no server. ORBIT_TEST_BACKEND chooses the server (tests/support/postgres.py); the
developer's own ORBIT_HOME and ORBIT_DATABASE_URL are hidden from the tests, except that the latter names the server for them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from orbit_runner.local import DURABLE, EPHEMERAL, Server
from support import hosted
from support.bench import Bench
from support.command import OrbitCommand
from support.drills import LONG
from support.fleet import Fleet
from support.line import DatabaseLine
from support.postgres import Cluster, Database, admin_dsn
from support.target import Target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import asyncpg
    from support.hosted import Hosted

_RUN = pytest.StashKey[Path]()
_URL = pytest.StashKey[str]()
_GUARD = pytest.StashKey["subprocess.Popen[bytes]"]()
_HIDDEN = (
    "ORBIT_DATABASE_URL",
    "ORBIT_HOME",
    "SUPABASE_URL",
    "SUPABASE_SERVICE_ROLE_KEY",
    "SUPABASE_KEY",
    "SUPABASE_ANON_KEY",
)


def _memory() -> str | None:
    """A file system in memory with room for the run's databases, else None. Each test makes and removes 700 files: ext4 takes
    0.1 to 0.5 s for that, because it looks at every inode that was freed within the last seconds."""
    place = "/dev/shm"
    with suppress(OSError, AttributeError):  # not on every system
        room = os.statvfs(place)
        if room.f_bavail * room.f_frsize >= 8 * 2**30 and os.access(place, os.W_OK):
            return place
    return None


def pytest_configure(config: pytest.Config) -> None:
    """Make the run's directory and its guard (in the process that the user started; workers are told)."""
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker is not None:
        config.stash[_RUN], config.stash[_URL] = Path(worker["orbit_run"]), worker["orbit_url"]
        return
    config.stash[_URL] = os.environ.get("ORBIT_DATABASE_URL", "")
    for name in _HIDDEN:
        os.environ.pop(name, None)
    run = Path(tempfile.mkdtemp(prefix="orbit-test-", dir=_memory()))
    run.chmod(0o755)  # as root, the server runs as an unprivileged account that must pass through
    os.environ["ORBIT_HOME"] = str(
        run / "stray"
    )  # what a test does not place itself never reaches the developer's data
    os.environ["XDG_CONFIG_HOME"] = str(run / "config")  # nor does a test act as whoever the developer is signed in as
    config.stash[_RUN] = run
    guard = [sys.executable, str(Path(__file__).parent / "support/guard.py"), str(run)]
    config.stash[_GUARD] = subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker where the run's things are."""
    node.workerinput["orbit_run"] = str(node.config.stash[_RUN])
    node.workerinput["orbit_url"] = node.config.stash[_URL]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let the guard clean up, and wait for it."""
    if guard := config.stash.get(_GUARD, None):
        guard.communicate(timeout=60)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The run's server. `cluster.database(template)` makes further databases."""
    stash = request.config.stash
    dsn = admin_dsn(stash[_RUN], stash[_URL] or None, os.environ.get("ORBIT_TEST_BACKEND", "auto"))
    cluster = Cluster(dsn, os.environ.get("PYTEST_XDIST_WORKER", "main"))
    yield cluster
    cluster.close()


@pytest.fixture(scope="session")
def template(cluster: Cluster) -> str:
    """The name of the database that holds the whole schema and no data."""
    return cluster.template()


@pytest.fixture(scope="session")
def hosted_17(request: pytest.FixtureRequest) -> Iterator[Hosted]:
    """A server that looks to a migration as hosted Supabase does; `hosted_17.project()` makes databases."""
    with hosted.hosted_17(
        request.config.stash[_RUN] / f"hosted-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    ) as server:
        yield server


@pytest.fixture(scope="session")
def hosted_15(request: pytest.FixtureRequest) -> Iterator[Hosted]:
    """The same with the oldest version that is supported; skips where there is none on this machine."""
    note = request.config.stash[_RUN] / f"{os.environ.get('PYTEST_XDIST_WORKER', 'main')}.postgres-15"
    with hosted.hosted_15(note) as server:
        yield server


@pytest.fixture
def database(cluster: Cluster, template: str) -> Iterator[Database]:
    """A database of the test's own, with the platform's shim and all migrations."""
    with cluster.database(template) as database:
        yield database


@pytest.fixture
def empty_database(cluster: Cluster) -> Iterator[Database]:
    """A database of the test's own with nothing in it."""
    with cluster.database("template0") as database:
        yield database


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A connection to a database of the test's own."""
    async with database.connect() as connection:
        yield connection


@pytest.fixture
async def orbit(database: Database, tmp_path: Path) -> AsyncIterator[OrbitCommand]:
    """`orbit` on a database of the test's own, with the whole schema."""
    async with OrbitCommand(database.dsn, tmp_path) as command:
        yield command


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    """What is tested."""
    async with Target() as server:
        yield server


@pytest.fixture
async def bench(database: Database, orbit: OrbitCommand) -> AsyncIterator[Bench]:
    """See Bench."""
    bench = Bench(database, orbit)
    yield bench
    await bench.close()


@pytest.fixture
async def line(database: Database) -> AsyncIterator[DatabaseLine]:
    """The way to the test's database, to be cut."""
    async with DatabaseLine(database.dsn) as line:
        yield line


@pytest.fixture
async def fleet(database: Database, orbit: OrbitCommand, tmp_path: Path) -> AsyncIterator[Fleet]:
    """Worker processes on the test's database."""
    fleet = Fleet(database.dsn, tmp_path, orbit.key)
    yield fleet
    await fleet.close()


@pytest.fixture
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of the test's own, started; the test may stop it however it likes."""
    place = f"own-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}-{request.node.name[:20]}"
    server = Server(request.config.stash[_RUN] / place, DURABLE if LONG else EPHEMERAL)
    server.start()
    yield server
    server.stop()
