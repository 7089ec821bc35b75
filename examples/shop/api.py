"""A small shop API to try Orbit on: standard library only, its state in memory, gone when it stops.

    python examples/shop/api.py [--port 8080]

Log in as demo / s3cret. A cart belongs to a login; an order is paid a moment after its payment was accepted; the card
4000 0000 0000 0002 is declined; the shipping service answers 503 to its first call and to every third one after it.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import hashlib
import html
import io
import json
import os
import re
import secrets
import threading
import time
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ADMIN_KEY", "DECLINED_CARD", "Answer", "Call", "Shop", "running", "serve"]

USERS = {"demo": ("s3cret", "Ada Lovelace"), "grace": ("h0pper", "Grace Hopper")}
ADMIN_KEY = "admin-key-for-local-use"
DECLINED_CARD = "4000000000000002"
SETTLING_SECONDS = 0.4
"""From an accepted payment to the status `paid`."""
MAX_BODY = 1 << 20
MAX_HEADER = 1 << 16

PRODUCTS: list[dict[str, Any]] = [
    {"id": 1, "sku": "TEA-ASSAM", "name": "Assam, 100 g", "category": "tea", "price": 6.5, "stock": 4000},
    {"id": 2, "sku": "TEA-SENCHA", "name": "Sencha, 100 g", "category": "tea", "price": 9.0, "stock": 2500},
    {"id": 3, "sku": "TEA-OOLONG", "name": "Oolong, 50 g", "category": "tea", "price": 12.0, "stock": 0},
    {"id": 4, "sku": "CUP-BLUE", "name": "Blue cup", "category": "cups", "price": 14.0, "stock": 1200},
    {"id": 5, "sku": "CUP-GLASS", "name": "Double-walled glass", "category": "cups", "price": 18.5, "stock": 700},
    {"id": 6, "sku": "POT-IRON", "name": "Cast-iron pot", "category": "pots", "price": 59.0, "stock": 300},
]
COUPONS = {  # code: (percent, least amount, still valid)
    "WELCOME10": (10, 0, True),
    "TEATIME": (25, 50, True),
    "SUMMER": (15, 0, False),
}


@dataclass(slots=True)
class Call:
    """One HTTP request, read whole."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes = b""

    def fields(self) -> dict[str, Any]:
        """The JSON object in the body."""
        try:
            value = json.loads(self.body or b"null")
        except ValueError:
            raise Refusal(400, "not_json", "the body is not JSON") from None
        if not isinstance(value, dict):
            raise Refusal(400, "not_an_object", "the body is not a JSON object")
        return value


@dataclass(slots=True)
class Answer:
    """One HTTP response."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: list[tuple[str, str]] = field(default_factory=list)


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """Why a request is not served, as status, code and sentence."""

    def __init__(self, status: int, code: str, message: str, **details: object) -> None:
        super().__init__(message)
        self.answer = as_json({"error": {"code": code, "message": message, **details}}, status)


def as_json(value: object, status: int = 200, **headers: str) -> Answer:
    named = [(name.replace("_", "-"), text) for name, text in headers.items()]
    return Answer(status, json.dumps(value, separators=(",", ":")).encode(), headers=named)


@dataclass(slots=True)
class Session:
    """A login: its token, whose it is, and its cart (product id to quantity)."""

    token: str
    username: str
    cart: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Order:
    id: str
    username: str
    lines: list[dict[str, Any]]
    total: float
    paid_at: float | None = None
    """On the monotonic clock: when an accepted payment will have settled."""

    @property
    def status(self) -> str:
        if self.paid_at is None:
            return "pending"
        return "paid" if time.monotonic() >= self.paid_at else "processing"

    def shown(self) -> dict[str, Any]:
        return {
            "id": self.id, "customer": self.username, "status": self.status,
            "lines": self.lines, "total": self.total, "currency": "EUR",
        }  # fmt: skip


class Shop:
    """The shop's state and its endpoints. `answer` never raises for what a client sent."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.orders: dict[str, Order] = {}
        self.stock = {product["id"]: product["stock"] for product in PRODUCTS}
        self.shipping_calls = 0
        self.requests = 0
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., Answer]]] = [
            (method, re.compile(pattern), endpoint)
            for method, pattern, endpoint in (
                ("GET", r"/health", self.health),
                ("POST", r"/auth/login", self.log_in),
                ("POST", r"/auth/logout", self.log_out),
                ("GET", r"/me", self.me),
                ("GET", r"/catalog", self.catalog),
                ("GET", r"/sale", self.sale),
                ("GET", r"/products/([^/]+)", self.product),
                ("POST", r"/coupons/check", self.check_coupon),
                ("GET", r"/shipping", self.shipping),
                ("GET", r"/cart", self.cart),
                ("POST", r"/cart", self.add_to_cart),
                ("DELETE", r"/cart", self.empty_cart),
                ("DELETE", r"/cart/([^/]+)", self.remove_from_cart),
                ("POST", r"/orders", self.place_order),
                ("GET", r"/orders/([^/]+)", self.order),
                ("POST", r"/orders/([^/]+)/pay", self.pay),
                ("GET", r"/orders/([^/]+)/receipt", self.receipt),
                ("GET", r"/admin/stats", self.stats),
                ("GET", r"/admin/orders\.csv", self.export_orders),
            )
        ]

    def answer(self, call: Call) -> Answer:
        self.requests += 1
        allowed = []
        for method, pattern, endpoint in self._routes:
            if match := pattern.fullmatch(call.path):
                if method == call.method or (method == "GET" and call.method == "HEAD"):
                    try:
                        return endpoint(call, *match.groups())
                    except Refusal as refusal:
                        return refusal.answer
                allowed.append(method)
        if allowed:
            refused = Refusal(405, "method_not_allowed", f"{call.path} takes {', '.join(allowed)}").answer
            refused.headers.append(("Allow", ", ".join(allowed)))
            return refused
        return Refusal(404, "not_found", f"nothing at {call.path}").answer

    # Logging in

    def health(self, _call: Call) -> Answer:
        return as_json({"status": "ok", "products": len(PRODUCTS)})

    def log_in(self, call: Call) -> Answer:
        given = call.fields()
        password, name = USERS.get(str(given.get("username")), (None, ""))
        if password is None or not secrets.compare_digest(password.encode(), str(given.get("password")).encode()):
            raise Refusal(401, "wrong_credentials", "no such user and password")
        session = Session(token=f"shop_{secrets.token_urlsafe(24)}", username=str(given["username"]))
        self.sessions[session.token] = session
        return as_json(
            {"access_token": session.token, "token_type": "bearer", "expires_in": 3600, "customer": {"name": name}},
            Set_Cookie=f"last_user={session.username}; Path=/; HttpOnly; SameSite=Lax",
        )

    def log_out(self, call: Call) -> Answer:
        del self.sessions[self._session(call).token]
        return Answer(204)

    def me(self, call: Call) -> Answer:
        session = self._session(call)
        return as_json({"username": session.username, "name": USERS[session.username][1]})

    def _session(self, call: Call) -> Session:
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        session = self.sessions.get(token.strip()) if scheme.lower() == "bearer" else None
        if session is None:
            refused = Refusal(401, "login_required", "log in first and send the token as a bearer")
            refused.answer.headers.append(("WWW-Authenticate", "Bearer"))
            raise refused
        return session

    # Browsing

    def catalog(self, call: Call) -> Answer:
        found = self._products()
        if category := call.query.get("category"):
            found = [product for product in found if product["category"] == category]
        if "max_price" in call.query:
            most = _number(call.query["max_price"], "max_price")
            found = [product for product in found if product["price"] <= most]
        if call.query.get("in_stock") == "true":
            found = [product for product in found if product["in_stock"]]
        answer = as_json({"products": found, "total": len(found)}, X_Total_Count=str(len(found)))
        etag = f'"{hashlib.sha256(answer.body).hexdigest()[:16]}"'
        answer.headers += [("ETag", etag), ("Cache-Control", "max-age=60")]
        if call.headers.get("if-none-match") == etag:
            return Answer(304, headers=answer.headers)
        return answer

    def sale(self, _call: Call) -> Answer:
        return Answer(302, headers=[("Location", "/catalog?max_price=10")])

    def product(self, _call: Call, identifier: str) -> Answer:
        return as_json(self._product(identifier))

    def _products(self) -> list[dict[str, Any]]:
        return [
            {key: product[key] for key in ("id", "sku", "name", "category", "price")}
            | {"currency": "EUR", "in_stock": self.stock[product["id"]] > 0}
            for product in PRODUCTS
        ]

    def _product(self, identifier: object) -> dict[str, Any]:
        for product in self._products():
            if str(product["id"]) == str(identifier):
                return product
        raise Refusal(404, "no_such_product", f"there is no product {identifier}")

    def check_coupon(self, call: Call) -> Answer:
        given = call.fields()
        amount = _number(given.get("amount"), "amount")
        percent, least, valid = COUPONS.get(str(given.get("code")), (0, 0, None))
        if valid is None:
            raise Refusal(404, "no_such_coupon", f"there is no coupon {given.get('code')}")
        if not valid:
            raise Refusal(410, "expired", "this coupon has expired")
        if amount < least:
            raise Refusal(422, "amount_too_small", f"this coupon needs {least} EUR", least=least)
        discount = round(amount * percent / 100, 2)
        return as_json({"code": given["code"], "discount": discount, "total": round(amount - discount, 2)})

    def shipping(self, _call: Call) -> Answer:
        self.shipping_calls += 1
        if self.shipping_calls % 3 == 1:
            refused = Refusal(503, "try_again", "the carrier did not answer")
            refused.answer.headers.append(("Retry-After", "0"))
            raise refused
        return as_json({"carrier": "Kite Post", "days": 2, "price": 4.9})

    # Cart

    def cart(self, call: Call) -> Answer:
        return as_json(self._cart(self._session(call)))

    def _cart(self, session: Session) -> dict[str, Any]:
        lines = []
        for identifier, quantity in session.cart.items():
            product = self._product(identifier)
            price = round(product["price"] * quantity, 2)
            lines.append({"product_id": identifier, "name": product["name"], "quantity": quantity, "price": price})
        return {"lines": lines, "total": round(sum(line["price"] for line in lines), 2), "currency": "EUR"}

    def add_to_cart(self, call: Call) -> Answer:
        session, given = self._session(call), call.fields()
        quantity = given.get("quantity", 1)
        if not isinstance(quantity, int) or isinstance(quantity, bool) or not 1 <= quantity <= 100:
            raise Refusal(422, "bad_quantity", "quantity is a whole number from 1 to 100", field="quantity")
        product = self._product(given.get("product_id"))
        wanted = session.cart.get(product["id"], 0) + quantity
        if wanted > self.stock[product["id"]]:
            raise Refusal(409, "out_of_stock", f"{product['name']} is out of stock", product_id=product["id"])
        session.cart[product["id"]] = wanted
        return as_json({"product_id": product["id"], "quantity": wanted}, 201)

    def remove_from_cart(self, call: Call, identifier: str) -> Answer:
        session = self._session(call)
        if not identifier.isdecimal() or session.cart.pop(int(identifier), None) is None:
            raise Refusal(404, "not_in_cart", f"product {identifier} is not in the cart")
        return Answer(204)

    def empty_cart(self, call: Call) -> Answer:
        self._session(call).cart.clear()
        return Answer(204)

    # Orders

    def place_order(self, call: Call) -> Answer:
        session = self._session(call)
        cart = self._cart(session)
        if not cart["lines"]:
            raise Refusal(409, "cart_is_empty", "put something into the cart first")
        for line in cart["lines"]:
            self.stock[line["product_id"]] = max(0, self.stock[line["product_id"]] - line["quantity"])
        order = Order(f"ord-{1001 + len(self.orders)}", session.username, cart["lines"], cart["total"])
        self.orders[order.id] = order
        session.cart.clear()
        return as_json(order.shown(), 201, Location=f"/orders/{order.id}")

    def order(self, call: Call, identifier: str) -> Answer:
        return as_json(self._order(call, identifier).shown())

    def _order(self, call: Call, identifier: str) -> Order:
        session, order = self._session(call), self.orders.get(identifier)
        if order is None or order.username != session.username:
            raise Refusal(404, "no_such_order", f"you have no order {identifier}")
        return order

    def pay(self, call: Call, identifier: str) -> Answer:
        order, given = self._order(call, identifier), call.fields()
        if str(given.get("card", "")).replace(" ", "") == DECLINED_CARD:
            raise Refusal(402, "card_declined", "the bank declined this card")
        if given.get("amount") != order.total:
            raise Refusal(422, "wrong_amount", f"the order is {order.total} EUR", field="amount")
        if order.paid_at is not None:
            raise Refusal(409, "already_paid", "this order has a payment")
        order.paid_at = time.monotonic() + SETTLING_SECONDS
        return as_json({"order_id": order.id, "status": order.status}, 202)

    def receipt(self, call: Call, identifier: str) -> Answer:
        order = self._order(call, identifier)
        if order.status != "paid":
            raise Refusal(409, "not_paid", "there is a receipt once the order is paid")
        rows = "".join(
            f"<tr><td class='name'>{html.escape(line['name'])}</td><td>{line['quantity']}</td>"
            f"<td class='price'>{line['price']:.2f}</td></tr>"
            for line in order.lines
        )
        page = (
            f"<!doctype html><html lang='en'><head><title>Receipt {order.id}</title></head><body>"
            f"<h1>Receipt <span id='number'>{order.id}</span></h1><p>Thank you, {USERS[order.username][1]}.</p>"
            f"<table id='lines'>{rows}</table><p>Total <b id='total'>{order.total:.2f}</b> EUR</p></body></html>"
        )
        return Answer(200, page.encode(), "text/html; charset=utf-8")

    # For administrators

    def stats(self, call: Call) -> Answer:
        _check_admin(call)
        return as_json({"orders": len(self.orders), "logins": len(self.sessions), "requests": self.requests})

    def export_orders(self, call: Call) -> Answer:
        _check_admin(call)
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["id", "customer", "status", "total"])
        writer.writerows([order.id, order.username, order.status, order.total] for order in self.orders.values())
        named = [("Content-Disposition", 'attachment; filename="orders.csv"')]
        return Answer(200, text.getvalue().encode(), "text/csv; charset=utf-8", named)


def _check_admin(call: Call) -> None:
    if not secrets.compare_digest(call.headers.get("x-api-key", "").encode(), ADMIN_KEY.encode()):
        raise Refusal(403, "admin_only", "send the administrator's key as X-Api-Key")


def _number(value: object, name: str) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise Refusal(422, "not_a_number", f"{name} is a number", field=name) from None


# HTTP/1.1 with keep-alive, as far as the shop needs it.


async def serve(shop: Shop, port: int, ready: Callable[[str], object]) -> None:
    """Serve until cancelled. Port 0 takes a free one; `ready` is told the URL once connections are accepted."""
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            while await _exchange(shop, reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # the client has gone, or does not speak HTTP, or we are stopping
        finally:
            connections.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port, limit=MAX_HEADER, backlog=1024)
    try:
        ready(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await asyncio.Event().wait()
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _exchange(shop: Shop, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """One request and its answer. True if the connection stays open for another."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as cut_short:
        if cut_short.partial:
            raise
        return False
    first, *lines = head.decode("latin-1").split("\r\n")
    try:
        method, target, version = first.split(" ")
        headers = {name.strip().lower(): text.strip() for name, text in (line.split(":", 1) for line in lines if line)}
        length = int(headers.get("content-length", "0"))
        if "transfer-encoding" in headers or not 0 <= length <= MAX_BODY:
            raise ValueError("the shop takes bodies of a stated length, at most 1 MiB")
    except ValueError as error:
        _send(writer, Refusal(400, "bad_request", str(error)).answer, close=True)
        return False
    body = await reader.readexactly(length) if length else b""
    parts = urlsplit(target)
    call = Call(method, unquote(parts.path), dict(parse_qsl(parts.query)), headers, body)
    close = version == "HTTP/1.0" or headers.get("connection", "").lower() == "close"
    _send(writer, shop.answer(call), close=close, without_body=method == "HEAD")
    await writer.drain()
    return not close


def _send(writer: asyncio.StreamWriter, answer: Answer, *, close: bool, without_body: bool = False) -> None:
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    if answer.status not in (204, 304):
        lines += [f"Content-Type: {answer.content_type}", f"Content-Length: {len(answer.body)}"]
    lines += [f"{name}: {text}" for name, text in answer.headers]
    lines.append(f"Connection: {'close' if close else 'keep-alive'}\r\n\r\n")
    head = "\r\n".join(lines).encode("latin-1")
    writer.write(head if without_body or answer.status in (204, 304) else head + answer.body)


@contextmanager
def running(port: int = 0) -> Iterator[str]:
    """A fresh shop in a thread of this process, for as long as the block runs; gives its URL.

    Raises:
        OSError: the port is taken.
    """
    loop = asyncio.new_event_loop()
    url: Future[str] = Future()

    def run() -> None:
        try:
            loop.run_until_complete(serving)
        except asyncio.CancelledError:
            pass
        except OSError as error:
            url.set_exception(error)
        finally:
            loop.close()

    serving = loop.create_task(serve(Shop(), port, url.set_result))
    thread = threading.Thread(target=run, name="shop")
    thread.start()
    try:
        yield url.result()
    finally:
        with suppress(RuntimeError):  # the loop has ended by itself
            loop.call_soon_threadsafe(serving.cancel)
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description="The shop API of Orbit's examples.")
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one")
    port = parser.parse_args().port
    try:
        asyncio.run(serve(Shop(), port, lambda url: print(f"shop API on {url}", flush=True)))
    except KeyboardInterrupt:
        print("stopped")
    except OSError as error:
        raise SystemExit(f"cannot listen on port {port}: {os.strerror(error.errno or 0)}; try --port 0") from None


if __name__ == "__main__":
    main()
