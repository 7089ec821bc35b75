"""The default transport: libcurl's multi interface, driven by the running event loop.

libcurl tells which sockets it waits for and when it wants to be woken; the event loop does both, so that no thread is
needed and database work runs beside it. Any selector-style loop will do, uvloop included.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
from typing import TYPE_CHECKING, Any

import pycurl

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
    TransportError,
    without_secrets,
)
from orbit_runner.transport.trust import system_bundle
from orbit_runner.transport.url import Target, parse_url

if TYPE_CHECKING:
    from collections.abc import Callable

_HTTP_VERSIONS = {
    "auto": pycurl.CURL_HTTP_VERSION_2TLS,
    "1.1": pycurl.CURL_HTTP_VERSION_1_1,
    "2": pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE,
}

# libcurl's error numbers (CURLE_…) that mean one thing whenever they come.
_CATEGORIES: dict[int, Category] = {
    1: "protocol",  # UNSUPPORTED_PROTOCOL: the scheme is checked before, so the server spoke HTTP/0.9
    3: "invalid_url",  # URL_MALFORMAT
    4: "unsupported",  # NOT_BUILT_IN
    5: "proxy",  # COULDNT_RESOLVE_PROXY
    6: "dns",  # COULDNT_RESOLVE_HOST
    7: "connect",  # COULDNT_CONNECT
    8: "protocol",  # WEIRD_SERVER_REPLY
    16: "protocol",  # HTTP2
    18: "incomplete",  # PARTIAL_FILE
    23: "body_too_large",  # WRITE_ERROR: only our own cap refuses to take a chunk
    26: "invalid_request",  # READ_ERROR: the body could not be read
    28: "timeout",  # OPERATION_TIMEDOUT
    35: "tls",  # SSL_CONNECT_ERROR
    42: "reset",  # ABORTED_BY_CALLBACK: only `only_once` aborts
    43: "tls",  # BAD_FUNCTION_ARGUMENT: a private key that its password does not open
    52: "reset",  # GOT_NOTHING
    53: "tls",
    54: "tls",
    55: "reset",  # SEND_ERROR
    56: "reset",  # RECV_ERROR
    58: "tls",  # SSL_CERTPROBLEM: our own certificate
    59: "tls",
    60: "tls",  # PEER_FAILED_VERIFICATION
    61: "protocol",  # BAD_CONTENT_ENCODING
    64: "tls",
    66: "tls",
    77: "tls",  # SSL_CACERT_BADFILE
    80: "tls",
    82: "tls",
    83: "tls",
    90: "tls",
    91: "tls",
    92: "protocol",  # HTTP2_STREAM
    97: "proxy",  # PROXY: a SOCKS handshake
    98: "tls",  # SSL_CLIENTCERT: the server wants a certificate
    100: "protocol",  # TOO_LARGE: a header
}


# What libcurl may send a second time when a connection that it reused ends without an answer (RFC 9110, section 9.2.2).
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})

_RESOLVER_PATIENCE = 60.0
"""Longer than any system resolver asks for one name, in seconds."""

_SPARE_HANDLES = 256


class _Transfer:
    """One exchange on one easy handle: what libcurl delivers, gathered."""

    __slots__ = (
        "attempts",
        "cap",
        "chunks",
        "curl",
        "future",
        "lines",
        "mime",
        "overflow",
        "refused_address",
        "size",
        "target",
    )

    def __init__(self, curl: Any, target: Target, cap: int, future: asyncio.Future[tuple[int, str] | None]) -> None:
        self.curl = curl
        self.target = target
        self.cap = cap
        self.future = future
        self.lines: list[bytes] = []
        self.chunks: list[bytes] = []
        self.size = 0
        self.overflow = False
        self.attempts = 0
        self.refused_address: str | None = None
        self.mime: Any = None

    def write(self, chunk: bytes) -> int | None:
        """Takes a decompressed chunk (16 KiB at most); any number but its length stops the transfer at once."""
        self.size += len(chunk)
        if self.size > self.cap:
            self.overflow = True
            return -1
        self.chunks.append(chunk)
        return None

    def only_once(self, *_: object) -> int:
        """Asked before the request is written, and again before libcurl repeats it on a fresh connection."""
        self.attempts += 1
        return int(pycurl.PREREQFUNC_OK if self.attempts == 1 else pycurl.PREREQFUNC_ABORT)


class CurlTransport:
    """Sends requests with libcurl.

    `max_connections` caps the connections open at once and `max_per_host` those to one host (0: no cap of its own);
    requests beyond wait, within their deadline. `address_filter` is asked before every connection with the IP address
    that is about to be dialled; False refuses it.
    """

    def __init__(
        self,
        *,
        max_connections: int = 256,
        max_per_host: int = 0,
        address_filter: Callable[[str], bool] | None = None,
    ) -> None:
        self._address_filter = address_filter
        self._bundle: str | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.Handle | None = None
        self._watched: dict[int, int] = {}
        self._transfers: dict[Any, _Transfer] = {}
        self._free: list[Any] = []
        self._closed = False
        self._resolving_until = 0.0  # on the loop's clock: until then, a thread may be asking for a name in vain
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, max_connections)
        self._multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, max_connections)
        self._multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, max_per_host)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)

    async def send(self, request: HttpRequest) -> HttpResponse:
        """See :meth:`orbit_runner.transport.port.Transport.send`."""
        if self._closed:
            raise TransportError("closed", "The transport is closed.")
        target = parse_url(request.url)
        check_request(request)
        loop = self._bound_loop()
        curl = self._free.pop() if self._free else pycurl.Curl()
        transfer = _Transfer(curl, target, request.max_body_bytes, loop.create_future())
        try:
            self._configure(transfer, request)
            self._multi.add_handle(curl)
            self._transfers[curl] = transfer
            failure = await transfer.future
            head = _read_head(transfer.lines) if failure is None else None
            if head is None:  # libcurl takes a header block that breaks off for a complete answer
                raise self._error(transfer, request, *(failure or (18, "the header block is cut off")))
            return self._response(transfer, request, head)
        except pycurl.error as error:
            code, message = error.args if len(error.args) == 2 else (0, str(error))
            raise TransportError(
                _CATEGORIES.get(code, "unsupported"),
                f"{target.authority}: the request cannot be set up ({message}).",
                url=without_secrets(request.url),
            ) from None
        finally:
            if self._transfers.pop(curl, None) is not None:  # cancelled: drop the exchange and its connection now
                self._drop(transfer)
            self._take_back(transfer)

    async def close(self) -> None:
        """See :meth:`orbit_runner.transport.port.Transport.close`."""
        if self._closed:
            return
        self._closed = True
        self._fail_all(-1, "closed")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._resolving_until > self._bound_loop().time():
            # libcurl waits for the threads that still ask for a name, which may take a resolver's ten seconds.
            self._multi.setopt(pycurl.M_SOCKETFUNCTION, None)
            self._multi.setopt(pycurl.M_TIMERFUNCTION, None)
            threading.Thread(target=self._multi.close, name="orbit-close-names", daemon=True).start()
        else:
            self._multi.close()
        for curl in self._free:
            curl.close()
        self._free.clear()

    def _drop(self, transfer: _Transfer) -> None:
        """Ends a transfer that is under way, its connection included."""
        if _phase(transfer.curl.getinfo, transfer) == "dns":
            self._resolving_until = self._bound_loop().time() + _RESOLVER_PATIENCE
        self._multi.remove_handle(transfer.curl)

    def _take_back(self, transfer: _Transfer) -> None:
        """The handle is used again, with nothing left of this exchange."""
        if transfer.mime is not None:
            transfer.mime.close()  # before the reset: closing it turns the handle to POST again
        if self._closed or len(self._free) >= _SPARE_HANDLES:
            transfer.curl.close()
        else:
            transfer.curl.reset()
            self._free.append(transfer.curl)

    def _fail_all(self, code: int, message: str) -> None:
        transfers = list(self._transfers.values())
        self._transfers.clear()
        for transfer in transfers:
            self._drop(transfer)
            if not transfer.future.done():
                transfer.future.set_result((code, message))

    # ------------------------------------------------------------------------------------------------ the event loop

    def _bound_loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the first request, which all later ones must share."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def _on_socket(self, what: int, fd: int, _multi: object, _data: object) -> None:
        loop = self._bound_loop()
        before = self._watched.pop(fd, 0)
        wanted = 0 if what == pycurl.POLL_REMOVE else what
        if before & ~wanted & pycurl.POLL_IN:
            loop.remove_reader(fd)
        if before & ~wanted & pycurl.POLL_OUT:
            loop.remove_writer(fd)
        if wanted & ~before & pycurl.POLL_IN:
            loop.add_reader(fd, self._act, fd, pycurl.CSELECT_IN)
        if wanted & ~before & pycurl.POLL_OUT:
            loop.add_writer(fd, self._act, fd, pycurl.CSELECT_OUT)
        if wanted:
            self._watched[fd] = wanted

    def _on_timer(self, milliseconds: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if milliseconds < 0 or self._closed:
            return
        loop = self._bound_loop()
        if milliseconds == 0:  # never act from inside libcurl
            self._timer = loop.call_soon(self._on_time)
        else:
            self._timer = loop.call_later(milliseconds / 1000, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._act(pycurl.SOCKET_TIMEOUT, 0)

    def _act(self, fd: int, events: int) -> None:
        if self._closed:
            return
        try:
            _, running = self._multi.socket_action(fd, events)
        except pycurl.error as error:  # out of memory or descriptors: no transfer would ever end
            self._fail_all(0, str(error.args[-1]))
            return
        if running == len(self._transfers):  # nothing ended: spare the question
            return
        queued = 1
        while queued:
            queued, done, failed = self._multi.info_read()
            for curl in done:
                self._finish(curl, None)
            for curl, code, message in failed:
                self._finish(curl, (code, message))

    def _finish(self, curl: Any, failure: tuple[int, str] | None) -> None:
        self._multi.remove_handle(curl)
        transfer = self._transfers.pop(curl)
        if not transfer.future.done():
            transfer.future.set_result(failure)

    # -------------------------------------------------------------------------------------------------- the request

    def _configure(self, transfer: _Transfer, request: HttpRequest) -> None:
        curl, target = transfer.curl, transfer.target
        set_option = curl.setopt
        set_option(pycurl.NOSIGNAL, 1)
        set_option(pycurl.URL, target.url)
        set_option(pycurl.PATH_AS_IS, 1)
        if request.proxy is None and "%" in target.url:  # libcurl would write escapes in capitals
            set_option(pycurl.REQUEST_TARGET, target.path)
        set_option(pycurl.HEADERFUNCTION, transfer.lines.append)
        set_option(pycurl.WRITEFUNCTION, transfer.write)
        set_option(pycurl.USERAGENT, USER_AGENT)
        set_option(pycurl.TIMEOUT_MS, _milliseconds(request.timeout))
        set_option(pycurl.HTTP_VERSION, _HTTP_VERSIONS[request.http_version])
        if request.connect_timeout is not None:
            set_option(pycurl.CONNECTTIMEOUT_MS, _milliseconds(request.connect_timeout))
        if request.proxy != "env":
            set_option(pycurl.PROXY, (request.proxy or "").encode())
        if request.proxy is not None:
            set_option(pycurl.PROXY_CAINFO, self._system_bundle())
        if request.decompress:
            set_option(pycurl.ACCEPT_ENCODING, "")
        if target.scheme == "https":
            self._configure_tls(curl, request)
        if self._address_filter is not None:
            self._filter_addresses(transfer, self._address_filter)
        self._configure_message(transfer, request)

    def _configure_message(self, transfer: _Transfer, request: HttpRequest) -> None:
        curl = transfer.curl
        lines: list[str | bytes] = []
        told: set[str] = set()
        for name, value in request.headers:
            told.add(name.lower())
            if value is None:
                lines.append(f"{name}:")
            elif not value or value.isspace():
                lines.append(f"{name};")  # libcurl's way to write a header without a value
            elif value.isascii():
                lines.append(f"{name}: {value}")
            else:
                lines.append(f"{name}: {value}".encode())
        if request.decompress and "accept-encoding" not in told:
            lines.append("Accept-Encoding:")  # what comes compressed is decompressed, but nothing is asked for
        method, body = request.method, request.body
        if isinstance(body, Multipart):
            self._attach_multipart(transfer, body)
        elif body or needs_length(method):
            curl.setopt(pycurl.POSTFIELDS, body or b"")
            if "content-type" not in told:
                lines.append("Content-Type:")
        if body and "expect" not in told:
            lines.append("Expect:")
        if method == "HEAD":
            if body:
                raise TransportError("unsupported", "A HEAD request with a body cannot be sent by this transport.")
            curl.setopt(pycurl.NOBODY, 1)
        elif method != "GET" or body:
            curl.setopt(pycurl.CUSTOMREQUEST, method)
        if method not in _IDEMPOTENT:
            curl.setopt(pycurl.PREREQFUNCTION, transfer.only_once)
        if lines:
            curl.setopt(pycurl.HTTPHEADER, lines)

    def _attach_multipart(self, transfer: _Transfer, body: Multipart) -> None:
        transfer.mime = mime = pycurl.CurlMime(transfer.curl)
        for part in body.parts:
            piece = mime.addpart()
            piece.name(part.name.encode())
            if isinstance(part, FilePart):
                if isinstance(part.content, bytes):
                    piece.data(part.content)
                else:
                    if not part.content.is_file():
                        raise TransportError("invalid_request", f"The file {str(part.content)!r} cannot be read.")
                    piece.filedata(os.fsencode(part.content))
                piece.filename(file_name(part).encode())
                piece.type(file_type(part).encode())
            else:
                piece.data(part.value if isinstance(part.value, bytes) else part.value.encode())
                if part.content_type is not None:
                    piece.type(part.content_type.encode())
        transfer.curl.setopt(pycurl.MIMEPOST, mime)

    def _configure_tls(self, curl: Any, request: HttpRequest) -> None:
        tls = request.tls
        if tls.verify:
            curl.setopt(pycurl.CAINFO, os.fsencode(tls.ca_file or self._system_bundle()))
        else:
            curl.setopt(pycurl.SSL_VERIFYPEER, 0)
            curl.setopt(pycurl.SSL_VERIFYHOST, 0)
        if tls.cert_file is not None:
            curl.setopt(pycurl.SSLCERT, os.fsencode(tls.cert_file))
        if tls.key_file is not None:
            curl.setopt(pycurl.SSLKEY, os.fsencode(tls.key_file))
        if tls.key_password is not None:
            curl.setopt(pycurl.KEYPASSWD, tls.key_password.encode())

    def _system_bundle(self) -> str:
        if self._bundle is None:
            self._bundle = system_bundle()
        return self._bundle

    def _filter_addresses(self, transfer: _Transfer, allowed: Callable[[str], bool]) -> None:
        """Asks `allowed` about the very address that is dialled next: nothing is resolved a second time."""
        import socket

        def open_socket(_purpose: int, address: tuple[int, int, int, tuple[Any, ...]]) -> Any:
            family, kind, protocol, name = address
            ip = name[0]
            if not allowed(ip.decode() if isinstance(ip, bytes) else ip):
                transfer.refused_address = ip.decode() if isinstance(ip, bytes) else ip
                return pycurl.SOCKET_BAD
            return socket.socket(family, kind, protocol).detach()  # libcurl closes it

        transfer.curl.setopt(pycurl.OPENSOCKETFUNCTION, open_socket)

    # --------------------------------------------------------------------------------------------------- the answer

    def _response(self, transfer: _Transfer, request: HttpRequest, head: _Head) -> HttpResponse:
        info = transfer.curl.getinfo
        version, status, reason, headers, trailers = head
        chunks = transfer.chunks
        return HttpResponse(
            status=status,
            reason=reason,
            http_version=version,
            headers=headers,
            body=chunks[0] if len(chunks) == 1 else b"".join(chunks),
            url=request.url,
            timings=_timings(info),
            wire_bytes=info(pycurl.SIZE_DOWNLOAD_T),
            remote_ip=info(pycurl.PRIMARY_IP) or None,
            remote_port=info(pycurl.PRIMARY_PORT) or None,
            trailers=trailers,
        )

    def _error(self, transfer: _Transfer, request: HttpRequest, code: int, message: str) -> TransportError:
        info = transfer.curl.getinfo
        where = transfer.target.authority
        elapsed = info(pycurl.TOTAL_TIME_T) / 1e6
        phase = _phase(info, transfer)
        if phase == "dns":
            self._resolving_until = self._bound_loop().time() + _RESOLVER_PATIENCE
        category: Category = _CATEGORIES.get(code, "protocol")
        hint = None
        if code == -1:
            category, text = "closed", "the transport was closed"
        elif transfer.overflow:
            category, text = "body_too_large", f"the body is larger than {transfer.cap} bytes (decompressed)"
            hint = "Raise max_body_bytes if the body is meant to be that large."
        elif transfer.refused_address is not None and category == "connect":
            category, text = "address_refused", f"the address {transfer.refused_address} may not be dialled"
        elif category == "timeout":
            text = _timeout_text(request, phase, elapsed)
        elif code in (55, 56) and "CONNECT" in message:
            category, text = "proxy", f"the proxy opened no tunnel ({message})"
        elif category == "connect" and request.proxy is not None and info(pycurl.USED_PROXY):
            category, text = "proxy", f"the proxy cannot be reached ({message})"
        elif code == 56 and "oo large" in message:
            category, text = "protocol", f"the header block is too large ({message})"
        elif code == 56 and not info(pycurl.OS_ERRNO) and not message.startswith(("Recv", "Failure", "OpenSSL")):
            category, text = "protocol", message
        elif category == "reset":
            text = "the server closed the connection" if code in (42, 52) else "the connection was reset"
            text += " without an answer" if phase != "transfer" else " in the middle of the answer"
        elif category == "incomplete":
            text = f"the server closed the connection in the middle of the answer ({message})"
        else:
            number = info(pycurl.OS_ERRNO)
            text = os.strerror(number).lower() if category == "connect" and number else message
            if category == "tls":
                hint = _TLS_HINTS.get(code)
        return TransportError(
            category,
            f"{where}: {text}.",
            phase=phase,
            elapsed=elapsed,
            url=without_secrets(request.url),
            detail=message or None,
            hint=hint,
        )


_TLS_HINTS = {
    60: "Name the authority's certificate (ca_file), or switch verification off for this environment (verify).",
    77: "The file named as ca_file cannot be read as PEM.",
    58: "Check cert_file, key_file and key_password.",
    43: "Check cert_file, key_file and key_password.",
}


def _milliseconds(seconds: float) -> int:
    """libcurl's unit; 0 would mean "never", and what is beyond a month means it too."""
    return max(1, math.ceil(min(seconds, 2_000_000.0) * 1000))


def _timings(info: Any) -> Timings:
    """Phase lengths from libcurl's marks, which count microseconds from the start of the exchange."""
    queue = info(pycurl.QUEUE_TIME_T)
    name_lookup = info(pycurl.NAMELOOKUP_TIME_T)
    connect = info(pycurl.CONNECT_TIME_T)
    app_connect = info(pycurl.APPCONNECT_TIME_T)
    first_byte = info(pycurl.STARTTRANSFER_TIME_T)
    total = info(pycurl.TOTAL_TIME_T)
    if info(pycurl.NUM_CONNECTS) == 0:
        return Timings(
            queue / 1e6, 0.0, 0.0, 0.0, max(0, first_byte - queue) / 1e6, (total - first_byte) / 1e6, total / 1e6, True
        )
    return Timings(
        queue=queue / 1e6,
        dns=max(0, name_lookup - queue) / 1e6,
        connect=max(0, connect - name_lookup) / 1e6,
        tls=max(0, app_connect - connect) / 1e6,
        first_byte=max(0, first_byte - max(connect, app_connect)) / 1e6,
        transfer=(total - first_byte) / 1e6,
        total=total / 1e6,
        reused=False,
    )


def _phase(info: Any, transfer: _Transfer) -> Phase:
    """How far a failed exchange came; libcurl fills the later marks when it gives up, so only the earlier ones count."""
    if info(pycurl.REQUEST_SIZE):
        return "transfer" if transfer.lines else "first_byte"
    if info(pycurl.CONNECT_TIME_T):
        return "tls" if transfer.target.scheme == "https" else "request"
    if info(pycurl.NAMELOOKUP_TIME_T):
        return "connect"
    return "dns" if info(pycurl.CONN_ID) >= 0 else "queue"


def _timeout_text(request: HttpRequest, phase: Phase, elapsed: float) -> str:
    waiting: dict[Phase, str] = {
        "queue": "while waiting for a free connection",
        "dns": "while the name was resolved",
        "connect": "while connecting",
        "tls": "in the TLS handshake",
        "request": "while the request was sent",
        "first_byte": "before the first byte of the answer",
        "transfer": "in the middle of the answer",
    }
    return f"no complete answer within {elapsed:.3g} s; it ended {waiting.get(phase, phase)}"


_Head = tuple[str, int, str, list[tuple[str, str]], list[tuple[str, str]]]


def _read_head(lines: list[bytes]) -> _Head | None:
    """Version, status, reason, headers and trailers of the last answer in `lines`; None where its headers break off.

    libcurl delivers every header block on the way: interim answers (1xx) and a proxy's answer to CONNECT come first.
    """
    status_line = b""
    headers: list[tuple[str, str]] = []
    trailers: list[tuple[str, str]] = []
    inside = False
    for line in lines:
        stripped = line.rstrip(b"\r\n")
        if inside:
            if stripped:
                name, _, value = stripped.partition(b":")
                headers.append((decode_header(name), decode_header(value.strip(b" \t"))))
            else:
                inside = False
        elif stripped.startswith(b"HTTP/"):
            inside, status_line, headers = True, stripped, []
        elif stripped:
            name, _, value = stripped.partition(b":")
            trailers.append((decode_header(name), decode_header(value.strip(b" \t"))))
    if inside or not status_line:
        return None
    version, _, rest = decode_header(status_line).partition(" ")
    status, _, reason = rest.partition(" ")
    return version[5:], int(status), reason, headers, trailers
