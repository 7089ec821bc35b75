"""What is compared is the same for all, and what is skipped is noticed."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from benchmarks import peer_suites, target_server
from orbit_context.suite.load import load_suite

if TYPE_CHECKING:
    from pathlib import Path


def test_each_tool_gets_every_item_once_and_logs_in(tmp_path: Path) -> None:
    peer_suites.write_all(tmp_path, "http://127.0.0.1:1", 7)
    texts = {
        tool: "".join(path.read_text() for path in sorted(tmp_path.glob(pattern)))
        for tool, pattern in {
            "hurl": "hurl/all.hurl", "hurl files": "hurl/items/*", "stepci": "stepci/*", "newman": "newman/collection.json",
            "newman shards": "newman/shard_*", "orbit": "orbit/*",
        }.items()
    }  # fmt: skip
    for tool, text in texts.items():
        for n in range(1, 8):
            assert text.count(f"/item/{n}") == 1, (tool, n)
        assert ("/auth/login" in text) == (tool != "hurl files"), tool


def test_orbits_own_is_a_login_and_so_many_tests_that_need_it(tmp_path: Path) -> None:
    peer_suites.write_all(tmp_path, "http://127.0.0.1:1", 7)
    suite = load_suite(tmp_path / "orbit" / "suite.yaml", overrides=["base_url"])
    assert len(suite.document.tests) == 8
    assert {(edge.required_key, edge.kind) for edge in suite.edges} == {("login", "token")}
    assert all(len(test.expect) == 3 and test.capture for key, test in suite.document.tests.items() if key != "login")


def test_the_server_counts_what_arrives() -> None:
    def call(url: str, body: bytes | None = None, token: str = "") -> object:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with urllib.request.urlopen(urllib.request.Request(url, data=body, headers=headers), timeout=10) as answer:
            return json.load(answer)

    with target_server.running() as url:
        token = call(f"{url}/auth/login", b'{"username": "demo", "password": "s3cret"}')
        assert token == {"access_token": target_server.TOKEN, "token_type": "bearer", "expires_in": 3600}
        for n in (1, 2, 2):
            item = call(f"{url}/item/{n}", token=target_server.TOKEN)
            assert isinstance(item, dict)
            assert (item["id"], item["name"]) == (n, f"Item {n}")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            call(f"{url}/item/3", token="another")
        counted = call(f"{url}/__stats")
        assert counted == {
            "logins": 1, "items": 4, "distinct_items": 2, "refused": 1, "unknown": 0, "most_in_flight": 1,
        }  # fmt: skip
        call(f"{url}/__reset")
        assert not any(dict(call(f"{url}/__stats")).values())  # type: ignore[call-overload]
