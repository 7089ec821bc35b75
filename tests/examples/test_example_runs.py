"""The examples as a newcomer runs them: real command line, real Postgres, real servers."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from support.postgres import Database

ENDED = re.compile(r"(?m)^#   (failed|timed_out|skipped) +(.*)$")


def run(database: Database, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "ORBIT_DATABASE_URL": database.dsn, "ORBIT_SECRET_KEY": new_key(), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def new_key() -> str:
    """What `orbit secret key` makes; the embedded default has its own."""
    return base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()


def verdicts(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Test key to status, of what `--json` printed."""
    assert done.stdout, done.stderr
    return {result["key"]: result["status"] for result in json.loads(done.stdout)["results"]}


def test_the_shop_suite_passes(database: Database, examples: Path, shop_api: Any) -> None:
    with shop_api.running() as url:
        done = run(
            database,
            *("-m", "orbit_runner", "run", str(examples / "shop" / "shop.yaml"), "--json"),
            *("--env", str(examples / "shop" / "local.env.yaml"), "--var", f"base_url={url}"),
        )
    assert done.returncode == 0, done.stderr
    statuses = verdicts(done)
    assert statuses.pop("shipping") == "passed_on_retry"
    assert set(statuses.values()) == {"passed"}
    for secret in ("s3cret", shop_api.ADMIN_KEY, "shop_"):  # password, key, and how every token begins
        assert secret not in done.stdout + done.stderr
    (row,) = database.fetch("select count(*) as results from orbit.test_results")
    assert row["results"] == len(statuses) + 1  # and `shipping`: one result each, whatever the attempts


def test_httpbin_gives_exactly_the_verdicts_that_its_suite_states(database: Database, examples: Path) -> None:
    done = run(database, str(examples / "httpbin.py"), "--json")
    assert done.returncode == 1, done.stderr
    statuses = verdicts(done)
    stated = {
        key: status for status, keys in ENDED.findall((examples / "httpbin.yaml").read_text()) for key in keys.split()
    }
    assert len(stated) == 8
    assert {key: status for key, status in statuses.items() if status not in ("passed", "passed_on_retry")} == stated
    assert statuses["clean_up"] == "passed"
    assert "l0velace" not in done.stdout + done.stderr


def test_the_demo_passes_says_where_things_are_and_leaves_nothing_running(
    database: Database, examples: Path, tmp_path: Path
) -> None:
    done = run(database, str(examples / "demo.py"), ORBIT_HOME=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    report = tmp_path / "demo" / "report.html"
    assert str(report) in done.stdout
    assert "place_order" in report.read_text()
    address = re.search(r"http://127\.0\.0\.1:\d+", done.stdout)
    assert address is not None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", urlsplit(address[0]).port or 0), timeout=5)


def test_the_demo_ends_as_its_run_does(examples: Path, tmp_path: Path) -> None:
    """No database: exit code 3, and the next step instead of the tour."""
    nowhere = {"ORBIT_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "ORBIT_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(examples / "demo.py")],
        env={**os.environ, **nowhere},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert "orbit doctor" in done.stdout
    assert "Look around" not in done.stdout
