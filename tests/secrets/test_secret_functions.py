"""Secrets set, listed, read and rotated: what is answered, who is refused, what is written down."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from support.tenants import Tenants

from orbit_context.seal import Sealer, generate_key

if TYPE_CHECKING:
    Connection = asyncpg.Connection[Any]


class Acme:
    """An organisation with a project, an environment, and somebody of each role."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.tenants = Tenants(connection)

    async def call(self, function: str, **request: Any) -> Any:
        """As the owner of the schema."""
        return await self.call_plain(function, organization="acme", **request)

    async def call_plain(self, function: str, **request: Any) -> Any:
        answer = await self.connection.fetchval(f"select orbit.{function}($1::text::jsonb)::text", json.dumps(request))
        return json.loads(answer)

    async def refused(self, person: str, function: str, **request: Any) -> str:
        return await self.tenants.refused(person, function, request)

    async def audited(self) -> list[str]:
        rows = await self.connection.fetch(
            "select action from orbit.audit_log where action like 'secret.%' order by at"
        )
        return [row["action"] for row in rows]


@pytest.fixture
async def acme(connection: Connection) -> Acme:
    acme = Acme(connection)
    await acme.tenants.organization("acme", owner="olga", admin="ann", editor="ed", viewer="vera")
    await acme.tenants.organization("other", owner="otto")
    await acme.tenants.project("acme")
    await acme.call("save_environment", name="staging")
    return acme


async def test_a_sealed_secret_is_set_listed_and_read(acme: Acme) -> None:
    sealer = Sealer(generate_key())
    sealed = sealer.seal("pa$$", "environment:staging:password")
    answer = await acme.call("set_secret", environment="staging", name="password", value=sealed)
    assert answer == {
        "scope": "environment",
        "of": "staging",
        "name": "password",
        "place": "environment:staging:password",
    }
    [listed] = await acme.call("list_secrets")
    assert (listed["name"], listed["form"], listed["key_id"], listed["version"]) == (
        "password",
        "seal",
        sealer.key_id,
        1,
    )
    assert "orbit.seal" not in json.dumps(listed)
    read = await acme.call("read_secret", environment="staging", name="password")
    assert sealer.open(read["sealed"], read["place"]) == "pa$$"
    assert await acme.audited() == ["secret.read"]


async def test_a_clear_secret_is_sealed_and_opened_with_the_key_of_the_request(acme: Acme) -> None:
    key = generate_key()
    await acme.call("set_secret", scope="project", name="token", value={"a": 'q"'}, key=key)
    [listed] = await acme.call("list_secrets", project="default")
    assert (listed["form"], listed["place"]) == ("pgp", "project:default:token")
    assert (await acme.call("read_secret", id=listed["id"], key=key))["value"] == {"a": 'q"'}
    with pytest.raises(asyncpg.PostgresError) as refused:
        await acme.call("read_secret", id=listed["id"])
    assert refused.value.sqlstate == "OR008"


async def test_who_may(acme: Acme) -> None:
    key = generate_key()
    await acme.call("set_secret", environment="staging", name="password", value="x", key=key)
    [listed] = await acme.call("list_secrets")
    for person in ("ed", "vera"):
        assert await acme.refused(person, "read_secret", id=listed["id"], key=key) == "OR003"
        assert (
            await acme.refused(person, "set_secret", environment="staging", name="password", value="y", key=key)
            == "OR003"
        )
        assert await acme.refused(person, "rotate_secrets", key=key) == "OR003"
        async with acme.tenants.acting(person):
            [seen] = await acme.tenants.call("list_secrets", {})
            assert seen["place"] == "environment:staging:password"
    assert await acme.refused("otto", "read_secret", id=listed["id"], key=key) == "OR002"
    assert await acme.refused("otto", "list_secrets", organization="acme") == "OR002"
    sealed = Sealer(key).seal("x", listed["place"])
    replacing = {"id": listed["id"], "expected_key_id": listed["key_id"], "expected_version": 1, "sealed": sealed}
    assert await acme.refused("otto", "replace_secret", **replacing) == "OR002"
    assert await acme.refused("ed", "replace_secret", **replacing) == "OR003"
    async with acme.tenants.acting("otto"):
        assert await acme.tenants.call("list_secrets", {}) == []
    async with acme.tenants.acting("ann"):
        assert (await acme.tenants.call("read_secret", {"id": listed["id"], "key": key}))["value"] == "x"


async def test_unknown_fields_and_nonsense_are_refused(acme: Acme) -> None:
    for function, request in (
        ("set_secret", {"name": "x", "colour": 1}),
        ("set_secret", {"name": "x"}),
        ("set_secret", {"name": "x", "value": None}),
        ("list_secrets", {"colour": 1}),
        ("list_secrets", {"limit": "many"}),
        ("read_secret", {"id": "x"}),
        ("rotate_secrets", {"key_id": "x"}),
        ("replace_secret", {"id": "00000000-0000-0000-0000-000000000000"}),
    ):
        assert await acme.refused("ann", function, **request) == "OR001", function
    assert await acme.refused("ann", "read_secret", environment="staging", name="none") == "OR002"


async def test_pages_lose_nothing(acme: Acme) -> None:
    key = generate_key()
    for number in range(7):
        await acme.call("set_secret", environment="staging", name=f"s{number}", value=number, key=key)
    seen, after = [], None
    while page := await acme.call("list_secrets", limit=3, **({"after": after} if after else {})):
        seen += [row["name"] for row in page]
        after = page[-1]["id"]
    assert seen == [f"s{number}" for number in range(7)]


async def test_rotation_stopped_in_the_middle_and_taken_up_again_loses_nothing(acme: Acme) -> None:
    old, new = generate_key(), generate_key()
    before, after = Sealer(old), Sealer(f"{new} {old}")
    values = {f"s{number}": f"välue-{number}" for number in range(12)}
    for number, (name, value) in enumerate(values.items()):
        sealed = before.seal(value, f"environment:staging:{name}") if number % 2 else value
        await acme.call("set_secret", environment="staging", name=name, value=sealed, key=old)

    async def check() -> None:
        """Whoever has both keys reads every value, whatever has been rotated by now."""
        for name, value in values.items():
            read = await acme.call("read_secret", environment="staging", name=name, key=f"{new} {old}")
            assert value == (read["value"] if "value" in read else after.open(read["sealed"], read["place"]))

    async def rotate(pages: int) -> bool:
        cursor, last = None, False
        while not last and pages:
            page = await acme.call(
                "rotate_secrets",
                key=f"{new} {old}",
                key_id=after.key_id,
                limit=3,
                **({"after": cursor} if cursor else {}),
            )
            for item in page["sealed"][: None if pages > 1 else 1]:  # killed amid the last page
                sealed = after.seal(after.open(item["sealed"], item["place"]), item["place"])
                await acme.call_plain(
                    "replace_secret",
                    id=item["id"],
                    expected_key_id=item["key_id"],
                    expected_version=item["version"],
                    sealed=sealed,
                )
            cursor, last, pages = page["next"], page["next"] is None, pages - 1
        return last

    assert not await rotate(2)
    keys = {row["key_id"] for row in await acme.call("list_secrets")}
    assert keys == {before.key_id, after.key_id}
    await check()
    assert await rotate(100)
    assert {row["key_id"] for row in await acme.call("list_secrets")} == {after.key_id}
    assert {row["version"] for row in await acme.call("list_secrets")} == {1}
    await check()
    for name, value in values.items():  # and the old key may go
        read = await acme.call("read_secret", environment="staging", name=name, key=new)
        assert value == (read["value"] if "value" in read else Sealer(new).open(read["sealed"], read["place"]))


async def test_a_value_set_meanwhile_is_not_overwritten_by_a_rotation(acme: Acme) -> None:
    old, new = Sealer(generate_key()), Sealer(generate_key())
    place = "environment:staging:password"
    await acme.call("set_secret", environment="staging", name="password", value=old.seal("first", place))
    [item] = (await acme.call("rotate_secrets", key_id=new.key_id))["sealed"]
    await acme.call("set_secret", environment="staging", name="password", value=old.seal("second", place))
    with pytest.raises(asyncpg.PostgresError) as refused:
        await acme.call_plain(
            "replace_secret", id=item["id"], expected_key_id=item["key_id"], expected_version=item["version"],
            sealed=new.seal("first", place),
        )  # fmt: skip
    assert refused.value.sqlstate == "OR004"
    read = await acme.call("read_secret", environment="staging", name="password")
    assert old.open(read["sealed"], place) == "second"


async def test_what_no_key_opens_is_told_and_left_alone(acme: Acme) -> None:
    await acme.call("set_secret", environment="staging", name="password", value="x", key=generate_key())
    answer = await acme.call("rotate_secrets", key=generate_key())
    assert (answer["rotated"], [item["place"] for item in answer["locked"]]) == (0, ["environment:staging:password"])
