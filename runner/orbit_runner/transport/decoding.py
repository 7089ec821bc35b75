"""Decompression that never holds more than it was asked for: what a bomb is made of comes out in small pieces."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 64 * 1024
"""The most that one step yields, in bytes."""


class UnknownEncodingError(ValueError):
    """A content encoding that nothing here can undo."""


class Decoder(Protocol):
    """Undoes one content encoding, piece by piece."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The decoded bytes that `data` brings, in pieces of about :data:`PIECE` bytes.

        :raises ValueError: the data are not what the encoding's name promises
        """
        ...


class _Zlib:
    """gzip, and deflate with or without zlib's header (servers send both)."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._inflate = zlib.decompressobj(31 if gzip else 15)
        # Deflate only: what came before the first output, in case that it has no header after all.
        self._undecided: bytes | None = None if gzip else b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._undecided is not None:
            self._undecided += data
        while data and not self._inflate.eof:
            try:
                piece = self._inflate.decompress(data, PIECE)
            except zlib.error as error:
                if self._undecided is None:
                    raise ValueError(str(error)) from None
                self._inflate = zlib.decompressobj(-15)
                data, self._undecided = self._undecided, None
                continue
            data = self._inflate.unconsumed_tail
            if piece:
                self._undecided = None
                yield piece
        if self._gzip and self._inflate.eof and self._inflate.unused_data[:2] == b"\x1f\x8b":  # a further member
            rest = self._inflate.unused_data
            self._inflate = zlib.decompressobj(31)
            yield from self.feed(rest)


class _Brotli:
    def __init__(self, brotli: Any) -> None:
        self._decompressor = brotli.Decompressor()
        self._error: type[Exception] = brotli.error

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            piece = self._decompressor.process(data, output_buffer_limit=PIECE)
            while True:
                if piece:
                    yield piece
                if self._decompressor.is_finished() or self._decompressor.can_accept_more_data():
                    return
                piece = self._decompressor.process(b"", output_buffer_limit=PIECE)
        except self._error as error:
            raise ValueError(str(error)) from None


def decoders(content_encoding: str) -> list[Decoder]:
    """The decoders for a `Content-Encoding` value, in the order in which to apply them.

    :raises UnknownEncodingError: one of the encodings is not known here
    """
    chain: list[Decoder] = []
    for name in reversed([part.strip().lower() for part in content_encoding.split(",")]):
        if name in {"", "identity"}:
            continue
        if name in {"gzip", "x-gzip"}:
            chain.append(_Zlib(gzip=True))
        elif name == "deflate":
            chain.append(_Zlib(gzip=False))
        elif name == "br" and (brotli := _brotli()) is not None:
            chain.append(_Brotli(brotli))
        else:
            raise UnknownEncodingError(name)
    return chain


def decode(chain: list[Decoder], data: bytes) -> Iterator[bytes]:
    """`data` through all decoders of `chain`."""
    if not chain:
        yield data
        return
    first, *others = chain
    for piece in first.feed(data):
        yield from decode(others, piece)


def _brotli() -> Any:
    """A brotli module that can limit its output; None where there is none."""
    from importlib import import_module

    for name in ("brotli", "brotlicffi"):
        try:
            module = import_module(name)
        except ImportError:
            continue
        if hasattr(module.Decompressor, "can_accept_more_data"):
            return module
    return None
