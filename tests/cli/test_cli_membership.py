"""`orbit org`, `unit`, `project`, `access`, at the keyboard of whoever owns the database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.postgres import Database


def orbit(database: Database, *arguments: str, code: int = 0, **environ: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "orbit_runner", *arguments],
        env=os.environ | {"ORBIT_DATABASE_URL": database.dsn} | environ,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done


def member(database: Database, name: str, role: str) -> None:
    database.fetch(
        f"with made as (insert into orbit.users (email, name) values ('{name}@example.com', '{name}') returning id)"
        f" insert into orbit.organization_members (organization_id, user_id, role)"
        f" select o.id, made.id, '{role}' from orbit.organizations o, made where o.slug = 'acme' returning 1"
    )


def test_from_an_organisation_to_a_grant_that_explains_itself(database: Database) -> None:
    assert orbit(database, "org", "create", "Acme Ltd", "--slug", "acme").stdout == "made acme\n"
    assert "OR004" not in (taken := orbit(database, "org", "create", "Acme", code=4).stderr)
    assert "there is an organisation acme already" in taken
    member(database, "olga", "owner")
    member(database, "vera", "viewer")
    orbit(database, "unit", "save", "payments", "--description", "moves money")
    orbit(database, "unit", "add", "payments", "vera@example.com", "--role", "editor")
    orbit(database, "project", "create", "checkout", "--unit", "payments")
    assert orbit(database, "project", "move", "checkout").stdout == "checkout is in no business unit\n"
    assert orbit(database, "project", "move", "checkout", "--unit", "payments").stdout == "checkout is in payments\n"
    assert "vera@example.com  vera  viewer  payments (editor)" in orbit(database, "org", "members").stdout
    ask = ("access", "explain", "secret.read", "--user", "vera@example.com", "--project", "checkout")
    assert orbit(database, *ask).stdout.splitlines() == [
        "vera@example.com may NOT secret.read in project checkout; it takes admin",
        "secret.read takes admin, and the most there is here is editor in the business unit",
        "  - editor by business unit",
    ]
    granted = orbit(
        database, "access", "grant", "vera@example.com", "secret.read", "--project", "checkout",
        "--expires", "2999-01-31T18:00:00+01:00", "--json",
    )  # fmt: skip
    told = orbit(database, *ask).stdout
    assert told.startswith("vera@example.com may secret.read in project checkout")
    assert "  + secret.read by project, granted " in told
    assert told.index("until 2999-01-31 17:00") < told.index("  - editor by business unit")
    assert orbit(database, "access", "revoke", json.loads(granted.stdout)["id"]).stdout == "taken back\n"
    assert orbit(database, "access", "list").stdout.startswith("no grant; ")
    assert "revoked at" in orbit(database, "access", "list", "--history").stdout
    assert orbit(database, "access", "can", "secret.read").stdout == "yes: administrative roles may do everything\n"
    assert "write 2030-01-31" in orbit(
        database, "access", "grant", "vera@example.com", "viewer", "--project", "checkout", "--expires", "soon", code=4
    ).stderr  # fmt: skip
    assert "last" not in orbit(database, "org", "remove", "vera@example.com").stdout
    assert "keeps at least one owner" in orbit(database, "org", "remove", "olga@example.com", code=4).stderr


def test_a_token_is_all_that_standard_output_gets(database: Database) -> None:
    orbit(database, "org", "create", "Acme")
    done = orbit(database, "org", "invite", "Nina@example.com", "--role", "editor")
    assert done.stdout.startswith("orbit_invite_")
    assert len(done.stdout.split()) == 1
    assert "nina@example.com is asked in as editor" in done.stderr
    [listed] = json.loads(orbit(database, "org", "invitations", "--json").stdout)
    assert (listed["status"], listed["token"]) == ("open", None)
    assert orbit(database, "org", "revoke-invitation", listed["id"]).stdout == "taken back\n"


def test_which_organisation_is_said_by_option_or_variable(database: Database) -> None:
    for name in ("acme", "beta"):
        orbit(database, "org", "create", name)
    assert "no organisation default" in orbit(database, "project", "create", "shop", code=4).stderr
    orbit(database, "project", "create", "shop", "--org", "beta")
    orbit(database, "project", "create", "shop", ORBIT_ORGANIZATION="acme")
    found = json.loads(orbit(database, "project", "list", "--json").stdout)
    assert [(one["organization"], one["slug"]) for one in found] == [("acme", "shop"), ("beta", "shop")]
    assert "not confirmed" in orbit(database, "org", "delete", "beta", "--confirm", "acme", code=4).stderr
    orbit(database, "org", "delete", "beta", "--confirm", "beta")
    assert [one["slug"] for one in json.loads(orbit(database, "org", "list", "--json").stdout)] == ["acme"]
