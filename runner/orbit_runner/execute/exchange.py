"""What was sent and what came back, as JSON for results and reports: masked, and cut to size.

    {"request":  {"method", "url", "headers": [[name, value], …], "body"},
     "response": {"status", "reason", "http_version", "url", "headers", "body", "size", "wire_size", "remote_ip",
                  "cookies": [{"name", "value", …attributes}]},
     "timings":  {"queue", "dns", "connect", "tls", "first_byte", "transfer", "total"},      # seconds
     "hops":     [{"method", "url", "status", "location", "dropped_headers", "downgraded"}],
     "error":    {"category", "phase", "message", "elapsed"},                                # no answer came
     "polls":    3,
     "curl":     "curl -X POST …"}

A body is text; where it was cut `{"text", "truncated": true, "size"}`, where it is no text `{"binary": true, "size",
"sha256"}`, and of a multipart request `{"parts": […]}`. `request` is what the test asked for, before any redirect. Parts
that are not there are left out. Of a test that passed, bodies are cut earlier, and there is no `curl`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_runner.execute.command import curl_command
from orbit_runner.transport.port import FilePart, Multipart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orbit_context.extract.view import ResponseView
    from orbit_context.redact import Redactor
    from orbit_runner.transport.port import HttpRequest, HttpResponse, Timings, TransportError
    from orbit_runner.transport.session import Hop

__all__ = ["FULL_BODY", "PASSED_BODY", "describe_body", "describe_exchange"]

FULL_BODY = 16 * 1024
"""Characters of a body that are kept of a test that did not pass."""
PASSED_BODY = 1024
"""Characters of a body that are kept of a test that passed."""

_MARGIN = 8 * 1024
"""Characters masked beyond the cut and then dropped: a secret that the cut goes through must not leave its first half."""


def describe_exchange(
    request: HttpRequest,
    redactor: Redactor,
    *,
    response: HttpResponse | None = None,
    view: ResponseView | None = None,
    hops: Sequence[Hop] = (),
    error: TransportError | None = None,
    polls: int = 0,
    max_redirects: int = 0,
    full: bool = True,
) -> dict[str, Any]:
    """The exchange as JSON; `full` for a test that did not pass."""
    limit = FULL_BODY if full else PASSED_BODY
    if hops:
        request = hops[0].request
    told: dict[str, Any] = {
        "request": {
            "method": request.method,
            "url": redactor.redact_text(request.url),
            "headers": _headers(request.headers, redactor),
            "body": _request_body(request.body, limit, redactor),
        }
    }
    if response is not None:
        answer: dict[str, Any] = {
            "status": response.status,
            "reason": redactor.redact_text(response.reason),
            "http_version": response.http_version,
            "headers": _headers(response.headers, redactor),
            "body": describe_body(response.body, limit, redactor, view.charset if view is not None else None),
            "size": len(response.body),
        }
        if response.wire_bytes != len(response.body):
            answer["wire_size"] = response.wire_bytes
        if response.remote_ip is not None:
            answer["remote_ip"] = response.remote_ip
        if hops:
            answer["url"] = redactor.redact_text(response.url)
        if full and view is not None and view.cookies:
            answer["cookies"] = [
                {
                    "name": redactor.redact_text(cookie.name),
                    "value": "***",
                    **redactor.redact_json(dict(cookie.attributes)),
                }
                for cookie in view.cookies
            ]
        told["response"] = answer
        told["timings"] = _timings(response.timings)
    if hops:
        told["hops"] = [_hop(hop, redactor) for hop in hops]
    if error is not None:
        told["error"] = {
            "category": error.category,
            "phase": error.phase,
            "message": redactor.redact_text(error.message),
            "elapsed": round(error.elapsed, 6),
        }
    if polls:
        told["polls"] = polls
    if full:
        told["curl"] = curl_command(request, redactor, max_redirects=max_redirects)
    return told


def describe_body(data: bytes, limit: int, redactor: Redactor, charset: str | None = None) -> Any:
    """`data` for people, masked: text of at most `limit` characters, or what it is instead; None if there is nothing."""
    if not data:
        return None
    window = limit + _MARGIN
    if len(data) > window and not data[:window].isascii():
        window *= 4  # bytes of a character, at most
    is_whole = len(data) <= window
    text = _decode(data if is_whole else data[:window], charset, is_whole=is_whole)
    if text is None or "\x00" in text:
        import hashlib

        return {"binary": True, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    text = redactor.redact_text(text)
    if not is_whole:
        text = text[:-_MARGIN][:limit]
    elif len(text) > limit:
        text = text[:limit]
    else:
        return text
    return {"text": text, "truncated": True, "size": len(data)}


def _decode(data: bytes, charset: str | None, *, is_whole: bool) -> str | None:
    """`data` as text in its charset or UTF-8, a character that the window cuts left out; None if it is neither."""
    try:
        return data.decode(charset or "utf-8")
    except UnicodeDecodeError:
        pass
    import codecs

    for name in (charset, "utf-8"):
        try:
            return codecs.getincrementaldecoder(name or "utf-8")().decode(data, final=is_whole)
        except UnicodeDecodeError:
            continue
    return None


def _headers(headers: Sequence[tuple[str, str | None]], redactor: Redactor) -> list[list[str]]:
    given = [pair for pair in headers if pair[1] is not None]
    return [list(pair) for pair in redactor.redact_headers(given)]


def _request_body(body: bytes | Multipart | None, limit: int, redactor: Redactor) -> Any:
    if not isinstance(body, Multipart):
        return None if body is None else describe_body(body, limit, redactor)
    parts: list[dict[str, Any]] = []
    for part in body.parts:
        if isinstance(part, FilePart):
            content = part.content
            parts.append(
                {
                    "name": redactor.redact_text(part.name),
                    "filename": redactor.redact_text(part.filename) if part.filename is not None else None,
                    "content_type": redactor.redact_text(part.content_type) if part.content_type is not None else None,
                    **(
                        {"content": describe_body(content, limit, redactor)}
                        if isinstance(content, bytes)
                        else {"file": redactor.redact_text(str(content))}
                    ),
                }
            )
        else:
            value = part.value if isinstance(part.value, bytes) else part.value.encode()
            parts.append(
                {"name": redactor.redact_text(part.name), "value": describe_body(value, limit, redactor) or ""}
            )
    return {"parts": parts}


def _timings(timings: Timings) -> dict[str, float]:
    known = {
        "queue": timings.queue,
        "dns": timings.dns,
        "connect": timings.connect,
        "tls": timings.tls,
        "first_byte": timings.first_byte,
        "transfer": timings.transfer,
        "total": timings.total,
    }
    return {phase: round(seconds, 6) for phase, seconds in known.items() if seconds is not None}


def _hop(hop: Hop, redactor: Redactor) -> dict[str, Any]:
    told: dict[str, Any] = {
        "method": hop.request.method,
        "url": redactor.redact_text(hop.request.url),
        "status": hop.response.status,
        "location": redactor.redact_text(hop.location),
    }
    if hop.dropped_headers:
        told["dropped_headers"] = list(hop.dropped_headers)
    if hop.downgraded:
        told["downgraded"] = True
    return told
