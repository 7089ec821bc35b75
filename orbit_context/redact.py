"""Secrets masked by value, in whatever encoding they come back: before anything is stored, logged, printed or reported.

    redactor = Redactor()
    redactor.add("pa/ss wörd", name="password")
    redactor.redact_text('{"echo": "pa%2Fss+w%C3%B6rd"}')      # '{"echo": "***"}'

A secret is found plain and in these encodings, and in the second group inside the first:

- JSON as Python, JavaScript, PHP, Go and .NET write it; percent-encoding as Python, browsers and forms write it, in both
  cases; HTML and XML; Python's `repr`; quotes as a shell wants them;
- JSON, percent-encoding or HTML of any of these (JSON in JSON, double percent-encoding, JSON in an HTML page, …);
- base64 in both alphabets at each of the three offsets, so also inside something longer that was encoded
  (`user:password`); hexadecimal in either case; Latin-1 in bytes.

Where a text was cut, which `…` marks, the part of a secret that is left beside the mark is found too.

Not found: secrets reversed, in other letter case, hashed, compressed, encrypted, split over lines or fields, or encoded
three times. Values shorter than `MIN_LENGTH` are not masked, for they would mask half of every text; `too_short` names them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["MASK", "MIN_LENGTH", "SENSITIVE_HEADERS", "Redactor"]

MASK = "***"
MIN_LENGTH = 4
"""Characters that a value must have to be masked."""

SENSITIVE_HEADERS = frozenset(
    {
        "authorization",
        "cookie",
        "proxy-authorization",
        "set-cookie",
        "x-amz-security-token",
        "x-api-key",
        "x-auth-token",
    }
)
"""Headers whose values are masked whether or not they are known to be secret; lower case."""

_SCHEMES = frozenset({"apikey", "aws4-hmac-sha256", "basic", "bearer", "digest", "negotiate", "ntlm", "token"})
_RUN = re.compile(r"[A-Za-z0-9]+")
_UNTOUCHED = re.compile(r"[A-Za-z0-9._-]+")  # what no way of writing text changes
_NUMERIC = re.compile(r"[0-9.eE+-]*[0-9][0-9.eE+-]*")
_MIN_ANCHOR = 3
_CUT = "…"
_CUT_IN_JSON = _CUT.encode().decode("latin-1")
# Whoever cuts a text marks it once or twice; a text with more marks has them of its own.
_MAX_CUTS = 32
# An anchor found more often than this is an ordinary word: then looking for the variants themselves is cheaper than looking
# around each anchor.
_MAX_ANCHORS = 1000


class _Needles:
    """Encodings of one secret that share an anchor: letters and digits that stand in each of them as they are.

    One search for the anchor tells, nearly always, that none of them is there: this is what keeps many secrets in many
    encodings fast (some 300 encodings of a secret with quotes and umlauts come down to six searches).
    """

    __slots__ = ("anchor", "numeric", "period", "raw", "text")

    def __init__(self, variants: Iterable[str], anchor: str, latin1: str | None = None) -> None:
        texts = {variant for variant in variants if len(variant) >= MIN_LENGTH}
        # Bytes are searched as text of the same bytes (Latin-1), so that one algorithm serves both.
        raw = {variant.encode("utf-8", "surrogatepass").decode("latin-1") for variant in texts}
        if latin1 is not None:
            raw.add(latin1)
        self.anchor = anchor
        self.period = _period(anchor)
        self.text = tuple((variant, variant.find(anchor)) for variant in texts)
        """Each variant and where in it the anchor stands first."""
        self.raw = tuple((variant, variant.find(anchor)) for variant in raw)
        self.numeric = any(_NUMERIC.fullmatch(variant) for variant in texts)

    def find(self, text: str, *, raw: bool) -> list[tuple[int, int]]:
        """Where any of the variants begins and ends in `text`."""
        variants = self.raw if raw else self.text
        anchor = self.anchor
        spans: list[tuple[int, int]] = []
        if anchor and text.count(anchor) <= _MAX_ANCHORS:
            position = text.find(anchor)
            while position >= 0:
                for variant, offset in variants:
                    if position >= offset and text.startswith(variant, position - offset):
                        spans.append((position - offset, position - offset + len(variant)))
                position = text.find(anchor, position + self.period)
            return spans
        for variant, _offset in variants:
            position = text.find(variant)
            step = _period(variant) if position >= 0 else 0
            while position >= 0:
                spans.append((position, position + len(variant)))
                position = text.find(variant, position + step)
        return spans


class Redactor:
    """Masks the secrets it was told about. Adding may happen at any time, also from another thread.

    Costs nothing to speak of while there are no secrets; returns the very object it was given where there is nothing to
    mask.
    """

    __slots__ = ("_groups", "_headers", "_known", "_starred", "_too_short")

    def __init__(self, secrets: Iterable[Any] = (), *, headers: Iterable[str] = ()) -> None:
        """`secrets` as for :meth:`add`; `headers` are further names whose values are always masked."""
        self._groups: tuple[_Needles, ...] = ()
        self._headers = SENSITIVE_HEADERS | {name.lower() for name in headers}
        self._known: frozenset[str] = frozenset()
        self._starred = False
        self._too_short: tuple[str, ...] = ()
        for secret in secrets:
            self.add(secret)

    def add(self, value: Any, name: str = "") -> None:
        """Mask `value` from now on: text, a number, bytes of text, or every text and number inside a list or object.

        `name` appears in `too_short` and nowhere else. true, false and null are no secrets. Adding a value again is free.
        """
        if isinstance(value, Mapping):
            for key, member in value.items():
                self.add(member, f"{name}.{key}" if name else str(key))
            return
        if isinstance(value, (list, tuple, set, frozenset)):
            for item in value:
                self.add(item, name)
            return
        if value is None or isinstance(value, bool):
            return
        text = value.decode("utf-8", "replace") if isinstance(value, (bytes, bytearray)) else str(value)
        if text in self._known:
            return
        self._known |= {text}
        if len(text.strip()) < MIN_LENGTH:
            if text.strip():
                self._too_short += (name or "(unnamed)",)
            return
        groups = _needles_of(text)
        self._starred = self._starred or any("*" in variant for group in groups for variant, _ in group.text)
        self._groups += groups

    def copy(self) -> Redactor:
        """One that knows the same secrets and goes its own way: what one test adds need not burden the others. Cheap."""
        other = Redactor()
        other._groups, other._headers, other._known = self._groups, self._headers, self._known
        other._starred, other._too_short = self._starred, self._too_short
        return other

    @property
    def too_short(self) -> tuple[str, ...]:
        """The names of the values that are too short to be masked: tell the user."""
        return self._too_short

    def __bool__(self) -> bool:
        """Whether there is anything to mask by value."""
        return bool(self._groups)

    def __repr__(self) -> str:
        return f"Redactor({len(self._known)} secrets)"

    def redact_text(self, text: str) -> str:
        """`text` with each secret replaced by `MASK`; secrets that overlap or touch become one mask."""
        if not self._groups:
            return text
        return self._masked(text, self._groups)

    def redact_bytes(self, data: bytes) -> bytes:
        """As :meth:`redact_text`, for bytes in UTF-8, Latin-1 or no text encoding at all."""
        if not self._groups:
            return data
        text = data.decode("latin-1")
        masked = self._masked(text, self._groups, raw=True)
        return data if masked is text else masked.encode("latin-1")

    def redact_json(self, value: Any) -> Any:
        """`value` with each secret masked in its texts, keys and bytes; a number that holds a secret becomes text."""
        if not self._groups:
            return value
        if isinstance(value, str):
            return self.redact_text(value)
        if isinstance(value, (list, tuple, Mapping)):
            # One look at everything at once: mostly there is nothing, and every string by itself would cost as much.
            everything = _everything(value)
            groups = tuple(group for group in self._groups if everything is None or group.anchor in everything)
            return self._walk(value, groups) if groups or (everything and _CUT_IN_JSON in everything) else value
        return self._walk(value, self._groups)

    def redact_headers(self, headers: Any) -> Any:
        """Headers, as a mapping or as pairs, with the values of sensitive ones masked and secrets masked in the others.

        Of `Authorization` the scheme stays, of cookies the names and the attributes.
        """
        if isinstance(headers, Mapping):
            return {self.redact_json(name): self._header(name, value) for name, value in headers.items()}
        return [(self.redact_json(name), self._header(name, value)) for name, value in headers]

    def _header(self, name: Any, value: Any) -> Any:
        plain = name.decode("latin-1") if isinstance(name, bytes) else str(name)
        if plain.lower() not in self._headers:
            return self.redact_json(value)
        if isinstance(value, (list, tuple)):
            return [self._header(name, item) for item in value]
        if isinstance(value, bytes):
            return self.redact_text(_mask_header(plain.lower(), value.decode("latin-1"))).encode("latin-1")
        return self.redact_text(_mask_header(plain.lower(), str(value)))

    def _walk(self, value: Any, groups: tuple[_Needles, ...]) -> Any:
        if isinstance(value, str):
            return self._masked(value, groups)
        if isinstance(value, bytes):
            return self.redact_bytes(value)
        if isinstance(value, (list, tuple)):
            return [self._walk(item, groups) for item in value]
        if isinstance(value, Mapping):
            result: dict[Any, Any] = {}
            for key, member in value.items():
                masked = self._walk(key, groups) if isinstance(key, str) else key
                unique, number = masked, 1
                while unique in result and masked is not key:
                    number += 1
                    unique = f"{masked} ({number})"
                result[unique] = self._walk(member, groups)
            return result
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            written = repr(value)
            masked = self._masked(written, tuple(group for group in groups if group.numeric))
            return value if masked is written else masked
        return value

    def _masked(self, text: str, groups: tuple[_Needles, ...], *, raw: bool = False) -> str:
        spans = [span for group in groups if group.anchor in text for span in group.find(text, raw=raw)]
        if _CUT in text and not raw:
            spans += self._beside_cuts(text)
        if not spans:
            return text
        masked = _mask(text, spans)
        # Only a secret with a star in it can come about anew beside a mask. Each turn makes the text shorter.
        while self._starred and (spans := [s for group in self._groups for s in group.find(masked, raw=raw)]):
            masked = _mask(masked, spans)
        return masked

    def _beside_cuts(self, text: str) -> list[tuple[int, int]]:
        """Where a secret begins that a mark ends, or ends that a mark begins; a quote may stand between."""
        spans: list[tuple[int, int]] = []
        variants = [variant for group in self._groups for variant, _ in group.text]
        everything = "\n".join(variants)
        mark = text.find(_CUT)
        for _ in range(_MAX_CUTS):
            if mark < 0:
                break
            for end in (mark, mark - 1) if text[mark - 1 : mark] in ("'", '"') else (mark,):
                # Nearly always a mark stands beside no secret, and this tells.
                if end >= MIN_LENGTH and text[end - MIN_LENGTH : end] in everything:
                    spans += [span for variant in variants if (span := _beginning(text, variant, end))]
            for start in (mark + 1, mark + 2) if text[mark + 1 : mark + 2] in ("'", '"') else (mark + 1,):
                if len(text) >= start + MIN_LENGTH and text[start : start + MIN_LENGTH] in everything:
                    spans += [span for variant in variants if (span := _ending(text, variant, start))]
            mark = text.find(_CUT, mark + 1)
        return spans


def _beginning(text: str, variant: str, end: int) -> tuple[int, int] | None:
    """The longest piece of `text` before `end` that `variant` begins with."""
    head = variant[:MIN_LENGTH]
    position = text.find(head, max(0, end - len(variant)), end)
    while position >= 0:
        if variant.startswith(text[position:end]):
            return position, end
        position = text.find(head, position + 1, end)
    return None


def _ending(text: str, variant: str, start: int) -> tuple[int, int] | None:
    """The longest piece of `text` from `start` on that `variant` ends with."""
    tail = variant[-MIN_LENGTH:]
    position = text.rfind(tail, start, start + len(variant))
    while position >= 0:
        end = position + MIN_LENGTH
        if variant.endswith(text[start:end]):
            return start, end
        position = text.rfind(tail, start, end - 1)
    return None


def _mask(text: str, spans: list[tuple[int, int]]) -> str:
    """`text` with `spans` masked: joined first, so that secrets which overlap leave no tails."""
    spans.sort()
    pieces: list[str] = []
    done, (start, end) = 0, spans[0]
    for next_start, next_end in spans:
        if next_start > end:
            pieces += (text[done:start], MASK)
            done, start, end = end, next_start, next_end
        elif next_end > end:
            end = next_end
    pieces += (text[done:start], MASK, text[end:])
    return "".join(pieces)


def _period(text: str) -> int:
    """How far apart two occurrences of `text` can begin at the least; its length if they cannot overlap."""
    return (text + text).find(text, 1)


def _everything(value: Any) -> str | None:
    """One text that holds every text and number of `value` as far as anchors go; None if it cannot be made."""
    import orjson

    try:
        return orjson.dumps(value, default=_in_plain, option=orjson.OPT_NON_STR_KEYS).decode("latin-1")
    except TypeError:  # numbers beyond 64 bits, half characters
        return None


def _in_plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _mask_header(name: str, value: str) -> str:
    if name in ("authorization", "proxy-authorization"):
        scheme, space, rest = value.strip().partition(" ")
        return f"{scheme} {MASK}" if space and rest and scheme.lower() in _SCHEMES else MASK
    if name == "cookie":
        return "; ".join(_mask_cookie(pair) for pair in value.split(";"))
    if name == "set-cookie":
        pair, semicolon, attributes = value.partition(";")
        return _mask_cookie(pair) + semicolon + attributes
    return MASK


def _mask_cookie(pair: str) -> str:
    name, equals, _value = pair.strip().partition("=")
    return f"{name}={MASK}" if equals else MASK


def _needles_of(secret: str) -> tuple[_Needles, ...]:
    """Every encoding of `secret`, in groups that share an anchor."""
    texts = {secret}
    if len(secret.strip()) >= MIN_LENGTH:
        texts.add(secret.strip())  # what was read from a file ends with a newline, what a server echoes does not
    once: set[str] = set()
    twice: set[str] = set()
    if not _UNTOUCHED.fullmatch(secret):  # a token: adding it costs a twentieth
        once = {encoded for text in texts for encoded in _written(text)}
        twice = {encoded for text in once for encoded in _written_again(text)}
    latin1 = secret if secret.isascii() is False and max(secret) <= "\xff" else None
    groups = [_Needles(texts | once | twice, _longest_run(secret), latin1)]
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        lower = data.hex()
        groups += (_Needles({lower}, lower), _Needles({lower.upper()}, lower.upper()))
        groups += (_Needles(variants, _longest_run(min(variants, key=len))) for variants in _base64(data))
    return tuple(group for group in groups if group.text)


def _longest_run(text: str) -> str:
    """The anchor: the longest run of ASCII letters and digits, which no encoding touches; "" (found everywhere) if short."""
    run = max(_RUN.findall(text), key=len, default="")
    return run if len(run) >= _MIN_ANCHOR else ""


def _written(text: str) -> set[str]:
    """`text` as it is written in JSON, URLs, forms, HTML, XML, Python and shells."""
    return {
        *_json(text),
        *_percent(text),
        *_html(text),
        repr(text)[1:-1],
        ascii(text)[1:-1],
        repr(text.encode("utf-8", "surrogatepass"))[2:-1],
        text.replace("'", "'\\''"),
        text.replace("'", "'\"'\"'"),
    }


def _written_again(text: str) -> set[str]:
    return {*_json(text), *_percent(text), *_html(text)}


def _json(text: str) -> set[str]:
    import json

    plain = json.dumps(text, ensure_ascii=False)[1:-1]
    ascii_only = json.dumps(text)[1:-1]
    variants = {plain, ascii_only}
    for variant in (plain, ascii_only):
        variants.add(variant.replace("/", "\\/"))  # PHP
        variants.add(variant.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # Go
    # .NET: \uXXXX in upper case for all that is not ASCII and for what could end an attribute or a script.
    dotnet = "".join(
        "".join(f"\\u{unit:04X}" for unit in _utf16(character))
        if character in "\"&'+<>`" or json.dumps(character)[1:3] == "\\u"
        else json.dumps(character)[1:-1]
        for character in text
    )
    return variants | {dotnet}


def _utf16(character: str) -> list[int]:
    data = character.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(data[position : position + 2]) for position in range(0, len(data), 2)]


def _percent(text: str) -> set[str]:
    from urllib.parse import quote

    data = text.encode("utf-8", "surrogatepass")
    quoted = {quote(data, safe=safe) for safe in ("", "/", "!'()*", "!$&'()*+,;=:@/", "!$&'()*+,;=:@/?#[]|\\^`{}\"<>")}
    everything = quote(data, safe="")
    quoted |= {everything.replace("~", "%7E"), everything.replace("%2A", "*").replace("~", "%7E")}
    quoted |= {variant.replace("%20", "+") for variant in quoted}
    return quoted | {re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), variant) for variant in quoted}


def _html(text: str) -> set[str]:
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    double = plain.replace('"', "&quot;")
    variants = {plain, double, plain.replace('"', "&#34;").replace("'", "&#39;")}
    variants |= {double.replace("'", apostrophe) for apostrophe in ("&#x27;", "&#39;", "&#039;", "&apos;")}
    return variants | {variant.encode("ascii", "xmlcharrefreplace").decode() for variant in variants}


def _base64(data: bytes) -> list[set[str]]:
    """For each offset of `data` inside what was encoded: the characters that depend on nothing else, in both alphabets."""
    import base64

    groups: list[set[str]] = []
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + data + bytes(2)).decode()
        first = -(-offset * 8 // 6)
        whole = encoded[first : (offset + len(data)) * 8 // 6]
        groups.append({whole, whole.replace("+", "-").replace("/", "_")})
    complete = base64.b64encode(data).decode()
    for variant in (complete, complete.rstrip("=")):
        groups[0] |= {variant, variant.replace("+", "-").replace("/", "_")}
    return groups
