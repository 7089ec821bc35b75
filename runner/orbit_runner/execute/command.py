"""A request as a `curl` command, to be pasted into a shell."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from orbit_runner.transport.message import needs_length
from orbit_runner.transport.port import FilePart, HttpRequest, Multipart

if TYPE_CHECKING:
    from orbit_context.redact import Redactor
    from orbit_runner.transport.port import FieldPart

__all__ = ["MAX_INLINE_BODY", "curl_command"]

MAX_INLINE_BODY = 16 * 1024
"""Characters of a body that is written into the command; a longer one, or a binary one, is a file to be put beside it."""

_LINE = 100
_GLOB = re.compile(r"[\[\]{}]").search
_BODY_FILE = "request-body"


def curl_command(request: HttpRequest, redactor: Redactor, *, max_redirects: int = 0) -> str:
    """The command that sends `request` again, on several lines where one would be long.

    Every argument is masked before it is quoted, so that quoting cannot hide a secret from the redactor.
    """
    arguments: list[list[str]] = []
    note = ""
    headers = [(name, value) for name, value in request.headers if value is not None]
    told = {name.lower() for name, _ in request.headers}
    body = request.body
    if request.method == "HEAD":
        arguments.append(["--head"])
    elif request.method != ("GET" if body is None else "POST"):
        arguments.append(["-X", request.method])
    arguments.append([redactor.redact_text(request.url)])
    for name, value in redactor.redact_headers(headers):
        arguments.append(["-H", f"{name}: {value}" if value.strip() else f"{name};"])
    arguments += [["-H", f"{name}:"] for name, value in request.headers if value is None]
    if isinstance(body, Multipart):
        arguments += [_part(part, redactor) for part in body.parts]
    elif body is not None or needs_length(request.method):
        if "content-type" not in told:
            arguments.append(["-H", "Content-Type:"])
        text = _inline(body or b"")
        if text is None:
            arguments.append(["--data-binary", f"@{_BODY_FILE}"])
            note = f"\n# {_BODY_FILE}: the body of {len(body or b''):,} bytes, which is not shown here"
        else:
            arguments.append(["--data-raw", redactor.redact_text(text)])
    arguments += _options(request, redactor, max_redirects)
    quoted = [" ".join(shlex.quote(word) for word in words) for words in arguments]
    line = " ".join(["curl", *quoted])
    if len(line) > _LINE:
        line = " \\\n  ".join(["curl", *quoted])
    return line + note


def _options(request: HttpRequest, redactor: Redactor, max_redirects: int) -> list[list[str]]:
    options: list[list[str]] = []
    if _GLOB(request.url):
        options.append(["--globoff"])
    if "/." in request.url:
        options.append(["--path-as-is"])
    if any(name.lower() == "accept-encoding" and value for name, value in request.headers):
        options.append(["--compressed"])
    if max_redirects:
        options.append(["--location", "--max-redirs", str(max_redirects)])
    if request.http_version != "auto":
        options.append([{"1.1": "--http1.1", "2": "--http2-prior-knowledge"}[request.http_version]])
    tls = request.tls
    if not tls.verify:
        options.append(["--insecure"])
    for flag, value in (("--cacert", tls.ca_file), ("--cert", tls.cert_file), ("--key", tls.key_file)):
        if value is not None:
            options.append([flag, redactor.redact_text(value)])
    if request.proxy not in (None, "env"):
        options.append(["--proxy", redactor.redact_text(re.sub(r"//[^/@]*@", "//***@", str(request.proxy)))])
    if request.timeout != 30.0:
        options.append(["--max-time", f"{request.timeout:g}"])
    return options


def _inline(body: bytes) -> str | None:
    """The body as text, if a shell can take it: valid UTF-8, no NUL, not too long."""
    if len(body) > 4 * MAX_INLINE_BODY:
        return None
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return text if "\x00" not in text and len(text) <= MAX_INLINE_BODY else None


def _part(part: FieldPart | FilePart, redactor: Redactor) -> list[str]:
    if not isinstance(part, FilePart):
        value = part.value.decode(errors="replace") if isinstance(part.value, bytes) else part.value
        return ["--form-string", f"{redactor.redact_text(part.name)}={redactor.redact_text(value)}"]
    if isinstance(part.content, bytes):
        text = _inline(part.content)
        source = "@" + _quoted(part.filename or part.name) if text is None else _quoted(redactor.redact_text(text))
    else:
        source = "@" + _quoted(redactor.redact_text(str(part.content)))
    filename = part.filename
    if filename is None and isinstance(part.content, bytes):
        filename = part.name
    described = f"{redactor.redact_text(part.name)}={source}"
    if filename is not None:
        described += f";filename={_quoted(redactor.redact_text(filename))}"
    if part.content_type is not None:
        described += f";type={redactor.redact_text(part.content_type)}"
    return ["-F", described]


def _quoted(text: str) -> str:
    """As curl's `-F` reads it: in double quotes, with backslashes before quotes and backslashes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
