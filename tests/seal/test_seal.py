from __future__ import annotations

import base64
import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbit_context.errors import SecretKeyError
from orbit_context.seal import KEY_VARIABLE, Sealer, create_key_file, generate_key, is_sealed

if TYPE_CHECKING:
    from pathlib import Path

KEY = bytes(range(32))
ENCODED = base64.urlsafe_b64encode(KEY).decode()
AAD = "run:42|token"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(json_values, st.text())
def test_what_is_sealed_opens_to_itself_in_its_place_and_nowhere_else(value: Any, aad: str) -> None:
    sealer = Sealer(ENCODED)
    text = sealer.seal(value, aad)
    assert is_sealed(text)
    opened = sealer.open(text, aad)
    assert opened == value
    assert type(opened) is type(value)
    with pytest.raises(SecretKeyError, match="does not open here"):
        sealer.open(text, aad + "x")


def test_the_format_is_fixed() -> None:
    """A value sealed by the first version opens in every later one."""
    stored = "orbit.seal.v1.Yw3NKWbE.AAECAwQFBgcICQoLPCCidK6ArDm3Y-S40psdGaGrcIoaAKca8pH4LBsFOhcD5Q"
    prefix, identity, body = stored.rsplit(".", 2)
    assert (prefix, identity) == ("orbit.seal.v1", Sealer(ENCODED).key_id)
    assert base64.urlsafe_b64decode(body + "==")[:12] == bytes(range(12))
    assert Sealer(ENCODED).open(stored, AAD) == {"token": "s3cret"}


def test_sealing_twice_gives_two_texts_that_hide_the_value() -> None:
    sealer = Sealer(ENCODED)
    first, second = sealer.seal("very-secret", AAD), sealer.seal("very-secret", AAD)
    assert first != second
    assert "very-secret" not in first
    assert "\n" not in first
    assert first.isascii()


@settings(deadline=None)
@given(st.data())
def test_no_changed_character_goes_unnoticed(data: st.DataObject) -> None:
    sealer = Sealer(ENCODED)
    text = sealer.seal({"a": 1}, AAD)
    position = data.draw(st.integers(0, len(text) - 2))  # the last character holds bits that mean nothing
    changed = text[:position] + data.draw(st.characters().filter(lambda c: c != text[position])) + text[position + 1 :]
    same_in_the_other_alphabet = changed.replace("+", "-").replace("/", "_") == text
    if same_in_the_other_alphabet:
        return
    with pytest.raises(SecretKeyError):
        sealer.open(changed, AAD)


@pytest.mark.parametrize(
    "text",
    ["", "plain", "orbit.seal.v1.", "orbit.seal.v1.x", "orbit.seal.v1.x.", "orbit.seal.v1.x.AAAA", "orbit.seal.v1.é.é"],
)
def test_what_is_not_sealed_is_refused(text: str) -> None:
    with pytest.raises(SecretKeyError):
        Sealer(ENCODED).open(text, AAD)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_refused_by_its_own_error(text: str) -> None:
    for hostile in (text, f"orbit.seal.v1.{text}", f"orbit.seal.v1.{Sealer(ENCODED).key_id}.{text}"):
        with pytest.raises(SecretKeyError):
            Sealer(ENCODED).open(hostile, AAD)


@pytest.mark.parametrize(
    "value", [None, 1, ["orbit.seal.v1.x"], b"orbit.seal.v1.", "orbit.seal.v2.x", "x orbit.seal.v1."]
)
def test_other_values_are_not_taken_for_sealed(value: Any) -> None:
    assert not is_sealed(value)


def test_only_json_is_sealed() -> None:
    for value in (object(), b"x", float("nan"), {"a": {1}}):
        with pytest.raises((TypeError, ValueError)):
            Sealer(ENCODED).seal(value, AAD)


def test_a_key_may_be_replaced_while_old_values_still_open() -> None:
    old, new = generate_key(), generate_key()
    sealed_before = Sealer(old).seal("before", AAD)
    both = Sealer(f"{new},{old}")
    sealed_after = both.seal("after", AAD)
    assert both.open(sealed_before, AAD) == "before"
    assert Sealer(new).open(sealed_after, AAD) == "after"
    with pytest.raises(SecretKeyError, match="a key that is not here") as caught:
        Sealer(old).open(sealed_after, AAD)
    assert Sealer(new).key_id in str(caught.value)
    assert caught.value.hint is not None
    assert KEY_VARIABLE in caught.value.hint
    assert both.key_ids == (Sealer(new).key_id, Sealer(old).key_id)


@pytest.mark.parametrize(
    "keys",
    [
        ENCODED,
        ENCODED.rstrip("="),
        KEY.hex(),
        KEY.hex().upper(),
        base64.b64encode(KEY).decode(),
        f"  {ENCODED}\n",
        f"{ENCODED}\n{KEY[::-1].hex()}",
    ],
)
def test_keys_are_read_in_base64_and_hexadecimal(keys: str) -> None:
    assert Sealer(keys).key_id == Sealer(ENCODED).key_id
    assert Sealer(ENCODED).open(Sealer(keys).seal(1, AAD), AAD) == 1


@pytest.mark.parametrize(
    "keys", ["", " , ", "short", "é" * 43, KEY.hex()[:-1] + "g", KEY[:16].hex(), ENCODED[:-4], ENCODED * 2]
)
def test_a_wrong_key_is_refused_without_being_shown(keys: str) -> None:
    with pytest.raises(SecretKeyError) as caught:
        Sealer(keys)
    assert caught.value.hint is not None
    assert "generate_key" in caught.value.hint
    assert len(keys.strip(" ,")) == 0 or keys not in f"{caught.value} {caught.value.detail}"


def test_the_environment_comes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "secret.key"
    create_key_file(file)
    in_file = Sealer.from_file(file).key_id
    in_environment = {KEY_VARIABLE: ENCODED}
    assert Sealer.from_environment(file, environment={}).key_id == in_file
    assert Sealer.from_environment(file, environment={KEY_VARIABLE: " "}).key_id == in_file
    assert Sealer.from_environment(file, environment=in_environment).key_id == Sealer(ENCODED).key_id
    with pytest.raises(SecretKeyError, match="there is no secret key"):
        Sealer.from_environment(environment={})
    with pytest.raises(SecretKeyError, match=KEY_VARIABLE):
        Sealer.from_environment(file, environment={KEY_VARIABLE: "wrong"})


def test_a_key_file_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "secret.key"
    create_key_file(file)
    assert file.stat().st_mode & 0o777 == 0o600
    content = file.read_text()
    create_key_file(file)
    assert file.read_text() == content
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret.key"]
    for mode in (0o640, 0o604, 0o660, 0o601):
        file.chmod(mode)
        with pytest.raises(SecretKeyError, match="can be read by others") as caught:
            Sealer.from_file(file)
        assert caught.value.hint == f"Run: chmod 600 {file}"
    file.chmod(0o400)
    assert Sealer.from_file(file)


def test_a_missing_or_damaged_key_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SecretKeyError, match="cannot be read") as caught:
        Sealer.from_file(tmp_path / "none")
    assert caught.value.detail == "No such file or directory"
    file = tmp_path / "secret.key"
    for content in (b"", b"not a key", b"\xff\x00"):
        file.write_bytes(content)
        file.chmod(0o600)
        with pytest.raises(SecretKeyError, match="holds no usable key"):
            Sealer.from_file(file)
    with pytest.raises(SecretKeyError, match="cannot be written"):
        create_key_file(file / "below-a-file")


def test_a_key_file_made_by_many_at_once_is_one_key(tmp_path: Path) -> None:
    file = tmp_path / "secret.key"
    barrier = threading.Barrier(8)
    seen: list[str] = []

    def make() -> None:
        barrier.wait()
        create_key_file(file)
        seen.append(Sealer.from_file(file).key_id)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(seen)) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret.key"]


def test_a_sealer_shows_and_gives_away_no_key() -> None:
    sealer = Sealer(ENCODED)
    for text in (repr(sealer), str(sealer)):
        assert sealer.key_id in text
        assert ENCODED.rstrip("=") not in text
        assert KEY.hex() not in text
    with pytest.raises(TypeError, match="holds keys"):
        pickle.dumps(sealer)


def test_generated_keys_differ_and_work() -> None:
    keys = {generate_key() for _ in range(20)}
    assert len(keys) == 20
    assert all(Sealer(key).open(Sealer(key).seal("x", AAD), AAD) == "x" for key in keys)
