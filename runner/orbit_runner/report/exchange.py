"""The request and the response of an attempt, read out of a result for display. Secrets are masked already."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orbit_runner.report.wording import clip, format_duration, visible, visible_block

if TYPE_CHECKING:
    from orbit_context.models.runs import Result

__all__ = [
    "HttpMessage",
    "curl_command",
    "exchange_text",
    "hops_of",
    "request_of",
    "response_of",
    "route",
    "timings_of",
]

_PHASES = ("queue", "dns", "connect", "tls", "first_byte", "transfer", "total")
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


@dataclass(frozen=True, slots=True)
class HttpMessage:
    """A request or a response: `POST http://…` or `201 Created`, its headers in order, and its body as text."""

    line: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: str | None = None
    note: str | None = None
    """What the body is, or lacks: `binary`, `cut, 2,400,000 bytes in all`."""


def request_of(result: Result) -> HttpMessage | None:
    """The request that was sent last; None where nothing was sent or details were not kept."""
    request = _part(result, "request")
    if request is None:
        return None
    return HttpMessage(visible(f"{request.get('method', '')} {request.get('url', '')}".strip()), *_content(request))


def response_of(result: Result) -> HttpMessage | None:
    """The response that came last; None where none came or details were not kept."""
    response = _part(result, "response")
    if response is None:
        return None
    line = f"{response.get('status', '')} {response.get('reason') or ''}".strip()
    return HttpMessage(visible(line), *_content(response))


def route(result: Result) -> str | None:
    """One line: `POST http://… → 201 Created`; None where nothing was sent."""
    request, response = request_of(result), response_of(result)
    if request is None:
        return None
    return f"{request.line} → {response.line if response and response.line else 'no response'}"


def timings_of(result: Result) -> list[tuple[str, float]]:
    """Seconds by phase, in the order they took place, without what is unknown or took no time to speak of."""
    timings = (result.exchange or {}).get("timings")
    if not isinstance(timings, dict):
        return []
    # The database keeps an object's keys in an order of its own.
    return [
        (phase.replace("_", " "), float(timings[phase]))
        for phase in _PHASES
        if isinstance(timings.get(phase), int | float) and timings[phase] >= 0.00005
    ]


def hops_of(result: Result) -> list[str]:
    """The redirects on the way, one line each: `GET http://… → 302 /there`."""
    hops = (result.exchange or {}).get("hops")
    return [
        visible(
            f"{hop.get('method', '')} {hop.get('url', '')} → {hop.get('status', '')} {hop.get('location') or ''}".strip()
        )
        for hop in (hops if isinstance(hops, list) else [])
        if isinstance(hop, dict)
    ]


def curl_command(result: Result) -> str | None:
    """The `curl` command that repeats the request, on one line or several."""
    curl = (result.exchange or {}).get("curl")
    return visible_block(curl) if isinstance(curl, str) and curl else None


def exchange_text(result: Result, *, limit: int) -> str:
    """Request, response, timings and `curl` as plain text of about `limit` characters; empty where nothing was sent."""
    parts = []
    for mark, message in (("> ", request_of(result)), ("< ", response_of(result))):
        if message is None:
            continue
        head = [mark + message.line, *(f"{mark}{name}: {value}" for name, value in message.headers)]
        body = clip(message.body, max(limit // 2 - sum(map(len, head)), 0)) if message.body else ""
        parts.append(
            "\n".join(head) + (f"\n\n{body}" if body else "") + (f"\n({message.note})" if message.note else "")
        )
    if hops := hops_of(result):
        parts.insert(1, "\n".join(f"* {hop}" for hop in hops))
    if timings := timings_of(result):
        parts.append("timings: " + ", ".join(f"{phase} {format_duration(seconds)}" for phase, seconds in timings))
    if curl := curl_command(result):
        parts.append(clip(curl, limit))
    return "\n\n".join(parts)


def _part(result: Result, name: str) -> dict[str, Any] | None:
    part = (result.exchange or {}).get(name)
    return part if isinstance(part, dict) else None


def _content(part: dict[str, Any]) -> tuple[list[tuple[str, str]], str | None, str | None]:
    headers = part.get("headers") or []
    pairs = headers.items() if isinstance(headers, dict) else [tuple(pair) for pair in headers if len(pair) == 2]
    body, note = _body(part.get("body"))
    return [(visible(str(name)), visible(str(value))) for name, value in pairs], body, note


def _body(body: Any) -> tuple[str | None, str | None]:
    """The body as text, and what has to be said of it; the forms are those of :mod:`orbit_runner.execute.exchange`."""
    if isinstance(body, dict):
        size = f"{body['size']:,} bytes" if isinstance(body.get("size"), int) else "size unknown"
        if isinstance(body.get("text"), str):
            return _pretty(body["text"]), f"cut; {size} in all" if body.get("truncated") else None
        if body.get("binary"):
            return None, f"binary, {size}, SHA-256 {visible(str(body.get('sha256') or 'unknown'))}"
        if isinstance(body.get("parts"), list):
            return "\n".join(_form_part(part) for part in body["parts"] if isinstance(part, dict)), "multipart form"
    if body is None or body == "":
        return None, None
    if isinstance(body, str):
        return _pretty(body), None
    return visible_block(json.dumps(body, ensure_ascii=False, indent=2, default=str)), None


def _form_part(part: dict[str, Any]) -> str:
    name = visible(str(part.get("name") or ""))
    if "value" in part:
        text, note = _body(part["value"])
        return f"{name}: {text if text is not None else note or ''}"
    kind = f" ({visible(str(part['content_type']))})" if part.get("content_type") else ""
    if part.get("file"):
        return f"{name}: file {visible(str(part['file']))}{kind}"
    text, note = _body(part.get("content"))
    return f"{name}: {visible(str(part.get('filename') or 'file'))}{kind}\n{text if text is not None else note or ''}".rstrip()


def _pretty(text: str) -> str:
    """JSON laid out over several lines, everything else as it is.

    Only white space is changed: numbers stay as they were sent (1.10 is not 1.1) and so does the order of keys.
    """
    stripped = text.strip()
    if stripped[:1] not in ("{", "[") or len(text) > 200_000:
        return visible_block(text)
    try:
        json.loads(stripped)
    except (ValueError, RecursionError):
        return visible_block(text)
    out: list[str] = []
    depth = 0
    previous = ""
    for piece in _TOKENS.findall(stripped):
        if piece in ("}", "]"):
            depth -= 1
            out.append(piece if previous in ("{", "[") else "\n" + "  " * depth + piece)
        else:
            if previous in ("{", "[", ","):
                out.append("\n" + "  " * depth)
            out.append(": " if piece == ":" else piece)
            depth += piece in ("{", "[")
        previous = piece
    return visible_block("".join(out))
