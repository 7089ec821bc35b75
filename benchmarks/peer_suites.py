"""One suite, written for each tool: log in once, then GET /item/1 … /item/n with the token.

Every test asserts the status, `$.id` and `$.name`, and captures `$.sku`, in whatever way the tool calls idiomatic.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SHARDS", "write_all"]

SHARDS = 4
"""Newman runs one collection at a time: its parallel form is so many processes."""


def write_all(folder: Path, base_url: str, tests: int) -> None:
    """Write the suite for every tool into `folder`, anew."""
    shutil.rmtree(folder, ignore_errors=True)
    for path, text in {
        **_orbit(tests), **_hurl(tests), **_k6(base_url, tests), **_step_ci(base_url, tests), **_newman(base_url, tests),
        **_pytest(base_url, tests),
    }.items():  # fmt: skip
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def _orbit(tests: int) -> dict[str, str]:
    lines = [
        "version: 1", "suite: peers", 'defaults: {base_url: "{{base_url}}"}', "variables: {base_url: unset}", "tests:",
        "  login:",
        "    request: {POST: /auth/login, json: {username: demo, password: s3cret}}",
        "    capture: {token: {json: $.access_token, share: token}}",
        "    expect: {status: 200}",
    ]  # fmt: skip
    for n in range(1, tests + 1):
        lines += [
            f"  item_{n}:",
            f'    request: {{GET: /item/{n}, auth: {{bearer: "{{{{shared_auth_tokens.token}}}}"}}}}',
            "    capture: {sku: $.sku}",
            f"    expect: {{status: 200, json: {{$.id: {n}, $.name: Item {n}}}}}",
        ]
    return {"orbit/suite.yaml": "\n".join(lines) + "\n"}


def _hurl(tests: int) -> dict[str, str]:
    login = (
        "POST {{base}}/auth/login\n"
        '{"username": "demo", "password": "s3cret"}\n'
        "HTTP 200\n[Captures]\n"
        'token: jsonpath "$.access_token"\n'
    )
    items = {
        n: (
            f"GET {{{{base}}}}/item/{n}\nAuthorization: Bearer {{{{token}}}}\nHTTP 200\n"
            f'[Captures]\nsku_{n}: jsonpath "$.sku"\n'
            f'[Asserts]\njsonpath "$.id" == {n}\njsonpath "$.name" == "Item {n}"\n'
        )
        for n in range(1, tests + 1)
    }
    return {
        "hurl/all.hurl": "\n".join([login, *items.values()]),
        "hurl/login.hurl": login,
        **{f"hurl/items/{n:05d}.hurl": text for n, text in items.items()},
    }


def _k6(base_url: str, tests: int) -> dict[str, str]:
    script = """
import http from 'k6/http';
import { check } from 'k6';
import exec from 'k6/execution';

export const options = {
  scenarios: { items: { executor: 'shared-iterations', vus: Math.min(Number(__ENV.USERS), TESTS), iterations: TESTS } },
  thresholds: { checks: ['rate==1'] },
};
export function setup() {
  const credentials = JSON.stringify({ username: 'demo', password: 's3cret' });
  return http.post('BASE/auth/login', credentials, { headers: { 'Content-Type': 'application/json' } }).json('access_token');
}
export default function (token) {
  const n = exec.scenario.iterationInTest + 1;
  const answer = http.get(`BASE/item/${n}`, { headers: { Authorization: `Bearer ${token}` }, tags: { name: 'item' } });
  check(answer, {
    status: (a) => a.status === 200,
    id: (a) => a.json('id') === n,
    name: (a) => a.json('name') === `Item ${n}`,
  });
  const sku = answer.json('sku');
}
"""
    return {"k6/script.js": script.lstrip().replace("BASE", base_url).replace("TESTS", str(tests))}


def _step_ci(base_url: str, tests: int) -> dict[str, str]:
    lines = [
        'version: "1.1"', "name: peers", "before:", "  steps:", "    - name: login", "      http:",
        f"        url: {base_url}/auth/login", "        method: POST",
        "        json: {username: demo, password: s3cret}",
        "        captures: {token: {jsonpath: $.access_token}}", "        check: {status: 200}", "tests:",
    ]  # fmt: skip
    for n in range(1, tests + 1):
        lines += [
            f"  item_{n}:", "    steps:", f"      - name: item {n}", "        http:",
            f"          url: {base_url}/item/{n}", "          method: GET",
            "          headers: {Authorization: 'Bearer ${{captures.token}}'}",
            f"          captures: {{sku_{n}: {{jsonpath: $.sku}}}}",
            f"          check: {{status: 200, jsonpath: {{$.id: {n}, $.name: Item {n}}}}}",
        ]  # fmt: skip
    return {"stepci/workflow.yml": "\n".join(lines) + "\n"}


def _newman(base_url: str, tests: int) -> dict[str, str]:
    def item(name: str, method: str, path: str, script: list[str], body: object = None) -> dict[str, object]:
        headers = [] if body else [{"key": "Authorization", "value": "Bearer {{token}}"}]
        request: dict[str, object] = {"method": method, "header": headers, "url": base_url + path}
        if body:
            headers.append({"key": "Content-Type", "value": "application/json"})
            request["body"] = {"mode": "raw", "raw": json.dumps(body)}
        return {"name": name, "request": request, "event": [{"listen": "test", "script": {"exec": script}}]}

    login = item(
        "login", "POST", "/auth/login",
        [
            "pm.test('status', () => pm.response.to.have.status(200));",
            "pm.collectionVariables.set('token', pm.response.json().access_token);",
        ],
        {"username": "demo", "password": "s3cret"},
    )  # fmt: skip
    items = [
        item(
            f"item {n}", "GET", f"/item/{n}",
            [
                "const body = pm.response.json();",
                "pm.test('status', () => pm.response.to.have.status(200));",
                f"pm.test('id', () => pm.expect(body.id).to.eql({n}));",
                f"pm.test('name', () => pm.expect(body.name).to.eql('Item {n}'));",
                f"pm.collectionVariables.set('sku_{n}', body.sku);",
            ],
        )
        for n in range(1, tests + 1)
    ]  # fmt: skip
    schema = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"

    def collection(chosen: list[dict[str, object]]) -> str:
        return json.dumps({"info": {"name": "peers", "schema": schema}, "item": [login, *chosen]})

    shards = {f"newman/shard_{k}.json": collection(items[k::SHARDS]) for k in range(SHARDS)}
    return {"newman/collection.json": collection(items), **shards}


def _pytest(base_url: str, tests: int) -> dict[str, str]:
    conftest = f"""
import httpx
import pytest


@pytest.fixture(scope="session")
def client():
    with httpx.Client(base_url="{base_url}") as client:
        answer = client.post("/auth/login", json={{"username": "demo", "password": "s3cret"}})
        assert answer.status_code == 200
        client.headers["Authorization"] = f"Bearer {{answer.json()['access_token']}}"
        yield client
"""
    module = f"""
import pytest
from jsonpath_ng import parse

ID, NAME, SKU = parse("$.id"), parse("$.name"), parse("$.sku")
captured = {{}}


@pytest.mark.parametrize("n", range(1, {tests} + 1))
def test_item(client, n):
    answer = client.get(f"/item/{{n}}")
    assert answer.status_code == 200
    body = answer.json()
    assert ID.find(body)[0].value == n
    assert NAME.find(body)[0].value == f"Item {{n}}"
    captured[n] = SKU.find(body)[0].value
"""
    return {
        "pytest/conftest.py": conftest.lstrip(),
        "pytest/test_items.py": module.lstrip(),
        "pytest/pytest.ini": "[pytest]\n",
    }
