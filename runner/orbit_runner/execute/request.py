"""The request of a test, compiled once; an attempt only renders it."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from orbit_context.errors import DefinitionError
from orbit_context.suite.request import ApiKeyAuth, BasicAuth, BearerAuth
from orbit_context.template import compile_value
from orbit_runner.execute.body import compile_body
from orbit_runner.execute.url import CompiledUrl
from orbit_runner.execute.values import Pair, Pairs, compile_pairs, refuse_line_breaks, scalar_text
from orbit_runner.transport.port import HttpRequest, Multipart, TlsOptions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from orbit_context.suite.document import Defaults
    from orbit_context.suite.request import Auth, Request, Tls
    from orbit_context.template import Scope

__all__ = ["CompiledRequest", "RenderedRequest"]

_NOT_A_TOKEN = re.compile(r"[^!#$%&'*+.^_`|~0-9A-Za-z-]").search
_NO_COOKIE_TEXT = re.compile(r"[\x00-\x1f\x7f;]").search


@dataclass(slots=True)
class RenderedRequest:
    """A request with every value in its place, and how it is to be sent."""

    http: HttpRequest
    cookies: Mapping[str, str] = field(repr=False)
    max_redirects: int
    secret_headers: tuple[str, ...]
    """Headers that never cross an origin: an API key's, and those made from a variable or a capture."""
    secrets: tuple[str, ...] = field(repr=False)
    """What the authentication sends, in clear: to be masked."""
    file: Path | None = None
    """The body is this file's content, still to be read."""


class CompiledRequest:
    """`request` on top of `defaults`.

    Args:
        base_dir: the suite file's folder; None where there is none.

    Raises:
        TemplateError: an expression does not parse.
        DefinitionError: parts of the request contradict each other.
    """

    def __init__(self, request: Request, defaults: Defaults, base_dir: Path | None) -> None:
        self._method = request.method
        self._url = CompiledUrl(defaults.base_url, request.url, request.path)
        self._query = compile_pairs(request.query, "request.query", defaults=defaults.query)
        self._static_query: list[str] | None = None
        self._cookies = compile_pairs(request.cookies, "request.cookies")
        self._body = compile_body(request, base_dir)
        self._headers, removed = _merge_headers(request.headers, defaults.headers)
        told = {pair.key.lower() for pair in self._headers.items} | {name.lower() for name in removed}
        # Null leaves out what the transport would otherwise add by itself (User-Agent, Accept).
        self._fixed_headers: list[tuple[str, str | None]] = [(name, None) for name in removed]
        if self._body is not None and self._body.content_type and "content-type" not in told:
            self._fixed_headers.append(("Content-Type", self._body.content_type))
        self._auth = _choose_auth(request, defaults, {name.lower() for name in request.headers})
        self._secret_headers = tuple(pair.key for pair in self._headers.items if pair.refers and "{{" not in pair.key)
        if self._auth is not None and self._auth.placed_in == "header":
            self._secret_headers += (self._auth.name.key,)
        self._headers_are_static = self._headers.is_static
        self._static_headers: list[tuple[str, str | None]] | None = None
        self._tls = _CompiledTls(request.tls or defaults.tls, base_dir)
        proxy = request.proxy if request.proxy is not None else defaults.proxy
        self._proxy = compile_value(proxy, field="request.proxy") if proxy is not None else None
        self.timeout: float = request.timeout if request.timeout is not None else defaults.timeout
        """Seconds for the whole exchange."""
        self._connect_timeout = (
            request.connect_timeout if request.connect_timeout is not None else defaults.connect_timeout
        )
        self._redirects = (request.redirects or defaults.redirects).max
        self._http_version: Literal["auto", "1.1", "2"] = request.http_version or defaults.http_version
        self._max_body = request.max_body if request.max_body is not None else defaults.max_body

    def render(self, scope: Scope) -> RenderedRequest:
        """The request for one attempt.

        Raises:
            TemplateError: a name is missing, or a filter does not fit.
            DefinitionError: a value cannot stand where it is put.
        """
        try:
            return self._render(scope)
        except UnicodeEncodeError:
            raise DefinitionError("a value holds half a character (a lone surrogate)", field="request") from None

    def _render(self, scope: Scope) -> RenderedRequest:
        url = self._url.render(scope)
        headers = self._render_headers(scope)
        cookies = {}
        for name, value in self._cookies.render(scope) if self._cookies.items else ():
            _check_cookie(name, value, f"request.cookies.{name}")
            cookies[name] = value
        query = self._static_query
        if query is None:
            query = [f"{quote(n, safe='')}={quote(v, safe='')}" for n, v in self._query.render(scope)]
            if self._query.is_static:
                self._static_query = query
        secrets: tuple[str, ...] = ()
        if self._auth is not None:
            name, value, secrets = self._auth.render(scope)
            if self._auth.placed_in == "header":
                _check_header(name, value, self._auth.where)
                headers = [*headers, (name, value)]
            elif self._auth.placed_in == "query":
                query = [*query, f"{quote(name, safe='')}={quote(value, safe='')}"]
            else:
                _check_cookie(name, value, self._auth.where)
                cookies[name] = value
        if query:
            mark = "" if url[-1:] in ("?", "&") else "&" if "?" in url else "?"
            url = f"{url}{mark}{'&'.join(query)}"
        body: bytes | Multipart | None = None
        file: Path | None = None
        if self._body is not None:
            rendered = self._body.render(scope)
            if isinstance(rendered, (bytes, Multipart)):
                body = rendered
            else:
                file = rendered
        proxy = None if self._proxy is None else self._proxy.render(scope)
        http = HttpRequest(
            method=self._method,
            url=url,
            headers=headers,
            body=body,
            timeout=self.timeout,
            connect_timeout=self._connect_timeout,
            max_body_bytes=self._max_body,
            tls=self._tls.render(scope),
            proxy=proxy if proxy is None else scalar_text(proxy, "request.proxy"),
            http_version=self._http_version,
        )
        return RenderedRequest(http, cookies, self._redirects, self._secret_headers, secrets, file)

    def _render_headers(self, scope: Scope) -> list[tuple[str, str | None]]:
        if self._static_headers is not None:
            return self._static_headers
        headers: list[tuple[str, str | None]] = []
        for pair in self._headers.items:
            for name, value in pair.render(scope):
                _check_header(name, value, pair.where)
                headers.append((name, value))
        headers += self._fixed_headers
        if self._headers_are_static:
            self._static_headers = headers
        return headers


class _CompiledAuth:
    """`basic`, `bearer` or `api_key`: one header, query parameter or cookie."""

    def __init__(self, auth: Auth, where: str) -> None:
        self.where = where
        self.placed_in: Literal["header", "query", "cookie"] = "header"
        self._user: Pair | None = None
        self._scheme = ""
        if isinstance(auth, ApiKeyAuth):
            key = auth.api_key
            self.placed_in = key.placed_in
            self.name = Pair(key.name, key.value, where)
        elif isinstance(auth, BearerAuth):
            self._scheme = "Bearer"
            self.name = Pair("Authorization", auth.bearer, where)
        else:
            assert isinstance(auth, BasicAuth)  # noqa: S101 - the models know three kinds
            self._scheme = "Basic"
            self._user = Pair("username", auth.basic.username, where)
            self.name = Pair("Authorization", auth.basic.password, where)

    def render(self, scope: Scope) -> tuple[str, str, tuple[str, ...]]:
        """Name, value, and what of it is secret."""
        name, secret = self._one(self.name, scope)
        if self._user is not None:
            _, user = self._one(self._user, scope)
            if ":" in user:
                raise DefinitionError("a user name for basic authentication cannot hold a colon", field=self.where)
            encoded = b64encode(f"{user}:{secret}".encode()).decode()
            return name, f"Basic {encoded}", (secret, encoded) if secret else ()
        if not secret and self._scheme:
            raise DefinitionError("the bearer token is empty", field=self.where)
        return name, f"{self._scheme} {secret}" if self._scheme else secret, (secret,) if secret else ()

    def _one(self, pair: Pair, scope: Scope) -> tuple[str, str]:
        rendered = pair.render(scope)
        if len(rendered) != 1:
            raise DefinitionError("authentication takes one text; the value is null or a list", field=self.where)
        return rendered[0]


class _CompiledTls:
    def __init__(self, tls: Tls, base_dir: Path | None) -> None:
        self._base_dir = base_dir
        self._verify = tls.verify
        texts = {"ca_file": tls.ca, "cert_file": tls.cert, "key_file": tls.key, "key_password": tls.key_password}
        named = {"ca_file": "ca", "cert_file": "cert", "key_file": "key", "key_password": "key_password"}
        self._templates = {
            name: compile_value(text, field=f"request.tls.{named[name]}")
            for name, text in texts.items()
            if text is not None
        }
        self._fixed: TlsOptions | None = None

    def render(self, scope: Scope) -> TlsOptions:
        if self._fixed is not None:
            return self._fixed
        values: dict[str, Any] = {}
        for name, template in self._templates.items():
            text = scalar_text(template.render(scope), template.field)
            if name != "key_password" and self._base_dir is not None:
                text = str(self._base_dir / text)
            values[name] = text
        options = TlsOptions(verify=self._verify, **values)
        if all(template.is_static for template in self._templates.values()):
            self._fixed = options
        return options


def _merge_headers(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> tuple[Pairs, list[str]]:
    """Headers by name whatever its case, and the names that null takes away."""
    names = {name.lower() for name in given}
    kept = {name: value for name, value in defaults.items() if name.lower() not in names}
    removed = [name for name, value in given.items() if value is None]
    return compile_pairs(given, "request.headers", defaults=kept), removed


def _choose_auth(request: Request, defaults: Defaults, headers: set[str]) -> _CompiledAuth | None:
    """The request's own authentication; else the suite's, unless a header of the request says it already."""
    if request.auth is not None:
        if request.auth == "none":
            return None
        auth = _CompiledAuth(request.auth, "request.auth")
        if auth.placed_in == "header" and auth.name.key.lower() in headers:
            raise DefinitionError(
                f"the header {auth.name.key} is set twice: by auth and under headers",
                field="request.auth",
                hint="Keep one of them.",
            )
        return auth
    if defaults.auth is None or defaults.auth == "none":
        return None
    auth = _CompiledAuth(defaults.auth, "defaults.auth")
    return None if auth.placed_in == "header" and auth.name.key.lower() in headers else auth


def _check_header(name: str, value: str, where: str) -> None:
    if not name or _NOT_A_TOKEN(name):
        raise DefinitionError(
            "this is no name of a header", field=where, hint="Letters, digits and !#$%&'*+-.^_`|~ may stand."
        )
    if not value.isprintable():
        refuse_line_breaks(value, where, "the header")


def _check_cookie(name: str, value: str, where: str) -> None:
    if not name or _NOT_A_TOKEN(name):
        raise DefinitionError(
            "this is no name of a cookie", field=where, hint="Letters, digits and !#$%&'*+-.^_`|~ may stand."
        )
    if _NO_COOKIE_TEXT(value):
        raise DefinitionError(
            "a cookie cannot hold a semicolon or a control character",
            field=where,
            hint="Encode the value with {{… | urlencode}}.",
        )
