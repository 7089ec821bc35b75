"""Tokens and keys that are none, at a real REST server: over HTTP, where attackers come from."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from orbit_runner.local.rest import Keys, RestServer, sign
from support.tenants import Tenants

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.postgres import Cluster


@pytest.fixture(scope="module")
def server(cluster: Cluster, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestServer]:
    """Over a database with olga's organisation acme."""
    with cluster.database(template) as database:

        async def make() -> None:
            async with database.connect() as connection:
                tenants = await Tenants.on(connection)
                await tenants.organization("acme", owner="olga")
                await tenants.project("acme", "shop")

        cluster.wait_for(make())
        with RestServer(database.dsn, Keys.generate(), log=tmp_path_factory.mktemp("rest") / "log") as server:
            yield server


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    return {
        "sub": str(Tenants.id("olga")), "role": "authenticated", "aud": "authenticated", "iat": now, "exp": now + 600,
    } | more  # fmt: skip


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def tampered(token: str, **more: Any) -> str:
    """The same signature under other claims."""
    head, _, signature = token.split(".")
    return f"{head}.{part(claims(**more))}.{signature}"


ATTACKS = {
    "expired": lambda keys: sign(claims(exp=int(time.time()) - 3600), keys.jwt_secret),
    "signed with another secret": lambda keys: sign(claims(), "another secret that is long enough to be one"),
    "signed with the publishable key": lambda keys: sign(claims(), keys.publishable),
    "alg none": lambda keys: f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims())}.",
    "alg none, signature kept": lambda keys: (
        f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims())}." + sign(claims(), keys.jwt_secret).split(".")[2]
    ),
    "claims changed": lambda keys: tampered(sign(claims(sub=str(Tenants.id("eve"))), keys.jwt_secret)),
    "role changed": lambda keys: tampered(sign(claims(), keys.jwt_secret), role="service_role"),
    "no token": lambda keys: "nonsense",
}
REQUESTS: list[tuple[str, str, Any]] = [
    ("GET", "/rest/v1/organizations?select=slug", None),
    ("GET", "/rest/v1/projects?select=slug", None),
    ("POST", "/rest/v1/rpc/list_organizations", {"p_request": {}}),
    ("POST", "/rest/v1/rpc/save_project", {"p_request": {"organization": "acme", "project": "shop", "name": "shop"}}),
    ("PATCH", "/rest/v1/users?email=eq.olga@example.com&select=name", {"name": "olga"}),
]


def ask(server: RestServer, request: tuple[str, str, Any], headers: dict[str, str]) -> httpx.Response:
    method, path, body = request
    schema = {"accept-profile": "orbit", "content-profile": "orbit", "prefer": "return=representation"}
    return httpx.request(method, server.url + path, json=body, headers=schema | headers, timeout=30)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: f"{request[0]} {request[1].split('?')[0]}")
def test_forged_tokens_are_refused(server: RestServer, request_: tuple[str, str, Any]) -> None:
    key = {"apikey": server.keys.publishable}
    for name, forge in ATTACKS.items():
        answer = ask(server, request_, key | {"authorization": f"Bearer {forge(server.keys)}"})
        assert answer.status_code == 401, f"{name}: {answer.status_code} {answer.text}"
        assert "acme" not in answer.text
        assert "shop" not in answer.text
    # The control: the same request with the token as it should be.
    answer = ask(server, request_, key | {"authorization": f"Bearer {sign(claims(), server.keys.jwt_secret)}"})
    assert answer.status_code in {200, 204}, answer.text
    assert any(word in answer.text for word in ("acme", "shop", "olga"))


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: f"{request[0]} {request[1].split('?')[0]}")
def test_without_a_person_a_key_opens_nothing(server: RestServer, request_: tuple[str, str, Any]) -> None:
    for headers in (
        {},
        {"apikey": "sb_publishable_made_up"},
        {"apikey": server.keys.publishable},
        {"apikey": server.keys.anon, "authorization": f"Bearer {server.keys.anon}"},
        {"authorization": f"Bearer {sign(claims(role='anon'), server.keys.jwt_secret)}"},
    ):
        answer = ask(server, request_, headers)
        assert answer.status_code in {401, 403}, f"{sorted(headers)}: {answer.status_code} {answer.text}"
        assert "acme" not in answer.text


@pytest.mark.parametrize("schema", ["orbit_private", "orbit_runner", "auth"])
def test_what_is_not_exposed_cannot_be_named(server: RestServer, schema: str) -> None:
    headers = {
        "apikey": server.keys.publishable, "authorization": f"Bearer {sign(claims(), server.keys.jwt_secret)}",
        "accept-profile": schema, "content-profile": schema,
    }  # fmt: skip
    for path in ("/rest/v1/secret", "/rest/v1/users", "/rest/v1/rpc/tick"):
        answer = httpx.request(
            "POST" if "rpc" in path else "GET", server.url + path, json={}, headers=headers, timeout=30
        )
        assert answer.status_code in {403, 404, 406}, answer.text
