"""Which database is chosen, and that no password shows."""

from __future__ import annotations

import pytest
from orbit_runner.connection import DatabaseTarget, choose

from orbit_context.errors import DefinitionError

EMBEDDED = "postgresql://postgres:s3cr3t@127.0.0.1:5000/postgres"
URL = "postgresql://me:s3cr3t@db.example.com:5432/app?sslmode=require"
SUPABASE = {"SUPABASE_URL": "https://abc.example.com", "SUPABASE_SERVICE_ROLE_KEY": "k3y"}


def never() -> str:
    raise AssertionError("the embedded server is not needed")


def test_the_url_comes_first() -> None:
    target = choose(never, {"ORBIT_DATABASE_URL": URL, **SUPABASE})
    assert (target.kind, target.dsn, target.origin) == ("url", URL, "ORBIT_DATABASE_URL")


def test_without_anything_the_embedded_one() -> None:
    target = choose(lambda: EMBEDDED, {})
    assert (target.kind, target.dsn) == ("embedded", EMBEDDED)
    assert choose(lambda: EMBEDDED, {"ORBIT_DATABASE_URL": "  "}).kind == "embedded"
    assert choose(lambda: EMBEDDED, {"SUPABASE_ANON_KEY": "left over"}).kind == "embedded"


@pytest.mark.parametrize("key", ["SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_KEY", "SUPABASE_ANON_KEY"])
def test_a_supabase_key_does_not_open_postgres(key: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        choose(never, {"SUPABASE_URL": "https://abc.example.com", key: "k3y"})
    assert "ORBIT_DATABASE_URL" in (caught.value.hint or "")
    assert key in str(caught.value)
    assert "k3y" not in str(caught.value) + (caught.value.hint or "")


@pytest.mark.parametrize(
    "wrong", ["https://db.example.com", "mysql://me:s3cr3t@h/d", "localhost", "postgresql://me:s3cr3t@[half/d"]
)
def test_what_is_no_postgres_url(wrong: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        choose(never, {"ORBIT_DATABASE_URL": wrong})
    assert "s3cr3t" not in str(caught.value) + str(caught.value.hint) + str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        (URL, "postgresql://me:***@db.example.com:5432/app?sslmode=require"),
        ("postgresql://me@h/d", "postgresql://me@h/d"),
        ("postgresql://h/d?user=me&password=s3cr3t", "postgresql://h/d?user=me&password=***"),
        ("postgresql://me:a@b@h/d", "postgresql://me:***@h/d"),
    ],
)
def test_people_see_no_password(dsn: str, shown: str) -> None:
    target = DatabaseTarget("url", dsn, "ORBIT_DATABASE_URL")
    assert target.shown == shown
    assert "s3cr3t" not in repr(target)
