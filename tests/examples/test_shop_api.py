"""The bundled shop API behaves as its suite, and whoever plays with it, expects."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def client(shop_api: Any) -> Iterator[httpx.Client]:
    with shop_api.running() as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture
def customer(client: httpx.Client) -> httpx.Client:
    """A client that is logged in."""
    answer = client.post("/auth/login", json={"username": "demo", "password": "s3cret"})
    assert answer.status_code == 200
    client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return client


def test_logging_in_and_out(client: httpx.Client) -> None:
    assert client.get("/me").status_code == 401
    assert client.post("/auth/login", json={"username": "demo", "password": "wrong"}).status_code == 401
    assert client.post("/auth/login", json={"username": "demo"}).status_code == 401
    token = client.post("/auth/login", json={"username": "demo", "password": "s3cret"}).json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert client.get("/me", headers=bearer).json() == {"username": "demo", "name": "Ada Lovelace"}
    assert client.post("/auth/logout", headers=bearer).status_code == 204
    assert client.get("/me", headers=bearer).status_code == 401


def test_the_catalog_is_filtered_and_cached(client: httpx.Client) -> None:
    tea = client.get("/catalog", params={"category": "tea", "max_price": 10, "in_stock": "true"})
    assert [product["id"] for product in tea.json()["products"]] == [1, 2]
    unchanged = client.get("/catalog", headers={"If-None-Match": client.get("/catalog").headers["ETag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert client.get("/catalog", params={"max_price": "cheap"}).status_code == 422
    assert client.get("/sale", follow_redirects=True).json()["total"] == 2


def test_from_the_cart_to_the_receipt(shop_api: Any, customer: httpx.Client) -> None:
    assert customer.post("/orders").json()["error"]["code"] == "cart_is_empty"
    assert customer.post("/cart", json={"product_id": 1, "quantity": 2}).status_code == 201
    assert customer.post("/cart", json={"product_id": 4}).json() == {"product_id": 4, "quantity": 1}
    assert customer.post("/cart", json={"product_id": 3}).status_code == 409
    assert customer.post("/cart", json={"product_id": 1, "quantity": "2"}).status_code == 422
    assert customer.delete("/cart/4").status_code == 204
    assert customer.delete("/cart/4").status_code == 404
    placed = customer.post("/orders")
    assert (placed.status_code, placed.json()["status"], placed.json()["total"]) == (201, "pending", 13.0)
    order = placed.headers["Location"]
    assert customer.get(f"{order}/receipt").status_code == 409
    assert customer.post(f"{order}/pay", json={"card": shop_api.DECLINED_CARD, "amount": 13.0}).status_code == 402
    assert customer.post(f"{order}/pay", json={"card": "4242", "amount": "13"}).status_code == 422
    assert customer.post(f"{order}/pay", json={"card": "4242", "amount": 13.0}).json()["status"] == "processing"
    assert customer.post(f"{order}/pay", json={"card": "4242", "amount": 13.0}).status_code == 409
    give_up = time.monotonic() + 10
    while customer.get(order).json()["status"] != "paid":
        assert time.monotonic() < give_up
        time.sleep(0.02)
    receipt = customer.get(f"{order}/receipt")
    assert receipt.headers["Content-Type"].startswith("text/html")
    assert "<b id='total'>13.00</b>" in receipt.text
    exported = customer.get("/admin/orders.csv", headers={"X-Api-Key": shop_api.ADMIN_KEY})
    assert exported.text.splitlines()[1] == f"{order.removeprefix('/orders/')},demo,paid,13.0"


def test_nobody_sees_anothers_cart_or_order(customer: httpx.Client) -> None:
    customer.post("/cart", json={"product_id": 1})
    order = customer.post("/orders").headers["Location"]
    customer.post("/cart", json={"product_id": 2})
    token = customer.post("/auth/login", json={"username": "grace", "password": "h0pper"}).json()["access_token"]
    other = {"Authorization": f"Bearer {token}"}
    assert customer.get("/cart", headers=other).json()["lines"] == []
    assert customer.get(order, headers=other).status_code == 404
    assert customer.get("/admin/stats").status_code == 403


def test_shipping_fails_at_first_and_at_every_third_call_after(client: httpx.Client) -> None:
    assert [client.get("/shipping").status_code for _ in range(7)] == [503, 200, 200, 503, 200, 200, 503]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nothing", None, 404),
        ("PUT", "/cart", None, 405),
        ("HEAD", "/health", None, 200),
        ("POST", "/auth/login", b"{", 400),
        ("POST", "/auth/login", b"[]", 400),
        ("POST", "/coupons/check", b'{"code": "WELCOME10", "amount": null}', 422),
    ],
)
def test_every_request_gets_an_answer(
    client: httpx.Client, method: str, path: str, body: bytes | None, status: int
) -> None:
    assert client.request(method, path, content=body).status_code == status


def test_what_is_not_http_is_refused_and_keep_alive_is_kept(client: httpx.Client) -> None:
    address = urlsplit(str(client.base_url))
    assert address.hostname is not None
    with socket.create_connection((address.hostname, address.port or 0), timeout=10) as raw:
        raw.sendall(b"GET /health HTTP/1.1\r\nHost: shop\r\n\r\n" * 2 + b"nonsense\r\n\r\n")
        answers = b""
        while piece := raw.recv(65536):  # to the end: the last one closes the connection
            answers += piece
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert answers.count(b"HTTP/1.1 400 Bad Request") == 1


def test_a_port_in_use_is_an_error_and_nothing_is_left_behind(shop_api: Any) -> None:
    before = threading.active_count()
    with shop_api.running() as url, pytest.raises(OSError, match="in use"), shop_api.running(urlsplit(url).port):
        pass
    assert threading.active_count() == before
