"""`orbit.secrets`: variables whose values nobody reads by chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbit_context.errors import ConflictError, SecretKeyError
from orbit_context.models.secrets import ReadSecret, Rotation, Secret, SetSecret

if TYPE_CHECKING:
    from uuid import UUID

    from orbit_context.gateway.port import Gateway
    from orbit_context.seal import Sealer

__all__ = ["Secrets"]


class Secrets:
    """`orbit.secrets`

    With a `sealer`, values are sealed before they are sent and opened after they came. Without one they are sent as they
    are, and the database seals them: it needs a key in its Vault for that, or one in `key`.

    `where` names what the variable belongs to: environment, suite, test, project, business_unit, organization; and `scope`
    where that is not the narrowest of them (`scope="global"`: the organisation).
    """

    def __init__(self, gateway: Gateway, sealer: Sealer | None = None) -> None:
        self._gateway = gateway
        self._sealer = sealer

    async def set(
        self, name: str, value: Any, *, description: str | None = None, key: str | None = None, **where: str
    ) -> SetSecret:
        """Sets a secret variable, new or not.

        Raises NotAllowedError, NotFoundError, and SecretKeyError where nobody has a key.
        """
        request: dict[str, Any] = {"name": name, **where}
        if description is not None:
            request["description"] = description
        if self._sealer is None or key is not None:
            given = {"value": value} if key is None else {"value": value, "key": key}
            return SetSecret.model_validate(await self._gateway.call("set_secret", request | given))
        place = _place(name, where)
        for _ in range(2):
            sealed = self._sealer.seal(value, aad=place)
            answer = SetSecret.model_validate(await self._gateway.call("set_secret", request | {"value": sealed}))
            if answer.place == place:
                break
            place = answer.place  # the database spells the project's name otherwise: sealed for its place, it opens
        return answer

    async def find(self, *, project: str | None = None, organization: str | None = None) -> list[Secret]:
        """All that the caller sees, by place; never a value."""
        request = {k: v for k, v in (("project", project), ("organization", organization)) if v is not None}
        found: list[Secret] = []
        while True:
            after = {"after": str(found[-1].id)} if found else {}
            page = await self._gateway.call("list_secrets", request | after | {"limit": 1000})
            found += [Secret.model_validate(row) for row in page]
            if len(page) < 1000:
                return found

    async def read(
        self, name: str | None = None, *, secret_id: UUID | str | None = None, key: str | None = None, **where: str
    ) -> ReadSecret:
        """A secret with its value, by name or id; each look is in the audit log. `value` is None where only `sealed` can be told.

        Raises NotFoundError, NotAllowedError, SecretKeyError.
        """
        given = {"name": name, "id": str(secret_id) if secret_id is not None else None, "key": key}
        request: dict[str, Any] = {**where, **{field: text for field, text in given.items() if text is not None}}
        keys = " ".join(self._sealer.keys_for_database()) if self._sealer is not None and key is None else None
        try:
            answer = await self._gateway.call("read_secret", request)
        except SecretKeyError:  # the database sealed it, and has no key of its own
            if keys is None:
                raise
            answer = await self._gateway.call("read_secret", request | {"key": keys})
        if answer.get("sealed") is not None and self._sealer is not None:
            answer["value"] = self._sealer.open(answer["sealed"], aad=answer["place"])
        return ReadSecret.model_validate(answer)

    async def delete(self, name: str, **where: str) -> None:
        """Deletes the variable with its value. Raises NotFoundError, NotAllowedError."""
        await self._gateway.call("delete_variable", {"name": name, "scope": _scope(where), **where})

    async def rotate(self, *, organization: str | None = None, key: str | None = None) -> Rotation:
        """Seals everything anew with the sealer's first key; its others open what is there. May be stopped and said again.

        What the database sealed moves to the first key of its Vault; where it has none, to the sealer's (or those of `key`).
        `locked` names what no key at hand opens; it is left alone.

        Raises NotAllowedError, and SecretKeyError without a sealer.
        """
        sealer = self._sealer
        if sealer is None:
            raise SecretKeyError(
                "there is no key to rotate secrets to", hint="give a sealer: the new key first, then the old one"
            )
        request: dict[str, Any] = {"key_id": sealer.key_id, "key": key or " ".join(sealer.keys_for_database())}
        if organization is not None:
            request["organization"] = organization
        rotated, changed, locked = 0, [], []
        after: str | None = None
        while True:
            page = await self._gateway.call("rotate_secrets", request | ({"after": after} if after else {}))
            rotated += page["rotated"]
            locked += [item["place"] for item in page["locked"]]
            for item in page["sealed"]:
                if item["key_id"] not in sealer.key_ids:
                    locked.append(item["place"])
                elif await self._replace(sealer, item):
                    rotated += 1
                else:
                    changed.append(item["place"])
            after = page["next"]
            if after is None:
                return Rotation(rotated=rotated, changed=changed, locked=locked)

    async def _replace(self, sealer: Sealer, item: dict[str, Any]) -> bool:
        """False where somebody set it meanwhile."""
        sealed = sealer.seal(sealer.open(item["sealed"], aad=item["place"]), aad=item["place"])
        expected = {"expected_key_id": item["key_id"], "expected_version": item["version"]}
        try:
            await self._gateway.call("replace_secret", {"id": item["id"], "sealed": sealed} | expected)
        except ConflictError:
            return False
        return True


def _place(name: str, where: dict[str, str]) -> str:
    """What the value is sealed for, as far as one can tell from here."""
    scope = _scope(where)
    return f"{scope}:{where.get('organization' if scope == 'global' else scope, 'default')}:{name}"


def _scope(where: dict[str, str]) -> str:
    """As orbit.set_secret: the narrowest that is named, else project."""
    if "scope" in where:
        return where["scope"]
    return next((kind for kind in ("environment", "test", "suite", "business_unit") if kind in where), "project")
