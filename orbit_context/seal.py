"""Secret values sealed before they reach the database, and opened where they are used: AES-256-GCM.

    sealer = Sealer.from_environment()
    text = sealer.seal({"access_token": "…"}, aad="run:01J…|token")
    sealer.open(text, aad="run:01J…|token")

A sealed value is one line, `orbit.seal.v1.<key id>.<base64url(nonce | ciphertext | tag)>`. The nonce is random (96 bits): with
one key, some four thousand million values may be sealed before two nonces are likely to meet (NIST SP 800-38D, 8.3). `aad`
binds it to its place: a sealed value copied to another run or name does not open. The key id (the first 8 characters of
base64url(SHA-256(key))) says which of several keys opens it, so that a key can be replaced while old values still stand.

Neither the value nor the key ever passes through SQL, and neither appears in an error or a `repr`.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orbit_context.errors import SecretKeyError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["KEY_VARIABLE", "Sealer", "create_key_file", "generate_key", "is_sealed", "is_sealed_by_database", "key_id"]

KEY_VARIABLE = "ORBIT_SECRET_KEY"
"""The environment variable with the key, or with several: the first seals, each opens."""

_PREFIX = "orbit.seal.v1."
_DATABASE_PREFIX = "orbit.pgp.v1."
_KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
_GENERATE = 'python -c "from orbit_context.seal import generate_key; print(generate_key())"'


def generate_key() -> str:
    """A new random key of 32 bytes, as base64url without padding: what `ORBIT_SECRET_KEY` and key files hold."""
    return _encode(os.urandom(_KEY_BYTES))


def create_key_file(path: str | os.PathLike[str]) -> None:
    """Write a new key to `path`, readable by its owner alone; an existing file is left as it is.

    Safe when several processes do it at once: all of them end up with the one key.

    Raises:
        SecretKeyError: the file cannot be written.
    """
    import tempfile

    target = Path(path)
    if target.exists():
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Written elsewhere and linked into place: nobody ever reads half a key, and the second to arrive changes nothing.
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # made with mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(generate_key() + "\n")
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(temporary, target)
        finally:
            Path(temporary).unlink()
    except OSError as error:
        raise SecretKeyError(
            f"the key file {target} cannot be written",
            detail=error.strerror,
            hint=f"Set {KEY_VARIABLE} instead, or make room for the file.",
        ) from None


def is_sealed(value: Any) -> bool:
    """Whether `value` was sealed by a :class:`Sealer`, by its form alone."""
    return isinstance(value, str) and value.startswith(_PREFIX)


def is_sealed_by_database(value: Any) -> bool:
    """Whether `value` was sealed by the database (pgcrypto), which alone can open it; by its form alone."""
    return isinstance(value, str) and value.startswith(_DATABASE_PREFIX)


def key_id(key: bytes) -> str:
    """The short name of a key: says which key, and nothing about it."""
    import hashlib

    return _encode(hashlib.sha256(key).digest())[:8]


class Sealer:
    """Seals with its first key and opens with any of its keys. Safe to share between threads."""

    __slots__ = ("_ciphers", "_first", "_keys")

    def __init__(self, keys: str) -> None:
        """`keys` is one key, or several separated by spaces, commas or line ends: 32 bytes each, in base64 or hexadecimal.

        Raises:
            SecretKeyError: there is no key, or one is no such key.
        """
        parsed = [_parse_key(text) for text in keys.replace(",", " ").split()]
        if not parsed:
            raise SecretKeyError("there is no secret key", hint=f"Make one: {_GENERATE}")
        self._first = key_id(parsed[0])
        self._keys: Mapping[str, bytes] = {key_id(key): key for key in parsed}
        self._ciphers: dict[str, AESGCM] = {}

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Sealer:
        """With the keys in a file, which nobody but its owner may read.

        Raises:
            SecretKeyError: it is not there, cannot be read, is open to others, or holds no key.
        """
        try:
            # The rights are looked at on the open file: it cannot be exchanged in between.
            with Path(path).open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read(64 * 1024)
        except OSError as error:
            raise SecretKeyError(
                f"the key file {path} cannot be read",
                detail=error.strerror,
                hint=f"Set {KEY_VARIABLE}, or put back the file: what was sealed with its key opens with no other.",
            ) from None
        if os.name == "posix" and mode & 0o077:
            raise SecretKeyError(
                f"the key file {path} can be read by others (mode {mode & 0o777:04o})", hint=f"Run: chmod 600 {path}"
            )
        try:
            return cls(content.decode("ascii"))
        except (UnicodeDecodeError, SecretKeyError) as error:
            raise SecretKeyError(
                f"the key file {path} holds no usable key",
                detail=error.message if isinstance(error, SecretKeyError) else None,
                hint="Put back the file from your backup: what was sealed with its key opens with no other.",
            ) from None

    @classmethod
    def from_environment(
        cls, key_file: str | os.PathLike[str] | None = None, *, environment: Mapping[str, str] = os.environ
    ) -> Sealer:
        """With the keys of `ORBIT_SECRET_KEY` if it is set, else with those of `key_file`.

        Raises:
            SecretKeyError: neither is there, or it is not usable.
        """
        if keys := environment.get(KEY_VARIABLE, "").strip():
            try:
                return cls(keys)
            except SecretKeyError as error:
                raise SecretKeyError(f"{KEY_VARIABLE}: {error.message}", hint=error.hint) from None
        if key_file is not None:
            return cls.from_file(key_file)
        raise SecretKeyError(
            "there is no secret key to seal and open secret values with",
            hint=f"Set {KEY_VARIABLE} to a key that every runner shares. Make one: {_GENERATE}",
        )

    @property
    def key_id(self) -> str:
        """Of the key that seals."""
        return self._first

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Of all keys, the sealing one first."""
        return tuple(self._keys)

    def keys_for_database(self) -> tuple[str, ...]:
        """The keys themselves, the sealing one first: for a database that is to open what it sealed, and has no Vault. Otherwise
        they are nobody's but the sealer's."""
        return tuple(_encode(key) for key in self._keys.values())

    def _cipher(self, identity: str) -> AESGCM:
        """Made when it is first used: most runs have no secret, and loading the library takes a quarter of a small one's time."""
        if identity not in self._ciphers:
            self._ciphers[identity] = _cipher(self._keys[identity])
        return self._ciphers[identity]

    def seal(self, value: Any, aad: str) -> str:
        """`value` (JSON) sealed for the place that `aad` names, such as `run:<id>|token`.

        Raises:
            TypeError, ValueError: the value is not JSON.
        """
        import json

        # ASCII escapes: numbers of any size and texts of any kind come back as they were.
        plain = json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher(self._first).encrypt(nonce, plain, aad.encode())
        return f"{_PREFIX}{self._first}.{_encode(nonce + sealed)}"

    def open(self, text: str, aad: str) -> Any:
        """The value that was sealed for the place `aad`.

        Raises:
            SecretKeyError: the key is not at hand, the value was changed or belongs to another place, or is not sealed.
        """
        import json

        from cryptography.exceptions import InvalidTag

        if not is_sealed(text):
            raise SecretKeyError("the value is not sealed", hint=f"A sealed value begins with {_PREFIX}")
        identity, _dot, body = text[len(_PREFIX) :].partition(".")
        data = _decode(body)
        if data is None or len(data) < _NONCE_BYTES + _TAG_BYTES:
            raise SecretKeyError("the sealed value is damaged", hint="Was it cut short or changed?")
        if identity not in self._keys:
            raise SecretKeyError(
                f"the value was sealed with a key that is not here ({identity[:8]!r})",
                detail=f"keys here: {', '.join(self._keys)}",
                hint=f"Add that key to {KEY_VARIABLE} after the present one, separated by a comma.",
            )
        try:
            return json.loads(self._cipher(identity).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], aad.encode()))
        except InvalidTag:
            raise SecretKeyError(
                "the sealed value does not open here", hint="It was changed, or sealed for another place."
            ) from None

    def __repr__(self) -> str:
        return f"Sealer(key_ids={self.key_ids})"

    def __reduce__(self) -> Any:
        raise TypeError("a Sealer holds keys and is never written anywhere")


def _cipher(key: bytes) -> AESGCM:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise SecretKeyError(
            "secret values need the package `cryptography`", hint='Install it: pip install "orbit-context[runner]"'
        ) from None
    return AESGCM(key)


def _parse_key(text: str) -> bytes:
    key = None
    if len(text) == 2 * _KEY_BYTES:
        try:
            key = bytes.fromhex(text)
        except ValueError:
            key = None
    else:
        key = _decode(text)
    if key is None or len(key) != _KEY_BYTES:
        raise SecretKeyError(
            f"a secret key is {_KEY_BYTES} bytes in base64 (43 or 44 characters) or hexadecimal (64); this one has"
            f" {len(text)} characters" + (f", {len(key)} bytes" if key is not None else " of another kind"),
            hint=f"Make one: {_GENERATE}",
        )
    return key


def _encode(data: bytes) -> str:
    import base64

    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes | None:
    """Bytes from base64 in either alphabet, padded or not; None if it is none."""
    import base64
    import binascii

    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
