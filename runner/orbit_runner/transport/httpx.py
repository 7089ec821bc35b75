"""The second, portable transport: httpx, pure Python on any platform and any event loop that anyio knows.

It is some twenty times slower than libcurl and tells less: the phases of a connection only in part, no HTTP/2, no
trailers, no SOCKS. It holds the same limits, with a deadline and a decompression of its own.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import errno
import os
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import httpx

from orbit_runner.transport.decoding import Decoder, UnknownEncodingError, decode, decoders
from orbit_runner.transport.message import (
    USER_AGENT,
    check_request,
    decode_header,
    file_name,
    file_type,
    needs_length,
)
from orbit_runner.transport.port import (
    Category,
    FilePart,
    HttpRequest,
    HttpResponse,
    Multipart,
    Phase,
    Timings,
    TlsOptions,
    TransportError,
    without_secrets,
)
from orbit_runner.transport.trust import system_bundle
from orbit_runner.transport.url import Target, parse_url

if TYPE_CHECKING:
    from collections.abc import Iterator

_Profile = tuple[str, TlsOptions | None, str | None]


class _Marks:
    """When each step of an exchange began and ended, as httpcore reports them."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.at: dict[str, float] = {}
        self.stream: Any = None

    async def __call__(self, event: str, info: Any) -> None:
        self.at[event] = time.perf_counter() - self.began
        if event == "connection.connect_tcp.complete":
            self.stream = info["return_value"]

    def between(self, step: str) -> float:
        begin, end = self.at.get(f"{step}.started"), self.at.get(f"{step}.complete")
        return 0.0 if begin is None or end is None else end - begin

    @property
    def reused(self) -> bool:
        return "connection.connect_tcp.started" not in self.at

    @property
    def phase(self) -> Phase:
        at = self.at
        if "http11.receive_response_headers.complete" in at:
            return "transfer"
        if "http11.receive_response_headers.started" in at:
            return "first_byte"
        if "http11.send_request_headers.started" in at:
            return "request"
        if "connection.start_tls.started" in at:
            return "tls"
        return "connect"

    def timings(self) -> Timings:
        total = time.perf_counter() - self.began
        connect, tls = self.between("connection.connect_tcp"), self.between("connection.start_tls")
        queue = self.at.get("queue", 0.0)
        answered = self.at.get("http11.receive_response_headers.complete", total)
        return Timings(
            queue=queue,
            dns=0.0 if self.reused else None,
            connect=connect,  # with the name's resolution, which httpx does not report apart
            tls=tls,
            first_byte=max(0.0, answered - queue - connect - tls),
            transfer=total - answered,
            total=total,
            reused=self.reused,
        )


class HttpxTransport:
    """Sends requests with httpx.

    `max_connections` caps the requests under way at once; the others wait, within their deadline. httpx's own pool
    slows down with the number of requests that share it, so that each request under way has a small pool to itself.
    """

    def __init__(self, *, max_connections: int = 100) -> None:
        self._slots = asyncio.Semaphore(max_connections)
        self._free: dict[_Profile, list[httpx.AsyncHTTPTransport]] = {}
        self._busy: set[httpx.AsyncHTTPTransport] = set()
        self._contexts: dict[TlsOptions | None, ssl.SSLContext] = {}
        self._closed = False

    async def send(self, request: HttpRequest) -> HttpResponse:
        """See :meth:`orbit_runner.transport.port.Transport.send`."""
        if self._closed:
            raise TransportError("closed", "The transport is closed.")
        target = parse_url(request.url)
        check_request(request)
        if request.http_version == "2":
            raise TransportError("unsupported", f"{target.authority}: HTTP/2 needs the curl transport.")
        marks = _Marks()
        try:
            async with asyncio.timeout(request.timeout), self._slots:
                marks.at["queue"] = time.perf_counter() - marks.began
                return await self._exchange(request, target, marks)
        except TransportError as error:
            error.elapsed, error.url = time.perf_counter() - marks.began, without_secrets(request.url)
            raise
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            raise self._error(error, request, target, marks) from None

    async def close(self) -> None:
        """See :meth:`orbit_runner.transport.port.Transport.close`."""
        self._closed = True
        for pool in [*self._busy, *(pool for free in self._free.values() for pool in free)]:
            await pool.aclose()
        self._free.clear()

    # -------------------------------------------------------------------------------------------------- one exchange

    async def _exchange(self, request: HttpRequest, target: Target, marks: _Marks) -> HttpResponse:
        proxy = _environment_proxy(target) if request.proxy == "env" else request.proxy
        profile = (target.scheme, request.tls if target.scheme == "https" else None, proxy)
        free = self._free.setdefault(profile, [])
        pool = free.pop() if free else self._pool(profile, target)
        self._busy.add(pool)
        whole = False
        files = contextlib.ExitStack()
        try:
            answer = await pool.handle_async_request(_outgoing(request, target, proxy, marks, files))
            try:
                response = await _read(answer, request, target, marks)
            finally:
                await answer.aclose()
            whole = True
            return response
        finally:
            files.close()
            self._busy.discard(pool)
            if whole and not self._closed:
                free.append(pool)
            else:
                await pool.aclose()
                if marks.stream is not None:  # a TLS handshake that is cancelled leaves it open
                    await marks.stream.aclose()

    def _pool(self, profile: _Profile, target: Target) -> httpx.AsyncHTTPTransport:
        _, tls, proxy = profile
        if proxy is not None and proxy.startswith("socks"):
            raise TransportError("unsupported", f"{target.authority}: a SOCKS proxy needs the curl transport.")
        try:
            return httpx.AsyncHTTPTransport(
                verify=self._context(tls),
                proxy=self._proxy(proxy) if proxy else None,
                trust_env=False,
                limits=httpx.Limits(max_connections=8, max_keepalive_connections=8, keepalive_expiry=60),
            )
        except (ValueError, httpx.InvalidURL):
            raise TransportError("proxy", f"{target.authority}: the proxy's URL cannot be used.") from None

    def _proxy(self, url: str) -> httpx.Proxy:
        return httpx.Proxy(url, ssl_context=self._context(TlsOptions()) if url.startswith("https:") else None)

    def _context(self, tls: TlsOptions | None) -> ssl.SSLContext:
        context = self._contexts.get(tls)
        if context is None:
            context = self._contexts[tls] = _make_context(tls)
        return context

    def _error(self, error: Exception, request: HttpRequest, target: Target, marks: _Marks) -> TransportError:
        elapsed = time.perf_counter() - marks.began
        phase: Phase = "queue" if "queue" not in marks.at else marks.phase
        category, text = _explain(error, phase)
        if self._closed:
            category, text = "closed", "the transport was closed"
        elif category == "timeout":
            text = f"no complete answer within {elapsed:.3g} s; it ended in the phase {phase}"
        elif category == "dns":
            phase = "dns"
        return TransportError(
            category,
            f"{target.authority}: {text}.",
            phase=phase,
            elapsed=elapsed,
            url=without_secrets(request.url),
            detail=f"{type(error).__name__}: {error}" if str(error) else type(error).__name__,
        )


def _make_context(tls: TlsOptions | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if tls is None:  # plain HTTP: never used
        return context
    context.set_alpn_protocols(["http/1.1"])
    if tls.verify:
        try:
            context.load_verify_locations(tls.ca_file or system_bundle())
        except (OSError, ssl.SSLError) as error:
            raise TransportError("tls", f"ca_file {tls.ca_file!r} cannot be read as PEM.", detail=str(error)) from None
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file is not None:
        try:
            context.load_cert_chain(tls.cert_file, tls.key_file, tls.key_password or "")
        except (OSError, ssl.SSLError) as error:
            raise TransportError(
                "tls",
                f"The client certificate {tls.cert_file!r} cannot be used.",
                detail=str(error),
                hint="Check cert_file, key_file and key_password.",
            ) from None
    return context


# ------------------------------------------------------------------------------------------------------- the request


def _outgoing(
    request: HttpRequest, target: Target, proxy: str | None, marks: _Marks, files: contextlib.ExitStack
) -> httpx.Request:
    told = {name.lower() for name, _ in request.headers}
    headers: list[tuple[bytes, bytes]] = []
    if "user-agent" not in told:
        headers.append((b"User-Agent", USER_AGENT.encode()))
    if "accept" not in told:
        headers.append((b"Accept", b"*/*"))
    headers += [(name.encode(), value.strip(" \t").encode()) for name, value in request.headers if value is not None]
    if target.userinfo and "authorization" not in told:
        credentials = unquote_to_bytes(target.userinfo)
        headers.append(
            (b"Authorization", b"Basic " + base64.b64encode(credentials if b":" in credentials else credentials + b":"))
        )
    body = request.body or (b"" if needs_length(request.method) else None)
    extensions: dict[str, Any] = {
        "trace": marks,
        "timeout": {"connect": request.connect_timeout, "read": None, "write": None, "pool": None},
    }
    if proxy is None:
        extensions["target"] = target.path.encode()  # as written; httpx alone would normalise it
    elif target.scheme == "http":
        extensions["target"] = target.url.encode()
    url = target.url.replace(f"{target.userinfo}@", "", 1) if target.userinfo else target.url
    if isinstance(body, Multipart):
        outgoing = httpx.Request(request.method, url, headers=headers, files=_files(body, files), extensions=extensions)
    else:
        outgoing = httpx.Request(request.method, url, headers=headers, content=body, extensions=extensions)
    outgoing.method = request.method  # httpx would write it in capitals
    return outgoing


def _files(body: Multipart, opened: contextlib.ExitStack) -> list[tuple[str, Any]]:
    files: list[tuple[str, Any]] = []
    for part in body.parts:
        if isinstance(part, FilePart):
            if isinstance(part.content, bytes):
                content: Any = part.content
            else:
                try:
                    content = opened.enter_context(part.content.open("rb"))
                except OSError as error:
                    raise TransportError(
                        "invalid_request", f"The file {str(part.content)!r} cannot be read ({error.strerror})."
                    ) from None
            files.append((part.name, (file_name(part), content, file_type(part))))
        else:
            value = part.value if isinstance(part.value, bytes) else part.value.encode()
            files.append((part.name, (None, value, part.content_type) if part.content_type else (None, value)))
    return files


def _environment_proxy(target: Target) -> str | None:
    from urllib.request import getproxies, proxy_bypass

    if proxy_bypass(target.host):
        return None
    proxies = getproxies()
    return proxies.get(target.scheme) or proxies.get("all")


# -------------------------------------------------------------------------------------------------------- the answer


async def _read(answer: httpx.Response, request: HttpRequest, target: Target, marks: _Marks) -> HttpResponse:
    headers = [(decode_header(name), decode_header(value)) for name, value in answer.headers.raw]
    stream: Any = answer.extensions.get("network_stream")
    peer = stream.get_extra_info("server_addr") if stream is not None else None
    chain = _chain(headers, target) if request.decompress and request.method != "HEAD" else []
    pieces: list[bytes] = []
    size = wire_bytes = 0
    async for chunk in answer.aiter_raw():
        wire_bytes += len(chunk)
        try:
            for piece in decode(chain, chunk):
                size += len(piece)
                if size > request.max_body_bytes:
                    raise TransportError(
                        "body_too_large",
                        f"{target.authority}: the body is larger than {request.max_body_bytes} bytes (decompressed).",
                        phase="transfer",
                        hint="Raise max_body_bytes if the body is meant to be that large.",
                    )
                pieces.append(piece)
        except ValueError as error:
            raise TransportError(
                "protocol", f"{target.authority}: the body cannot be decompressed ({error}).", phase="transfer"
            ) from None
    return HttpResponse(
        status=answer.status_code,
        reason=decode_header(answer.extensions.get("reason_phrase", b"")),
        http_version=decode_header(answer.extensions.get("http_version", b"HTTP/1.1")).partition("/")[2],
        headers=headers,
        body=b"".join(pieces),
        url=request.url,
        timings=marks.timings(),
        wire_bytes=wire_bytes,
        remote_ip=peer[0] if peer else None,
        remote_port=peer[1] if peer else None,
    )


def _chain(headers: list[tuple[str, str]], target: Target) -> list[Decoder]:
    encoding = ", ".join(value for name, value in headers if name.lower() == "content-encoding")
    try:
        return decoders(encoding)
    except UnknownEncodingError as error:
        raise TransportError(
            "protocol",
            f"{target.authority}: the content encoding {str(error)!r} is not known here.",
            phase="transfer",
            hint="Ask for another one (Accept-Encoding), or take the body as it comes (decompress).",
        ) from None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        if isinstance(seen, BaseExceptionGroup):
            yield from seen.exceptions
        seen = seen.__cause__ or seen.__context__


def _explain(error: Exception, phase: Phase) -> tuple[Category, str]:
    """Category and cause of what httpx, httpcore, anyio or the socket raised."""
    causes = list(_causes(error))
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return "timeout", ""
    if isinstance(error, httpx.ProxyError):
        return "proxy", f"the proxy refused ({error})"
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return "tls", getattr(cause, "verify_message", None) or cause.reason or str(cause)
        if isinstance(cause, socket.gaierror):
            return "dns", f"the name could not be resolved ({cause.strerror})"
    if isinstance(error, httpx.ConnectError):
        numbers = [cause.errno for cause in causes if isinstance(cause, OSError) and cause.errno]
        return "connect", os.strerror(numbers[-1]).lower() if numbers else str(error)
    if isinstance(error, httpx.LocalProtocolError):
        return "invalid_request", f"the request cannot be written ({error})"
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return "invalid_url", str(error)
    text = str(error)
    if isinstance(error, httpx.RemoteProtocolError):
        if "incomplete" in text or "without sending complete" in text or "unexpectedly closed" in text:
            return "incomplete", f"the server closed the connection in the middle of the answer ({text})"
        if "disconnected without" in text:
            return "reset", "the server closed the connection without an answer"
        return "protocol", text
    if isinstance(error, httpx.NetworkError) or any(
        isinstance(cause, OSError) and cause.errno in {errno.ECONNRESET, errno.EPIPE} for cause in causes
    ):
        return "reset", "the connection was reset " + (
            "in the middle of the answer" if phase == "transfer" else "without an answer"
        )
    return "protocol", text or type(error).__name__
