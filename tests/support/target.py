"""A system under test for whole runs: the hostile server, and some well-behaved places beside.

/login hands out a token, /me wants it; /hold answers when `release` is set; /slow?seconds=0.1; /flaky/NAME?fails=2;
/item/7 is {"id": 7}; /json?is=… and /text?is=… say what they are told to.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from support.hostile import HostileServer, Request

if TYPE_CHECKING:
    from typing import Any

TOKEN = "tok-Zx81+/=canary"
_JSON = [("Content-Type", "application/json")]


@dataclass
class Target(HostileServer):
    """See the module; `token` is what /login gives."""

    token: str = TOKEN
    release: asyncio.Event = field(default_factory=asyncio.Event)
    seen: Counter[str] = field(default_factory=Counter)

    def paths(self) -> list[str]:
        """What was asked for, in order, without queries."""
        return [urlsplit(request.target).path for request in self.requests]

    def _say(self, writer: asyncio.StreamWriter, request: Request, value: Any, status: int = 200) -> None:
        self.reply(writer, request, status, json.dumps(value).encode(), _JSON)

    async def do_login(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self._say(writer, request, {"access_token": self.token})

    async def do_me(self, request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(float(request.query.get("seconds", "0")))
        known = request.values("authorization") == [f"Bearer {self.token}"]
        self._say(writer, request, {"user": "demo"} if known else {"error": "who are you?"}, 200 if known else 401)

    async def do_hold(self, request: Request, writer: asyncio.StreamWriter) -> None:
        await self.release.wait()
        self._say(writer, request, {"held": True})

    async def do_slow(self, request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(float(request.query["seconds"]))
        self._say(writer, request, {"slow": True})

    async def do_flaky(self, request: Request, writer: asyncio.StreamWriter) -> None:
        path = urlsplit(request.target).path
        self.seen[path] += 1
        good = self.seen[path] > int(request.query.get("fails", "1"))
        self._say(writer, request, {"good": good}, 200 if good else 503)

    async def do_item(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self._say(writer, request, {"id": int(urlsplit(request.target).path.split("/")[2])})

    async def do_json(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self._say(writer, request, json.loads(request.query["is"]))

    async def do_text(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.reply(writer, request, 200, request.query["is"].encode("latin-1"), [("Content-Type", "text/plain")])

    async def do_bytes(self, request: Request, writer: asyncio.StreamWriter) -> None:
        """Not UTF-8, although it says so."""
        self.reply(writer, request, 200, b'{"a": "\xff\xfe"}', [("Content-Type", "application/json; charset=utf-8")])
